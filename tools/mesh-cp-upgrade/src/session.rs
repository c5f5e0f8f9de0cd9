//! A run: what it says and what interrupts it.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use jiff::Timestamp;
use mesh_cli::Output;
use mesh_cluster::{Asked, Claim, Cluster, Lock, Signals};
use mesh_records::{Progress, ProgressPods, Record, Step, StepName, StepState, whole_seconds};

use crate::ending::{Ending, Outcome, stopped};
use crate::history::Revision;

/// A run that is under way.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) cluster_uid: String,
    pub(crate) lock: Option<Lock>,
    pub(crate) output: Output,
    pub(crate) signals: Signals,
    began: Timestamp,
    pub(crate) claim: Claim,
    pub(crate) step: Option<(StepName, Instant)>,
    signalled: Option<u8>,
}

// === impl Session ===

impl Session {
    pub(crate) fn new(
        cluster: Arc<Cluster>,
        cluster_uid: String,
        output: Output,
        signals: Signals,
        began: Timestamp,
        claim: Claim,
    ) -> Self {
        Self {
            cluster,
            cluster_uid,
            lock: None,
            output,
            signals,
            began,
            claim,
            step: None,
            signalled: None,
        }
    }

    /// The server's time, in whole seconds as its answers bear it.
    pub(crate) fn now(&self) -> Timestamp {
        whole_seconds(self.cluster.now().unwrap_or(self.began))
    }

    /// Says that a step begins, unless the run is to stop.
    pub(crate) fn begin(&mut self, step: StepName, message: &str) -> Outcome<()> {
        self.may_go_on()?;
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

    pub(crate) fn say(
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
        let message = format!("waiting for the helm at work on {release}: {latest}");
        let reason = format!("{release} is {}", latest.status);
        self.progress_of_no_pods(message, Some(reason))
    }

    /// Says what is about to be written.
    pub(crate) fn announce(&mut self, message: &str) -> Outcome<()> {
        self.progress_of_no_pods(message.to_owned(), None)
    }

    fn progress_of_no_pods(&mut self, message: String, reason: Option<String>) -> Outcome<()> {
        let progress = Progress {
            cluster: self.cluster.label().to_owned(),
            time: self.now(),
            message,
            kind: None,
            namespace: None,
            name: None,
            uid: None,
            component: None,
            pods: ProgressPods::default(),
            reason,
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
        match self.lost() {
            Some(lost) => Err(stopped(&lost)),
            None => Ok(()),
        }
    }

    /// That the lock is lost, if it is: nothing at all may be written then.
    pub(crate) fn lost(&self) -> Option<String> {
        let checked = self.lock.as_ref()?.grip().check();
        let lost = checked.err()?;
        Some(format!("the lock is lost: {lost}"))
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
}
