//! One workload in flight: what comes next for it, on what its object and its pods show.

use jiff::{SignedDuration, Timestamp};
use mesh_cluster::workload::rollout::{Goal, Observed, Passes, PodSeen, Problem, State, with_pods};
use mesh_records::{Outcome, ProgressPods, Trouble};

use super::conclusion::Conclusion;
use super::decide::Task;
use super::item::Item;
use super::proof::{Lack, Proof, judge};
use super::watched::Mesh;
use super::world::World;

/// A workload that is being rolled.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) item: Item,
    pub(crate) awaits: Awaits,
    /// The restart that is written; none where somebody else's rollout is waited for.
    pub(crate) restart: Option<String>,
    /// The version of the object that its pods were listed after: the precondition of the write.
    pub(crate) version: String,
    pub(crate) since: Timestamp,
    pub(crate) told: Option<(ProgressPods, String)>,
    generation: i64,
    superseded: bool,
    settled: Option<Timestamp>,
    look_at: Timestamp,
    pause: SignedDuration,
}

/// What a flight waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaits {
    /// The list of its pods before the restart.
    ListBefore,
    /// Its record to be written.
    Announcement,
    /// The answer to its write.
    Answer,
    /// A fresh look at the object, because the answer was a conflict or none.
    Look,
    /// The time for another look.
    NextLook,
    /// Its controller and its pods.
    Rollout,
    /// The list of its pods that proves it.
    ListProof,
    /// The nodes that its pods are on.
    Nodes,
}

/// What comes next for a flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// It waits, and nothing is said of it.
    Silent,
    /// It waits for this.
    Wait(&'static str),
    /// It waits until this has passed.
    HeldUp(Problem),
    /// List its pods as a proof.
    ListProof,
    /// Ask which nodes are not ready.
    AskNodes,
    /// Look at the object itself.
    Look,
    /// It is over.
    Over(Conclusion),
    /// Somebody else's rollout is over and the pods are old still: decide afresh.
    Again,
}

/// The time, its limits, and when to look again.
#[derive(Debug)]
pub(crate) struct Clock {
    pub(crate) now: Timestamp,
    pub(crate) timeout: SignedDuration,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) wake: Option<Timestamp>,
}

/// By how much the watch of pods may lag behind the one of their owners before a list is worth it.
const LAG: SignedDuration = SignedDuration::from_secs(2);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(30);

// === impl Flight ===

impl Flight {
    /// Begins with a list of the pods, taken after the object was seen in this `version`.
    pub(crate) fn listing(item: Item, version: String, now: Timestamp) -> Self {
        Self::new(item, Awaits::ListBefore, None, version, now)
    }

    /// Begins with the announcement of `restart`, on the object in this `version`.
    pub(crate) fn restarting(item: Item, restart: String, version: String, now: Timestamp) -> Self {
        Self::new(item, Awaits::Announcement, Some(restart), version, now)
    }

    /// Begins by waiting for somebody else's rollout.
    pub(crate) fn adopted(item: Item, now: Timestamp) -> Self {
        Self::new(item, Awaits::Rollout, None, String::new(), now)
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
            generation: 0,
            superseded: false,
            settled: None,
            look_at: now,
            pause: LAG,
        }
    }

    /// The write has happened.
    pub(crate) fn written(&mut self, observed: &Observed) {
        self.awaits = Awaits::Rollout;
        self.generation = observed.generation;
    }

    /// Something could not be found out: again, but not at once.
    pub(crate) fn later(&mut self, awaits: Awaits, now: Timestamp) {
        self.awaits = awaits;
        self.look_at = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// Whether a pod was created by this roll.
    pub(crate) fn is_new(&self, pod: &PodSeen, observed: &Observed) -> bool {
        let restart = self.restart.as_deref().or(observed.restarted_at());
        restart.is_some() && pod.restarted_at.as_deref() == restart
    }

    /// What comes next, on what the watches show.
    pub(crate) fn assess(&mut self, world: &World, clock: &mut Clock) -> Course {
        match self.awaits {
            Awaits::ListBefore
            | Awaits::Announcement
            | Awaits::Answer
            | Awaits::Look
            | Awaits::ListProof
            | Awaits::Nodes => Course::Silent,
            Awaits::NextLook if clock.is_over(self.since) => {
                over(Conclusion::failed(Trouble::Refused, None))
            }
            Awaits::NextLook if clock.reached(self.look_at) => Course::Look,
            Awaits::NextLook => Course::Wait("an answer"),
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
            State::Progressing(wait) => Course::Wait(wait.as_str()),
            State::Superseded => Course::Wait("the other rollout"),
        }
    }

    // Waited for until the time is over; then what is outside the workload is no failure of it.
    fn held_up(&self, problem: Problem, clock: &mut Clock) -> Course {
        let is_over = clock.is_over(self.since);
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

    fn state(&mut self, observed: &Observed, world: &World, now: Timestamp) -> State {
        let mut state = observed.state(self.goal());
        if state == State::Superseded {
            // Whoever came after us: their pods get the same proxy, so theirs may prove it.
            self.restart = None;
            self.superseded = true;
            self.generation = observed.generation;
            state = observed.state(self.goal());
        }
        let pods = self.new_pods(observed, world);
        with_pods(state, pods.into_iter(), now)
    }

    fn goal(&self) -> Goal<'_> {
        Goal {
            generation: self.generation,
            restarted_at: self.restart.as_deref(),
        }
    }

    /// The pods of the rollout that is waited for, those that have failed included.
    fn new_pods<'a>(&self, observed: &Observed, world: &'a World) -> Vec<&'a PodSeen> {
        let pods = world.all_pods(&observed.key);
        match &self.restart {
            Some(_) => pods
                .filter(|pod| pod.restarted_at == self.restart)
                .collect(),
            None => observed.newest_pods(pods).collect(),
        }
    }

    fn settled(&mut self, observed: &Observed, world: &World, clock: &mut Clock) -> Course {
        if observed.pods.wanted == 0 && world.pods(&observed.key).next().is_none() {
            return over(Conclusion {
                reason: Some(Trouble::NoPods),
                ..Conclusion::of(Outcome::Superseded)
            });
        }
        let pods = world.pods(&observed.key);
        let proof = judge(pods, world.target(), self.restart.as_deref());
        let since = self.settled.unwrap_or(clock.now);
        let worth_it = match proof {
            Proof::Proven { .. } => true,
            Proof::NotYet(_) | Proof::Broken(_) => clock.reached(since + LAG),
        };
        if clock.is_over(self.since) {
            return Course::AskNodes;
        }
        if worth_it && clock.reached(self.look_at) {
            return Course::ListProof;
        }
        Course::Wait("its pods to prove it")
    }

    /// What a list of its pods, taken after its controller was done, makes of it.
    ///
    /// The error is a pod that the injector has not made as it should.
    pub(crate) fn listed_proof(
        &mut self,
        pods: &[PodSeen],
        mesh: &Mesh,
        now: Timestamp,
    ) -> Result<Course, Problem> {
        Ok(match judge(pods.iter(), mesh, self.restart.as_deref()) {
            Proof::Proven { pods } => over(Conclusion {
                proven: pods,
                ..Conclusion::of(Outcome::Proven)
            }),
            Proof::Broken(problem) => return Err(problem),
            Proof::NotYet(Lack::OldPod) if self.superseded => {
                over(Conclusion::of(Outcome::Superseded))
            }
            Proof::NotYet(Lack::OldPod) if self.restart.is_none() => Course::Again,
            Proof::NotYet(_) => {
                self.later(Awaits::Rollout, now);
                Course::Wait("its pods to prove it")
            }
        })
    }

    /// The end of a flight whose time is over, given the nodes that are not ready: blocked by such
    /// a node, else timed out, with the first new pod that is not ready.
    pub(crate) fn timed_out(
        &mut self,
        observed: &Observed,
        world: &World,
        nodes: &[String],
        now: Timestamp,
    ) -> Course {
        let mut held = world.all_pods(&observed.key).filter(|pod| {
            let node = pod.node.as_ref();
            let done = pod.ready && self.is_new(pod, observed);
            node.is_some_and(|node| nodes.contains(node)) && !done
        });
        if held.next().is_some() {
            return over(Conclusion::blocked(Trouble::NodeNotReady, None));
        }
        let problem = match self.state(observed, world, now) {
            State::HeldUp(problem) | State::Failed(problem) => Some(problem),
            State::Progressing(_) | State::Settled | State::Superseded => {
                let pods = self.new_pods(observed, world);
                pods.into_iter().find_map(PodSeen::lack)
            }
        };
        over(Conclusion::failed(Trouble::TimedOut, problem))
    }
}

fn over(conclusion: Conclusion) -> Course {
    Course::Over(conclusion)
}

// === impl Clock ===

impl Clock {
    /// Whether `at` has come; if not, it is when to look again.
    pub(crate) fn reached(&mut self, at: Timestamp) -> bool {
        if self.now >= at {
            return true;
        }
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
        false
    }

    fn is_over(&mut self, since: Timestamp) -> bool {
        self.reached(since + self.timeout)
    }

    fn is_past_deadline(&mut self) -> bool {
        let deadline = self.deadline;
        deadline.is_some_and(|deadline| self.reached(deadline))
    }
}
