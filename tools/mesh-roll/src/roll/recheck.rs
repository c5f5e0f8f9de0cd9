//! Lists the pods of the proven workloads once more before the run says that all is well, and before
//! it says that a proven workload lost its pods: a watch may be silent without being closed.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use mesh_cluster::workload::rollout::{Observed, PodSeen, Problem};
use mesh_records::{Trouble, WorkloadRef, after};

use super::conclusion::Conclusion;
use super::event::Action;
use super::limits::Stop;
use super::state::Roll;
use super::vigil::{Source, Standing, is_late};

/// How often the list is tried.
const LISTS: u32 = 3;
const PAUSE: SignedDuration = SignedDuration::from_secs(1);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(30);

impl Roll {
    /// Returns true if lists at the end of the run showed every proven workload whole; otherwise asks for
    /// one. Where others go on taking pods away, no single list shows all of them whole.
    pub(super) fn is_rechecked(&mut self) -> bool {
        if !self.watches_on() || self.proven().is_empty() || self.recheck.is_done {
            return true;
        }
        let until = after(self.now, self.settings.timeout);
        self.recheck.until.get_or_insert(until);
        self.recheck.is_last |= !self.recheck.is_asked;
        self.recheck();
        false
    }

    /// Makes the lists so far count as older than the end of the run.
    pub(super) fn is_not_at_the_end(&mut self) {
        self.recheck.is_last = false;
        self.recheck.is_done = false;
        self.recheck.until = None;
    }

    /// Asks for a list of the pods of the proven workloads.
    pub(super) fn recheck(&mut self) {
        if self.recheck.is_asked || !self.recheck.listed.is_empty() {
            return;
        }
        if let Some(at) = self.recheck.not_before
            && self.now < at
        {
            return self.wake_at(at);
        }
        self.recheck.is_asked = true;
        self.out.push(Action::ListProven(self.proven()));
    }

    /// Handles the list of the pods of the proven workloads.
    pub(super) fn listed_proven(&mut self, pods: Result<Vec<PodSeen>, String>) {
        self.recheck.is_asked = false;
        let pods = match pods {
            Ok(pods) => pods,
            Err(why) => return self.not_rechecked(&why),
        };
        let mut of: BTreeMap<WorkloadRef, Vec<PodSeen>> = BTreeMap::new();
        for pod in pods {
            let owner = pod.owner.clone();
            if let Some(owner) = owner.filter(|owner| self.world.is_own(owner, &pod)) {
                of.entry(owner).or_default().push(pod);
            }
        }
        let mut is_whole = true;
        for key in self.proven() {
            // A workload without pods in the list has none.
            let pods = of.remove(&key).unwrap_or_default();
            let fresh = pods.iter().filter(|pod| self.world.is_fresh(pod));
            if let Some(problem) = self.fresh_fault(&key, fresh) {
                is_whole = false;
                self.break_off(&key, problem);
                continue;
            }
            let observed = self.world.whole(&key).cloned();
            match self.standing_in(&key, observed.as_ref(), &pods) {
                Standing::Whole | Standing::Left => self.is_well(&key),
                Standing::Short(problem) if !self.is_short_for_too_long(&key) => {
                    is_whole &= self.was_whole_enough(&key, &problem);
                }
                // The watch of the workloads may be silent too.
                Standing::Short(_) | Standing::Fallen(_) => {
                    is_whole = false;
                    self.recheck.listed.insert(key.clone(), pods);
                    self.out.push(Action::Look(key));
                }
            }
        }
        if self.recheck.listed.is_empty() {
            self.recheck.failures = 0;
        }
        self.recheck.is_done = is_whole && self.recheck.is_last;
        self.recheck.is_last = false;
        if !is_whole {
            self.recheck_later();
        }
    }

    /// Handles the object of a proven workload whose listed pods seem to have failed.
    pub(super) fn looked_again(
        &mut self,
        key: &WorkloadRef,
        answer: Result<Option<Box<Observed>>, String>,
    ) {
        let Some(pods) = self.recheck.listed.remove(key) else {
            return;
        };
        let observed = match answer {
            Ok(observed) => observed,
            Err(why) => return self.not_rechecked(&why),
        };
        self.recheck.failures = 0;
        match self.standing_in(key, observed.as_deref(), &pods) {
            Standing::Whole | Standing::Left => self.is_well(key),
            Standing::Short(problem) if self.is_short_for_too_long(key) => self.fall(key, problem),
            Standing::Short(_) => {}
            Standing::Fallen(problem) => self.fall(key, problem),
        }
        if let Some(observed) = observed {
            self.world.take_workload(*observed);
        }
    }

    /// Ends the run because a proven workload did not stay ready.
    pub(super) fn fall(&mut self, key: &WorkloadRef, problem: Problem) {
        if let Some(item) = self.over.get_mut(key) {
            item.vigil = None;
        }
        self.stop(Stop::Fallen);
        self.conclude(
            key,
            Conclusion::failed(Trouble::ReadinessLost, Some(problem)),
        );
    }

    fn proven(&self) -> Vec<WorkloadRef> {
        let proven = self.over.iter().filter(|(_, item)| item.vigil.is_some());
        proven.map(|(key, _)| key.clone()).collect()
    }

    fn standing_in(
        &self,
        key: &WorkloadRef,
        observed: Option<&Observed>,
        pods: &[PodSeen],
    ) -> Standing {
        let item = self.over.get(key);
        let item = item.and_then(|item| Some((item, item.vigil.as_ref()?)));
        let Some((item, vigil)) = item else {
            return Standing::Left;
        };
        let observed = observed.filter(|it| it.uid == item.task.uid && !it.deleting);
        match observed {
            Some(observed) => {
                vigil.standing(observed.pods.wanted, pods.iter(), Source::List, self.now)
            }
            None => Standing::Left,
        }
    }

    // Notes that the list shows a workload whole, or that somebody else changed it.
    fn is_well(&mut self, key: &WorkloadRef) {
        if let Some(item) = self.over.get_mut(key)
            && let Some(vigil) = &mut item.vigil
        {
            vigil.short = None;
            vigil.listed_short = None;
            if self.recheck.is_last && is_late(self.recheck.until, self.now) {
                vigil.whole_until = self.recheck.until;
            }
        }
    }

    // Returns true if a late look has shown a workload whole that has too few ready pods now, and says so.
    fn was_whole_enough(&mut self, key: &WorkloadRef, problem: &Problem) -> bool {
        let Some(item) = self.over.get(key) else {
            return false;
        };
        let until = self.recheck.until.filter(|_| self.recheck.is_last);
        let vigil = item.vigil.as_ref();
        let is_enough = until.is_some() && vigil.is_some_and(|it| it.whole_until == until);
        if is_enough {
            let record = self.saying(item).short(self.counts(key), &problem.said);
            self.emit(record);
        }
        is_enough
    }

    fn is_short_for_too_long(&mut self, key: &WorkloadRef) -> bool {
        let (now, timeout) = (self.now, self.settings.timeout);
        let item = self.over.get_mut(key);
        let vigil = item.and_then(|item| item.vigil.as_mut());
        vigil.is_some_and(|vigil| {
            let listed = *vigil.listed_short.get_or_insert(now);
            let since = vigil.short.map_or(listed, |short| short.min(listed));
            now >= after(since, timeout)
        })
    }

    fn recheck_later(&mut self) {
        let pause = PAUSE.saturating_mul(2_i32.saturating_pow(self.recheck.times.min(5)));
        self.recheck.times = self.recheck.times.saturating_add(1);
        self.recheck.not_before = Some(after(self.now, pause.min(LONGEST_PAUSE)));
    }

    fn not_rechecked(&mut self, why: &str) {
        self.recheck.is_last = false;
        self.recheck.failures += 1;
        self.recheck_later();
        if self.recheck.failures >= LISTS {
            let what = "cannot see whether the pods that were proven stayed ready";
            self.be_blind(format!("{what}: {why}"));
        }
    }

    /// Ends the run, because nothing that is known can be trusted any more, whatever stopped it
    /// before.
    pub(super) fn be_blind(&mut self, what: String) {
        self.stop = Some(Stop::Blind(what));
        self.interrupt();
    }
}
