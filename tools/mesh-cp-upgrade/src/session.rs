//! A run: what it says, what interrupts it, and how it ends.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use jiff::Timestamp;
use mesh_cli::{Closing, Exit, Output};
use mesh_cluster::{Asked, Claim, Cluster, Lock, Signals};
use mesh_records::{
    EndOutcome, Explained, Progress, ProgressPods, Record, Step, StepName, StepState, Tool,
};

use crate::history::Revision;

/// A run that is under way.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) lock: Option<Lock>,
    output: Output,
    signals: Signals,
    began: Timestamp,
    pub(crate) claim: Claim,
    step: Option<(StepName, Instant)>,
    signalled: Option<u8>,
}

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
    pub(crate) fn new(
        cluster: Arc<Cluster>,
        output: Output,
        began: Timestamp,
        claim: Claim,
    ) -> io::Result<Self> {
        Ok(Self {
            cluster,
            lock: None,
            output,
            signals: Signals::listen()?,
            began,
            claim,
            step: None,
            signalled: None,
        })
    }

    /// The server's time, in whole seconds as its answers bear it.
    pub(crate) fn now(&self) -> Timestamp {
        whole_seconds(self.cluster.now().unwrap_or(self.began))
    }

    /// Says that a step begins.
    pub(crate) fn begin(&mut self, step: StepName, message: &str) -> Outcome<()> {
        self.begin_command(step, message, Vec::new())
    }

    /// Says that a step begins that runs a command; it is written before the command runs.
    pub(crate) fn begin_command(
        &mut self,
        step: StepName,
        message: &str,
        command: Vec<String>,
    ) -> Outcome<()> {
        self.step = Some((step, Instant::now()));
        self.say(step, StepState::Started, message, None, command)
    }

    /// Says that the step is done.
    pub(crate) fn done(&mut self, message: &str) -> Outcome<()> {
        match self.step {
            Some((step, _)) => self.say(step, StepState::Done, message, None, Vec::new()),
            None => Ok(()),
        }
    }

    /// Says that a step was not needed.
    pub(crate) fn skip(&mut self, step: StepName, message: &str, reason: &str) -> Outcome<()> {
        self.step = None;
        self.say(
            step,
            StepState::Skipped,
            message,
            Some(reason.to_owned()),
            Vec::new(),
        )
    }

    fn say(
        &mut self,
        step: StepName,
        state: StepState,
        message: &str,
        reason: Option<String>,
        command: Vec<String>,
    ) -> Outcome<()> {
        let took = match state {
            StepState::Done | StepState::Failed => {
                self.step.take().map(|(_, began)| began.elapsed())
            }
            StepState::Started | StepState::Skipped => None,
        };
        let step = Step {
            cluster: self.cluster.label().to_owned(),
            time: self.now(),
            message: message.to_owned(),
            step,
            state,
            reason,
            command,
            duration_ms: took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
        };
        self.emit(&Record::Step(Box::new(step)))
    }

    /// Says how far a component is.
    pub(crate) fn progress(
        &mut self,
        namespace: &str,
        component: &str,
        pods: ProgressPods,
        reason: Option<String>,
    ) -> Outcome<()> {
        let because = reason
            .as_ref()
            .map(|reason| format!(": {reason}"))
            .unwrap_or_default();
        let ProgressPods {
            wanted,
            updated,
            ready,
        } = pods;
        let progress = Progress {
            cluster: self.cluster.label().to_owned(),
            time: self.now(),
            message: format!(
                "{component}: {ready} of {wanted} pods ready, {updated} updated{because}"
            ),
            kind: None,
            namespace: Some(namespace.to_owned()),
            name: None,
            uid: None,
            component: Some(component.to_owned()),
            pods,
            reason,
        };
        self.emit(&Record::Progress(Box::new(progress)))
    }

    /// Says that a helm that somebody else started is waited for.
    pub(crate) fn progress_of_helm(&mut self, release: &str, latest: &Revision) -> Outcome<()> {
        let progress = Progress {
            cluster: self.cluster.label().to_owned(),
            time: self.now(),
            message: format!("waiting for the helm at work on {release}: {latest}"),
            kind: None,
            namespace: None,
            name: None,
            uid: None,
            component: None,
            pods: ProgressPods::default(),
            reason: Some(format!("{release} is {}", latest.status)),
        };
        self.emit(&Record::Progress(Box::new(progress)))
    }

    pub(crate) fn emit(&mut self, record: &Record) -> Outcome<()> {
        self.output
            .emit(record)
            .context("cannot write the records")
            .map_err(Ending::Failed)
    }

    /// Whether anything more may be begun.
    pub(crate) fn may_go_on(&self) -> Outcome<()> {
        if self.signalled.is_some() {
            return Err(stopped("told to stop by a signal"));
        }
        if self.output.reader_is_gone() {
            return Err(stopped("nobody reads the records any more"));
        }
        match self.lock.as_ref().map(|lock| lock.grip().check()) {
            Some(Err(lost)) => Err(stopped(&format!("the lock is lost: {lost}"))),
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// Waits for something that may be left at any time.
    pub(crate) async fn unless_stopped<F: Future>(&mut self, future: F) -> Outcome<F::Output> {
        self.may_go_on()?;
        let mut grip = self.lock.as_ref().map(Lock::grip);
        let lost = async {
            match &mut grip {
                Some(grip) => grip.lost().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            output = future => Ok(output),
            asked = self.signals.next() => {
                let (Asked::Once(number) | Asked::Again(number)) = asked;
                self.signalled = Some(number);
                Err(stopped("told to stop by a signal"))
            }
            lost = lost => Err(stopped(&format!("the lock is lost: {lost}"))),
        }
    }

    /// Sees something out that is not to be left in the middle; only a second signal leaves it.
    pub(crate) async fn see_out<F: Future>(&mut self, future: F) -> Outcome<F::Output> {
        let mut future = std::pin::pin!(future);
        loop {
            tokio::select! {
                output = &mut future => return Ok(output),
                asked = self.signals.next() => match asked {
                    Asked::Once(number) => self.signalled = Some(number),
                    Asked::Again(number) => return Err(Ending::Left(number)),
                },
            }
        }
    }

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
            Ending::Left(_) => Some(anyhow::anyhow!("left at once; helm may still be at work")),
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
                let reason = "told to leave at once; helm may still be at work".to_owned();
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

/// A time as records bear it.
pub(crate) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// The run stops here and can be carried on.
pub(crate) fn stopped(why: &str) -> Ending {
    Ending::Stopped(Explained::new(why, AGAIN))
}

/// It cannot be done, with the way out.
pub(crate) fn refused(what: impl Into<String>, hint: impl Into<String>) -> Ending {
    Ending::Failed(Explained::new(what, hint).into())
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
