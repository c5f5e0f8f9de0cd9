//! Follows the workloads in flight until they are proven or ended.

use std::collections::BTreeSet;

use mesh_cluster::workload::rollout::{PodSeen, Problem};
use mesh_records::{Outcome, Trouble, WorkloadRef};

use super::clock::Clock;
use super::conclusion::{Conclusion, problem};
use super::event::Action;
use super::flight::{Awaits, Course, Flight};
use super::limits::Stop;
use super::proof::{Ours, is_current, own_fault};
use super::say::Facts;
use super::state::{Phase, Roll};
use super::vigil::Vigil;

impl Roll {
    /// Takes the next step for every workload in flight.
    pub(super) fn fly(&mut self) {
        for key in self.flying_keys() {
            let mut clock = Clock {
                now: self.now,
                timeout: self.settings.timeout,
                deadline: self.settings.deadline,
                wake: self.wake,
            };
            let mut flights = self.flying.iter_mut();
            let Some(flight) = flights.find(|flight| flight.item.task.key == key) else {
                continue;
            };
            let is_turn = flight.evicting.is_some() && flight.awaits == Awaits::Rollout;
            let course = if is_turn {
                flight.in_turn(&self.world, &mut clock)
            } else {
                flight.assess(&self.world, &mut clock)
            };
            self.wake = clock.wake;
            self.follow(&key, course);
            self.ask_nodes_of_late_pods(&key);
        }
    }

    fn follow(&mut self, key: &WorkloadRef, course: Course) {
        match course {
            Course::Silent => {}
            Course::Wait(reason) => self.tell(key, "waits for", reason),
            Course::HeldUp(problem) => self.tell(key, "held up:", &problem.to_string()),
            Course::ListProof => {
                let list = Action::ListProof(key.clone(), self.selector(key));
                self.await_answer(key, Awaits::ListProof, list);
            }
            Course::AskNodes => {
                if let Some(flight) = self.flight_mut(key) {
                    flight.awaits = Awaits::Nodes;
                }
                self.ask_nodes();
            }
            // Who may not create pods cannot ask; the controller's own condition has to do.
            Course::AskRefusal if self.settings.wishes.forbidden.contains_key(key) => {
                let now = self.now;
                if let Some(flight) = self.flight_mut(key) {
                    flight.explained(None, now);
                }
            }
            Course::AskRefusal => {
                self.await_answer(key, Awaits::Refusal, Action::Probe(key.clone()));
            }
            Course::Look => self.await_answer(key, Awaits::Look, Action::Look(key.clone())),
            Course::Evict(doomed) => self.doomed.push((key.clone(), doomed)),
            Course::Over(end) => self.conclude(key, self.unless_left_behind(key, end)),
            Course::Again => self.try_again(key, None),
        }
    }

    fn tell(&mut self, key: &WorkloadRef, how: &str, reason: &str) {
        let pods = self.counts(key);
        let Some(flight) = self.flight_mut(key) else {
            return;
        };
        let told = flight.told.as_ref();
        if told.is_some_and(|(before, why)| *before == pods && why == reason) {
            return;
        }
        flight.told = Some((pods, reason.to_owned()));
        if let Some(flight) = self.flight(key) {
            let record = self.saying(&flight.item).waiting(pods, how, reason);
            self.emit(record);
        }
    }

    /// Handles the list of pods that was read after the controller was done.
    pub(super) fn listed_proof(&mut self, key: &WorkloadRef, pods: Result<Vec<PodSeen>, String>) {
        let now = self.now;
        let mesh = self.world.target().clone();
        let wanted = self.world.workload(key).map_or(0, |it| it.pods.wanted);
        let pods = pods.map(|pods| self.on_living_nodes(key, pods));
        let Some(flight) = self.flight_mut(key) else {
            return;
        };
        let Ok(pods) = pods else {
            flight.later(Awaits::Rollout, now);
            return;
        };
        match flight.listed_proof(&pods, &mesh, wanted, now) {
            Ok(course) => self.follow(key, course),
            Err(problem) => self.not_as_injected(key, problem),
        }
    }

    fn not_as_injected(&mut self, key: &WorkloadRef, problem: Problem) {
        if problem.trouble == Trouble::StillOld && self.has_changed() {
            // The control plane has changed, so the injector gives another proxy than this run's
            // target.
            return self.conclude(key, Conclusion::of(Outcome::Superseded));
        }
        self.break_off(key, problem);
    }

    /// Takes in which nodes are not ready, and decides what became of the workloads whose time is over.
    pub(super) fn nodes(&mut self, nodes: Option<BTreeSet<String>>) {
        let now = self.now;
        self.asks_nodes = false;
        // Without an answer, what was known stays.
        if let Some(nodes) = nodes {
            self.world.note_away(nodes);
        }
        for key in self.flying_keys() {
            let mut flights = self.flying.iter_mut();
            let flight = flights.find(|flight| flight.item.task.key == key);
            let Some(flight) = flight.filter(|flight| flight.awaits == Awaits::Nodes) else {
                continue;
            };
            let course = match self.world.workload(&key) {
                Some(observed) => {
                    flight.timed_out(observed, &self.world, &self.settings.paste, now)
                }
                None => Course::Over(Conclusion::of(Outcome::Gone)),
            };
            self.follow(&key, course);
        }
    }

    /// Checks the pods that were created since the run began, because they show what the injector
    /// gives. One wrong pod stops the whole run.
    pub(super) fn check_fresh_pods(&mut self, key: &WorkloadRef) {
        if self.phase != Phase::Rolling {
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

    /// Ends a workload that the API server did not change.
    pub(super) fn refused(&mut self, key: &WorkloadRef, why: &str) {
        let Some(flight) = self.flight(key) else {
            return;
        };
        let record = self.saying(&flight.item).refused(why);
        self.emit(record);
        // Nothing was written to it, so it says nothing of the others.
        self.tally.untouched += 1;
        let problem = problem(Trouble::Refused, why.to_owned());
        self.conclude(key, Conclusion::failed(Trouble::Refused, Some(problem)));
    }

    /// Ends a workload in any state: writes its record, counts it, and stops the run after too many
    /// failures.
    pub(super) fn conclude(&mut self, key: &WorkloadRef, conclusion: Conclusion) {
        let flight = self.flight(key);
        let (since, awaits) = (flight.map(|it| it.since), flight.map(|it| it.awaits));
        let new = flight.map_or(0, |flight| self.count_new(flight));
        let old = flight.map_or(0, |flight| self.count_old(flight));
        let wanted = self.counts(key).wanted;
        let Some(mut item) = self.take_item(key) else {
            return;
        };
        let (outcome, reason) = (conclusion.outcome, conclusion.reason);
        item.vigil = None;
        if outcome == Outcome::Proven {
            item.vigil = Some(Vigil::new(conclusion.proven.clone(), self.now));
            self.last_proof = Some(self.now);
        }
        let facts = Facts {
            conclusion,
            target: self.world.target().injects.as_deref(),
            wanted,
            new,
            old,
            since,
            awaits,
        };
        let record = self.saying(&item).rolled(facts);
        self.emit(record);
        if let Some(before) = item.outcome.replace(outcome) {
            self.tally.changed(before);
        }
        if outcome == Outcome::Failed && item.is_anothers {
            self.tally.untouched += 1;
        }
        self.check_canary(&item, reason);
        self.over.insert(key.clone(), item);
        // Nothing runs an old proxy any more.
        if reason != Some(Trouble::NoPods) {
            self.tally.ended(outcome);
        }
        if self.tally.failures() > self.settings.max_failures {
            self.stop(Stop::Failures);
        }
    }

    /// Moves a workload from in flight back to waiting.
    pub(super) fn wait_again(&mut self, key: &WorkloadRef, not_before: Option<jiff::Timestamp>) {
        if let Some(mut flight) = self.land(key) {
            flight.item.not_before = not_before;
            self.waiting.insert(flight.item.rank.clone(), flight.item);
        }
    }

    /// Lets a workload in flight be decided again, unless the run must stop.
    pub(super) fn try_again(&mut self, key: &WorkloadRef, not_before: Option<jiff::Timestamp>) {
        match self.stop.as_ref().map(Stop::trouble) {
            Some(trouble) => self.leave_off(key, trouble),
            None => self.wait_again(key, not_before),
        }
    }

    /// Leaves every workload in flight; their rollouts continue without this run.
    pub(super) fn interrupt(&mut self) {
        let trouble = self.stop.as_ref().map_or(Trouble::Stopped, Stop::trouble);
        for key in self.flying_keys() {
            self.leave_off(&key, trouble);
        }
    }

    /// Leaves a workload in flight. One that was never written to is not interrupted: it was not
    /// started.
    pub(super) fn leave_off(&mut self, key: &WorkloadRef, trouble: Trouble) {
        let Some(flight) = self.flight(key) else {
            return;
        };
        if flight.item.began {
            return self.conclude(key, Conclusion::interrupted(trouble));
        }
        if matches!(
            flight.awaits,
            Awaits::Announcement | Awaits::LastLook | Awaits::Confirmation
        ) {
            let record = self.saying(&flight.item).unstarted(self.counts(key));
            self.emit(record);
        }
        self.wait_again(key, None);
    }

    fn count_old(&self, flight: &Flight) -> usize {
        let pods = self.world.pods(&flight.item.task.key);
        let old =
            pods.filter(|pod| !flight.ours().has(pod) && !is_current(pod, self.world.target()));
        old.count()
    }

    fn count_new(&self, flight: &Flight) -> u32 {
        let key = &flight.item.task.key;
        let Some(observed) = self.world.workload(key) else {
            return 0;
        };
        let pods = self.world.pods(key);
        let new = pods.filter(|pod| flight.is_new(pod, observed)).count();
        u32::try_from(new).unwrap_or(u32::MAX)
    }
}
