//! How far a rollout is, and what is wrong with it: from an object and its pods to a state. Pure.
//!
//! A state is about the newest template only. Fields of a status that describe an older generation
//! are never read.
//!
//! What can pass by itself *holds up* a rollout ([`State::HeldUp`]) and is waited for, with its
//! reason, until `--timeout`: image pulls, quotas, an admission webhook that is away, a pod that no
//! node takes, the controller's own progress deadline, a first crash, a Secret that is missing.
//! A rollout has *failed* ([`State::Failed`]) at once only where no time helps: see [`Passes`].
//! At the timeout, what something outside the workload holds up ([`Problem::is_outside`]) is
//! blocked; anything else has timed out.

mod kinds;
mod pod;
mod problem;
mod state;

use jiff::{SignedDuration, Timestamp};
use mesh_records::{Downtime, Obstacle, ProgressPods, Roll, RollBy, Trouble};
use mesh_records::{WorkloadRef, hold_back};

use crate::object::label::RESTARTED_AT;
use crate::object::{Selector, Template};
use crate::wire::store::Stored;
use crate::workload::injection::{Injection, Rules, injection};
use crate::workload::pin::template_pins;

pub use pod::{PodSeen, ProxySeen};
pub use problem::{Passes, Problem};
pub use state::{Restartable, State, Wait};

/// What a rollout needs of one observation of a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// Which workload.
    pub key: WorkloadRef,
    /// Its uid.
    pub uid: String,
    /// The observation's version: the precondition of a write that rests on it.
    pub resource_version: String,
    /// Its generation.
    pub generation: i64,
    /// It is being deleted.
    pub deleting: bool,
    /// What selects its pods.
    pub selector: Selector,
    /// Its pod template.
    pub template: Template,
    /// Its pods, by its own status.
    pub pods: ProgressPods,
    /// How far the newest template has come, by its own status.
    pub standing: State,
    /// Its status says in so many words that a rollout is under way.
    pub says_under_way: bool,
    /// How it gets new pods.
    pub roll: Roll,
    /// What that costs.
    pub downtime: Downtime,
}

/// What somebody waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Goal<'a> {
    /// The generation that the write was answered with.
    pub generation: i64,
    /// The value of [`RESTARTED_AT`] that was written; none where somebody else's rollout is
    /// waited for.
    pub restarted_at: Option<&'a str>,
}

/// How long after its restart an unsettled workload is taken to be on its way still.
const RECENT: SignedDuration = SignedDuration::from_mins(10);

// === impl Observed ===

impl Observed {
    /// What a rollout needs of `object`.
    pub fn of<K: Restartable>(object: &K) -> Self {
        let meta = object.meta();
        let (roll, downtime) = object.how();
        Self {
            key: object.key(),
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
            generation: meta.generation,
            deleting: meta.deletion_timestamp.is_some(),
            selector: object.selector().clone(),
            template: object.template().clone(),
            pods: object.counts(),
            standing: object.standing(),
            says_under_way: object.says_under_way(),
            roll,
            downtime,
        }
    }

    /// The value of [`RESTARTED_AT`] on its template.
    pub fn restarted_at(&self) -> Option<&str> {
        let annotations = &self.template.meta.annotations;
        annotations.get(RESTARTED_AT).map(String::as_str)
    }

    /// What keeps a restart from happening, or a new pod from the proxy that the injector gives by
    /// default, in a namespace with these rules.
    pub fn obstacle(&self, rules: &Rules, injects: &str) -> Option<Obstacle> {
        if self.roll.reason.is_some() {
            return self.roll.reason;
        }
        match self.roll.by {
            RollBy::Restart => {}
            RollBy::Evict | RollBy::Itself | RollBy::None => return Some(Obstacle::ForeignOwner),
        }
        self.injection_obstacle(rules, injects)
    }

    /// What keeps a new pod from the proxy that the injector gives by default.
    pub fn injection_obstacle(&self, rules: &Rules, injects: &str) -> Option<Obstacle> {
        let mut pins = template_pins(&self.template);
        pins.extend(rules.pin().cloned());
        if hold_back(&pins, injects) {
            return Some(Obstacle::VersionPinned);
        }
        match injection(rules, &self.template.meta, &self.template.spec) {
            Injection::On => None,
            Injection::Off(_) => Some(Obstacle::WouldLoseProxy),
        }
    }

    /// Those of its pods that were created from its newest template: the template of the pod that
    /// was created last. There are none while its status counts none.
    pub fn newest_pods<'a>(
        &self,
        pods: impl Iterator<Item = &'a PodSeen> + Clone,
    ) -> impl Iterator<Item = &'a PodSeen> {
        let hashed = pods.clone().filter(|pod| pod.template.is_some());
        let last = hashed.max_by_key(|pod| pod.created);
        let last = last.filter(|_| self.pods.updated > 0);
        pods.filter(move |pod| last.is_some_and(|last| last.template == pod.template))
    }

    /// How far it is towards `goal`, by its own status.
    pub fn state(&self, goal: Goal<'_>) -> State {
        if self.generation < goal.generation {
            return State::Progressing(Wait::Unobserved);
        }
        if goal.restarted_at.is_some() && self.restarted_at() != goal.restarted_at {
            return State::Superseded;
        }
        self.standing.clone()
    }

    /// Whether a rollout is under way and may come to a good end, whoever began it.
    ///
    /// A status that is merely not settled is that of a sick workload, unless its restart is
    /// recent.
    pub fn under_way(&self, now: Timestamp) -> bool {
        match self.standing {
            State::Settled | State::Failed(_) | State::Superseded => false,
            State::Progressing(Wait::Availability) | State::HeldUp(_) => {
                self.says_under_way || self.restarted_recently(now)
            }
            State::Progressing(
                Wait::Unobserved | Wait::Creation | Wait::OldPods | Wait::Revision,
            ) => true,
        }
    }

    /// Whether its template was restarted within the last ten minutes.
    pub fn restarted_recently(&self, now: Timestamp) -> bool {
        let at = self
            .restarted_at()
            .and_then(|value| value.parse::<Timestamp>().ok());
        at.is_some_and(|at| now.duration_since(at) < RECENT)
    }
}

/// The state of a rollout together with the problems of its new pods: a pod shows them long before
/// a controller does.
pub fn with_pods<'a>(
    state: State,
    new_pods: impl Iterator<Item = &'a PodSeen>,
    now: Timestamp,
) -> State {
    match state {
        State::Settled | State::Failed(_) | State::Superseded => return state,
        State::Progressing(_) | State::HeldUp(_) => {}
    }
    let problems = new_pods.filter_map(|pod| pod.problem.as_ref());
    let Some(worst) = problems.max_by_key(|problem| weight(problem, now)) else {
        return state;
    };
    match &state {
        _ if worst.is_final(now) => State::Failed(worst.clone()),
        State::HeldUp(known) if weight(known, now) >= weight(worst, now) => state,
        State::HeldUp(_)
        | State::Progressing(_)
        | State::Settled
        | State::Failed(_)
        | State::Superseded => State::HeldUp(worst.clone()),
    }
}

// Of several problems the one that decides, or that says most, is told.
fn weight(problem: &Problem, now: Timestamp) -> u8 {
    match (problem.trouble, problem.passes) {
        _ if problem.is_final(now) => 5,
        (Trouble::Paused | Trouble::Partition | Trouble::ReplicaFailure, _) => 4,
        (_, Passes::Until(_)) => 3,
        (Trouble::PodFailed, _) => 1,
        (Trouble::ProgressDeadline, _) => 0,
        (_, _) => 2,
    }
}

impl Stored for Observed {
    type Key = WorkloadRef;

    fn key(&self) -> WorkloadRef {
        self.key.clone()
    }

    fn resource_version(&self) -> &str {
        &self.resource_version
    }
}
