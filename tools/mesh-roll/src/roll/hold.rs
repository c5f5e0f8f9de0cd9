//! Workloads that wait before they are started: for a PodDisruptionBudget, or for what refuses their
//! new pods.

use jiff::Timestamp;
use mesh_cli::DryRun;
use mesh_records::{Obstacle, ProgressPods, Trouble, WorkloadRef, after};

use super::budget;
use super::conclusion::{Conclusion, problem};
use super::decide::Decision;
use super::item::{Held, Hold, Item};
use super::limits::{self, Stop};
use super::slots::Keeper;
use super::state::Roll;
use super::way::evicts;

const UNHEALTHY: &str = "its health";

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
                let by = shared.meta.name.clone();
                return Some(Hold {
                    trouble: Trouble::Budget,
                    said: format!(
                        "PodDisruptionBudget {by} also counts {other}, which is not whole"
                    ),
                    by,
                    by_a_flight,
                });
            }
        }
        // The API server itself asks the budget of an eviction.
        let strategy = self.item(key)?.strategy;
        let overridden = !evicts(strategy) && self.settings.wishes.overrides_budgets(key);
        let lack = budget::no_room(&self.world, observed, strategy, overridden)?;
        Some(Hold {
            trouble: Trouble::Budget,
            by: lack.budget,
            said: lack.said,
            by_a_flight: false,
        })
    }

    /// Checks the conditions for starting and writing.
    pub(super) fn may_write(&mut self) -> bool {
        let (world, expected) = (&self.world, &self.settings.expected);
        let hold = limits::may_write(world, expected, &self.times(), self.now);
        if !matches!(hold, Err(limits::Hold::NoEndpoint(_))) {
            self.silent = None;
        }
        match hold {
            Ok(()) => return true,
            Err(limits::Hold::Stop(stop)) => self.stop(stop),
            Err(limits::Hold::Listing) => {}
            Err(limits::Hold::NoEndpoint(service)) => {
                let known = self.silent.filter(|(known, _)| *known == service);
                if known.is_none() {
                    let what = limits::silent(service);
                    let said = format!("{what}: nothing is started until it has");
                    self.say(said, ProgressPods::default());
                }
                let since = self.silent.map_or(self.now, |(_, since)| since);
                self.silent = Some((service, since));
                let until = after(since, self.settings.timeout);
                if self.now >= until {
                    self.stop(Stop::Silent(service));
                } else {
                    self.wake_at(until);
                }
            }
        }
        false
    }

    /// Says before the first restart which workloads wait until they are healthy, because those hold
    /// up no wave.
    pub(super) fn hold_the_unhealthy(&mut self) {
        let waiting = self.waiting.values();
        let unhealthy = waiting.filter(|item| matches!(self.decide(item), Decision::Later(_)));
        let unhealthy: Vec<WorkloadRef> = unhealthy.map(|item| item.task.key.clone()).collect();
        for key in unhealthy {
            self.hold_until_healthy(&key);
        }
    }

    /// Lets a workload wait that is unhealthy, such as by an autoscaler or by a drain: it may be well
    /// again in seconds. It is skipped if it was not for the time of one workload, and nothing else
    /// is left to be done.
    pub(super) fn hold_until_healthy(&mut self, key: &WorkloadRef) {
        self.ask_nodes_of(key);
        self.ask_nodes_of_late_pods(key);
        let said = self.ill_health(key);
        if self.settings.dry_run != DryRun::None {
            return self.would_hold(key, &said);
        }
        let hold = Hold {
            trouble: Trouble::ReadinessLost,
            by: UNHEALTHY.to_owned(),
            said,
            by_a_flight: false,
        };
        let pods = self.world.pods(key).chain(self.world.stranded(key));
        let unready = pods.filter_map(|pod| pod.unready_since);
        // What was unhealthy long before the run hardly gets well in its last minutes.
        let since = unready.min().map_or(self.now, |since| since.min(self.now));
        self.hold_since(key, hold, since);
    }

    // A dry run does not wait for anybody.
    fn would_hold(&mut self, key: &WorkloadRef, said: &str) {
        if let Some(item) = self.take_item(key) {
            let record = self.saying(&item).held(self.counts(key), said);
            self.emit(record);
            self.tally.skipped(Obstacle::WorkloadUnhealthy);
            self.over.insert(key.clone(), item);
        }
    }

    /// Lets a workload wait, for at most the time of one workload; then it is blocked.
    pub(super) fn hold(&mut self, key: &WorkloadRef, hold: Hold) {
        self.hold_since(key, hold, self.now);
    }

    fn hold_since(&mut self, key: &WorkloadRef, hold: Hold, began: Timestamp) {
        let now = self.now;
        let Some(item) = self.item_mut(key) else {
            return;
        };
        let before = item.held.as_ref();
        let by_a_flight = hold.by_a_flight;
        // Another workload in flight passes sooner than what refuses the new pods.
        if by_a_flight && before.is_some_and(|held| held.hold.trouble != hold.trouble) {
            return;
        }
        let is_known = before.is_some_and(|held| held.hold.by == hold.by);
        let since = before.filter(|_| !by_a_flight);
        let since = since.map_or(began, |held| held.since);
        let times = before.map_or(0, |held| held.times.saturating_add(1));
        let is_ill = hold.trouble == Trouble::ReadinessLost;
        let said = hold.said.clone();
        item.held = Some(Held { hold, since, times });
        if !is_known && let Some(item) = self.item(key) {
            let record = self.saying(item).held(self.counts(key), &said);
            self.emit(record);
        }
        if by_a_flight {
            return;
        }
        if now < after(since, self.settings.timeout) {
            self.wake_at_limit(since);
        } else if !is_ill || !self.has_others(key) {
            self.blocked_by_its_hold(key);
        }
    }

    // Returns true if others that this workload does not hold up are in flight, or may still begin.
    fn has_others(&self, key: &WorkloadRef) -> bool {
        let Some(item) = self.item(key) else {
            return false;
        };
        let is_ill = |item: &Item| {
            let held = item.held.as_ref();
            held.is_some_and(|held| held.hold.trouble == Trouble::ReadinessLost)
        };
        let waiting = self.waiting.values().filter(|item| !is_ill(item));
        let flying = self.flying.iter().map(|flight| &flight.item);
        let wave = &item.rank.wave;
        flying
            .chain(waiting)
            .any(|other| !self.holds_up(wave, &other.rank.wave))
    }

    /// Ends workloads that waited until the deadline of the run.
    pub(super) fn end_holds(&mut self) {
        if self.stop != Some(Stop::Deadline) {
            return;
        }
        let held = self.waiting.values().filter(|item| {
            let held = item.held.as_ref();
            held.is_some_and(|held| !held.hold.by_a_flight)
        });
        let held: Vec<WorkloadRef> = held.map(|item| item.task.key.clone()).collect();
        for key in held {
            self.blocked_by_its_hold(&key);
        }
    }

    fn blocked_by_its_hold(&mut self, key: &WorkloadRef) {
        let held = self.item_mut(key).and_then(|item| item.held.take());
        if let Some(Held { hold, .. }) = held {
            if hold.trouble == Trouble::ReadinessLost {
                if let Some(item) = self.take_item(key) {
                    self.skip(item, Obstacle::WorkloadUnhealthy, Some(&hold.said));
                }
                return;
            }
            let problem = problem(hold.trouble, hold.said);
            self.conclude(key, Conclusion::blocked(hold.trouble, Some(problem)));
        }
    }
}
