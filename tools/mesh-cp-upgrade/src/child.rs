//! Starts child processes. No other module does.
//!
//! Each runs in a process group of its own, so that a terminal's Ctrl-C does not reach it, and
//! without a shell and without standard input, which carries records.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use mesh_cluster::Group;
use mesh_records::{Explain as _, sayable};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use crate::unseen::{Question, Unseen};

/// A program of somebody else's.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    /// What to do where it is not there.
    pub(crate) way_out: &'static str,
    /// How long one of its requests to the API server may take.
    pub(crate) request: Duration,
    /// What it gets in its environment besides what we have in ours.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// The run's own kubeconfig of the connected cluster.
    pub(crate) kubeconfig: PathBuf,
}

/// A running program that writes to the cluster.
///
/// Its output goes to an unnamed file. With a pipe, the program would die at its next output after
/// this process ended, in the middle of an upgrade.
#[derive(Debug)]
pub(crate) struct Writer {
    child: Child,
    said: File,
}

/// Environment variables that would point helm to another cluster or make it print debug output, or make
/// the linkerd CLI render the images of another version.
const UNWANTED: [&str; 10] = [
    "HELM_DEBUG",
    "HELM_KUBEAPISERVER",
    "HELM_KUBEASGROUPS",
    "HELM_KUBEASUSER",
    "HELM_KUBECAFILE",
    "HELM_KUBECONTEXT",
    "HELM_KUBEINSECURE_SKIP_TLS_VERIFY",
    "HELM_KUBETLS_SERVER_NAME",
    "HELM_KUBETOKEN",
    "LINKERD_CONTAINER_VERSION_OVERRIDE",
];

/// The time limit of a program that only reads, as a multiple of `--request-timeout`: it makes
/// several requests, and may download a chart.
const REQUESTS: u32 = 10;
/// The most that a program which only reads may print.
const LARGEST: u64 = 256 << 20;
/// How much of its errors is kept.
const SAID: u64 = 1 << 20;
/// How much of a long output's beginning and of its end is quoted from.
const PART: u64 = 32 << 10;

// === impl Program ===

impl Program {
    /// What it writes to standard output where it only reads. It gets ten times as long as one
    /// request may take; dropping the future ends it. An error begins with `what` was to be done, and
    /// its cause is [`Unseen`] if the question is still open.
    pub(crate) async fn read(
        &self,
        args: &[String],
        question: Question,
        what: &str,
    ) -> anyhow::Result<Vec<u8>> {
        let Output {
            status,
            stdout,
            stderr,
        } = self.output(self.at_cluster(args)).await?;
        if status.success() {
            return Ok(stdout);
        }
        let stderr = String::from_utf8_lossy(&stderr);
        let said = quote(&stderr);
        // A program that a signal ended could not say what it thinks.
        let is_answered = status.code().is_some() && question.is_answered_by(&stderr);
        match is_answered {
            true => Err(anyhow::anyhow!("{what}: {said}")),
            false => Ok(Unseen::Unanswered(said).explain(what)?),
        }
    }

    /// What it says, with how it ended if it fails.
    pub(crate) async fn says(&self, args: &[&str]) -> anyhow::Result<String> {
        let args = args.iter().map(ToString::to_string).collect();
        let Output {
            status,
            stdout,
            stderr,
        } = self.output(args).await?;
        let said = if stdout.is_empty() { stderr } else { stdout };
        let said = quote(&String::from_utf8_lossy(&said));
        Ok(match status.success() {
            true => said,
            false => format!("{said} ({status})"),
        })
    }

    /// Starts it where it writes; it outlives us, however we end.
    pub(crate) fn start(&self, args: &[String]) -> anyhow::Result<Writer> {
        let said = tempfile::tempfile()
            .context("cannot create a temporary file for the output of helm")?;
        let (stdout, stderr) = (said.try_clone()?, said.try_clone()?);
        let mut command = self.command(&self.at_cluster(args));
        let child = command.stdout(stdout).stderr(stderr).spawn();
        let child = child.explain(self.cannot_start(), self.way_out)?;
        Ok(Writer { child, said })
    }

    // helm and linkerd have the same flag for it.
    fn at_cluster(&self, args: &[String]) -> Vec<String> {
        let kubeconfig = self.kubeconfig.display().to_string();
        let flag = ["--kubeconfig".to_owned(), kubeconfig];
        args.iter().cloned().chain(flag).collect()
    }

    async fn output(&self, args: Vec<String>) -> anyhow::Result<Output> {
        let patience = self.request.saturating_mul(REQUESTS);
        let mut command = self.command(&args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.kill_on_drop(true).spawn();
        let child = child.explain(self.cannot_start(), self.way_out)?;
        // It may have started a credentials plugin.
        let group = Group::of(&child);
        let output = tokio::time::timeout(patience, printed(child, LARGEST)).await;
        let verb = args.first().map_or("", String::as_str);
        let Ok(output) = output else {
            let what = format!("no answer from `{self} {verb}`");
            return Ok(Unseen::Late(patience).explain(what)?);
        };
        let output = match output {
            Ok(output) => output,
            Err(error) => {
                let what = format!("cannot read what `{self}` prints");
                return Ok(Unseen::Garbled(error.to_string()).explain(what)?);
            }
        };
        group.ended();
        Ok(output)
    }

    fn cannot_start(&self) -> String {
        format!("cannot start `{self}`")
    }

    fn command(&self, args: &[String]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(args).stdin(Stdio::null()).process_group(0);
        for name in UNWANTED {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().cloned());
        // A program may be a script that runs kubectl besides.
        command.env("KUBECONFIG", &self.kubeconfig);
        command
    }
}

// Waits for a child that reads. One that prints without an end would take all memory; dropping the
// child ends it.
async fn printed(mut child: Child, largest: u64) -> io::Result<Output> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr, status) = tokio::try_join!(
        async {
            let (kept, more) = up_to(stdout, largest).await?;
            let too_much =
                || io::Error::other(format!("it printed more than {} MiB", largest >> 20));
            more.is_none().then_some(kept).ok_or_else(too_much)
        },
        async {
            let (kept, more) = up_to(stderr, SAID).await?;
            if let Some(mut more) = more {
                tokio::io::copy(&mut more, &mut tokio::io::sink()).await?;
            }
            Ok(kept)
        },
        child.wait(),
    )?;
    Ok(Output {
        status,
        stdout,
        stderr,
    })
}

// Reads a pipe up to a length. Returns the pipe too if there is more.
async fn up_to<R: AsyncRead + Unpin>(
    pipe: Option<R>,
    length: u64,
) -> io::Result<(Vec<u8>, Option<R>)> {
    let mut bytes = Vec::new();
    let Some(pipe) = pipe else {
        return Ok((bytes, None));
    };
    let mut pipe = pipe.take(length.saturating_add(1));
    pipe.read_to_end(&mut bytes).await?;
    let has_more = pipe.limit() == 0;
    Ok((bytes, has_more.then(|| pipe.into_inner())))
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

// === impl Writer ===

impl Writer {
    /// Waits until the program ends. Can be cancelled and called again.
    pub(crate) async fn finished(&mut self) -> anyhow::Result<ExitStatus> {
        self.child.wait().await.context("cannot wait for helm")
    }

    /// Returns the program's output so far, of a long one the beginning and the end.
    pub(crate) fn said(&mut self) -> io::Result<String> {
        ends(&mut self.said)
    }
}

fn ends(file: &mut File) -> io::Result<String> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut part = |start: u64, length: u64| {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        file.take(length).read_to_end(&mut bytes)?;
        io::Result::Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    if length <= 2 * PART {
        return part(0, length);
    }
    let (first, last) = (part(0, PART)?, part(length - PART, PART)?);
    // The end may begin within a line and within a key, and the beginning may end so.
    let first = first.rsplit_once('\n').map_or("", |(lines, _)| lines);
    let first =
        first
            .rfind("-----BEGIN")
            .map_or(first, |key| match first[key..].contains("-----END") {
                true => first,
                false => &first[..key],
            });
    let after_line = |text: &str| text.find('\n').map_or(text.len(), |end| end + 1);
    let last = &last[after_line(&last)..];
    let key_ends = last.find("-----END");
    let key_ends = key_ends.filter(|end| !last[..*end].contains("-----BEGIN"));
    let last = key_ends.map_or(last, |end| &last[end + after_line(&last[end..])..]);
    Ok(format!("{first}\n…\n{last}"))
}

/// Prepares a program's output for a record: on one line, not too long, without anything that may
/// be a key and without the secrets of an address.
pub(crate) fn quote(said: &str) -> String {
    let said = &sayable(said);
    let mut quoted = String::new();
    let mut within_pem = false;
    for line in said.lines() {
        within_pem |= line.contains("-----BEGIN");
        let ends = line.contains("-----END");
        if !within_pem && !line.trim().is_empty() {
            if !quoted.is_empty() {
                quoted.push_str("; ");
            }
            quoted += &plain(line.trim())
                .split(' ')
                .map(word)
                .collect::<Vec<_>>()
                .join(" ");
        }
        within_pem &= !ends;
    }
    let length = quoted.chars().count();
    if length > LONGEST {
        // A program says last why it failed.
        let first = quoted.chars().take(LONGEST / 2);
        let last = quoted.chars().skip(length - LONGEST / 2);
        quoted = first.chain("…".chars()).chain(last).collect();
    }
    let quoted = quoted.strip_prefix("Error: ").unwrap_or(&quoted);
    if quoted.is_empty() {
        "it printed nothing".to_owned()
    } else {
        quoted.to_owned()
    }
}

const LONGEST: usize = 1000;

/// How client-go begins to say that a credentials plugin failed; it quotes what the plugin printed.
const PLUGIN: [&str; 3] = ["getting credentials", "exec plugin", "decoding stdout"];

/// Parts of errors after which a value is quoted: each with the marks around a value.
const VALUES: [(&str, char); 6] = [
    ("no kind \"", '"'),
    ("parsing time \"", '"'),
    ("invalid type: ", '"'),
    ("invalid value: ", '"'),
    // A value that does not fit the schema of the chart's values.
    ("at '/", '\''),
    ("at '': ", '\''),
];

// Hides the values that an error quotes.
fn plain(line: &str) -> String {
    if let Some(at) = PLUGIN.iter().filter_map(|sign| line.find(sign)).min() {
        let before = &line[..at];
        return format!("{before}the credentials plugin of the kubeconfig failed");
    }
    let signs = VALUES.iter();
    let sign = signs.filter_map(|(sign, mark)| line.find(sign).map(|at| (at + sign.len(), *mark)));
    let Some((at, mark)) = sign.min() else {
        return line.to_owned();
    };
    // What the schema's error is about comes first, in marks of its own.
    let path = line[at..]
        .find("': ")
        .filter(|_| mark == '\'' && !line[..at].ends_with(": "));
    let start = at + path.map_or(0, |end| end + 3);
    let said = &line[start..];
    // These name a field, not a value.
    let names_field = ["additional prop", "missing prop"]
        .iter()
        .any(|sign| said.starts_with(sign));
    let first = match line[..start].ends_with(mark) {
        true => Some(0),
        false => said.find(mark).map(|first| first + 1),
    };
    let last = said.rfind(mark);
    match (first, last) {
        (Some(first), Some(last)) if first <= last && !names_field => {
            format!("{}{}<…>{}", &line[..start], &said[..first], &said[last..])
        }
        _ => line.to_owned(),
    }
}

// Hides what may be a key: a long run of base64 characters that is no digest, and a JSON Web Token.
fn word(word: &str) -> String {
    let is_code = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    let mut said = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(start) = rest.find(is_code) {
        said.push_str(&rest[..start]);
        let run = &rest[start..];
        let is_token = run.starts_with("eyJ");
        let ends = |c: char| !(is_code(c) || is_token && ".-_".contains(c));
        let (run, more) = run.split_at(run.find(ends).unwrap_or(run.len()));
        let is_digest = run.len() == 64 && run.chars().all(|c| c.is_ascii_hexdigit());
        let is_key = !is_digest && (run.len() > 60 || is_token && run.len() > 40);
        said.push_str(if is_key { "<…>" } else { run });
        rest = more;
    }
    said.push_str(rest);
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_program_gets_what_would_point_it_elsewhere_or_to_other_images() {
        let program = Program {
            path: "linkerd".into(),
            way_out: "",
            request: Duration::from_secs(1),
            environment: Vec::new(),
            kubeconfig: PathBuf::new(),
        };
        let command = program.command(&[]);
        for name in ["HELM_KUBETOKEN", "LINKERD_CONTAINER_VERSION_OVERRIDE"] {
            let mut set = command.as_std().get_envs();
            assert!(set.any(|it| it == (name.as_ref(), None)), "{name}");
        }
    }

    #[test]
    fn what_a_program_says_is_quoted_on_one_line_without_keys() {
        let key = "-----BEGIN EC PRIVATE KEY-----\nabcd\n-----END EC PRIVATE KEY-----";
        let secret = "A".repeat(80);
        let table = [
            (
                "Error: UPGRADE FAILED: x\n\n  y\n".to_owned(),
                "UPGRADE FAILED: x; y".to_owned(),
            ),
            (format!("before\n{key}\nafter"), "before; after".to_owned()),
            (format!("data: {secret} end"), "data: <…> end".to_owned()),
            (
                format!("Invalid value: \"{secret}\": keyPEM:{secret}"),
                "Invalid value: \"<…>\": keyPEM:<…>".to_owned(),
            ),
            (
                format!("token eyJ{}.eyJ-_.x rest", "h".repeat(40)),
                "token <…> rest".to_owned(),
            ),
            (
                format!("image x@sha256:{}", "0a".repeat(32)),
                format!("image x@sha256:{}", "0a".repeat(32)),
            ),
            (String::new(), "it printed nothing".to_owned()),
            (
                "Get \"https://h/\": getting credentials: decoding stdout: no kind \"hush\" is registered"
                    .to_owned(),
                "Get \"https://h/\": the credentials plugin of the kubeconfig failed".to_owned(),
            ),
            (
                "no kind \"hush\" is registered for version \"v1\"".to_owned(),
                "no kind \"<…>\"".to_owned(),
            ),
            (
                "parsing time \"hush\" as \"2006\": cannot".to_owned(),
                "parsing time \"<…>\": cannot".to_owned(),
            ),
            (
                "- at '/license/key': 'hu'sh' does not match pattern '^x$'".to_owned(),
                "- at '/license/key': '<…>'".to_owned(),
            ),
            (
                "- at '': additional properties 'licence' not allowed".to_owned(),
                "- at '': additional properties 'licence' not allowed".to_owned(),
            ),
            (
                "invalid type: string \"hush\", expected a map".to_owned(),
                "invalid type: string \"<…>\", expected a map".to_owned(),
            ),
        ];
        for (said, expected) in table {
            assert_eq!(quote(&said), expected);
        }
        assert!(quote(&"word ".repeat(9_999)).chars().count() <= LONGEST + 1);
    }

    #[tokio::test]
    async fn a_program_that_prints_without_an_end_is_ended() {
        let printed = async |script: &str| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", script]).kill_on_drop(true);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            printed(command.spawn().unwrap(), 1 << 20).await
        };
        let error = printed("exec cat /dev/zero").await.unwrap_err();
        assert_eq!(error.to_string(), "it printed more than 1 MiB");
        let output = printed("head -c 9000000 /dev/zero >&2; echo done").await;
        let Output { stdout, stderr, .. } = output.unwrap();
        assert_eq!(stdout, b"done\n");
        assert_eq!(stderr.len() as u64, SAID + 1);
    }

    #[test]
    fn of_a_long_output_the_beginning_and_the_end_are_read_and_no_part_of_a_key() {
        let mut file = tempfile::tempfile().unwrap();
        let key = "hush\n".repeat(99_999);
        let text = format!("first\n-----BEGIN KEY\n{key}-----END KEY\nlast\n");
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        assert_eq!(quote(&ends(&mut file).unwrap()), "first; …; last");
    }
}
