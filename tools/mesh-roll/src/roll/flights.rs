//! Follows the workloads in flight until they are proven or ended.

use std::collections::BTreeSet;

use mesh_records::{Outcome, Trouble, WorkloadRef};

use super::clock::Clock;
use super::conclusion::{Conclusion, problem};
use super::event::Action;
use super::flight::{Awaits, Course, Flight};
use super::limits::Stop;
use super::proof::is_current;
use super::say::Facts;
use super::state::Roll;
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

    pub(super) fn follow(&mut self, key: &WorkloadRef, course: Course) {
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

    /// Ends a workload that the API server did not change.
    pub(super) fn refused(&mut self, key: &WorkloadRef, why: &str) {
        let Some(flight) = self.flight(key) else {
            return;
        };
        let record = self.saying(&flight.item).refused(why);
        self.emit(record);
        let problem = problem(Trouble::Refused, why.to_owned());
        self.conclude(key, Conclusion::failed(Trouble::Refused, Some(problem)));
    }

    /// Ends a workload for which a right is gone that the user had before.
    pub(super) fn forbidden(&mut self, key: &WorkloadRef, why: String) {
        if self.flight(key).is_some() {
            self.conclude(key, Conclusion::forbidden(why));
        }
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
        // Where nothing was written it says nothing of the others.
        let is_unwritten = matches!(reason, Some(Trouble::Refused | Trouble::Forbidden));
        if outcome == Outcome::Failed && (item.is_anothers || is_unwritten) {
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

    /// Stops the run because of a workload that was not written to.
    pub(super) fn stop_for(&mut self, key: &WorkloadRef, stop: Stop) {
        self.stop(stop);
        self.wait_again(key, None);
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
