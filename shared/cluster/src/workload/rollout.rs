//! How far a rollout is: from an observed object and its pods to a state. Pure.
//!
//! A state is about the newest template only. Fields of a status that speak of an older generation
//! are never read.

mod kinds;
mod pod;

use jiff::{SignedDuration, Timestamp};
use mesh_records::{Downtime, Obstacle, ProgressPods, Roll, RollBy, Trouble};
use mesh_records::{WorkloadKind, WorkloadRef};

use crate::object::label;
use crate::object::{Object, Selector, Template};
use crate::workload::injection::{Injection, Rules, injection};
use crate::workload::proxy;

pub use pod::{Ailment, Owner, PodSeen, ProxySeen};

/// The annotation on a pod template that `kubectl rollout restart` writes. Pods bear it too, so it
/// tells the pods of a restart from those before it, for every kind.
pub const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// A kind that a restart annotation rolls.
pub trait Rolling: Object {
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

/// How far a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It goes on.
    Progressing(Wait),
    /// Its controller is done: every pod is of the newest template and available.
    Settled,
    /// Something is wrong that may mend itself: a failure if it lasts.
    Ailing(Trouble),
    /// It went wrong.
    Failed(Trouble),
    /// Something outside holds it up.
    Blocked(Trouble),
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
    pub fn of<K: Rolling>(object: &K) -> Self {
        let meta = object.meta();
        let (roll, downtime) = object.how();
        Self {
            key: WorkloadRef {
                namespace: meta.namespace.clone(),
                kind: WorkloadKind::from(K::RESOURCE.kind.to_owned()),
                name: meta.name.clone(),
            },
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
    #[must_use]
    pub fn restarted_at(&self) -> Option<&str> {
        let annotations = &self.template.meta.annotations;
        annotations.get(RESTARTED_AT).map(String::as_str)
    }

    /// What keeps a restart from happening, or a new pod from the proxy that the injector gives by
    /// default, in a namespace with these rules.
    #[must_use]
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
    #[must_use]
    pub fn injection_obstacle(&self, rules: &Rules, injects: &str) -> Option<Obstacle> {
        let annotations = &self.template.meta.annotations;
        let own = annotations.get(label::PIN_VERSION).map(String::as_str);
        // A pin of the image alone changes its name; its tag is still the version.
        let pin = own.or(rules.pin().flatten());
        let pinned = pin.is_some_and(|version| version != injects);
        if pinned || proxy::sidecar(&self.template.spec).is_some() {
            return Some(Obstacle::Pinned);
        }
        match injection(rules, &self.template.meta, &self.template.spec) {
            Injection::On => None,
            Injection::Off(_) => Some(Obstacle::WouldLoseProxy),
        }
    }

    /// How far it is towards `goal`, by its own status.
    #[must_use]
    pub fn state(&self, goal: Goal<'_>) -> State {
        if self.generation < goal.generation {
            return State::Progressing(Wait::Unobserved);
        }
        if goal.restarted_at.is_some() && self.restarted_at() != goal.restarted_at {
            return State::Superseded;
        }
        self.standing
    }

    /// Whether a rollout is under way and may come to a good end, whoever began it.
    ///
    /// A status that is merely not settled is that of a sick workload, unless its restart is
    /// recent.
    #[must_use]
    pub fn under_way(&self, now: Timestamp) -> bool {
        match self.standing {
            State::Settled | State::Failed(_) | State::Superseded => false,
            State::Progressing(Wait::Availability) | State::Ailing(_) | State::Blocked(_) => {
                self.says_under_way || self.restarted_recently(now)
            }
            State::Progressing(
                Wait::Unobserved | Wait::Creation | Wait::OldPods | Wait::Revision,
            ) => true,
        }
    }

    fn restarted_recently(&self, now: Timestamp) -> bool {
        let at = self
            .restarted_at()
            .and_then(|value| value.parse::<Timestamp>().ok());
        at.is_some_and(|at| now.duration_since(at) < RECENT)
    }
}

/// The state of a rollout together with that of its new pods: what a pod shows comes long before a
/// controller gives up.
pub fn with_pods<'a>(state: State, new_pods: impl Iterator<Item = &'a PodSeen>) -> State {
    match state {
        State::Settled | State::Failed(_) | State::Superseded => return state,
        State::Progressing(_) | State::Ailing(_) | State::Blocked(_) => {}
    }
    let worst = new_pods.filter_map(PodSeen::state).max_by_key(|s| rank(*s));
    match worst {
        Some(worst) if rank(worst) > rank(state) => worst,
        Some(_) | None => state,
    }
}

fn rank(state: State) -> u8 {
    match state {
        State::Settled => 0,
        State::Progressing(_) => 1,
        State::Blocked(_) => 2,
        State::Ailing(_) => 3,
        State::Failed(_) => 4,
        State::Superseded => 5,
    }
}

// === impl Wait ===

impl Wait {
    /// The rest of a sentence that begins with "waits for".
    #[must_use]
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
