//! How far a rollout is, and the kinds that can tell.

use mesh_records::{Downtime, ProgressPods, Roll, WorkloadKind, WorkloadRef};

use super::problem::Problem;
use crate::object::{Object, Selector, Template};

/// A kind with a pod template, which a restart annotation on that template rolls out.
pub trait Restartable: Object {
    /// The identity of this workload.
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

    /// The pod template.
    fn template(&self) -> &Template;
    /// What selects its pods.
    fn selector(&self) -> &Selector;
    /// Its pods, by its own status.
    fn counts(&self) -> ProgressPods;
    /// How far the newest template has come, by its own status.
    fn standing(&self) -> State;
    /// Whether its status says in so many words that a rollout is under way.
    fn says_under_way(&self) -> bool;
    /// How it gets new pods, and what that costs.
    fn how(&self) -> (Roll, Downtime);
}

/// How far a rollout is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It goes on.
    Progressing(Wait),
    /// Its controller is done: every pod is of the newest template and available.
    Settled,
    /// Something is wrong that can pass by itself.
    HeldUp(Problem),
    /// Something is wrong that no time helps.
    Failed(Problem),
    /// Its template no longer bears the restart that was asked for.
    Superseded,
}

/// What a rollout waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The controller to see the newest template.
    Unobserved,
    /// New pods to be created.
    Creation,
    /// Old pods to go.
    OldPods,
    /// New pods to be available.
    Availability,
    /// The revision to be recorded as the current one.
    Revision,
}

// === impl Wait ===

impl Wait {
    /// The rest of a sentence that begins with "waits for".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unobserved => "the controller to see the new template",
            Self::Creation => "new pods to be created",
            Self::OldPods => "old pods to go",
            Self::Availability => "new pods to be available",
            Self::Revision => "the new revision to be the current one",
        }
    }
}
