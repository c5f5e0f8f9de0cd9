//! Runs the command that decides between two waves (`--gate`).

use std::io;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::str::FromStr;
use std::time::Duration;

use mesh_cli::redact;
use mesh_cluster::Group;
use mesh_records::{sayable, sayable_address};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WaveGate {
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
}

/// How much is read of each stream that it prints to.
const SAID: u64 = 64 << 10;
/// How long its pipes are read once it has ended.
const GRACE: Duration = Duration::from_secs(1);
/// How many characters of it come into a record.
const LONGEST: usize = 1000;

impl WaveGate {
    /// Gives the program the records, one a line, and returns what it prints; the error says why it
    /// does not let the next wave begin. Dropping the future ends the program.
    ///
    /// It runs in a process group of its own, so that a terminal's Ctrl-C does not reach it.
    pub(crate) async fn ask(&self, records: Vec<u8>, limit: Duration) -> Result<String, String> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn();
        let child = child.map_err(|error| {
            let program = sayable_address(&self.program);
            format!("cannot start `{program}`: {error}")
        })?;
        let group = Group::of(&child);
        let answer = tokio::time::timeout(limit, answer(child, &records)).await;
        let Ok(answer) = answer else {
            return Err(format!("no answer within {limit:?} (--timeout)"));
        };
        let Answer {
            status,
            said,
            is_over,
        } = answer.map_err(|error| format!("cannot read its answer: {error}"))?;
        // Dropping the group ends what the program left behind.
        if is_over {
            group.ended();
        }
        match (status.success(), said.is_empty()) {
            (true, _) => Ok(said),
            (false, true) => Err(status.to_string()),
            (false, false) => Err(format!("{status}: {said}")),
        }
    }

    /// Returns the command as words, without secrets.
    pub(crate) fn said(&self) -> Vec<String> {
        let program = [self.program.clone()];
        redact(program.into_iter().chain(self.args.clone()))
    }
}

impl FromStr for WaveGate {
    type Err = String;

    // Like a shell, but nothing is expanded.
    fn from_str(text: &str) -> Result<Self, String> {
        let words =
            shlex::split(text).ok_or("a quote is not closed, or a `\\` is its last character")?;
        let mut words = words.into_iter();
        let program = words.next().filter(|program| !program.is_empty());
        Ok(Self {
            program: program.ok_or("it names no program")?,
            args: words.collect(),
        })
    }
}

/// What a program that has ended has said.
struct Answer {
    status: ExitStatus,
    said: String,
    /// Whether nobody holds its pipes any more.
    is_over: bool,
}

// Its exit code decides, also where a child that it left behind holds its pipes.
async fn answer(mut child: Child, records: &[u8]) -> io::Result<Answer> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let feeding = async {
        if let Some(mut stdin) = stdin {
            // It need not read them.
            stdin.write_all(records).await.ok();
        }
        Ok(())
    };
    let (status, is_over) = {
        let reading = async {
            let pipes = (beginning(stdout, &mut out), beginning(stderr, &mut err));
            tokio::try_join!(feeding, pipes.0, pipes.1)
        };
        let mut reading = pin!(reading);
        let mut is_over = false;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status?,
                read = &mut reading, if !is_over => {
                    read?;
                    is_over = true;
                }
            }
        };
        if !is_over {
            let rest = tokio::time::timeout(GRACE, reading).await;
            is_over = rest.is_ok();
            rest.unwrap_or(Ok(((), (), ())))?;
        }
        (status, is_over)
    };
    let said = [out, err].concat();
    Ok(Answer {
        status,
        said: on_one_line(&String::from_utf8_lossy(&said)),
        is_over,
    })
}

async fn beginning(pipe: Option<impl AsyncRead + Unpin>, bytes: &mut Vec<u8>) -> io::Result<()> {
    let Some(pipe) = pipe else { return Ok(()) };
    let mut pipe = pipe.take(SAID);
    pipe.read_to_end(bytes).await?;
    tokio::io::copy(&mut pipe.into_inner(), &mut tokio::io::sink()).await?;
    Ok(())
}

fn on_one_line(said: &str) -> String {
    let said = sayable(said);
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let said = lines.collect::<Vec<_>>().join("; ");
    match said.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &said[..end]),
        None => said,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(text: &str) -> WaveGate {
        text.parse().unwrap()
    }

    #[test]
    fn a_command_is_split_like_a_shells_and_nothing_is_expanded() {
        let words = gate(r#"./gate --min 0.99 'two words' "a \"b\"" $HOME;x"#).said();
        let expected = [
            "./gate",
            "--min",
            "0.99",
            "two words",
            r#"a "b""#,
            "$HOME;x",
        ];
        assert_eq!(words, expected);
        for text in ["", "  ", "''", "'open", "x \\"] {
            assert!(text.parse::<WaveGate>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_gate_reads_the_records_and_answers_by_its_exit_code() {
        let hour = Duration::from_secs(3600);
        let ask = async |script: &str, records: &[u8], limit| {
            let words = ["sh", "-c", script].map(str::to_owned);
            let [program, args @ ..] = words;
            let args = args.into();
            WaveGate { program, args }
                .ask(records.to_vec(), limit)
                .await
        };
        let said = ask("wc -l; echo warm >&2", b"{}\n{}\n", hour).await;
        assert_eq!(said.as_deref(), Ok("2; warm"));
        let said = ask("echo too slow; exit 7", b"", hour).await;
        assert_eq!(said.unwrap_err(), "exit status: 7: too slow");
        // It need not read what it gets, and may print without an end.
        let said = ask("exit 0", &[b'x'; 1 << 20], hour).await;
        assert_eq!(said.as_deref(), Ok(""));
        let said = ask("yes | head -c 9000000", b"", hour).await;
        assert_eq!(said.unwrap().chars().count(), LONGEST + 1);
        // A child that it leaves behind holds its pipes.
        let said = ask("echo left; sleep 3600 & exit 0", b"", hour).await;
        assert_eq!(said.as_deref(), Ok("left"));
        let said = ask("sleep 3600", b"", Duration::from_millis(1)).await;
        assert_eq!(said.unwrap_err(), "no answer within 1ms (--timeout)");
        let absent = gate("/absent/gate")
            .ask(Vec::new(), hour)
            .await
            .unwrap_err();
        assert!(
            absent.starts_with("cannot start `/absent/gate`"),
            "{absent}"
        );
    }
}
