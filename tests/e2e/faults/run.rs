//! A run of a tool, from its input to its end.

use std::io::Write as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use mesh_testbed::Victim;
use serde_json::Value;

/// How a run ended.
pub(crate) struct Ran {
    /// None for one that was killed.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// It had to be killed, for it would not end.
    pub(crate) hung: bool,
}

/// The least that every deadline of these runs is shorter than.
const GUARD: Duration = Duration::from_secs(180);

/// Runs a tool to its end. Whoever kills it knows it as `client`.
pub(crate) fn run(mut command: Command, input: &str, client: &Victim) -> Ran {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    client.set(child.id());
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // It may end without reading to the end; that is for its exit code to say.
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let (output, hung) = guarded(child);
    writer.join().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
        hung,
    }
}

fn guarded(child: Child) -> (Output, bool) {
    let pid = child.id().to_string();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || drop(tell.send(child.wait_with_output())));
    if let Ok(output) = told.recv_timeout(GUARD) {
        return (output.unwrap(), false);
    }
    let killed = Command::new("kill").args(["-KILL", &pid]).status().unwrap();
    assert!(killed.success());
    (told.recv().unwrap().unwrap(), true)
}

impl Ran {
    pub(crate) fn records(&self) -> Vec<Value> {
        // A killed writer may leave half a line.
        let whole = self.stdout.rfind('\n').map_or("", |at| &self.stdout[..at]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The records of a type.
    pub(crate) fn of(&self, kind: &str) -> Vec<Value> {
        let mut records = self.records();
        records.retain(|record| record["type"] == kind);
        records
    }

    /// Its last word, if it came to that.
    pub(crate) fn end(&self) -> Option<Value> {
        self.records()
            .pop()
            .filter(|record| record["type"] == "end")
    }

    /// How it ended, in one line.
    pub(crate) fn summary(&self) -> String {
        let (code, stderr) = (self.code, self.stderr.trim().replace('\n', " | "));
        format!("exit {code:?}: {stderr}")
    }

    /// What is wrong with its way out, whatever it did: it ends, says how in its last record, and
    /// gives a reason where it did not do what was asked.
    pub(crate) fn misconduct(&self, codes: &[i32], was_killed: bool) -> Option<String> {
        if self.hung {
            return Some("it did not end".to_owned());
        }
        if self.stderr.contains("panicked") {
            return Some("it panicked".to_owned());
        }
        let Some(code) = self.code else {
            return (!was_killed || self.end().is_some())
                .then(|| "it was killed and yet had ended, or was not to be".to_owned());
        };
        if !codes.contains(&code) {
            return Some("no documented exit code".to_owned());
        }
        let Some(end) = self.end() else {
            return Some("no end".to_owned());
        };
        let outcome = match code {
            0 | 1 => "complete",
            3 => "stopped",
            _ => "failed",
        };
        if end["exit"] != code || end["outcome"] != outcome {
            return Some(format!("the end is another: {end}"));
        }
        (code != 0 && self.stderr.is_empty()).then(|| "no reason is given".to_owned())
    }
}
