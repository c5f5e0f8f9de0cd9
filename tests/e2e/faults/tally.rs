//! Runs many cases in a few parallel lanes and counts the results.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::case::{Case, asked_for};
use crate::run::Ran;

/// Some requests happen only in most runs of an upgrade; with this many runs each must occur.
const ENOUGH: usize = 5;

/// The matrix that runs now. Its lanes fill the machine; with those of another, real servers would
/// answer too late.
static MATRIX: Mutex<()> = Mutex::new(());

/// Waits until no other matrix runs.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    MATRIX.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The results of many runs.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    runs: usize,
    /// Runs in which the chosen request did not happen, so the fault did not either.
    missed: Vec<String>,
    /// For each request and each fault: in how many runs it was chosen, and in how many it
    /// happened.
    turns: BTreeMap<String, (usize, usize)>,
    exits: BTreeMap<String, usize>,
    complaints: Vec<String>,
}

/// The result of one run.
pub(crate) struct Outcome {
    pub(crate) exit: Option<i32>,
    pub(crate) struck: bool,
    pub(crate) complaint: Option<String>,
}

impl Outcome {
    pub(crate) fn of(ran: &Ran, struck: usize, complaint: Option<String>) -> Self {
        let complaint = complaint.map(|complaint| format!("{complaint}; {}", ran.summary()));
        Self {
            exit: ran.code,
            struck: struck > 0,
            complaint,
        }
    }
}

/// Runs every case in one of the lanes.
pub(crate) fn tally<L: Send>(
    lanes: Vec<L>,
    cases: Vec<Case>,
    run: impl Fn(&mut L, &Case) -> Outcome + Sync,
) -> Tally {
    let queue = Mutex::new(asked_for(cases).into_iter());
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for mut lane in lanes {
            let (queue, tally, run) = (&queue, &tally, &run);
            scope.spawn(move || {
                let next = || queue.lock().unwrap().next();
                while let Some(case) = next() {
                    let mut outcome = run(&mut lane, &case);
                    // On a busy machine a run may time out before the chosen request, so it is
                    // repeated once.
                    if !outcome.struck && outcome.complaint.is_none() {
                        outcome = run(&mut lane, &case);
                    }
                    tally.lock().unwrap().add(&case, outcome);
                }
            });
        }
    });
    tally.into_inner().unwrap()
}

impl Tally {
    fn add(&mut self, case: &Case, outcome: Outcome) {
        let Outcome {
            exit,
            struck,
            complaint,
        } = outcome;
        self.runs += 1;
        let exit = exit.map_or_else(|| "killed".to_owned(), |code| code.to_string());
        *self.exits.entry(exit).or_default() += 1;
        if !struck {
            self.missed.push(case.to_string());
        }
        for part in [case.request.to_string(), format!("{:?}", case.harm)] {
            let (turns, met) = self.turns.entry(part).or_default();
            *turns += 1;
            *met += usize::from(struck);
        }
        let complaint = complaint.map(|complaint| format!("{case}: {complaint}"));
        self.complaints.extend(complaint);
    }

    /// Fails if a run was wrong, if a request or a fault never happened, or if many did not.
    #[track_caller]
    pub(crate) fn judge(&self) {
        assert!(
            self.complaints.is_empty(),
            "{self}\n{}",
            self.complaints.join("\n")
        );
        assert!(self.runs > 0, "no case was asked for");
        let mut turns = self.turns.iter();
        let unmet = turns.find(|(_, (turns, met))| *turns >= ENOUGH && *met == 0);
        assert_eq!(unmet, None, "{self}\nwith so many turns it was never met");
        assert!(
            self.missed.len() * 10 <= self.runs,
            "{self}\n{}",
            self.missed.join("\n")
        );
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            runs,
            missed,
            turns: _,
            exits,
            complaints,
        } = self;
        let (missed, complaints) = (missed.len(), complaints.len());
        write!(
            f,
            "{runs} runs by exit code {exits:?}; {missed} missed their request, {complaints} did wrong"
        )
    }
}
