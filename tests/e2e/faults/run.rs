//! A run of a tool that is killed where it does not end, and what a way out must be.

use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use mesh_testbed::Victim;
use mesh_tests::{Run, Signal, begin, signal};
use serde_json::Value;

/// A run, and whether it had to be killed because it did not end.
pub(crate) struct Ran {
    pub(crate) run: Run,
    hung: bool,
}

/// After this time a run counts as hung; every time limit of these runs is shorter.
const GUARD: Duration = Duration::from_secs(180);

/// Runs a tool to its end; `client` gets its process id, for faults that kill it.
pub(crate) fn run(command: Command, input: &str, client: &Victim) -> Ran {
    watch(command, input, client, |_, _| ())
}

/// Runs a tool to its end; `see` gets its process id and each record as it comes.
pub(crate) fn watch(
    command: Command,
    input: &str,
    client: &Victim,
    mut see: impl FnMut(u32, &Value),
) -> Ran {
    let mut running = begin(command, input);
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
    while let Some(record) = running.next_record() {
        see(pid, &record);
    }
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
    pub(crate) fn last_word(&self) -> Option<&Value> {
        self.records.last().filter(|record| record["type"] == "end")
    }

    /// Returns how the run ended, in one line.
    pub(crate) fn summary(&self) -> String {
        let (code, stderr) = (self.code, self.stderr.trim().replace('\n', " | "));
        format!("exit {code:?}: {stderr}")
    }

    /// Returns what is wrong with the end of the run: the tool must end, write how it ended in its
    /// last record, and give a reason if it did not do what was asked.
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
