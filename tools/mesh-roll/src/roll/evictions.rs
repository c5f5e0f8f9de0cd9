//! Evicts pods: the checks before each eviction, and its answer.

use mesh_cli::DryRun;
use mesh_cluster::act::Eviction;
use mesh_cluster::workload::rollout::{Passes, Problem};
use mesh_records::{Obstacle, Outcome, Strategy, Trouble, WorkloadRef};

use super::conclusion::{Conclusion, problem};
use super::decide::Decision;
use super::event::{Action, Evicted};
use super::evicting::Doomed;
use super::flight::{Awaits, Flight};
use super::item::Item;
use super::limits::Stop;
use super::state::Roll;

impl Roll {
    /// Begins to evict the pods of a workload.
    pub(super) fn evict_pods(&mut self, mut item: Item) {
        self.note_versions(&mut item);
        let key = item.task.key.clone();
        let pods = self.world.pods(&key);
        let flight = Flight::evicting(item, pods, self.now);
        self.flying.push(flight);
    }

    /// Announces the evictions of the pods whose turn it is.
    pub(super) fn evict_next(&mut self) {
        for (key, doomed) in std::mem::take(&mut self.doomed) {
            self.evict(&key, doomed);
        }
    }

    // After a stop no other pod is evicted.
    fn evict(&mut self, key: &WorkloadRef, doomed: Doomed) {
        if let Some(trouble) = self.stop.as_ref().map(Stop::trouble) {
            return self.leave_off(key, trouble);
        }
        let now = self.now;
        let Some(flight) = self.flight(key) else {
            return;
        };
        let record = self
            .saying(&flight.item)
            .eviction(self.counts(key), &doomed.pod);
        if let Some(flight) = self.flight_mut(key)
            && let Some(evicting) = &mut flight.evicting
        {
            evicting.ask(doomed, now);
        }
        let announce = Action::Announce(key.clone(), Box::new(record));
        self.await_answer(key, Awaits::Announcement, announce);
    }

    /// Continues after the record was written: checks everything again with the latest facts, then
    /// evicts.
    pub(super) fn announced_eviction(&mut self, key: &WorkloadRef, lock: Result<(), String>) {
        if let (Err(why), DryRun::None) = (lock, self.settings.dry_run) {
            self.stop(Stop::LockLost(why));
        }
        let may_write = self.stop.is_none() && self.may_write();
        if let Some(trouble) = self.stop.as_ref().map(Stop::trouble) {
            return self.leave_off(key, trouble);
        }
        let decision = self.flight(key).map(|flight| self.decide(&flight.item));
        match decision {
            Some(Decision::Roll(Strategy::Evict)) if may_write => self.send_eviction(key),
            // It passes, or the next look shows that nothing is left to evict.
            Some(
                Decision::Roll(Strategy::Evict)
                | Decision::Skip(Obstacle::WorkloadUnhealthy | Obstacle::Current),
            ) => self.look_later(key),
            Some(Decision::Skip(obstacle)) => self.left(key, obstacle),
            Some(Decision::Roll(_) | Decision::Adopt) | None => {
                self.conclude(key, Conclusion::of(Outcome::Superseded));
            }
        }
    }

    fn send_eviction(&mut self, key: &WorkloadRef) {
        let dry_run = self.settings.dry_run == DryRun::Server;
        let Some(flight) = self.flight_mut(key) else {
            return;
        };
        let last = flight.evicting.as_ref().and_then(|it| it.last().cloned());
        let Some(Doomed { pod, uid }) = last else {
            return;
        };
        flight.item.attempts += 1;
        flight.item.began = true;
        self.tally.writes += 1;
        let eviction = Eviction {
            key: key.clone(),
            pod,
            uid,
            dry_run,
        };
        self.await_answer(key, Awaits::Answer, Action::Evict(eviction));
    }

    // Something else stands in the way of further evictions by now.
    fn left(&mut self, key: &WorkloadRef, obstacle: Obstacle) {
        let began = self.flight(key).is_some_and(|flight| flight.item.began);
        if obstacle == Obstacle::Budget {
            let said = self.obstacle_detail(key, obstacle).unwrap_or_default();
            let problem = problem(Trouble::Budget, said);
            return self.conclude(key, Conclusion::blocked(Trouble::Budget, Some(problem)));
        }
        if began {
            return self.conclude(key, Conclusion::of(Outcome::Superseded));
        }
        if let Some(flight) = self.land(key) {
            self.skip(flight.item, obstacle, None);
        }
    }

    fn look_later(&mut self, key: &WorkloadRef) {
        let now = self.now;
        if let Some(flight) = self.flight_mut(key) {
            flight.later(Awaits::Rollout, now);
            if let Some(evicting) = &mut flight.evicting {
                evicting.answered(None, now);
            }
        }
    }

    /// Handles the answer to an eviction.
    pub(super) fn evicted(&mut self, key: &WorkloadRef, answer: Evicted) {
        let Some(flight) = self.flight(key) else {
            return;
        };
        let dry_run = self.settings.dry_run == DryRun::Server;
        match answer {
            Evicted::Done if dry_run => {
                let record = self.saying(&flight.item).rehearsed(self.counts(key));
                self.emit(record);
                if let Some(flight) = self.land(key) {
                    self.over.insert(key.clone(), flight.item);
                }
            }
            Evicted::Done | Evicted::Other => self.wait_for_its_end(key, None),
            Evicted::Disallowed(said) => {
                self.wait_for_its_end(key, Some(problem(Trouble::Budget, said)));
            }
            Evicted::Never(said) => {
                let problem = Problem {
                    passes: Passes::Never,
                    ..problem(Trouble::Budget, said)
                };
                self.conclude(key, Conclusion::blocked(Trouble::Budget, Some(problem)));
            }
            Evicted::Refused(why) => self.refused(key, &why),
            Evicted::Forbidden(why) => self.conclude(key, Conclusion::forbidden(why)),
            Evicted::Lost(why) => {
                let record = self.saying(&flight.item).unanswered(&why);
                self.emit(record);
                self.wait_for_its_end(key, None);
            }
        }
    }

    // The watch shows whether the pod goes.
    fn wait_for_its_end(&mut self, key: &WorkloadRef, refused: Option<Problem>) {
        let now = self.now;
        if let Some(flight) = self.flight_mut(key) {
            flight.awaits = Awaits::Rollout;
            if let Some(evicting) = &mut flight.evicting {
                evicting.answered(refused, now);
            }
        }
    }
}
