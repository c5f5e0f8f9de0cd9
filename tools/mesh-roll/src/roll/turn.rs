//! The next step of a workload whose pods are evicted one by one.

use mesh_cluster::workload::rollout::{Observed, PodSeen, State};
use mesh_records::Outcome;

use super::clock::Clock;
use super::conclusion::Conclusion;
use super::decide::Task;
use super::evicting::Turn;
use super::flight::{Course, Flight, no_pods, over};
use super::world::World;

impl Flight {
    /// Returns the next step, given the latest facts.
    pub(crate) fn in_turn(&mut self, world: &World, clock: &mut Clock) -> Course {
        let Task { key, uid, .. } = &self.item.task;
        let observed = world.workload(key);
        let Some(observed) = observed.filter(|it| it.uid == *uid && !it.deleting) else {
            return over(Conclusion::of(Outcome::Gone));
        };
        let pods: Vec<&PodSeen> = world.pods(&observed.key).collect();
        if observed.pods.wanted == 0 && pods.is_empty() {
            return no_pods();
        }
        let since = self.limit_from();
        let evicting = self.evicting.as_ref();
        let turn = evicting.map(|it| it.turn(observed, &pods, world.target(), clock.now));
        let refused = evicting.and_then(|it| it.refused.clone());
        match turn {
            Some(Turn::Evict(_)) if clock.is_over(since) => match refused {
                Some(problem) => over(Conclusion::blocked(problem.trouble, Some(problem))),
                None => Course::AskNodes,
            },
            Some(Turn::Evict(doomed)) => Course::Evict(doomed),
            Some(Turn::Later(at)) => {
                clock.reached(at);
                match refused {
                    Some(problem) => self.held_up(problem, clock),
                    None => Course::Wait("its evicted pod to stop"),
                }
            }
            Some(Turn::Short) => self.short(observed, world, clock),
            Some(Turn::Done) | None if clock.is_over(since) => Course::AskNodes,
            Some(Turn::Done) | None if clock.reached(self.look_at) => Course::ListProof,
            Some(Turn::Done) | None => Course::Wait("its pods to prove it"),
        }
    }

    fn short(&mut self, observed: &Observed, world: &World, clock: &mut Clock) -> Course {
        match self.state(observed, world, clock.now) {
            State::Failed(problem) => over(Conclusion::failed(problem.trouble, Some(problem))),
            State::HeldUp(problem) => self.held_up(problem, clock),
            State::Progressing(_) | State::Settled | State::Superseded => {
                if clock.is_over(self.limit_from()) {
                    Course::AskNodes
                } else if self.asks_for_a_refusal(observed, clock) {
                    Course::AskRefusal
                } else {
                    Course::Wait("all its pods to be available")
                }
            }
        }
    }
}
