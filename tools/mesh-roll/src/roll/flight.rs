//! One workload in flight: what its object and pods make of it.

use jiff::{SignedDuration, Timestamp};
use mesh_cluster::workload::rollout::{Goal, Observed, PodSeen, State, with_pods};
use mesh_records::{Outcome, ProgressPods, Trouble, WorkloadRef};

use super::proof::{Lack, Proof, judge};
use super::sight::Mesh;
use super::world::World;

/// A workload that is being rolled.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) stage: Stage,
    /// The restart that is written; none where somebody else's rollout is waited for.
    pub(crate) restart: Option<String>,
    /// The version of the object that its pods were listed after: the precondition of the write.
    pub(crate) version: String,
    pub(crate) since: Timestamp,
    pub(crate) told: Option<(ProgressPods, String)>,
    generation: i64,
    superseded: bool,
    ailing: Option<(Trouble, Timestamp)>,
    settled: Option<Timestamp>,
    look_at: Timestamp,
    pause: SignedDuration,
}

/// What a flight waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The list of its pods that shows that they are old indeed.
    Checking,
    /// Its record to be written.
    Announced,
    /// The answer to its write.
    Writing,
    /// A fresh look, because the answer was a conflict or none.
    Looking,
    /// The time for another look.
    Unanswered,
    /// Its controller and its pods.
    Rolling,
    /// The list of its pods that proves it.
    Verifying,
    /// The nodes that its pods are on.
    Nodes,
}

/// What comes next for a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// It waits for this.
    Wait(&'static str),
    /// List its pods.
    Verify,
    /// Ask which nodes are not ready.
    AskNodes,
    /// Look at the object itself.
    Look,
    /// It is over.
    Over(Ending),
    /// Somebody else's rollout is over and the pods are old still: decide afresh.
    Again,
}

/// How a flight ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) outcome: Outcome,
    pub(crate) reason: Option<Trouble>,
    pub(crate) proven: u32,
}

/// The time, its limits, and when to look again.
#[derive(Debug)]
pub(crate) struct Clock {
    pub(crate) now: Timestamp,
    pub(crate) timeout: SignedDuration,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) wake: Option<Timestamp>,
}

/// How long what may mend itself is given: an image that flaps is pulled again within ten seconds.
const GRACE: SignedDuration = SignedDuration::from_secs(15);
/// By how much the watch of pods may lag behind the one of their owners before a list is worth it.
const LAG: SignedDuration = SignedDuration::from_secs(2);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(30);

// === impl Flight ===

impl Flight {
    /// Begins with a list of the pods, taken after the object was seen in this `version`.
    pub(crate) fn checking(version: String, now: Timestamp) -> Self {
        Self::new(Stage::Checking, None, version, now)
    }

    /// Begins with the announcement of `restart`, on the object in this `version`.
    pub(crate) fn restarting(restart: String, version: String, now: Timestamp) -> Self {
        Self::new(Stage::Announced, Some(restart), version, now)
    }

    /// Begins by waiting for somebody else's rollout.
    pub(crate) fn adopted(now: Timestamp) -> Self {
        Self::new(Stage::Rolling, None, String::new(), now)
    }

    fn new(stage: Stage, restart: Option<String>, version: String, now: Timestamp) -> Self {
        Self {
            stage,
            restart,
            version,
            since: now,
            told: None,
            generation: 0,
            superseded: false,
            ailing: None,
            settled: None,
            look_at: now,
            pause: LAG,
        }
    }

    /// The write has happened.
    pub(crate) fn written(&mut self, observed: &Observed) {
        self.stage = Stage::Rolling;
        self.generation = observed.generation;
    }

    /// Something could not be found out: again, but not at once.
    pub(crate) fn later(&mut self, stage: Stage, now: Timestamp) {
        self.stage = stage;
        self.look_at = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// Whether a pod was created by this roll.
    pub(crate) fn is_new(&self, pod: &PodSeen, observed: &Observed) -> bool {
        let restart = self.restart.as_deref().or(observed.restarted_at());
        restart.is_some() && pod.restarted_at.as_deref() == restart
    }

    /// What comes next, on what the watches show.
    pub(crate) fn assess(
        &mut self,
        key: &WorkloadRef,
        uid: &str,
        world: &World,
        clock: &mut Clock,
    ) -> Course {
        match self.stage {
            Stage::Checking
            | Stage::Announced
            | Stage::Writing
            | Stage::Looking
            | Stage::Verifying
            | Stage::Nodes => Course::Wait(""),
            Stage::Unanswered if clock.is_over(self.since) => failed(Trouble::Refused),
            Stage::Unanswered if clock.reached(self.look_at) => Course::Look,
            Stage::Unanswered => Course::Wait("an answer"),
            Stage::Rolling => {
                let observed = world.workload(key);
                match observed.filter(|it| it.uid == uid && !it.deleting) {
                    Some(observed) => self.rolling(observed, world, clock),
                    None => over(Outcome::Gone, None),
                }
            }
        }
    }

    fn rolling(&mut self, observed: &Observed, world: &World, clock: &mut Clock) -> Course {
        let state = self.state(observed, world);
        self.remember(state, clock.now);
        let course = match state {
            State::Settled => return self.settled(observed, world, clock),
            State::Failed(trouble) => return failed(trouble),
            State::Ailing(trouble) if self.ailed(clock) => return failed(trouble),
            State::Ailing(_) => Course::Wait("a new pod to mend itself"),
            State::Blocked(trouble) if clock.is_past_deadline() => {
                return over(Outcome::Blocked, Some(trouble));
            }
            State::Blocked(trouble) => Course::Wait(blocked_by(trouble)),
            State::Progressing(wait) => Course::Wait(wait.as_str()),
            State::Superseded => Course::Wait("the other rollout"),
        };
        if !clock.is_over(self.since) {
            return course;
        }
        match state {
            State::Blocked(trouble) => over(Outcome::Blocked, Some(trouble)),
            State::Progressing(_)
            | State::Settled
            | State::Ailing(_)
            | State::Failed(_)
            | State::Superseded => Course::AskNodes,
        }
    }

    fn state(&mut self, observed: &Observed, world: &World) -> State {
        let mut state = observed.state(self.goal());
        if state == State::Superseded {
            // Whoever came after us: their pods get the same proxy, so theirs may prove it.
            self.restart = None;
            self.superseded = true;
            self.generation = observed.generation;
            state = observed.state(self.goal());
        }
        let pods = world.pods(&observed.key);
        with_pods(state, pods.filter(|pod| self.is_new(pod, observed)))
    }

    fn goal(&self) -> Goal<'_> {
        Goal {
            generation: self.generation,
            restarted_at: self.restart.as_deref(),
        }
    }

    fn remember(&mut self, state: State, now: Timestamp) {
        self.ailing = match (state, self.ailing) {
            (State::Ailing(trouble), Some((before, since))) if trouble == before => {
                Some((trouble, since))
            }
            (State::Ailing(trouble), _) => Some((trouble, now)),
            (_, _) => None,
        };
        self.settled = match (state, self.settled) {
            (State::Settled, Some(since)) => Some(since),
            (State::Settled, None) => Some(now),
            (_, _) => None,
        };
    }

    fn ailed(&self, clock: &mut Clock) -> bool {
        self.ailing
            .is_some_and(|(_, since)| clock.reached(since + GRACE))
    }

    fn settled(&mut self, observed: &Observed, world: &World, clock: &mut Clock) -> Course {
        if observed.pods.wanted == 0 && world.pods(&observed.key).next().is_none() {
            return over(Outcome::Superseded, Some(Trouble::NoPods));
        }
        let pods = world.pods(&observed.key);
        let proof = judge(pods, world.target(), self.restart.as_deref());
        let since = self.settled.unwrap_or(clock.now);
        let worth_it = match proof {
            Proof::Proven { .. } => true,
            Proof::NotYet(_) | Proof::Broken(_) => clock.reached(since + LAG),
        };
        if clock.is_over(self.since) {
            return match proof {
                Proof::NotYet(Lack::ProxyNotReady) => failed(Trouble::ProxyNotReady),
                Proof::NotYet(_) | Proof::Broken(_) | Proof::Proven { .. } => Course::AskNodes,
            };
        }
        if worth_it && clock.reached(self.look_at) {
            return Course::Verify;
        }
        Course::Wait("its pods to prove it")
    }

    /// What a list of its pods, taken after its controller was done, makes of it.
    pub(crate) fn verified(&mut self, pods: &[PodSeen], mesh: &Mesh, now: Timestamp) -> Course {
        match judge(pods.iter(), mesh, self.restart.as_deref()) {
            Proof::Proven { pods } => Course::Over(Ending {
                outcome: Outcome::Proven,
                reason: None,
                proven: pods,
            }),
            Proof::Broken(trouble) => failed(trouble),
            Proof::NotYet(Lack::OldPod) if self.superseded => over(Outcome::Superseded, None),
            Proof::NotYet(Lack::OldPod) if self.restart.is_none() => Course::Again,
            Proof::NotYet(_) => {
                self.later(Stage::Rolling, now);
                Course::Wait("its pods to prove it")
            }
        }
    }

    /// The end of a flight whose time is over, given the nodes that are not ready.
    pub(crate) fn timed_out(&self, observed: &Observed, world: &World, nodes: &[String]) -> Course {
        let mut held = world.all_pods(&observed.key).filter(|pod| {
            let node = pod.node.as_ref();
            let done = pod.ready && self.is_new(pod, observed);
            node.is_some_and(|node| nodes.contains(node)) && !done
        });
        if held.next().is_some() {
            return over(Outcome::Blocked, Some(Trouble::NodeNotReady));
        }
        let mut new = world.pods(&observed.key);
        let unready = new.any(|pod| {
            self.is_new(pod, observed) && pod.proxy.as_ref().is_some_and(|proxy| !proxy.ready)
        });
        failed(if unready {
            Trouble::ProxyNotReady
        } else {
            Trouble::Timeout
        })
    }
}

fn failed(trouble: Trouble) -> Course {
    over(Outcome::Failed, Some(trouble))
}

fn over(outcome: Outcome, reason: Option<Trouble>) -> Course {
    Course::Over(Ending {
        outcome,
        reason,
        proven: 0,
    })
}

fn blocked_by(trouble: Trouble) -> &'static str {
    if trouble == Trouble::Unschedulable {
        "a node to take a new pod"
    } else if trouble == Trouble::Paused {
        "somebody to resume it"
    } else if trouble == Trouble::Partition {
        "its partition to let pods go"
    } else {
        "something outside"
    }
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
