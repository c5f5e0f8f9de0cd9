//! How a run ends, and what is said then.

use std::io;

use anyhow::Context as _;
use mesh_cli::{Closing, Exit};
use mesh_records::{EndOutcome, Explained, StepState, Tool};

use crate::gate::Shut;
use crate::session::Session;

/// How a run ends.
#[derive(Debug)]
pub(crate) enum Ending {
    /// All was done, or there was nothing to do.
    Done {
        /// The command to go on with.
        next: Option<String>,
        /// Why there was nothing to do.
        reason: Option<String>,
    },
    /// The upgrade failed, or the verdict says no.
    No(Explained),
    /// It could not be done.
    Failed(anyhow::Error),
    /// In good order before the end.
    Stopped(Explained),
    /// At once.
    Left(u8),
}

/// What a step is done with, or how the run ends instead.
pub(crate) type Outcome<T> = Result<T, Ending>;

pub(crate) const AGAIN: &str = "run the same pipeline again: it carries on from here";

// === impl Session ===

impl Session {
    /// Lets the lock go, says how it ended and prints what a person needs.
    pub(crate) async fn finish(mut self, ending: Ending, stop_ok: bool) -> anyhow::Result<Exit> {
        let failed = self.fail_step(&ending);
        if let Some(lock) = self.lock.take()
            && !matches!(ending, Ending::Left(_))
        {
            let released = tokio::select! {
                released = lock.release() => released.err(),
                _ = self.signals.next() => None,
            };
            if let Some(error) = released {
                let error = anyhow::Error::new(error).context("the lock will expire by itself");
                mesh_cli::warn(Tool::MeshCpUpgrade.name(), &error);
            }
        }
        let closing = self.closing(&ending, stop_ok);
        let exit = closing.exit;
        let ended = self.output.end(closing).context("cannot write the records");
        let error = match ending {
            Ending::Done { .. } => None,
            Ending::Failed(error) => return Err(error),
            Ending::No(error) | Ending::Stopped(error) => Some(error.into()),
            Ending::Left(_) => Some(anyhow::anyhow!(
                "left at once; a write may still be under way"
            )),
        };
        if let Some(error) = error {
            mesh_cli::tell(Tool::MeshCpUpgrade.name(), &error);
        }
        if let Err(Ending::Failed(error)) = failed {
            return Err(error);
        }
        ended.map(|()| exit)
    }

    fn fail_step(&mut self, ending: &Ending) -> Outcome<()> {
        let reason = match ending {
            Ending::Done { .. } => return Ok(()),
            Ending::No(error) | Ending::Stopped(error) => error.to_string(),
            Ending::Failed(error) => format!("{error:#}"),
            Ending::Left(number) => format!("left at once by signal {number}"),
        };
        let Some((step, _)) = self.step else {
            return Ok(());
        };
        let message = reason.clone();
        self.say(step, StepState::Failed, &message, Some(reason), Vec::new())
    }

    fn closing(&self, ending: &Ending, stop_ok: bool) -> Closing {
        let hint =
            |error: &Explained| Some(error.hint().to_owned()).filter(|hint| !hint.is_empty());
        let (outcome, exit, reason, next) = match ending {
            Ending::Done { next, reason } => (
                EndOutcome::Complete,
                Exit::Yes,
                reason.clone(),
                next.clone(),
            ),
            Ending::No(error) => (
                EndOutcome::Complete,
                Exit::No,
                Some(error.to_string()),
                hint(error),
            ),
            Ending::Failed(error) => {
                let next = error
                    .chain()
                    .filter_map(|cause| cause.downcast_ref())
                    .last();
                (
                    EndOutcome::Failed,
                    Exit::Failed,
                    Some(format!("{error:#}")),
                    next.and_then(hint),
                )
            }
            Ending::Stopped(error) => {
                let exit = if stop_ok { Exit::Yes } else { Exit::Stopped };
                (
                    EndOutcome::Stopped,
                    exit,
                    Some(error.to_string()),
                    hint(error),
                )
            }
            Ending::Left(number) => {
                let reason = "told to leave at once; a write may still be under way".to_owned();
                (
                    EndOutcome::Stopped,
                    Exit::Signal(*number),
                    Some(reason),
                    Some(AGAIN.to_owned()),
                )
            }
        };
        Closing {
            tool: Tool::MeshCpUpgrade,
            cluster: Some(self.cluster.label().to_owned()),
            outcome,
            exit,
            blind: Vec::new(),
            reason,
            next,
        }
    }
}

/// The run stops here and can be carried on.
pub(crate) fn stopped(why: &str) -> Ending {
    Ending::Stopped(Explained::new(why, AGAIN))
}

/// It cannot be done, with the way out.
pub(crate) fn refused(what: impl Into<String>, hint: impl Into<String>) -> Ending {
    Ending::Failed(Explained::new(what, hint).into())
}

/// It cannot be done, with this way out unless the error knows its own.
pub(crate) fn hinted(error: anyhow::Error, hint: impl Into<String>) -> Ending {
    if error.is::<Explained>() {
        return Ending::Failed(error);
    }
    refused(format!("{error:#}"), hint)
}

impl From<Shut> for Ending {
    fn from(shut: Shut) -> Self {
        match shut {
            Shut::No(error) => Self::No(error),
            Shut::Unsound(error) => Self::Failed(error.into()),
        }
    }
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
