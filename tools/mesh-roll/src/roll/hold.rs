//! Workloads that wait for a PodDisruptionBudget before they are started.

use mesh_cluster::workload::rollout::{Passes, Problem};
use mesh_records::{Trouble, WorkloadRef, after};

use super::budget::{self, Lack};
use super::conclusion::Conclusion;
use super::item::Held;
use super::limits::Stop;
use super::order::Rank;
use super::slots::Keeper;
use super::state::Roll;

/// What a workload waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    lack: Lack,
    /// Whether another workload in flight is the reason; its own time limit ends the wait.
    by_a_flight: bool,
}

impl Roll {
    /// Returns the budget that does not allow the restart of a workload now.
    pub(super) fn budget_hold(&self, key: &WorkloadRef, keepers: &[Keeper]) -> Option<Hold> {
        let observed = self.world.workload(key)?;
        let flying = self.flying.iter().map(|flight| &flight.item.task.key);
        let flying = flying.map(|key| (key, true));
        let others = flying.chain(keepers.iter().map(|keeper| (&keeper.key, false)));
        for (other, by_a_flight) in others.filter(|(other, _)| *other != key) {
            let shared = self.world.workload(other);
            let shared = shared.and_then(|other| budget::shared(&self.world, observed, other));
            if let Some(shared) = shared {
                let budget = shared.meta.name.clone();
                let said =
                    format!("PodDisruptionBudget {budget} also counts {other}, which is not whole");
                let lack = Lack { budget, said };
                return Some(Hold { lack, by_a_flight });
            }
        }
        let overridden = self.settings.wishes.overrides_budgets(key);
        let lack = budget::no_room(&self.world, observed, overridden)?;
        Some(Hold {
            lack,
            by_a_flight: false,
        })
    }

    /// Lets a workload wait for a budget, for at most the time of one workload; then it is blocked.
    pub(super) fn hold(&mut self, rank: &Rank, hold: Hold) {
        let Hold { lack, by_a_flight } = hold;
        let now = self.now;
        let Some(item) = self.waiting.get_mut(rank) else {
            return;
        };
        let key = item.task.key.clone();
        let known = item.held.take();
        let known = known.filter(|held| held.lack.budget == lack.budget);
        let since = known.as_ref().map_or(now, |held| held.since);
        let since = if by_a_flight { now } else { since };
        let said = lack.said.clone();
        item.held = Some(Held { lack, since });
        if known.is_none()
            && let Some(item) = self.waiting.get(rank)
        {
            let record = self.saying(item).held(self.counts(&key), &said);
            self.emit(record);
        }
        if by_a_flight {
            return;
        }
        if now >= after(since, self.settings.timeout) {
            self.blocked_by_its_budget(&key);
        } else {
            self.wake_at_limit(since);
        }
    }

    /// Ends workloads that waited for a budget until the deadline of the run.
    pub(super) fn end_holds(&mut self) {
        if self.stop != Some(Stop::Deadline) {
            return;
        }
        let held = self.waiting.values().filter(|item| item.held.is_some());
        let held: Vec<WorkloadRef> = held.map(|item| item.task.key.clone()).collect();
        for key in held {
            self.blocked_by_its_budget(&key);
        }
    }

    fn blocked_by_its_budget(&mut self, key: &WorkloadRef) {
        let held = self.item_mut(key).and_then(|item| item.held.take());
        let problem = held.map(|held| Problem {
            trouble: Trouble::Budget,
            pod: None,
            container: None,
            said: held.lack.said,
            passes: Passes::Maybe,
        });
        self.conclude(key, Conclusion::blocked(Trouble::Budget, problem));
    }
}
