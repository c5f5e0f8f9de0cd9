//! Child processes: the only place that starts any.
//!
//! Each runs in a process group of its own, so that a terminal's Ctrl-C does not reach it, and
//! without a shell and without standard input, which bears records.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use mesh_records::{Explain as _, Explained};
use tokio::process::{Child, Command};

/// What a program that only reads came to.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// A program that writes, running.
///
/// What it says goes to a file without a name: were it a pipe, the program would die with us at its
/// next word, in the middle of an upgrade.
#[derive(Debug)]
pub(crate) struct Writer {
    child: Child,
    said: std::fs::File,
}

/// What would send helm to another cluster than the one that was asked, or make it chatter.
const UNWANTED: [&str; 9] = [
    "HELM_DEBUG",
    "HELM_KUBEAPISERVER",
    "HELM_KUBEASGROUPS",
    "HELM_KUBEASUSER",
    "HELM_KUBECAFILE",
    "HELM_KUBECONTEXT",
    "HELM_KUBEINSECURE_SKIP_TLS_VERIFY",
    "HELM_KUBETLS_SERVER_NAME",
    "HELM_KUBETOKEN",
];

/// How many times as long as one request such a program may take: it makes a few of them, and may
/// fetch a chart.
const REQUESTS: u32 = 10;

/// Runs a program that only reads, for ten times as long as one `request` may take at most; dropping
/// the future ends it. `way_out` is for one that is not there.
pub(crate) async fn ask(
    program: &Path,
    args: &[String],
    way_out: &str,
    request: Duration,
) -> Result<Answer, Explained> {
    let patience = request.saturating_mul(REQUESTS);
    let output = command(program, args).kill_on_drop(true).output();
    let Ok(output) = tokio::time::timeout(patience, output).await else {
        let (program, verb) = (program.display(), args.first().map_or("", String::as_str));
        let what = format!("no answer from `{program} {verb}` within {patience:?}");
        let hint = "does the API server answer it? it gets ten times the --request-timeout";
        return Err(Explained::new(what, hint));
    };
    let output = output.explain(cannot_start(program), way_out)?;
    Ok(Answer {
        status: output.status,
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Starts a program that writes; it outlives us, however we end.
pub(crate) fn start(program: &Path, args: &[String], way_out: &str) -> anyhow::Result<Writer> {
    let said = tempfile::tempfile().context("cannot keep what helm says")?;
    let (stdout, stderr) = (said.try_clone()?, said.try_clone()?);
    let child = command(program, args).stdout(stdout).stderr(stderr).spawn();
    let child = child.explain(cannot_start(program), way_out)?;
    Ok(Writer { child, said })
}

fn cannot_start(program: &Path) -> String {
    format!("cannot start `{}`", program.display())
}

fn command(program: &Path, args: &[String]) -> Command {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).process_group(0);
    for name in UNWANTED {
        command.env_remove(name);
    }
    command
}

// === impl Writer ===

impl Writer {
    /// Waits for its end. May be cancelled and waited for again.
    pub(crate) async fn finished(&mut self) -> anyhow::Result<ExitStatus> {
        self.child.wait().await.context("waiting for helm")
    }

    /// What it said so far.
    pub(crate) fn said(&mut self) -> anyhow::Result<String> {
        let mut bytes = Vec::new();
        self.said.seek(SeekFrom::Start(0))?;
        self.said.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// What a program said, fit for a record: on one line, not too long, with nothing that may be a key.
pub(crate) fn quote(said: &str) -> String {
    let mut quoted = String::new();
    let mut within_pem = false;
    for line in said.lines() {
        within_pem |= line.contains("-----BEGIN");
        let ends = line.contains("-----END");
        if !within_pem && !line.trim().is_empty() {
            if !quoted.is_empty() {
                quoted.push_str("; ");
            }
            quoted += &line
                .trim()
                .split(' ')
                .map(word)
                .collect::<Vec<_>>()
                .join(" ");
        }
        within_pem &= !ends;
    }
    if quoted.chars().count() > LONGEST {
        quoted = quoted.chars().take(LONGEST).chain("…".chars()).collect();
    }
    let quoted = quoted.strip_prefix("Error: ").unwrap_or(&quoted);
    if quoted.is_empty() {
        "it said nothing".to_owned()
    } else {
        quoted.to_owned()
    }
}

const LONGEST: usize = 1000;

// A long word of nothing but base64 letters is no word.
fn word(word: &str) -> &str {
    let code = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    if word.len() > 60 && word.chars().all(code) {
        "<…>"
    } else {
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            (String::new(), "it said nothing".to_owned()),
        ];
        for (said, expected) in table {
            assert_eq!(quote(&said), expected);
        }
        assert!(quote(&"word ".repeat(9_999)).chars().count() <= LONGEST + 1);
    }
}
