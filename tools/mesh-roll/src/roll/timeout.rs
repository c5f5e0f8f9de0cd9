//! What became of a workload whose time is over.

use jiff::Timestamp;
use mesh_cluster::workload::rollout::{Observed, PodSeen, Problem, State, Wait};
use mesh_records::{Paste, Strategy, Trouble};

use super::budget;
use super::conclusion::{self, Conclusion, problem};
use super::flight::{Course, Flight, over};
use super::world::World;

impl Flight {
    /// Returns the result after the time limit, now that it is known which nodes are not ready: blocked if a
    /// pod is on such a node, a new one first, else timed out, with the first new pod that is not
    /// ready.
    pub(crate) fn timed_out(
        &mut self,
        observed: &Observed,
        world: &World,
        paste: &Paste,
        now: Timestamp,
    ) -> Course {
        let pods = world.all_pods(&observed.key);
        let held = pods.chain(world.stranded(&observed.key)).filter_map(|pod| {
            let node = pod.node.as_ref().filter(|node| world.is_away(node))?;
            let is_new = self.is_new(pod, observed);
            (!(pod.ready && is_new)).then_some((pod, node, is_new))
        });
        if let Some((pod, node, _)) = held.min_by_key(|(_, _, is_new)| !is_new) {
            let problem = pod.stranded(node, "", paste);
            return over(Conclusion::blocked(Trouble::NodeNotReady, Some(problem)));
        }
        let state = self.state(observed, world, now);
        let problem = match &state {
            State::HeldUp(problem) | State::Failed(problem) => Some(problem.clone()),
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
        match (problem, old, state) {
            (None, Some(problem), _) => over(Conclusion::blocked(problem.trouble, Some(problem))),
            (None, None, State::Progressing(Wait::Restart(_)))
                if let Some(lack) =
                    budget::no_room(world, observed, Strategy::RestartAt, false) =>
            {
                let problem = conclusion::problem(Trouble::Budget, lack.said);
                over(Conclusion::blocked(Trouble::Budget, Some(problem)))
            }
            (None, None, State::Progressing(wait)) => {
                let has_begun = world
                    .pods(&observed.key)
                    .any(|pod| self.is_new(pod, observed));
                let lingers = world.all_pods(&observed.key).find_map(PodSeen::lingers);
                let older = || waits_for_older(observed, world);
                let problem = lingers.or_else(older);
                let problem = problem.unwrap_or_else(|| stalled(wait, has_begun));
                over(Conclusion::failed(Trouble::TimedOut, Some(problem)))
            }
            (problem, _, _) => over(Conclusion::failed(Trouble::TimedOut, problem)),
        }
    }
}

// Names the older pod that is not ready, with which a StatefulSet's controller waits for good.
fn waits_for_older(observed: &Observed, world: &World) -> Option<Problem> {
    let mut older = observed.waits_for(world.pods(&observed.key));
    let lack = older.next()?.lack()?;
    let said = format!(
        "{}, and its controller waits for it with the newest template",
        lack.said
    );
    Some(Problem { said, ..lack })
}

// Says what a rollout still waited for without a pod that shows why. A controller that has not even
// begun may not run at all.
fn stalled(wait: Wait, has_begun: bool) -> Problem {
    let idle = match wait {
        Wait::Unobserved => true,
        Wait::Restart(_) => !has_begun,
        Wait::Creation | Wait::OldPods | Wait::Availability | Wait::Revision => false,
    };
    let idle = if idle {
        "no controller acts on it: "
    } else {
        ""
    };
    let said = format!("{idle}it still waited for {}", wait.as_str());
    problem(Trouble::TimedOut, said)
}
