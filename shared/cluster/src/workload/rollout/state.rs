//! How far a rollout is, and the kinds that can tell.

use jiff::Timestamp;
use mesh_records::{Downtime, ProgressPods, Roll, WorkloadKind, WorkloadRef};

use super::problem::Problem;
use crate::object::label::RESTARTED_AT;
use crate::object::{Object, Selector, Template};
use crate::workload::steps::Steps;

/// A kind with a pod template whose pods can be replaced: by a restart annotation on that template,
/// by a field of its own, or by eviction.
pub trait Restartable: Object {
    /// Returns the workload's identity.
    fn key(&self) -> WorkloadRef {
        let meta = self.meta();
        WorkloadRef {
            namespace: meta.namespace.clone(),
            kind: Self::kind(),
            name: meta.name.clone(),
        }
    }

    /// The kind.
    fn kind() -> WorkloadKind {
        WorkloadKind::from(Self::RESOURCE.kind.to_owned())
    }

    /// Returns the pod template.
    fn template(&self) -> &Template;
    /// Returns the selector of the workload's pods.
    fn selector(&self) -> &Selector;
    /// Returns what the last restart wrote: the value of [`RESTARTED_AT`] on the pod template, or of a
    /// field of the kind's own.
    fn restarted_at(&self) -> Option<&str> {
        let annotations = &self.template().meta.annotations;
        annotations.get(RESTARTED_AT).map(String::as_str)
    }
    /// Returns the number of pods that are available: ready for as long as the workload asks for.
    fn available(&self) -> u32;
    /// Returns the counts of pods in the workload's status.
    fn counts(&self) -> ProgressPods;
    /// Returns how far the rollout of the newest template is, according to the workload's status.
    fn standing(&self) -> State;
    /// Returns true if the workload's status says explicitly that a rollout is in progress.
    fn says_under_way(&self) -> bool;
    /// Returns how the workload gets new pods, and how much of it is down meanwhile.
    fn how(&self) -> (Roll, Downtime);
    /// Returns the newest revision, where the controller waits with it for every pod of an older one that
    /// is not ready (OrderedReady, kubernetes/kubernetes#67250): only a delete of that pod helps.
    fn waits_with(&self) -> Option<&str> {
        None
    }
    /// Returns how many pods a restart may take away before their replacements are ready.
    fn takes_away(&self) -> u32;
    /// Returns the steps of a rollout.
    fn steps(&self) -> Steps;
    /// Returns true if the status says that the last restart is over, whatever else it says.
    fn restart_over(&self) -> bool {
        false
    }
    /// Returns when the rollout of the newest template had all its pods available. The first pods of
    /// a workload are no rollout, because no step waits for another.
    fn rolled_out(&self) -> Option<Timestamp> {
        None
    }
}

/// How far a rollout is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The rollout is in progress.
    Progressing(Wait),
    /// The controller is done: every pod is of the newest template and available.
    Settled,
    /// Something is wrong that may resolve itself.
    HeldUp(Problem),
    /// Something is wrong that waiting does not fix.
    Failed(Problem),
    /// The pod template no longer has the restart that was asked for.
    Superseded,
}

/// What a rollout waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The controller to see the newest template.
    Unobserved,
    /// New pods to be created.
    Creation,
    /// Old pods to stop.
    OldPods,
    /// New pods to be available.
    Availability,
    /// The revision to be recorded as the current one.
    Revision,
    /// The pods from before this time to be replaced: the restart of an Argo Rollout, which may be
    /// scheduled for later.
    Restart(Timestamp),
}

// === impl Wait ===

impl Wait {
    /// Returns the text to print after "waits for".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unobserved => "its controller to read the new pod template",
            Self::Creation => "new pods to be created",
            Self::OldPods => "old pods to stop",
            Self::Availability => "new pods to be available",
            Self::Revision => "the new revision to become the current one",
            Self::Restart(_) => "its controller to replace the pods from before its restartAt",
        }
    }
}
