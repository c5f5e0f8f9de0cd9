//! Looks at the pods that were created since the run began, because they show what the injector gives.

use mesh_cluster::act::MANAGER;
use mesh_cluster::workload::rollout::{PodSeen, Problem};
use mesh_records::{Outcome, Trouble, WorkloadRef};

use super::conclusion::Conclusion;
use super::flight::Flight;
use super::item::Item;
use super::limits::Stop;
use super::proof::{Ours, own_fault};
use super::state::{Phase, Roll};

impl Roll {
    /// Checks the pods that were created since the run began, because they show what the injector
    /// gives. One wrong pod stops the whole run.
    pub(super) fn check_fresh_pods(&mut self, key: &WorkloadRef) {
        let is_apart = self.over.get(key).is_some_and(Item::has_pods_of_its_own);
        if self.phase != Phase::Rolling || is_apart {
            return;
        }
        if let Some(problem) = self.fresh_fault(key, self.world.fresh_pods(key)) {
            self.break_off(key, problem);
        }
    }

    pub(super) fn check_all_pods(&mut self) {
        let waiting = self.waiting.values().chain(self.over.values());
        let mut keys: Vec<WorkloadRef> = waiting.map(|item| item.task.key.clone()).collect();
        keys.extend(self.flying_keys());
        for key in keys {
            self.check_fresh_pods(&key);
        }
    }

    pub(super) fn break_off(&mut self, key: &WorkloadRef, problem: Problem) {
        let Some(item) = self.item_mut(key) else {
            return;
        };
        let failed = item.outcome == Some(Outcome::Failed);
        if std::mem::replace(&mut item.broken, true) {
            return;
        }
        self.stop(Stop::Broken(problem.trouble));
        if !failed {
            self.conclude(key, Conclusion::failed(problem.trouble, Some(problem)));
        }
    }

    fn has_changed(&self) -> bool {
        let expected = &self.settings.expected;
        expected.change(self.world.mesh()).is_some()
    }

    pub(super) fn fresh_fault<'a>(
        &self,
        key: &WorkloadRef,
        fresh: impl Iterator<Item = &'a PodSeen>,
    ) -> Option<Problem> {
        let observed = self.world.workload(key)?;
        let mesh = self.world.target();
        let rules = self.world.rules(&key.namespace);
        let injects = mesh.injects.as_deref()?;
        let flight = self.flight(key);
        let ours = flight.map_or(Ours::None, Flight::ours);
        let image = flight.and_then(|flight| flight.item.image.as_deref());
        let mut faults = fresh.filter_map(|pod| {
            let fault = own_fault(pod, mesh, image.filter(|_| ours.has(pod)))?;
            Some((pod, fault))
        });
        // This workload is not expected to get the injector's default proxy, so only pods of our
        // own restart without a proxy count.
        if observed.injection_obstacle(&rules, injects).is_some() {
            let unmeshed =
                faults.find(|(pod, fault)| fault.trouble == Trouble::NotInjected && ours.has(pod));
            return unmeshed.map(|(_, fault)| fault);
        }
        // After a change of the control plane, a different proxy version is not the injector's
        // fault.
        let forgiven = self.has_changed().then_some(Trouble::StillOld);
        let mut faults = faults.map(|(_, fault)| fault);
        faults.find(|fault| Some(fault.trouble) != forgiven)
    }

    pub(super) fn not_as_injected(&mut self, key: &WorkloadRef, problem: Problem) {
        let observed = self.world.workload(key);
        let injects = self.world.target().injects.as_deref().unwrap_or_default();
        let rules = self.world.rules(&key.namespace);
        let obstacle = observed.and_then(|it| it.injection_obstacle(&rules, injects));
        let is_anothers = self.flight(key).is_some_and(|it| it.item.is_anothers);
        // Somebody else's template has another proxy, or none.
        if let (true, Some(_), Some(observed)) = (is_anothers, obstacle, observed) {
            let by = observed.other_managers(MANAGER);
            return self.conclude(key, Conclusion::taken_back(&by));
        }
        if problem.trouble == Trouble::StillOld && self.has_changed() {
            // The control plane has changed, so the injector gives another proxy than this run's
            // target.
            return self.conclude(key, Conclusion::of(Outcome::Superseded));
        }
        self.break_off(key, problem);
    }
}
