//! What of `--max-in-flight` and `--max-unavailable-pods` is taken. Workloads that roll out or are
//! not whole again keep their slot and their budgets, whoever began it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mesh_cluster::workload::rollout::{Observed, State, with_pods};
use mesh_records::{Outcome, Strategy, WorkloadRef, after};

use super::flight::Flight;
use super::item::Item;
use super::state::{Jam, Roll};
use super::way::takes_away;

/// A workload that is not in flight and keeps its budgets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keeper {
    pub(crate) key: WorkloadRef,
    /// Whether it keeps a slot too.
    pub(crate) slot: bool,
}

impl Roll {
    /// Returns the workloads that keep their budgets or a slot besides those in flight.
    ///
    /// A rollout that somebody else began keeps a slot while it makes progress, for at most
    /// `--timeout` since it was seen first, so that a rollout that never ends cannot hold up the
    /// others for good.
    pub(super) fn keepers(&mut self) -> Vec<Keeper> {
        let flying = self.foreign_flights();
        let mut foreign: BTreeMap<_, _> = flying
            .map(|flight| (flight.item.task.key.clone(), self.seen_since(flight)))
            .collect();
        let mut keepers = Vec::new();
        let unsettled = self.world.workloads().filter(|observed| {
            let fell = self
                .over
                .get(&observed.key)
                .is_some_and(Item::has_lost_pods);
            (fell || observed.standing != State::Settled) && self.flight(&observed.key).is_none()
        });
        for observed in unsettled {
            let key = observed.key.clone();
            if self.is_unwhole(observed) {
                keepers.push(Keeper { key, slot: true });
                continue;
            }
            let Some(is_moving) = self.is_rolled_by_others(observed) else {
                continue;
            };
            let since = self.foreign.get(&key).copied().unwrap_or(self.now);
            let slot = is_moving && self.now < self.moves_until(observed, since);
            foreign.insert(key.clone(), since);
            keepers.push(Keeper { key, slot });
        }
        for (key, since) in &foreign {
            let observed = self.world.workload(key);
            let until = observed.map(|observed| self.moves_until(observed, *since));
            if let Some(until) = until.filter(|until| self.now < *until) {
                self.wake_at(until);
            }
        }
        self.foreign = foreign;
        keepers
    }

    /// Returns how many slots the workloads in flight take.
    pub(super) fn taken(&self) -> usize {
        let flying = self.flying.iter();
        flying.filter(|flight| self.takes_slot(flight)).count()
    }

    /// Returns false for a rollout of somebody else that this run only watches, because it makes no
    /// progress.
    pub(super) fn takes_slot(&self, flight: &Flight) -> bool {
        if !flight.item.is_anothers {
            return true;
        }
        let observed = self.world.workload(&flight.item.task.key);
        observed.is_some_and(|observed| {
            let until = self.moves_until(observed, self.seen_since(flight));
            self.now < until && self.is_rolled_by_others(observed) != Some(false)
        })
    }

    fn foreign_flights(&self) -> impl Iterator<Item = &Flight> {
        let flying = self.flying.iter();
        flying.filter(|flight| flight.item.is_anothers)
    }

    fn seen_since(&self, flight: &Flight) -> Timestamp {
        let seen = self.foreign.get(&flight.item.task.key);
        seen.copied().unwrap_or(flight.since)
    }

    // Until when somebody else's rollout counts as one that makes progress. Each run sees it for the
    // first time, so its newest pods tell too.
    fn moves_until(&self, observed: &Observed, since: Timestamp) -> Timestamp {
        let newest = observed.newest_pods(self.world.pods(&observed.key));
        let moved = newest.filter_map(|pod| pod.created.max(pod.ready_since));
        let moved = moved.max().unwrap_or(since);
        after(moved.min(since), self.settings.timeout)
    }

    // Returns true if this run began the rollout, and it was given up or lost pods afterwards, and has
    // not recovered.
    fn is_unwhole(&self, observed: &Observed) -> bool {
        let item = self.over.get(&observed.key);
        item.is_some_and(|item| {
            if item.has_lost_pods() {
                return true;
            }
            // It has all its pods, and no more comes of its rollout.
            if observed.is_held_back_whole() {
                return false;
            }
            let given_up = match item.outcome {
                Some(Outcome::Failed | Outcome::Blocked | Outcome::Interrupted) => {
                    !item.is_anothers
                }
                // What others made of it is theirs.
                Some(Outcome::Proven | Outcome::Gone | Outcome::Superseded) | None => false,
            };
            item.began && given_up && item.task.uid == observed.uid && !observed.deleting
        })
    }

    // Returns whether a rollout that this run does not follow makes progress; `None` if there is no
    // such rollout.
    fn is_rolled_by_others(&self, observed: &Observed) -> Option<bool> {
        let is_left = observed.deleting || observed.is_held_back_whole();
        if is_left || !observed.under_way(self.now) {
            return None;
        }
        let newest = observed.newest_pods(self.world.pods(&observed.key));
        match with_pods(observed.standing.clone(), newest, self.now) {
            State::Progressing(_) => Some(true),
            State::HeldUp(_) | State::Failed(_) => Some(false),
            State::Settled | State::Superseded => None,
        }
    }

    /// Returns true if a workload that is rolled in this way may begin beside those in flight and
    /// those that keep a slot, without more unavailable pods than `--max-unavailable-pods`.
    pub(super) fn has_pods_to_spare(
        &self,
        key: &WorkloadRef,
        strategy: Strategy,
        keepers: &[Keeper],
    ) -> bool {
        let Some(most) = self.settings.wishes.max_unavailable else {
            return true;
        };
        let flying = self.flying.iter().filter(|flight| self.takes_slot(flight));
        let flying = flying.map(|flight| (&flight.item.task.key, flight.item.strategy));
        let kept = keepers.iter().filter(|keeper| keeper.slot);
        let kept = kept.map(|keeper| (&keeper.key, Strategy::Restart));
        let all = flying.chain(kept).filter(|(other, _)| *other != key);
        let all = all.chain([(key, strategy)]).map(|(key, strategy)| {
            let observed = self.world.workload(key);
            observed.map_or(0, |observed| unavailable(observed, strategy))
        });
        all.fold(0, u32::saturating_add) <= most
    }

    /// Notes whether nothing can start because others keep every slot, or the pods that may be
    /// unavailable; `is_full` says that a workload had no room.
    pub(super) fn note_jam(&mut self, is_full: bool, keepers: &[Keeper]) {
        let kept: Vec<&Keeper> = keepers.iter().filter(|keeper| keeper.slot).collect();
        if !is_full || self.taken() > 0 || self.waiting.is_empty() || kept.is_empty() {
            self.jam = None;
            return;
        }
        let first = kept.first().map(|keeper| keeper.key.to_string());
        let said = match (first, kept.len()) {
            (Some(first), 0 | 1) => format!("{first} keeps the slot: it is still rolling out"),
            (Some(first), more) => {
                let more = more - 1;
                format!("{first} and {more} more keep the slots: they are still rolling out")
            }
            (None, _) => String::new(),
        };
        let since = self.jam.as_ref().map_or(self.now, |jam| jam.since);
        let is_new = self.jam.is_none();
        self.wake_at_limit(since);
        self.jam = Some(Jam {
            since,
            said: said.clone(),
        });
        if is_new && let Some(item) = self.waiting.values().next() {
            let key = item.task.key.clone();
            let record = self.saying(item).held(self.counts(&key), &said);
            self.emit(record);
        }
    }

    /// Returns which workloads keep every slot, if nothing could start for the time of one workload.
    pub(super) fn jammed(&self) -> Option<&str> {
        let jam = self.jam.as_ref()?;
        let until = after(jam.since, self.settings.timeout);
        (self.now >= until).then_some(jam.said.as_str())
    }

    /// Asks to be woken when a wait that began at `since` has lasted for the time of one workload,
    /// or at the deadline.
    pub(super) fn wake_at_limit(&mut self, since: Timestamp) {
        let until = after(since, self.settings.timeout);
        if self.now < until {
            self.wake_at(until);
        }
        if let Some(deadline) = self.settings.deadline
            && self.now < deadline
        {
            self.wake_at(deadline);
        }
    }
}

// Pods that are not available already count as much as those that the roll takes away.
fn unavailable(observed: &Observed, strategy: Strategy) -> u32 {
    let missing = observed.pods.wanted.saturating_sub(observed.available);
    takes_away(observed, strategy).max(missing)
}
