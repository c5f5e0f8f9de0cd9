//! A pod that a controller does not create: since when, and why the API server refuses it.

use jiff::{SignedDuration, Timestamp};
use mesh_cluster::workload::rollout::{Observed, Problem, State};
use mesh_records::WorkloadKind;

use super::world::World;

/// What is known about a pod that is missing.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    since: Option<Timestamp>,
    refused: Option<Problem>,
}

/// How long a pod may be missing before it is asked why.
const MISSING: SignedDuration = SignedDuration::from_secs(5);

// === impl Missing ===

impl Missing {
    /// Notes whether a pod of the workload is missing now.
    pub(crate) fn look(&mut self, observed: &Observed, world: &World, now: Timestamp) {
        let wanted = usize::try_from(observed.pods.wanted).unwrap_or(usize::MAX);
        if world.all_pods(&observed.key).count() < wanted {
            self.since.get_or_insert(now);
        } else {
            *self = Self::default();
        }
    }

    /// Returns when to ask why the pod is missing. A Deployment says it in its status; the other
    /// kinds only in events.
    pub(crate) fn ask_at(&self, kind: &WorkloadKind) -> Option<Timestamp> {
        let since = self.since.filter(|_| *kind != WorkloadKind::Deployment);
        since.and_then(|since| since.checked_add(MISSING).ok())
    }

    /// Notes why the API server refuses the pod, if it does.
    pub(crate) fn explain(&mut self, refused: Option<Problem>) {
        self.refused = refused;
    }

    /// Returns the state of the rollout with the reason for the missing pod.
    pub(crate) fn with(&self, state: State) -> State {
        match (&state, &self.refused) {
            (State::Progressing(_), Some(problem)) => State::HeldUp(problem.clone()),
            (_, _) => state,
        }
    }
}
