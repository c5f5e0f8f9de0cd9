//! A run of this tool, and the records of its steps.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use mesh_actor::{Ending, Outcome, Run};
use mesh_cluster::Cluster;
use mesh_records::{
    Explained, InFlight, Progress, ProgressPods, Record, Step, StepName, StepState, whole_seconds,
};

use crate::inputs::Inputs;
use crate::installer::back::WayBack;
use crate::installer::history::Revision;
use crate::shown::Written;

/// A run in progress, with its current step.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) inputs: Arc<Inputs>,
    pub(crate) run: &'a mut Run,
    step: Option<Current>,
    /// What was written since the control plane was shown, by this run or by a helm that it took
    /// over.
    pub(crate) since: Written,
    /// The unfinished revision that was seen to be nobody's.
    pub(crate) abandoned: Option<Revision>,
    /// The way back from what this run has written, or perhaps written, of the control plane.
    pub(crate) way_back: Option<WayBack>,
    /// Whether the run is going back after a failure.
    pub(crate) goes_back: bool,
    /// The parts that this run has written.
    wrote: Vec<(StepName, String)>,
    /// What a write that is not over has written, in words.
    begun: Option<String>,
    pub(crate) findings: Findings,
}

/// What was found so far that stands in the way of the first write.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) all: Vec<Explained>,
    /// Whether they are the answer that the run was asked for (`--preflight`), and no error.
    pub(crate) is_question: bool,
}

/// The current step.
#[derive(Clone, Copy, Debug)]
struct Current {
    name: StepName,
    began: Instant,
    /// Whether something was found in it that stands in the way.
    has_failed: bool,
}

// === impl Session ===

impl<'a> Session<'a> {
    pub(crate) fn new(run: &'a mut Run, inputs: Inputs, findings: Findings) -> Self {
        Self {
            cluster: Arc::clone(&run.cluster),
            inputs: Arc::new(inputs),
            run,
            step: None,
            since: Written::Nothing,
            abandoned: None,
            way_back: None,
            goes_back: false,
            wrote: Vec::new(),
            begun: None,
            findings,
        }
    }

    /// Writes that something stands in the way, which the current step found.
    pub(crate) fn fails(&mut self, finding: &Explained) -> Outcome<()> {
        let Some(current) = &mut self.step else {
            return Ok(());
        };
        current.has_failed = true;
        let (name, what) = (current.name, finding.to_string());
        let record = Step {
            hint: Some(finding.hint().to_owned()),
            ..self.record(name, StepState::Failed, &what, Some(what.clone()))
        };
        Ok(self.run.emit(&Record::Step(Box::new(record)))?)
    }

    /// Notes that a part is written.
    pub(crate) fn wrote(&mut self, step: StepName, part: &str) {
        self.begun = None;
        self.wrote.push((step, part.to_owned()));
    }

    /// Notes what a write may have written so far; `None` if that is nothing.
    pub(crate) fn begun(&mut self, what: Option<String>) {
        self.begun = what;
    }

    /// Returns an ending that also says what this run wrote before.
    pub(crate) fn told(&self, ending: Ending) -> Ending {
        let parts = self.wrote.iter().map(|(_, part)| part.as_str());
        let mut all: Vec<&str> = parts.chain(self.begun.as_deref()).collect();
        // A rollback writes the same part again.
        all.dedup();
        let touched = |(step, _): &(StepName, String)| *step == StepName::ControlPlane;
        let rest = match self.begun.is_some() || self.wrote.iter().any(touched) {
            true => "",
            false => ", and nothing of the control plane",
        };
        match all.is_empty() {
            true => ending,
            false => ending.after(&format!("this run wrote {}{rest}", all.join(" and "))),
        }
    }

    /// Returns the server's time in whole seconds.
    pub(crate) fn now(&self) -> Timestamp {
        whole_seconds(self.run.now())
    }

    /// Writes that a step begins. Fails if the run must stop.
    pub(crate) fn begin(&mut self, step: StepName, message: &str) -> Outcome<()> {
        self.run.may_go_on()?;
        self.step = Some(Current::begin(step));
        self.say(step, StepState::Started, message, None)
    }

    /// Writes that a step begins that changes the cluster with `command`. The change is allowed
    /// only after an `Ok`: nothing that was found stands in the way.
    pub(crate) fn begin_write(
        &mut self,
        step: StepName,
        message: &str,
        command: Vec<String>,
    ) -> Outcome<()> {
        self.conclude()?;
        self.run.may_write()?;
        self.step = Some(Current::begin(step));
        let record = Step {
            command,
            ..self.record(step, StepState::Started, message, None)
        };
        Ok(self.run.announce(&Record::Step(Box::new(record)))??)
    }

    /// Ends the run if anything stands in the way.
    pub(crate) fn conclude(&mut self) -> Outcome<()> {
        match self.findings.all.is_empty() {
            true => Ok(()),
            false => Err(self.all_found()),
        }
    }

    /// Returns the ending for all that was found.
    pub(crate) fn all_found(&mut self) -> Ending {
        let all = Explained::of(std::mem::take(&mut self.findings.all));
        match self.findings.is_question {
            true => Ending::No(all),
            false => Ending::Failed(all.into()),
        }
    }

    /// Writes that the current step is done, unless something was found in it.
    pub(crate) fn done(&mut self, message: &str) -> Outcome<()> {
        match self.step.filter(|step| !step.has_failed) {
            Some(step) => {
                self.say(step.name, StepState::Done, message, None)?;
                self.step = None;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Writes that a step was not needed.
    pub(crate) fn skip(&mut self, step: StepName, message: &str, reason: &str) -> Outcome<()> {
        self.step = None;
        self.say(step, StepState::Skipped, message, Some(reason.to_owned()))
    }

    /// Writes that the current step was not done, because the run ends.
    pub(crate) fn fail_step(&mut self, ending: &Ending) -> Outcome<()> {
        let step = self.step.take().filter(|step| !step.has_failed);
        let (Some(step), Some(reason)) = (step, ending.reason()) else {
            return Ok(());
        };
        let state = match ending {
            Ending::Skipped(_) => StepState::Skipped,
            Ending::Done { .. } => return Ok(()),
            Ending::No(_) | Ending::Failed(_) | Ending::Stopped(_) | Ending::Left { .. } => {
                StepState::Failed
            }
        };
        let name = step.name;
        self.step = Some(step);
        self.say(name, state, &reason.clone(), Some(reason))?;
        self.step = None;
        Ok(())
    }

    fn say(
        &mut self,
        step: StepName,
        state: StepState,
        message: &str,
        reason: Option<String>,
    ) -> Outcome<()> {
        let record = self.record(step, state, message, reason);
        Ok(self.run.emit(&Record::Step(Box::new(record)))?)
    }

    fn record(
        &self,
        step: StepName,
        state: StepState,
        message: &str,
        reason: Option<String>,
    ) -> Step {
        let took = match state {
            StepState::Done | StepState::Failed => self.step.map(|step| step.began.elapsed()),
            StepState::Started | StepState::Skipped => None,
        };
        Step {
            cluster: self.cluster.label().to_owned(),
            run: None,
            time: self.now(),
            message: message.to_owned(),
            step,
            state,
            reason,
            hint: None,
            command: Vec::new(),
            duration_ms: took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// Writes how far a component is.
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
            run: None,
            time: self.now(),
            message: format!(
                "{component}: {ready} of {wanted} pods ready, {updated} updated{because}"
            ),
            of: Some(InFlight::Component {
                namespace: namespace.to_owned(),
                component: component.to_owned(),
            }),
            pods,
            reason,
        };
        Ok(self.run.emit(&Record::Progress(Box::new(progress)))?)
    }

    /// Writes what the run waits for.
    pub(crate) fn says_waiting(&mut self, message: String, reason: String) -> Outcome<()> {
        self.progress_of_no_pods(message, Some(reason))
    }

    /// Writes which object is written next.
    pub(crate) fn says_object(&mut self, message: &str) -> Outcome<()> {
        self.progress_of_no_pods(message.to_owned(), None)
    }

    fn progress_of_no_pods(&mut self, message: String, reason: Option<String>) -> Outcome<()> {
        let progress = Progress {
            cluster: self.cluster.label().to_owned(),
            run: None,
            time: self.now(),
            message,
            of: None,
            pods: ProgressPods::default(),
            reason,
        };
        Ok(self.run.emit(&Record::Progress(Box::new(progress)))?)
    }

    /// Returns the ending of a run that saw the control plane proven: with what is worth a look all the
    /// same, and the command that rolls the workloads.
    pub(crate) fn proven(&self, remarks: impl Iterator<Item = String>) -> Ending {
        let remarks: Vec<String> = remarks.collect();
        let paste = self.run.paste();
        Ending::Done {
            next: Some(paste.pipeline(&["--ask", "roll"], "mesh-roll")),
            reason: (!remarks.is_empty()).then(|| remarks.join("; ")),
        }
    }

    /// Like [`Run::unless_stopped`], but returns the ending for the interruption.
    pub(crate) async fn unless_stopped<F: Future>(&mut self, future: F) -> Outcome<F::Output> {
        Ok(self.run.unless_stopped(future).await?)
    }

    /// Like [`Run::see_out`], but returns the ending for a second signal.
    pub(crate) async fn see_out<F: Future>(&mut self, future: F) -> Outcome<F::Output> {
        Ok(self.run.see_out(future).await?)
    }
}

// === impl Current ===

impl Current {
    fn begin(name: StepName) -> Self {
        Self {
            name,
            began: Instant::now(),
            has_failed: false,
        }
    }
}
