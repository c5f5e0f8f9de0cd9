//! Watches proven workloads until the run ends, because a pod may become ready and fail afterwards.

use mesh_cluster::act::MANAGER;
use mesh_records::{ProgressPods, Record, WorkloadRef, after};

use super::say::settling;
use super::state::Roll;
use super::vigil::{GRACE, Source, Standing, is_late};

impl Roll {
    /// Looks at a proven workload whose object or pods have changed.
    pub(super) fn check_proven(&mut self, key: &WorkloadRef) {
        let Some(item) = self.over.get(key) else {
            return;
        };
        let Some(vigil) = &item.vigil else { return };
        // It was proven on all its nodes, so one that is lost since then counts.
        let observed = self.world.whole(key);
        let observed = observed.filter(|it| it.uid == item.task.uid && !it.deleting);
        let standing = observed.map_or(Standing::Left, |it| {
            let pods = self.world.own_pods(key);
            vigil.standing(it.pods.wanted, pods, Source::Watch, self.now)
        });
        self.stands(key, standing);
    }

    /// Looks at the proven workloads that have too few ready pods.
    pub(super) fn check_short(&mut self) {
        let over = self.over.iter().filter(|(_, item)| item.is_short());
        let keys: Vec<WorkloadRef> = over.map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.check_proven(&key);
        }
    }

    fn stands(&mut self, key: &WorkloadRef, standing: Standing) {
        let (now, timeout) = (self.now, self.settings.timeout);
        let Some(item) = self.over.get_mut(key) else {
            return;
        };
        let Some(vigil) = &mut item.vigil else { return };
        match standing {
            Standing::Whole => {
                vigil.seen_whole = true;
                vigil.short = None;
            }
            Standing::Short(_) => {
                // A list that is on its way may be older.
                self.recheck.is_last &= vigil.short.is_some() || is_late(self.recheck.until, now);
                let since = *vigil.short.get_or_insert(now);
                let (grace, until) = (after(since, GRACE), after(since, timeout));
                // The watch may have gone silent, so a list decides.
                if now >= until {
                    self.recheck();
                } else {
                    self.wake_at(if now < grace { grace.min(until) } else { until });
                }
            }
            Standing::Fallen(problem) => self.fall(key, problem),
            Standing::Left => {
                item.vigil = None;
                self.say_left(key);
            }
        }
    }

    // What others make of it after the proof is theirs, but no longer what was proven.
    fn say_left(&mut self, key: &WorkloadRef) {
        let Some(item) = self.over.get(key) else {
            return;
        };
        let observed = self.world.workload(key);
        let observed = observed.filter(|it| it.uid == item.task.uid && !it.deleting);
        let by = observed.map(|it| it.other_managers(MANAGER).join(", "));
        let record = self.saying(item).left(self.counts(key), by.as_deref());
        self.emit(record);
    }

    /// Returns true if the proven workloads must be watched for longer before the run may end.
    pub(super) fn is_settling(&mut self) -> bool {
        let watches_on = self.watches_on();
        let vigils = self.over.values().filter(|item| item.vigil.is_some());
        let Some(last) = self.last_proof.filter(|_| watches_on && vigils.count() > 0) else {
            return false;
        };
        let until = after(last, self.settings.settle);
        let is_settling = self.now < until;
        if is_settling {
            self.wake_at(until);
        }
        if is_settling && !std::mem::replace(&mut self.said_settling, true) {
            let left = until.duration_since(self.now).as_secs();
            let record = self.settling(left);
            self.emit(record);
        }
        is_settling
    }

    fn settling(&self, left: i64) -> Record {
        let mut pods = ProgressPods::default();
        let proven = self.over.iter().filter(|(_, item)| item.vigil.is_some());
        let mut number = 0;
        for (key, _) in proven {
            let of_one = self.counts(key);
            pods.wanted = pods.wanted.saturating_add(of_one.wanted);
            pods.updated = pods.updated.saturating_add(of_one.updated);
            pods.ready = pods.ready.saturating_add(of_one.ready);
            number += 1;
        }
        settling(&self.settings.cluster, self.now, number, left, pods)
    }
}
