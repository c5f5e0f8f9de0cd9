//! Evicts pods: the checks before each eviction, and its answer.

use mesh_cli::DryRun;
use mesh_cluster::act::Eviction;
use mesh_cluster::workload::rollout::{Passes, PodSeen, Problem};
use mesh_records::{Obstacle, Outcome, Strategy, Trouble, WorkloadRef};

use super::conclusion::{Conclusion, problem};
use super::decide::Decision;
use super::event::{Action, Evicted};
use super::evicting::{Doomed, Evicting};
use super::flight::{Awaits, Flight};
use super::item::Item;
use super::limits::Stop;
use super::state::Roll;

impl Roll {
    /// Begins to evict the pods of a workload.
    pub(super) fn evict_pods(&mut self, mut item: Item) {
        self.note_versions(&mut item);
        let key = item.task.key.clone();
        let template = self.world.workload(&key).map(|it| it.template.clone());
        let pods = self.world.all_pods(&key);
        let flight = Flight::evicting(item, template.unwrap_or_default(), pods, self.now);
        self.flying.push(flight);
    }

    /// Announces the evictions of the pods whose turn it is.
    pub(super) fn evict_next(&mut self) {
        for (key, doomed) in std::mem::take(&mut self.doomed) {
            self.evict(&key, doomed);
        }
    }

    // A pod is announced once, however often its eviction is tried.
    fn evict(&mut self, key: &WorkloadRef, doomed: Doomed) {
        let now = self.now;
        let evicting = self.flight_mut(key).and_then(|it| it.evicting.as_mut());
        let pod = doomed.pod.clone();
        if let Some(evicting) = evicting {
            evicting.ask(doomed, now);
        }
        if !self.may_evict(key) {
            return;
        }
        let Some(flight) = self.flight(key) else {
            return;
        };
        let record = self.saying(&flight.item).eviction(self.counts(key), &pod);
        let evicting = self.flight_mut(key).and_then(|it| it.evicting.as_mut());
        if evicting.is_some_and(Evicting::announce) {
            let announce = Action::Announce(key.clone(), Box::new(record));
            self.await_answer(key, Awaits::Announcement, announce);
        } else {
            self.look_last(key);
        }
    }

    fn look_last(&mut self, key: &WorkloadRef) {
        let list = Action::ListLast(key.clone(), self.selector(key));
        self.await_answer(key, Awaits::LastLook, list);
    }

    /// Continues after the record was written. Writing it may have taken long, so the pods are listed
    /// once more before one of them goes.
    pub(super) fn announced_eviction(&mut self, key: &WorkloadRef, lock: Result<(), String>) {
        if let (Err(why), DryRun::None) = (lock, self.settings.dry_run) {
            self.stop(Stop::LockLost(why));
        }
        let awaits = self.flight(key).map(|flight| flight.awaits);
        if !self.may_evict(key) {
            return;
        }
        if awaits == Some(Awaits::Confirmation) {
            self.send_eviction(key);
        } else {
            self.look_last(key);
        }
    }

    /// Evicts the pod whose turn it is if a list from after its announcement still allows it.
    pub(super) fn looked_last(&mut self, key: &WorkloadRef, pods: Result<Vec<PodSeen>, String>) {
        let awaits = self.flight(key).map(|flight| flight.awaits);
        if awaits != Some(Awaits::LastLook) || !self.may_evict(key) {
            return;
        }
        let may_go = || {
            let pods = self.on_living_nodes(key, pods.ok()?);
            let observed = self.world.workload(key)?;
            let evicting = self.flight(key)?.evicting.as_ref()?;
            Some(evicting.may_go(observed, &pods, self.world.target()))
        };
        if may_go() == Some(true) {
            // The list took its time too, so the lock is looked at once more.
            self.await_answer(key, Awaits::Confirmation, Action::Confirm(key.clone()));
        } else {
            self.look_later(key);
        }
    }

    // Returns true if a pod of the workload may be evicted now; otherwise looks again later, or ends the
    // workload. After a stop no other pod is evicted.
    fn may_evict(&mut self, key: &WorkloadRef) -> bool {
        let may_write = self.stop.is_none() && self.may_write();
        if let Some(trouble) = self.stop.as_ref().map(Stop::trouble) {
            self.leave_off(key, trouble);
            return false;
        }
        let decision = self.flight(key).map(|flight| self.decide(&flight.item));
        match decision {
            Some(Decision::Roll(Strategy::Evict)) if may_write => return true,
            // It passes, or the next look shows that nothing is left to evict.
            Some(
                Decision::Roll(Strategy::Evict)
                | Decision::Later(_)
                | Decision::Adopt
                | Decision::Skip(
                    Obstacle::WorkloadUnhealthy | Obstacle::Current | Obstacle::ScaledToZero,
                ),
            ) => self.look_later(key),
            Some(Decision::Skip(obstacle)) => self.left(key, obstacle),
            Some(Decision::Roll(_)) => {
                self.conclude(key, Conclusion::of(Outcome::Superseded));
            }
            None => {}
        }
        false
    }

    fn send_eviction(&mut self, key: &WorkloadRef) {
        let now = self.now;
        let dry_run = self.settings.dry_run == DryRun::Server;
        let Some(flight) = self.flight_mut(key) else {
            return;
        };
        let last = flight.evicting.as_ref().and_then(|it| it.last().cloned());
        let Some(Doomed { pod, uid }) = last else {
            return;
        };
        if let Some(evicting) = &mut flight.evicting {
            evicting.send(now);
        }
        flight.item.attempts += 1;
        flight.item.began = true;
        flight.item.is_anothers = false;
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
        if !began && obstacle != Obstacle::Budget {
            if let Some(flight) = self.land(key) {
                self.skip(flight.item, obstacle, None);
            }
            return;
        }
        let blocked = |trouble, said: Option<String>| {
            let problem = said.map(|said| problem(trouble, said));
            Conclusion::blocked(trouble, problem)
        };
        let conclusion = match obstacle {
            Obstacle::Budget => {
                blocked(Trouble::Budget, self.obstacle_detail(key, Obstacle::Budget))
            }
            Obstacle::DowntimeOutage => blocked(
                Trouble::DowntimeOutage,
                Some(format!(
                    "it wants one pod by now, and an eviction stops that pod before a new one starts; --allow-outage {key} allows it"
                )),
            ),
            Obstacle::Paused => blocked(Trouble::Paused, None),
            Obstacle::OnDelete | Obstacle::Partition => blocked(Trouble::Partition, None),
            Obstacle::Gone => Conclusion::of(Outcome::Gone),
            Obstacle::Current
            | Obstacle::Job
            | Obstacle::CronJob
            | Obstacle::BarePod
            | Obstacle::ScaledToZero
            | Obstacle::NotSelected
            | Obstacle::VersionPinned
            | Obstacle::WorkloadUnhealthy
            | Obstacle::UnmeshedButAnnotated
            | Obstacle::WouldLoseProxy
            | Obstacle::PodRefused
            | Obstacle::UnavailablePods
            | Obstacle::ForeignOwner
            | Obstacle::NoRestart
            | Obstacle::RestartPlanned
            | Obstacle::Forbidden => Conclusion::of(Outcome::Superseded),
        };
        self.conclude(key, conclusion);
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
            Evicted::Ends => self.conclude(key, Conclusion::of(Outcome::Gone)),
            Evicted::Busy(why) => {
                let record = self.saying(&flight.item).busy(self.counts(key), &why);
                self.emit(record);
                self.wait_for_its_end(key, Some(problem(Trouble::Refused, why)));
                if let Some(flight) = self.flight_mut(key)
                    && let Some(evicting) = &mut flight.evicting
                {
                    evicting.sent = false;
                }
            }
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
            Evicted::Forbidden(why) => self.forbidden(key, why),
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
