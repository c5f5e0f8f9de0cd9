//! How a run ends: the outcome, the exit code, the reason and the next command.

use std::io;

use mesh_cli::Exit;
use mesh_records::{EndOutcome, Explained};

/// How a run ends.
#[derive(Debug)]
pub enum Ending {
    /// All was done, or there was nothing to do.
    Done {
        /// The next command.
        next: Option<String>,
        /// Why there was nothing to do.
        reason: Option<String>,
    },
    /// The action failed, or the verdict does not pass.
    No(Explained),
    /// The tool could not do it.
    Failed(anyhow::Error),
    /// The run stopped early in good order.
    Stopped(Explained),
    /// Somebody else holds the lock, and `--if-locked skip` was given.
    Skipped(Explained),
    /// A second signal ended the run at once.
    Left {
        /// The number of the signal.
        signal: u8,
        /// What the run left unfinished.
        reason: String,
    },
}

/// The result of a step, or how the run ends instead.
pub type Outcome<T> = Result<T, Ending>;

/// The `end` record and the exit code of an ending.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) outcome: EndOutcome,
    pub(crate) exit: Exit,
    pub(crate) reason: Option<String>,
    pub(crate) next: Option<String>,
}

/// The hint for a run that was stopped.
pub const AGAIN: &str = "run the pipeline again: it carries on where this run stopped";

/// Ends the run early; the same pipeline can continue it.
pub fn stopped(why: impl Into<String>) -> Ending {
    Ending::Stopped(Explained::new(why, AGAIN))
}

/// Ends the run with an error and a hint.
pub fn refused(what: impl Into<String>, hint: impl Into<String>) -> Ending {
    Ending::Failed(Explained::new(what, hint).into())
}

/// Ends the run with an error, and with `hint` unless the error has its own.
pub fn hinted(error: anyhow::Error, hint: impl Into<String>) -> Ending {
    if error.is::<Explained>() {
        return Ending::Failed(error);
    }
    refused(format!("{error:#}"), hint)
}

impl Ending {
    /// Returns why the run ended, unless everything was done.
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Done { reason, .. } => reason.clone(),
            Self::No(error) | Self::Stopped(error) | Self::Skipped(error) => {
                Some(error.to_string())
            }
            Self::Failed(error) => Some(format!("{error:#}")),
            Self::Left { reason, .. } => Some(reason.clone()),
        }
    }

    /// Says first what the run did before it ended early.
    #[must_use]
    pub fn after(self, done: &str) -> Self {
        match self {
            Self::Done { .. } => self,
            Self::No(error) => Self::No(error.after(done)),
            Self::Failed(error) => Self::Failed(after(error, done)),
            Self::Stopped(error) => Self::Stopped(error.after(done)),
            Self::Skipped(error) => Self::Skipped(error.after(done)),
            Self::Left { signal, reason } => Self::Left {
                signal,
                reason: format!("{done}: {reason}"),
            },
        }
    }

    /// Makes the `end` record and the exit code. `again` is the command that runs the same pipeline
    /// again.
    pub(crate) fn last(&self, stop_ok: bool, again: String) -> Last {
        let (outcome, exit, next) = match self {
            Self::Done { next, .. } => (EndOutcome::Complete, Exit::Yes, next.clone()),
            Self::No(error) => (EndOutcome::Complete, Exit::No, error.next().or(Some(again))),
            Self::Failed(error) => (EndOutcome::Failed, Exit::Failed, next(error)),
            Self::Stopped(error) => {
                let exit = if stop_ok { Exit::Yes } else { Exit::Stopped };
                (EndOutcome::Stopped, exit, error.next().or(Some(again)))
            }
            Self::Skipped(_) => (EndOutcome::Stopped, Exit::Yes, Some(again)),
            Self::Left { signal, .. } => (EndOutcome::Stopped, Exit::Signal(*signal), Some(again)),
        };
        Last {
            outcome,
            exit,
            reason: self.reason(),
            next,
        }
    }

    /// Returns the message for standard error.
    pub(crate) fn into_error(self) -> Option<anyhow::Error> {
        match self {
            Self::Done { .. } => None,
            Self::Failed(error) => Some(error),
            Self::No(error) | Self::Stopped(error) | Self::Skipped(error) => Some(error.into()),
            Self::Left { reason, .. } => Some(Explained::new(reason, AGAIN).into()),
        }
    }
}

// Of several errors, each is said by itself, so that the first says it.
fn after(error: anyhow::Error, done: &str) -> anyhow::Error {
    let several = |error: &Explained| !error.parts().is_empty();
    if error.downcast_ref().is_some_and(several) {
        return match error.downcast::<Explained>() {
            Ok(error) => error.after(done).into(),
            Err(error) => error,
        };
    }
    error.context(done.to_owned())
}

// Returns the command of the innermost error, which is the most specific.
fn next(error: &anyhow::Error) -> Option<String> {
    let known = error.chain().filter_map(|cause| cause.downcast_ref());
    known.filter_map(Explained::next).last()
}

macro_rules! fails_with {
    ($($error:ty),*) => {
        $(impl From<$error> for Ending {
            fn from(error: $error) -> Self {
                Self::Failed(error.into())
            }
        })*
    };
}

fails_with!(
    anyhow::Error,
    Explained,
    mesh_cluster::Error,
    mesh_records::StreamError,
    io::Error
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ending_has_its_outcome_its_exit_code_and_its_next_command() {
        use EndOutcome::{Complete, Failed, Stopped};
        let why = || Explained::new("why", "hint");
        let done = Ending::Done {
            next: Some("on".to_owned()),
            reason: None,
        };
        let left = Ending::Left {
            signal: 15,
            reason: "why".to_owned(),
        };
        let back = Ending::Failed(anyhow::Error::from(why().with_next("back")).context("doing"));
        let again = Some("again");
        // the ending, --stop-ok, the outcome, the exit code, the next command
        let table = [
            (done, false, Complete, 0, Some("on")),
            (Ending::No(why()), false, Complete, 1, again),
            (
                Ending::No(why().with_next("back")),
                true,
                Complete,
                1,
                Some("back"),
            ),
            (Ending::Failed(why().into()), true, Failed, 2, None),
            (back, false, Failed, 2, Some("back")),
            (Ending::Stopped(why()), false, Stopped, 3, again),
            (Ending::Stopped(why()), true, Stopped, 0, again),
            (Ending::Skipped(why()), false, Stopped, 0, again),
            (left, true, Stopped, 143, again),
        ];
        for (ending, stop_ok, outcome, code, next) in table {
            let last = ending.last(stop_ok, "again".to_owned());
            assert_eq!(last.outcome, outcome, "{ending:?}");
            assert_eq!(last.exit.code(), code, "{ending:?}");
            assert_eq!(last.next.as_deref(), next, "{ending:?}");
            let done = matches!(ending, Ending::Done { .. });
            assert_eq!(last.reason.is_none(), done, "{ending:?}");
        }
    }

    #[test]
    fn what_was_done_before_is_said_first_and_changes_nothing_else() {
        let why = || Explained::new("why", "hint").with_next("back");
        let left = Ending::Left {
            signal: 15,
            reason: "why".to_owned(),
        };
        let all = [
            Ending::No(why()),
            Ending::Failed(why().into()),
            Ending::Stopped(why()),
            Ending::Skipped(why()),
            left,
        ];
        for ending in all {
            let before = ending.last(false, "again".to_owned());
            let ending = ending.after("one part is written");
            let last = ending.last(false, "again".to_owned());
            assert_eq!(last.reason.as_deref(), Some("one part is written: why"));
            assert_eq!((last.exit, last.next), (before.exit, before.next));
            let error = ending.into_error().unwrap();
            assert!(error.is::<Explained>(), "it keeps its hint: {error:?}");
        }
    }
}
