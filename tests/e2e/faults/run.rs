//! A run of a tool that is killed where it does not end, and what a way out must be.

use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use mesh_testbed::Victim;
use mesh_tests::{Run, Signal, begin, signal};

/// A run, and whether it had to be killed because it did not end.
pub(crate) struct Ran {
    pub(crate) run: Run,
    hung: bool,
}

/// The least that every deadline of these runs is shorter than.
const GUARD: Duration = Duration::from_secs(180);

/// Runs a tool to its end. Whoever kills it knows it as `client`.
pub(crate) fn run(command: Command, input: &str, client: &Victim) -> Ran {
    let running = begin(command, input);
    let pid = running.child.id();
    client.set(pid);
    let (ended, watched) = channel::<()>();
    let guard = std::thread::spawn(move || {
        let hung = watched.recv_timeout(GUARD) == Err(RecvTimeoutError::Timeout);
        if hung {
            signal(pid, Signal::KILL);
        }
        hung
    });
    let run = running.finish();
    drop(ended);
    let hung = guard.join().unwrap();
    Ran { run, hung }
}

impl std::ops::Deref for Ran {
    type Target = Run;

    fn deref(&self) -> &Run {
        &self.run
    }
}

impl Ran {
    /// Its last record, if that is an `end`.
    pub(crate) fn last_word(&self) -> Option<&serde_json::Value> {
        self.records.last().filter(|record| record["type"] == "end")
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
            return (!was_killed || self.last_word().is_some())
                .then(|| "it was killed and yet had ended, or was not to be".to_owned());
        };
        if !codes.contains(&code) {
            return Some("no documented exit code".to_owned());
        }
        let Some(end) = self.last_word() else {
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
