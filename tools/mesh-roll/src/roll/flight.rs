//! One workload in flight: decides its next step from its object and pods.

use jiff::{SignedDuration, Timestamp};
use mesh_cluster::act::MANAGER;
use mesh_cluster::object::Template;
use mesh_cluster::workload::rollout::{Goal, Observed, Passes, PodSeen, Problem, State, with_pods};
use mesh_records::{Outcome, ProgressPods, Strategy, Trouble, WorkloadKind, after};

pub(crate) use super::awaits::Awaits;
use super::clock::Clock;
use super::conclusion::{Conclusion, problem};
use super::decide::Task;
use super::event::Sample;
use super::evicting::{Doomed, Evicting, standing_of_evicted};
use super::item::Item;
use super::missing::Missing;
use super::proof::{Ours, Proof, judge};
use super::world::World;

/// A workload that is being rolled.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) item: Item,
    pub(crate) awaits: Awaits,
    /// The annotation's value in our restart; `None` when waiting for somebody else's rollout.
    pub(crate) restart: Option<String>,
    /// The resourceVersion of the object before its pods were listed; the precondition of the
    /// write.
    pub(crate) version: String,
    pub(crate) since: Timestamp,
    pub(crate) told: Option<(ProgressPods, String)>,
    /// The pods that are still to be compared with its own, the next one last.
    pub(crate) samples: Vec<Sample>,
    /// Why the injector denied its own pod.
    pub(crate) denied: Option<String>,
    /// How far the evictions are, where its pods are evicted.
    pub(crate) evicting: Option<Evicting>,
    generation: i64,
    /// The pod template as this run's restart left it.
    template: Option<Template>,
    /// Who writes the workload, if its restart of this run is gone.
    pub(super) superseded: Option<Vec<String>>,
    settled: Option<Timestamp>,
    missing: Missing,
    pub(super) look_at: Timestamp,
    pause: SignedDuration,
}

/// The next step of a workload in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// Wait, without a progress record.
    Silent,
    /// Wait for this.
    Wait(&'static str),
    /// Wait until this problem is resolved.
    HeldUp(Problem),
    /// List the pods to prove the result.
    ListProof,
    /// Ask which nodes are not ready.
    AskNodes,
    /// Ask why its controller does not create a pod.
    AskRefusal,
    /// Evict this pod.
    Evict(Doomed),
    /// Read the object again.
    Look,
    /// The workload is finished.
    Over(Conclusion),
    /// Somebody else's rollout is finished, but pods are still old: decide again.
    Again,
}

/// How long to wait for the watch of pods, which may lag behind the watch of owners, before the
/// pods are listed.
const LAG: SignedDuration = SignedDuration::from_secs(2);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(30);

// === impl Flight ===

impl Flight {
    /// Makes a flight that lists the pods, and asks the injector, after the object was seen in this
    /// `version`.
    pub(crate) fn preparing(item: Item, version: String, now: Timestamp) -> Self {
        Self::new(item, Awaits::Preparation, None, version, now)
    }

    /// Makes a flight that announces `restart` of the object in this `version`.
    pub(crate) fn restarting(item: Item, restart: String, version: String, now: Timestamp) -> Self {
        Self::new(item, Awaits::Announcement, Some(restart), version, now)
    }

    /// Makes a flight that waits for somebody else's rollout.
    pub(crate) fn adopted(item: Item, now: Timestamp) -> Self {
        Self::new(item, Awaits::Rollout, None, String::new(), now)
    }

    /// Makes a flight that evicts the pods of a workload, of which these exist.
    pub(crate) fn evicting<'a>(
        item: Item,
        template: Template,
        pods: impl Iterator<Item = &'a PodSeen>,
        now: Timestamp,
    ) -> Self {
        Self {
            evicting: Some(Evicting::new(pods, template, now)),
            ..Self::new(item, Awaits::Rollout, None, String::new(), now)
        }
    }

    fn new(
        item: Item,
        awaits: Awaits,
        restart: Option<String>,
        version: String,
        now: Timestamp,
    ) -> Self {
        Self {
            item,
            awaits,
            restart,
            version,
            since: now,
            told: None,
            samples: Vec::new(),
            denied: None,
            evicting: None,
            generation: 0,
            template: None,
            superseded: None,
            settled: None,
            missing: Missing::default(),
            look_at: now,
            pause: LAG,
        }
    }

    /// Records that the write happened.
    pub(crate) fn written(&mut self, observed: &Observed) {
        self.awaits = Awaits::Rollout;
        self.generation = observed.generation;
        self.template = Some(observed.template.clone());
    }

    /// Tries the stage again after a pause, which doubles each time.
    pub(crate) fn later(&mut self, awaits: Awaits, now: Timestamp) {
        self.awaits = awaits;
        self.look_at = after(now, self.pause);
        self.pause = self.pause.saturating_mul(2).min(LONGEST_PAUSE);
    }

    /// Returns true if a pod was created by this roll.
    pub(crate) fn is_new(&self, pod: &PodSeen, observed: &Observed) -> bool {
        if let Some(evicting) = &self.evicting {
            return evicting.is_new(pod);
        }
        let restart = self.restart.as_deref().or(observed.restarted_at());
        if observed.key.kind == WorkloadKind::Rollout {
            let since = restart.and_then(|value| value.parse::<Timestamp>().ok());
            return since.is_some() && pod.created >= since;
        }
        restart.is_some() && pod.restarted_at.as_deref() == restart
    }

    /// Returns which pods this run created.
    pub(crate) fn ours(&self) -> Ours<'_> {
        match (&self.evicting, self.restart.as_deref(), self.item.strategy) {
            (Some(evicting), _, _) => Ours::Besides(evicting.old()),
            (None, Some(value), Strategy::Restart) => Ours::Restarted(value),
            (None, Some(value), Strategy::RestartAt) => {
                value.parse().map_or(Ours::None, Ours::Since)
            }
            (None, Some(_), Strategy::Evict) | (None, None, _) => Ours::None,
        }
    }

    // Since when the time limit counts: each pod that is evicted has its own.
    pub(super) fn limit_from(&self) -> Timestamp {
        let evicting = self.evicting.as_ref();
        evicting.map_or(self.since, |evicting| evicting.since)
    }

    /// Returns the next step, given the latest facts.
    pub(crate) fn assess(&mut self, world: &World, clock: &mut Clock) -> Course {
        match self.awaits {
            Awaits::Preparation
            | Awaits::Comparison
            | Awaits::Refusal
            | Awaits::Announcement
            | Awaits::LastLook
            | Awaits::Confirmation
            | Awaits::Answer
            | Awaits::Look
            | Awaits::ListProof
            | Awaits::Nodes => Course::Silent,
            Awaits::NextLook if clock.is_over(self.since) => {
                let said = "the API server does not tell whether it was restarted".to_owned();
                let problem = problem(Trouble::TimedOut, said);
                over(Conclusion::failed(Trouble::TimedOut, Some(problem)))
            }
            Awaits::NextLook if clock.reached(self.look_at) => Course::Look,
            Awaits::NextLook => Course::Wait("an answer from the API server"),
            Awaits::Rollout => {
                let Task { key, uid, .. } = &self.item.task;
                let observed = world.workload(key);
                match observed.filter(|it| it.uid == *uid && !it.deleting) {
                    Some(observed) => self.rolling(observed, world, clock),
                    None => over(Conclusion::of(Outcome::Gone)),
                }
            }
        }
    }

    fn rolling(&mut self, observed: &Observed, world: &World, clock: &mut Clock) -> Course {
        let state = self.state(observed, world, clock.now);
        self.settled = match (&state, self.settled) {
            (State::Settled, since) => Some(since.unwrap_or(clock.now)),
            (_, _) => None,
        };
        match state {
            State::Settled => self.settled(observed, world, clock),
            State::Failed(problem) => over(Conclusion::failed(problem.trouble, Some(problem))),
            State::HeldUp(problem) => self.held_up(problem, clock),
            State::Progressing(_) | State::Superseded if clock.is_over(self.since) => {
                Course::AskNodes
            }
            State::Progressing(_) if self.asks_for_a_refusal(observed, clock) => Course::AskRefusal,
            State::Progressing(wait) => Course::Wait(wait.as_str()),
            State::Superseded => Course::Wait("a rollout that somebody else started"),
        }
    }

    // Waits until the time limit. Then the workload is blocked if the problem is outside of it, and
    // failed otherwise.
    pub(super) fn held_up(&self, problem: Problem, clock: &mut Clock) -> Course {
        let is_over = clock.is_over(self.limit_from());
        let is_outside = problem.is_outside();
        if is_outside && (is_over || clock.is_past_deadline()) {
            return over(Conclusion::blocked(problem.trouble, Some(problem)));
        }
        if is_over {
            return Course::AskNodes;
        }
        if let Passes::Until(at) = problem.passes {
            clock.reached(at);
        }
        Course::HeldUp(problem)
    }

    pub(super) fn state(&mut self, observed: &Observed, world: &World, now: Timestamp) -> State {
        let mut state = match self.evicting {
            Some(_) => standing_of_evicted(observed),
            None if self.is_whole_with_older_pods(observed) => State::Settled,
            None if observed.is_restarted(self.restart.as_deref()) => State::Settled,
            None => observed.state(self.goal()),
        };
        let is_of_another = self.restart.is_some()
            && self
                .template
                .as_ref()
                .is_some_and(|it| *it != observed.template);
        if state == State::Superseded || is_of_another {
            // Somebody else restarted the workload after us, or changed its template. Their pods get the
            // same proxy, so these pods can prove it; that they do not get ready is not of our making.
            self.restart = None;
            self.item.is_anothers = true;
            self.superseded = Some(observed.other_managers(MANAGER));
            self.generation = observed.generation;
            state = observed.state(self.goal());
        }
        // Nobody waits for a restart that is planned for later; the pods of now may prove it.
        if self.is_anothers() && observed.planned_restart(now).is_some() {
            state = State::Settled;
        }
        self.missing.look(observed, world, now);
        state = self.missing.with(state);
        let pods = self.new_pods(observed, world);
        with_pods(state, pods.into_iter(), now)
    }

    // The rollout of an owner that keeps older pods back has no other end. Whether they have the right
    // proxy is for the proof.
    fn is_whole_with_older_pods(&self, observed: &Observed) -> bool {
        let is_held = match &observed.standing {
            State::HeldUp(problem) => problem.trouble == Trouble::Partition,
            State::Progressing(_) | State::Settled | State::Failed(_) | State::Superseded => false,
        };
        is_held && self.is_anothers() && observed.is_held_back_whole()
    }

    pub(super) fn asks_for_a_refusal(&self, observed: &Observed, clock: &mut Clock) -> bool {
        let at = self.missing.ask_at(&observed.key.kind);
        at.is_some_and(|at| clock.reached(at.max(self.look_at)))
    }

    /// Notes why the API server refuses a pod that is missing, if it does.
    pub(crate) fn explained(&mut self, refused: Option<Problem>, now: Timestamp) {
        self.missing.explain(refused);
        self.later(Awaits::Rollout, now);
    }

    fn goal(&self) -> Goal<'_> {
        Goal {
            generation: self.generation,
            restarted_at: self.restart.as_deref(),
        }
    }

    /// Returns the pods of the rollout in question, also those that have failed.
    pub(super) fn new_pods<'a>(&self, observed: &Observed, world: &'a World) -> Vec<&'a PodSeen> {
        let pods = world.all_pods(&observed.key);
        match &self.restart {
            // A pod from before the evictions says nothing of them.
            _ if self.evicting.is_some() => pods.filter(|pod| self.is_new(pod, observed)).collect(),
            Some(_) => pods.filter(|pod| self.is_new(pod, observed)).collect(),
            None => observed.newest_pods(pods).collect(),
        }
    }

    fn settled(&mut self, observed: &Observed, world: &World, clock: &mut Clock) -> Course {
        if observed.pods.wanted == 0 && world.pods(&observed.key).next().is_none() {
            return no_pods();
        }
        let pods = world.pods(&observed.key);
        let wanted = observed.pods.wanted;
        let (ours, image) = (self.ours(), self.item.image.as_deref());
        let proof = judge(pods, world.target(), ours, image, wanted);
        let since = self.settled.unwrap_or(clock.now);
        let worth_it = match proof {
            Proof::Proven(_) => true,
            Proof::NotYet(_) | Proof::Broken(_) => clock.reached(after(since, LAG)),
        };
        if clock.is_over(self.since) {
            return Course::AskNodes;
        }
        if worth_it && clock.reached(self.look_at) {
            return Course::ListProof;
        }
        Course::Wait("its pods to prove it")
    }

    // Returns true if it waits for somebody else's rollout.
    pub(super) fn is_anothers(&self) -> bool {
        self.restart.is_none() && self.evicting.is_none()
    }
}

pub(super) fn no_pods() -> Course {
    over(Conclusion {
        reason: Some(Trouble::NoPods),
        ..Conclusion::of(Outcome::Superseded)
    })
}

pub(super) fn over(conclusion: Conclusion) -> Course {
    Course::Over(conclusion)
}
