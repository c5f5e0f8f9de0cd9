//! What became of a workload whose time is over.

use jiff::Timestamp;
use mesh_cluster::workload::rollout::{Observed, PodSeen, State};
use mesh_records::{Paste, Trouble};

use super::conclusion::Conclusion;
use super::flight::{Course, Flight, over};
use super::world::World;

impl Flight {
    /// Returns the result after the time limit, given the nodes that are not ready: blocked if a
    /// pod is on such a node, a new one first, else timed out, with the first new pod that is not
    /// ready.
    pub(crate) fn timed_out(
        &mut self,
        observed: &Observed,
        world: &World,
        nodes: &[String],
        paste: &Paste,
        now: Timestamp,
    ) -> Course {
        let held = world.all_pods(&observed.key).filter_map(|pod| {
            let node = pod.node.as_ref().filter(|node| nodes.contains(node))?;
            let is_new = self.is_new(pod, observed);
            (!(pod.ready && is_new)).then_some((pod, node, is_new))
        });
        if let Some((pod, node, _)) = held.min_by_key(|(_, _, is_new)| !is_new) {
            let problem = pod.stranded(node, paste);
            return over(Conclusion::blocked(Trouble::NodeNotReady, Some(problem)));
        }
        let problem = match self.state(observed, world, now) {
            State::HeldUp(problem) | State::Failed(problem) => Some(problem),
            State::Progressing(_) | State::Settled | State::Superseded => {
                let pods = self.new_pods(observed, world);
                pods.into_iter().find_map(PodSeen::lack)
            }
        };
        // A pod from before the evictions that fell ill meanwhile is not of this run's making.
        let is_old = |pod: &&PodSeen| !self.is_new(pod, observed);
        let old = world.pods(&observed.key).filter(is_old);
        let old = old
            .filter(|_| self.evicting.is_some())
            .find_map(PodSeen::lack);
        match (problem, old) {
            (None, Some(problem)) => over(Conclusion::blocked(problem.trouble, Some(problem))),
            (problem, _) => over(Conclusion::failed(Trouble::TimedOut, problem)),
        }
    }
}
