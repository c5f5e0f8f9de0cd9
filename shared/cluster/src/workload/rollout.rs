//! Decides how far a rollout is and what is wrong with it, from the workload and its pods. Pure.
//!
//! A state describes the newest template only. Status fields of an older generation are ignored.
//!
//! What can pass by itself *holds up* a rollout ([`State::HeldUp`]) and is waited for, with its
//! reason, until `--timeout`: image pulls, quotas, an admission webhook that is away, a pod that no
//! node takes, the controller's own progress deadline, a first crash, a Secret that is missing.
//! A rollout has *failed* ([`State::Failed`]) at once only where no time helps: [`Problem::passes`]
//! says which problems those are, and the pods of the newest template decide.
//! At the timeout, what something outside the workload holds up ([`Problem::is_outside`]) is
//! blocked; anything else has timed out.

mod bare;
mod kinds;
mod pod;
mod problem;
mod state;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use mesh_records::{Downtime, Obstacle, ProgressPods, Roll, RollBy, Trouble};
use mesh_records::{WorkloadRef, hold_back};

use crate::object::{Managers, Selector, Template};
use crate::wire::store::Stored;
use crate::workload::injection::{Injection, Injector, Rules, injection};
use crate::workload::pin::template_pins;
use crate::workload::steps::Steps;

pub use pod::{PodSeen, ProxySeen};
pub use problem::{Passes, Problem};
pub use state::{Restartable, State, Wait};

/// A workload at one moment, with only what a rollout needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The workload.
    pub key: WorkloadRef,
    /// The owner's uid.
    pub uid: String,
    /// The resourceVersion, the precondition of a write that is based on this observation.
    pub resource_version: String,
    /// The workload's generation.
    pub generation: i64,
    /// Whether the workload is being deleted.
    pub deleting: bool,
    /// The workload's own labels, which may differ from those of its pods.
    pub labels: BTreeMap<String, String>,
    /// The selector of the workload's pods.
    pub selector: Selector,
    /// The pod template.
    pub template: Template,
    /// The counts of pods in the workload's status.
    pub pods: ProgressPods,
    /// How many pods are available: ready for as long as the workload asks for.
    pub available: u32,
    /// What the last restart wrote.
    pub restarted_at: Option<String>,
    /// The newest revision, where its controller waits with it for older pods that are not ready.
    pub waits_with: Option<String>,
    /// How far the rollout of the newest template is, according to the workload's status.
    pub standing: State,
    /// Whether the workload's status says explicitly that a rollout is in progress.
    pub says_under_way: bool,
    /// How the workload gets new pods.
    pub roll: Roll,
    /// How much of the workload is down meanwhile.
    pub downtime: Downtime,
    /// How many pods a restart may take away before their replacements are ready.
    pub takes_away: u32,
    /// The steps of a restart.
    pub steps: Steps,
    /// Whether the status says that the last restart is over, whatever else it says: Argo Rollouts only.
    pub restart_over: bool,
    /// When the rollout of the newest template was complete, where the status says so.
    pub rolled_out: Option<Timestamp>,
    /// Who wrote the workload itself and not only its status.
    pub managers: Managers,
}

/// The rollout to wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Goal<'a> {
    /// The generation in the answer to the write.
    pub generation: i64,
    /// The value that the restart wrote; `None` when waiting for somebody else's
    /// rollout.
    pub restarted_at: Option<&'a str>,
}

/// How far ahead of ours the clock may be that a restart was written by.
const AHEAD: SignedDuration = SignedDuration::from_mins(1);

/// The field manager of the controllers, which write annotations of their own.
const CONTROLLERS: &str = "kube-controller-manager";

/// For how long after a restart an unsettled workload counts as still rolling out.
const RECENT: SignedDuration = SignedDuration::from_mins(10);

// === impl Observed ===

impl Observed {
    /// Takes from `object` what a rollout needs.
    pub fn of<K: Restartable>(object: &K) -> Self {
        let meta = object.meta();
        let (roll, downtime) = object.how();
        Self {
            key: object.key(),
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
            generation: meta.generation,
            deleting: meta.deletion_timestamp.is_some(),
            labels: meta.labels.clone(),
            selector: object.selector().clone(),
            template: object.template().clone(),
            pods: object.counts(),
            available: object.available(),
            restarted_at: object.restarted_at().map(str::to_owned),
            waits_with: object.waits_with().map(str::to_owned),
            standing: object.standing(),
            says_under_way: object.says_under_way(),
            takes_away: if roll.by == RollBy::Evict {
                1
            } else {
                object.takes_away()
            },
            roll,
            downtime,
            steps: object.steps(),
            restart_over: object.restart_over(),
            rolled_out: object.rolled_out(),
            managers: meta.managers.clone(),
        }
    }

    /// Returns a DaemonSet as it is without so many of its nodes, whose pods can neither stop nor start.
    /// A restart may still take as many pods away as before: the nodes may come back meanwhile.
    #[must_use]
    pub fn without_nodes(&self, nodes: u32) -> Self {
        let wanted = self.pods.wanted.saturating_sub(nodes);
        let standing = match &self.standing {
            State::Progressing(Wait::Creation | Wait::Availability) => {
                if self.pods.updated < wanted {
                    State::Progressing(Wait::Creation)
                } else if self.available < wanted {
                    State::Progressing(Wait::Availability)
                } else {
                    State::Settled
                }
            }
            State::Progressing(_)
            | State::Settled
            | State::HeldUp(_)
            | State::Failed(_)
            | State::Superseded => self.standing.clone(),
        };
        Self {
            pods: ProgressPods {
                wanted,
                ..self.pods
            },
            standing,
            ..self.clone()
        }
    }

    /// Returns what the last restart wrote.
    pub fn restarted_at(&self) -> Option<&str> {
        self.restarted_at.as_deref()
    }

    /// Returns why a new pod would not get the proxy that the injector gives by default, in a
    /// namespace with these rules. A template that another object has is not judged here.
    pub fn injection_obstacle(&self, rules: &Rules, injects: &str) -> Option<Obstacle> {
        if self.template.spec.containers.is_empty() {
            return None;
        }
        let mut pins = template_pins(&self.template);
        pins.extend(rules.pin().cloned());
        if hold_back(&pins, injects) {
            return Some(Obstacle::VersionPinned);
        }
        let injector = Injector::of_release(Some(injects));
        match injection(&injector, rules, &self.template.meta, &self.template.spec) {
            Injection::On => None,
            Injection::Off(_) => Some(Obstacle::WouldLoseProxy),
        }
    }

    /// Returns who writes the workload besides `us` and its controller.
    pub fn other_managers(&self, us: &str) -> Vec<String> {
        let names = self.managers.names.iter();
        let others = names.filter(|name| *name != us && *name != CONTROLLERS);
        others.cloned().collect()
    }

    /// Returns the pods of the newest template: the template of the pod that was created last.
    /// Returns none while the workload's status counts none.
    pub fn newest_pods<'a>(
        &self,
        pods: impl Iterator<Item = &'a PodSeen> + Clone,
    ) -> impl Iterator<Item = &'a PodSeen> {
        let hashed = pods.clone().filter(|pod| pod.template.is_some());
        let last = hashed.max_by_key(|pod| pod.created);
        let last = last.filter(|_| self.pods.updated > 0);
        pods.filter(move |pod| last.is_some_and(|last| last.template == pod.template))
    }

    /// Returns the pod that the rollout is stuck behind: one of an older revision that is broken, or has
    /// not been ready for ten minutes, which its controller never replaces by itself.
    pub fn stuck_behind<'a>(
        &self,
        pods: impl Iterator<Item = &'a PodSeen>,
        now: Timestamp,
    ) -> Option<&'a PodSeen> {
        let lasts = |since| now.duration_since(since) >= RECENT;
        let mut unready = self.waits_for(pods);
        unready.find(|pod| pod.problem.is_some() || pod.unready_since.is_some_and(lasts))
    }

    /// Returns the pods of an older revision that are not ready, for which the controller waits with the
    /// newest one.
    pub fn waits_for<'a>(
        &self,
        pods: impl Iterator<Item = &'a PodSeen>,
    ) -> impl Iterator<Item = &'a PodSeen> {
        // Where a partition holds the older ones on purpose and the others are through, nothing waits.
        let is_through = self.standing != State::Progressing(Wait::Creation);
        let is_held = is_through && self.roll.reason == Some(Obstacle::Partition);
        let newest = self.waits_with.as_ref().filter(|_| !is_held);
        pods.filter(move |pod| {
            let is_older =
                newest.is_some_and(|it| pod.template.as_ref().is_some_and(|of| of != it));
            is_older && !pod.ready && !pod.over
        })
    }

    /// Returns how far the rollout `goal` is, according to the workload's status.
    pub fn state(&self, goal: Goal<'_>) -> State {
        if self.generation < goal.generation {
            return State::Progressing(Wait::Unobserved);
        }
        if goal
            .restarted_at
            .is_some_and(|value| !self.has_restart(value))
        {
            return State::Superseded;
        }
        self.standing.clone()
    }

    /// Returns true if a rollout is in progress and may still succeed, whoever started it.
    ///
    /// A workload that is only unsettled is treated as unhealthy instead, unless its restart is
    /// recent.
    pub fn under_way(&self, now: Timestamp) -> bool {
        match self.standing {
            State::Settled | State::Failed(_) | State::Superseded => false,
            State::Progressing(Wait::Availability) | State::HeldUp(_) => {
                self.says_under_way || self.restarted_recently(now)
            }
            State::Progressing(Wait::Restart(_)) => self.planned_restart(now).is_none(),
            State::Progressing(
                Wait::Unobserved | Wait::Creation | Wait::OldPods | Wait::Revision,
            ) => true,
        }
    }

    /// Returns true if the controller has nothing to do now. A restart may be scheduled for later.
    pub fn is_at_rest(&self, now: Timestamp) -> bool {
        self.standing == State::Settled || self.planned_restart(now).is_some()
    }

    /// Returns for when somebody has planned the restart of an Argo Rollout, if that is yet to come.
    pub fn planned_restart(&self, now: Timestamp) -> Option<Timestamp> {
        match self.standing {
            State::Progressing(Wait::Restart(at)) => Some(at).filter(|at| !has_come(*at, now)),
            State::Progressing(_)
            | State::Settled
            | State::HeldUp(_)
            | State::Failed(_)
            | State::Superseded => None,
        }
    }

    /// Returns true if somebody holds the rollout back on purpose, by a pause, a partition or OnDelete, and
    /// all pods are there and available.
    pub fn is_held_back_whole(&self) -> bool {
        let held = match &self.standing {
            State::HeldUp(problem) => {
                matches!(problem.trouble, Trouble::Paused | Trouble::Partition)
            }
            State::Progressing(_) | State::Settled | State::Failed(_) | State::Superseded => false,
        };
        let wanted = self.pods.wanted;
        held && self.pods.ready >= wanted && self.available >= wanted
    }

    /// Returns true if the status says by itself that the restart with this value is over. Whether the
    /// pods are well is not said.
    pub fn is_restarted(&self, value: Option<&str>) -> bool {
        self.restart_over && value.is_some_and(|value| self.has_restart(value))
    }

    /// Returns true if `value` is what the last restart wrote.
    pub fn has_restart(&self, value: &str) -> bool {
        is_same_time(self.restarted_at(), Some(value))
    }

    /// Returns the time of the last restart, unless it is scheduled for later.
    pub fn restart_time(&self, now: Timestamp) -> Option<Timestamp> {
        let at = self.restarted_at()?.parse().ok()?;
        has_come(at, now).then_some(at)
    }

    /// Returns true if the workload was restarted within the last ten minutes.
    pub fn restarted_recently(&self, now: Timestamp) -> bool {
        let at = self.restart_time(now);
        at.is_some_and(|at| now.duration_since(at) < RECENT)
    }
}

// Returns true if the time of a restart has come.
fn has_come(at: Timestamp, now: Timestamp) -> bool {
    at.duration_since(now) <= AHEAD
}

// Whoever writes an object again may spell the same time in another way.
fn is_same_time(one: Option<&str>, other: Option<&str>) -> bool {
    let time = |text: Option<&str>| text.and_then(|text| text.parse::<Timestamp>().ok());
    one == other || time(one).is_some() && time(one) == time(other)
}

/// Combines the state of a rollout with the problems of its new pods. Pods show a problem long
/// before the controller does.
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

// Ranks problems: the one that decides, or that says most, is reported.
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
