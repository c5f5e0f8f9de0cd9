//! Makes the records about a workload, each with one sentence for people.

use jiff::Timestamp;
use mesh_records::{
    InFlight, Obstacle, Outcome, Paste, Progress, ProgressPods, Record, Rolled, RolledPods,
    Skipped, Strategy, Trouble, WorkloadRef, whole_seconds,
};

use super::conclusion::Conclusion;
use super::flight::Awaits;
use super::see::See;
use super::words::{UNSTARTED, interrupted};

/// Makes records about one workload at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Saying<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) paste: &'a Paste,
    pub(crate) now: Timestamp,
    pub(crate) key: &'a WorkloadRef,
    pub(crate) uid: &'a str,
    pub(crate) from: &'a [String],
    pub(crate) strategy: Strategy,
    pub(crate) strategy_reason: Option<Obstacle>,
    /// Whether nothing is written.
    pub(crate) is_dry: bool,
}

/// The facts for the record of a finished workload.
#[derive(Clone, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) conclusion: Conclusion,
    pub(crate) target: Option<&'a str>,
    pub(crate) wanted: u32,
    pub(crate) new: u32,
    /// How many pods have another proxy and are not new.
    pub(crate) old: usize,
    pub(crate) since: Option<Timestamp>,
    /// How far the restart was; `None` for a workload that is not in flight.
    pub(crate) awaits: Option<Awaits>,
}

// === impl Saying ===

impl Saying<'_> {
    /// Makes the record of a workload that is not restarted; `detail` says more than the reason.
    pub(crate) fn skipped(&self, reason: Obstacle, detail: Option<&str>) -> Record {
        let key = self.key;
        let resume = (reason == Obstacle::Paused).then(|| self.commands().resume());
        let detail = detail.or(resume.as_deref());
        let detail = detail.map(|detail| format!(": {detail}"));
        let detail = detail.unwrap_or_default();
        Record::Skipped(Box::new(Skipped {
            cluster: self.cluster.to_owned(),
            run: None,
            time: whole_seconds(self.now),
            message: match self.is_dry {
                true => format!("would skip {key}: it {}{detail}", reason.sentence()),
                false => format!("{key} {}{detail}", reason.sentence()),
            },
            identity: key.clone(),
            uid: self.uid.to_owned(),
            class: reason.class(),
            reason,
        }))
    }

    /// Makes the record that the workload is going to be restarted.
    pub(crate) fn announcement(&self, pods: ProgressPods, again: bool) -> Record {
        let key = self.key;
        let how = match (self.is_dry, again) {
            (true, _) => "would restart",
            (false, true) => "trying again to restart",
            (false, false) => "restarting",
        };
        self.progress(format!("{how} {key}"), pods, None)
    }

    /// Makes the record that a pod is going to be evicted.
    pub(crate) fn eviction(&self, pods: ProgressPods, pod: &str) -> Record {
        let key = self.key;
        let how = if self.is_dry {
            "would evict"
        } else {
            "evicting"
        };
        self.progress(format!("{how} pod {pod} of {key}"), pods, None)
    }

    pub(crate) fn adopted(&self, pods: ProgressPods) -> Record {
        let key = self.key;
        let wait = if self.is_dry { "would wait" } else { "waiting" };
        let message = format!("{wait} for a rollout of {key} that is already in progress");
        self.progress(message, pods, None)
    }

    pub(crate) fn waiting(&self, pods: ProgressPods, how: &str, reason: &str) -> Record {
        let key = self.key;
        let ProgressPods {
            wanted,
            updated,
            ready,
        } = pods;
        let message =
            format!("{key}: {updated} of {wanted} pods are new, {ready} ready; {how} {reason}");
        self.progress(message, pods, Some(reason))
    }

    /// Makes the record that a workload waits to be started.
    pub(crate) fn held(&self, pods: ProgressPods, reason: &str) -> Record {
        let key = self.key;
        let wait = if self.is_dry { "would wait" } else { "waits" };
        self.progress(
            format!("{key} {wait} to be restarted: {reason}"),
            pods,
            Some(reason),
        )
    }

    /// Makes the record that a dry run could not show the proxy of a new pod.
    pub(crate) fn unproven(&self, why: &str) -> Record {
        let key = self.key;
        let message = format!(
            "{key}: the first new pod will show which proxy it gets, because its dry run is refused: {why}"
        );
        self.progress(message, ProgressPods::default(), Some(why))
    }

    /// Makes the record that an announced workload was not written to.
    pub(crate) fn unstarted(&self, pods: ProgressPods) -> Record {
        let key = self.key;
        self.progress(format!("{key} {UNSTARTED}"), pods, None)
    }

    /// Makes the record that nothing was written after the announcement, and will be tried again.
    pub(crate) fn put_off(&self, pods: ProgressPods, why: &str) -> Record {
        let message = format!("{} was not restarted yet: {why}", self.key);
        self.progress(message, pods, Some(why))
    }

    /// Makes the record that a workload which was done is somebody else's again: it was deleted, or is
    /// written by these.
    pub(crate) fn left(&self, pods: ProgressPods, by: Option<&str>) -> Record {
        let key = self.key;
        let why = match by {
            None => "it was deleted".to_owned(),
            Some("") => "somebody else changed it".to_owned(),
            Some(by) => format!("somebody else changed it (it is written by {by})"),
        };
        let message = format!("{key} was done, and is not watched any more: {why}");
        self.progress(message, pods, Some(&why))
    }

    /// Makes the record that a workload which was whole in a late look has too few ready pods in the last one.
    pub(crate) fn short(&self, pods: ProgressPods, said: &str) -> Record {
        let key = self.key;
        let why = format!("{said}, and an earlier look showed all of them");
        self.progress(
            format!("{key} is not waited for any longer: {why}"),
            pods,
            Some(&why),
        )
    }

    /// Makes the record that the API server accepted the dry run.
    pub(crate) fn rehearsed(&self, pods: ProgressPods) -> Record {
        let key = self.key;
        let write = self.write();
        let message = format!("would {write} {key}: the API server accepts it");
        self.progress(message, pods, Some("dry run"))
    }

    /// Makes the record that it is unknown whether the write happened.
    pub(crate) fn unanswered(&self, why: &str) -> Record {
        let key = self.key;
        let message = format!(
            "no answer to the {} {key}; checking whether it happened: {why}",
            self.noun()
        );
        self.progress(message, ProgressPods::default(), Some(why))
    }

    /// Makes the record that the API server had too many requests to take the write.
    pub(crate) fn busy(&self, pods: ProgressPods, why: &str) -> Record {
        let key = self.key;
        let noun = self.noun();
        let message = format!("the API server is busy and did not take the {noun} {key}: {why}");
        self.progress(message, pods, Some(why))
    }

    /// Makes the record that the API server refused the write.
    pub(crate) fn refused(&self, why: &str) -> Record {
        let key = self.key;
        let write = self.write();
        let message = format!("the API server refused to {write} {key}: {why}");
        self.progress(message, ProgressPods::default(), Some(why))
    }

    fn commands(&self) -> See<'_> {
        let (paste, key) = (self.paste, self.key);
        See { paste, key }
    }

    fn write(&self) -> &'static str {
        match self.strategy {
            Strategy::Restart | Strategy::RestartAt => "restart",
            Strategy::Evict => "evict a pod of",
        }
    }

    fn noun(&self) -> &'static str {
        match self.strategy {
            Strategy::Restart | Strategy::RestartAt => "restart of",
            Strategy::Evict => "eviction of a pod of",
        }
    }

    fn progress(&self, message: String, pods: ProgressPods, reason: Option<&str>) -> Record {
        Record::Progress(Box::new(Progress {
            cluster: self.cluster.to_owned(),
            run: None,
            time: whole_seconds(self.now),
            message,
            of: Some(InFlight::Workload {
                identity: self.key.clone(),
                uid: self.uid.to_owned(),
            }),
            pods,
            reason: reason.map(str::to_owned),
        }))
    }

    pub(crate) fn rolled(&self, facts: Facts<'_>) -> Record {
        let Facts {
            conclusion,
            target,
            wanted,
            new,
            old,
            since,
            awaits,
        } = facts;
        let Conclusion {
            outcome,
            reason,
            problem,
            proven,
        } = conclusion;
        let took = since.map(|since| self.now.duration_since(since).as_millis());
        let key = self.key;
        let proof = outcome == Outcome::Proven;
        let because = self.commands().because(reason, problem.as_ref());
        let words = self.outcome(outcome, reason, &because, (target, took, awaits, old));
        Record::Rolled(Box::new(Rolled {
            cluster: self.cluster.to_owned(),
            run: None,
            time: whole_seconds(self.now),
            message: format!("{key} {words}"),
            identity: key.clone(),
            uid: self.uid.to_owned(),
            strategy: self.strategy,
            strategy_reason: self.strategy_reason,
            from: self.from.to_vec(),
            to: target.filter(|_| proof).map(str::to_owned),
            outcome,
            reason,
            pod: problem.as_ref().and_then(|problem| problem.pod.clone()),
            container: problem.and_then(|problem| problem.container),
            pods: RolledPods {
                wanted,
                new,
                proven: proven.pods(),
            },
            duration_ms: took.and_then(|took| took.try_into().ok()).unwrap_or(0),
        }))
    }

    fn outcome(
        &self,
        outcome: Outcome,
        reason: Option<Trouble>,
        because: &str,
        (target, took, awaits, old): (Option<&str>, Option<i128>, Option<Awaits>, usize),
    ) -> String {
        match outcome {
            Outcome::Proven => {
                let target = target.unwrap_or("its proxy");
                format!("is done: every pod runs {target} and is ready")
            }
            Outcome::Failed if reason == Some(Trouble::TimedOut) => {
                let took = took.unwrap_or(0) / 1000;
                format!("timed out after {took}s{because}")
            }
            Outcome::Failed if reason == Some(Trouble::ReadinessLost) => {
                format!("was done, but its pods did not stay ready{because}")
            }
            Outcome::Failed => format!("failed{because}"),
            Outcome::Blocked => format!("is blocked{because}"),
            Outcome::Interrupted if self.strategy == Strategy::Evict && old > 0 => {
                let pods = if old == 1 { "pod" } else { "pods" };
                format!("still had {old} {pods} with another proxy when the run ended{because}")
            }
            Outcome::Interrupted => format!("{}{because}", interrupted(awaits)),
            Outcome::Gone => "was deleted during the roll".to_owned(),
            Outcome::Superseded if reason == Some(Trouble::NoPods) => {
                "was scaled to zero during the roll: nothing runs the old proxy".to_owned()
            }
            Outcome::Superseded => format!("was changed by somebody else during the roll{because}"),
        }
    }
}

/// Makes the record that no restart follows, and so many workloads are watched for `left` seconds.
pub(crate) fn settling(
    cluster: &str,
    now: Timestamp,
    workloads: usize,
    left: i64,
    pods: ProgressPods,
) -> Record {
    Record::Progress(Box::new(Progress {
        cluster: cluster.to_owned(),
        run: None,
        time: whole_seconds(now),
        message: format!(
            "nothing else is restarted; watching {workloads} restarted workloads for {left}s more (--settle)"
        ),
        of: None,
        pods,
        reason: None,
    }))
}
