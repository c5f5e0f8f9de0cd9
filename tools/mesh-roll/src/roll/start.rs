//! Starts workloads, and makes the checks before every write.
//!
//! The watch of pods may lag behind the watch of their owner and then still show pods from before a
//! finished rollout. A list that is read after the owner was seen settled is newer. The write
//! carries the owner's resourceVersion from that moment, so it fails if anything happened in
//! between.

use std::ops::Bound;

use jiff::{SignedDuration, Timestamp};
use mesh_cli::DryRun;
use mesh_cluster::act::Restart;
use mesh_records::{Strategy, Trouble, WorkloadKind, WorkloadRef};

use super::decide::{Decision, is_a_restart, may_be_adopted};
use super::event::Action;
use super::flight::{Awaits, Flight};
use super::item::Item;
use super::limits::Stop;
use super::order::Rank;
use super::slots::Keeper;
use super::state::Roll;

// kubectl writes restarts in whole seconds.
const SECOND: SignedDuration = SignedDuration::from_secs(1);

impl Roll {
    /// Starts the workloads that may start now, in order. A rollout that is already in progress
    /// comes first: it takes its slot and its budgets whether this run waits for it or not.
    pub(super) fn start(&mut self) {
        if self.stop.is_some() || self.waiting.is_empty() || !self.may_write() {
            return;
        }
        self.adopt_all();
        let Some(wave) = self.wave() else { return };
        let slots = self.slots(&wave);
        if !self.opens(&wave) || self.taken() >= slots {
            self.jam = None;
            return;
        }
        let keepers = self.keepers();
        let kept = keepers.iter().filter(|keeper| keeper.slot).count();
        let mut after = Bound::Unbounded;
        let mut is_full = kept >= slots;
        while self.stop.is_none() && self.taken() + kept < slots {
            let mut rest = self.waiting.range((after, Bound::Unbounded));
            let Some(rank) = rest.next().map(|(rank, _)| rank.clone()) else {
                break;
            };
            if rank.wave > wave {
                break;
            }
            if self.is_due(&rank) {
                is_full |= !self.begin(&rank, &keepers);
            }
            after = Bound::Excluded(rank);
        }
        self.note_jam(is_full, &keepers);
    }

    fn adopt_all(&mut self) {
        let waiting = self.waiting.iter().filter(|(_, item)| {
            let observed = self.world.workload(&item.task.key);
            observed.is_some_and(|it| may_be_adopted(it, &item.task))
                && self.decide(item) == Decision::Adopt
        });
        let ranks: Vec<Rank> = waiting.map(|(rank, _)| rank.clone()).collect();
        for rank in ranks {
            if let Some(item) = self.waiting.remove(&rank) {
                self.adopt(item);
            }
        }
    }

    // Returns false if the pods that may be unavailable leave no room for it.
    fn begin(&mut self, rank: &Rank, keepers: &[Keeper]) -> bool {
        let Some(item) = self.waiting.get(rank) else {
            return true;
        };
        let key = item.task.key.clone();
        let decision = self.decide(item);
        if let Decision::Later(_) = decision {
            self.hold_until_healthy(&key);
            return true;
        }
        if let Decision::Roll(strategy) = decision {
            if !self.has_pods_to_spare(&key, strategy, keepers) {
                return false;
            }
            self.note_strategy(&key, strategy);
            if let Some(hold) = self.budget_hold(&key, keepers) {
                self.hold(&key, hold);
                return true;
            }
            if let Some(item) = self.waiting.get_mut(rank) {
                item.held.take_if(|held| {
                    matches!(held.hold.trouble, Trouble::Budget | Trouble::ReadinessLost)
                });
            }
        }
        if let Some(item) = self.waiting.remove(rank) {
            match decision {
                Decision::Skip(obstacle) => self.skip(item, obstacle, None),
                Decision::Adopt => self.adopt(item),
                Decision::Roll(_) | Decision::Later(_) => self.prepare(item),
            }
        }
        true
    }

    fn note_strategy(&mut self, key: &WorkloadRef, strategy: Strategy) {
        let reason = self.world.workload(key).and_then(|it| it.roll.reason);
        if let Some(item) = self.item_mut(key) {
            item.strategy = strategy;
            item.strategy_reason = reason;
        }
    }

    pub(super) fn adopt(&mut self, mut item: Item) {
        self.note_versions(&mut item);
        let pods = self.counts(&item.task.key);
        let record = self.saying(&item).adopted(pods);
        self.emit(record);
        if self.settings.dry_run == DryRun::Server {
            self.over.insert(item.task.key.clone(), item);
            return;
        }
        let observed = self.world.workload(&item.task.key);
        let stale_at = item.task.stale_at;
        item.is_anothers = !observed.is_some_and(|it| is_a_restart(it, stale_at, self.now));
        item.began = true;
        self.flying.push(Flight::adopted(item, self.now));
    }

    fn prepare(&mut self, mut item: Item) {
        // Somebody else's rollout that this run waited for is over.
        item.began &= !std::mem::take(&mut item.is_anothers);
        let key = item.task.key.clone();
        // Without a version the write would have no precondition.
        let Some(observed) = self.world.workload(&key) else {
            self.waiting.insert(item.rank.clone(), item);
            return;
        };
        let version = observed.resource_version.clone();
        self.flying.push(Flight::preparing(item, version, self.now));
        let prepare = Action::Prepare(key.clone(), self.selector(&key));
        self.out.push(prepare);
    }

    pub(super) fn announce(&mut self, mut item: Item, version: String) {
        self.note_versions(&mut item);
        let key = item.task.key.clone();
        let value = self.restart_value(&item);
        let record = self
            .saying(&item)
            .announcement(self.counts(&key), item.attempts > 0);
        item.value = Some(value.clone());
        let flight = Flight::restarting(item, value, version, self.now);
        self.flying.push(flight);
        self.out.push(Action::Announce(key, Box::new(record)));
    }

    /// Continues after the record was written: checks everything again with the latest facts, then
    /// writes.
    pub(super) fn announced(&mut self, key: &WorkloadRef, lock: Result<(), String>) {
        let Some(flight) = self.flight(key) else {
            return;
        };
        let (decision, strategy) = (self.decide(&flight.item), flight.item.strategy);
        let is_same = decision == Decision::Roll(strategy);
        if let (Err(why), DryRun::None) = (lock, self.settings.dry_run) {
            self.stop(Stop::LockLost(why));
        }
        let keepers = self.keepers();
        let is_held = self.budget_hold(key, &keepers).is_some()
            || !self.has_pods_to_spare(key, strategy, &keepers);
        if self.stop.is_some() || !self.may_write() || is_held || !is_same {
            self.put_off(
                key,
                "it changed after the announcement, or what it needs did",
            );
            return self.try_again(key, None);
        }
        let dry_run = self.settings.dry_run == DryRun::Server;
        let Some(flight) = self.flight_mut(key) else {
            return;
        };
        flight.item.attempts += 1;
        flight.item.began = true;
        flight.item.is_anothers = false;
        let restart = Restart {
            key: key.clone(),
            resource_version: flight.version.clone(),
            value: flight.item.value.clone().unwrap_or_default(),
            dry_run,
        };
        self.tally.writes += 1;
        self.await_answer(key, Awaits::Answer, Action::Patch(restart));
    }

    // After a stop it is said that the run ended before the write.
    pub(super) fn put_off(&mut self, key: &WorkloadRef, why: &str) {
        if let (None, Some(flight)) = (&self.stop, self.flight(key)) {
            let record = self.saying(&flight.item).put_off(self.counts(key), why);
            self.emit(record);
        }
    }

    fn is_due(&mut self, rank: &Rank) -> bool {
        match self.waiting.get(rank).and_then(|item| item.not_before) {
            Some(at) if self.now < at => {
                self.wake_at(at);
                false
            }
            Some(_) | None => true,
        }
    }

    // Makes a value later than the last restart's: kubectl refuses a second restart within one
    // second, because the values would be equal.
    pub(super) fn restart_value(&self, item: &Item) -> String {
        if let Some(value) = &item.value {
            return value.clone();
        }
        let before = self.world.workload(&item.task.key);
        // The restart of an Argo Rollout may be scheduled for later; a time after that would come too late.
        let before = before.and_then(|observed| {
            if observed.key.kind == WorkloadKind::Rollout {
                return observed.restart_time(self.now);
            }
            observed.restarted_at()?.parse().ok()
        });
        restart_value(self.now, before)
    }
}

// A value that differs from the last one changes the template. If the last one is the last time that
// there is, no later one exists, and now is another value.
fn restart_value(now: Timestamp, before: Option<Timestamp>) -> String {
    let second = |at: Timestamp| Timestamp::from_second(at.as_second()).unwrap_or(at);
    let now = second(now);
    let later = before.filter(|before| *before >= now);
    let later = later.and_then(|before| second(before).checked_add(SECOND).ok());
    later.unwrap_or(now).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_has_another_value_than_the_last_one_whatever_that_was() {
        let now = "2026-01-02T03:04:05.6Z".parse().unwrap();
        let table = [
            (None, "2026-01-02T03:04:05Z"),
            (Some("2026-01-02T03:04:04Z"), "2026-01-02T03:04:05Z"),
            (Some("2026-01-02T03:04:05Z"), "2026-01-02T03:04:06Z"),
            (Some("2027-01-01T00:00:00Z"), "2027-01-01T00:00:01Z"),
            (Some("9999-12-30T22:00:00Z"), "2026-01-02T03:04:05Z"),
        ];
        for (before, expected) in table {
            let before = before.map(|before| before.parse().unwrap());
            assert_eq!(restart_value(now, before), expected, "{before:?}");
        }
    }
}
