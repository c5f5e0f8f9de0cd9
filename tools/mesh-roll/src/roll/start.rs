//! Starts: what may begin now, and the one gate before every write.

use jiff::{SignedDuration, Timestamp};
use mesh_cli::DryRun;
use mesh_cluster::act::Restart;
use mesh_records::{Outcome, Trouble, WorkloadRef};

use super::decide::Decision;
use super::flight::{Ending, Flight};
use super::limits::{Hold, may_write};
use super::order::Wave;
use super::{Action, Answer, Item, Roll, Stage, Stop};

/// How often one workload's write is tried after conflicts and lost answers.
const ATTEMPTS: u32 = 10;
pub(super) const PAUSE: SignedDuration = SignedDuration::from_secs(1);

impl Roll {
    /// Starts what may start now, in order.
    pub(super) fn start(&mut self) {
        let full = self.flying.len() >= self.settings.max_in_flight;
        if full || self.stop.is_some() || !self.has_waiting() || !self.may_write() {
            return;
        }
        let Some(wave) = self.wave() else { return };
        // Places kept for those that wait for a proof of the injector: the order stays.
        let mut kept = 0;
        for place in 0..self.items.len() {
            if self.items[place].rank.wave > wave || !self.may_start_another(wave, kept) {
                return;
            }
            let waits = matches!(self.items[place].stage, Stage::Waiting);
            if waits && self.is_due(place) && !self.begin(place) {
                kept += 1;
            }
        }
    }

    // False where it may start as soon as the injector is proven.
    fn begin(&mut self, place: usize) -> bool {
        let Item { task, rank, .. } = &self.items[place];
        let decision = self.decide(&self.items[place]);
        let (wave, namespace) = (rank.wave, task.key.namespace.clone());
        match decision {
            Decision::Skip(obstacle) => self.skip(place, obstacle),
            Decision::Adopt | Decision::Restart if self.shares_a_budget(place) => {}
            Decision::Adopt => self.adopt(place),
            Decision::Restart if self.is_proven(wave, namespace) => self.check(place),
            Decision::Restart => return false,
        }
        true
    }

    pub(super) fn adopt(&mut self, place: usize) {
        self.note_versions(place);
        let pods = self.counts(place);
        let record = self.saying(place).adopted(pods);
        self.emit(record);
        if self.settings.dry_run == DryRun::Server {
            self.items[place].stage = Stage::Over;
            return;
        }
        self.fly_with(place, Flight::adopted(self.now));
    }

    pub(super) fn announce(&mut self, place: usize, version: String) {
        self.note_versions(place);
        let value = self.restart_value(place);
        let again = self.items[place].attempts > 0;
        let pods = self.counts(place);
        let record = self.saying(place).announcement(pods, again);
        self.items[place].value = Some(value.clone());
        let flight = Flight::restarting(value, version, self.now);
        self.fly_with(place, flight);
        let key = self.items[place].task.key.clone();
        self.out.push(Action::Announce(key, Box::new(record)));
    }

    /// The record is out: the last look before the write, on the facts of this moment.
    pub(super) fn announced(&mut self, key: &WorkloadRef, lock: Result<(), String>) {
        let Some(place) = self.flying_at(key) else {
            return;
        };
        if let (Err(why), DryRun::None) = (lock, self.settings.dry_run) {
            self.stop(Stop::LockLost(why));
        }
        let decision = self.decide(&self.items[place]);
        if self.stop.is_some() || !self.may_write() {
            match self.stop.as_ref().map(Stop::trouble) {
                Some(trouble) => self.end_flight(place, interrupted(trouble)),
                None => self.wait_again(place, None),
            }
            return;
        }
        let Stage::Flying(flight) = &self.items[place].stage else {
            return;
        };
        if decision != Decision::Restart {
            self.wait_again(place, None);
            return;
        }
        let restart = Restart {
            key: key.clone(),
            resource_version: flight.version.clone(),
            value: self.items[place].value.clone().unwrap_or_default(),
            dry_run: self.settings.dry_run == DryRun::Server,
        };
        self.items[place].attempts += 1;
        self.tally.writes += 1;
        self.set_stage(place, super::flight::Stage::Writing);
        self.out.push(Action::Patch(restart));
    }

    pub(super) fn patched(&mut self, key: &WorkloadRef, answer: Answer) {
        let Some(place) = self.flying_at(key) else {
            return;
        };
        match answer {
            Answer::Done(_) if self.settings.dry_run == DryRun::Server => {
                let record = self.saying(place).rehearsed(self.counts(place));
                self.emit(record);
                self.land(place);
                self.items[place].stage = Stage::Over;
            }
            Answer::Done(observed) => {
                if let Stage::Flying(flight) = &mut self.items[place].stage {
                    flight.written(&observed);
                }
                self.world.take_workload(*observed);
            }
            Answer::Gone => self.end_flight(place, ending(Outcome::Gone, None)),
            Answer::Refused(why) => {
                let record = self.saying(place).refused(&why);
                self.emit(record);
                self.end_flight(place, ending(Outcome::Failed, Some(Trouble::Refused)));
            }
            Answer::Lost(why) => {
                let record = self.saying(place).unanswered(&why);
                self.emit(record);
                self.set_stage(place, super::flight::Stage::Looking);
                self.out.push(Action::Look(key.clone()));
            }
            Answer::Conflict => {
                self.set_stage(place, super::flight::Stage::Looking);
                self.out.push(Action::Look(key.clone()));
            }
        }
    }

    /// Whether the write happened after all is told by the value that it bore.
    pub(super) fn looked(
        &mut self,
        key: &WorkloadRef,
        answer: Result<Option<Box<mesh_cluster::workload::rollout::Observed>>, String>,
    ) {
        let Some(place) = self.flying_at(key) else {
            return;
        };
        let observed = match answer {
            Ok(Some(observed)) => *observed,
            Ok(None) => return self.end_flight(place, ending(Outcome::Gone, None)),
            Err(_) => {
                if let Stage::Flying(flight) = &mut self.items[place].stage {
                    flight.later(super::flight::Stage::Unanswered, self.now);
                }
                return;
            }
        };
        let happened = observed.restarted_at() == self.items[place].value.as_deref()
            && observed.uid == self.items[place].task.uid;
        if happened && let Stage::Flying(flight) = &mut self.items[place].stage {
            flight.written(&observed);
        }
        self.world.take_workload(observed);
        if happened {
            return;
        }
        if self.items[place].attempts >= ATTEMPTS {
            self.end_flight(place, ending(Outcome::Failed, Some(Trouble::Refused)));
            return;
        }
        match self.stop.as_ref().map(Stop::trouble) {
            Some(trouble) => self.end_flight(place, interrupted(trouble)),
            None => {
                let tries = i32::try_from(self.items[place].attempts).unwrap_or(i32::MAX);
                // At once the first time; whoever writes all the time is given way.
                let pause = PAUSE * (tries - 1);
                self.wait_again(place, Some(self.now + pause));
            }
        }
    }

    pub(super) fn wait_again(&mut self, place: usize, not_before: Option<Timestamp>) {
        self.land(place);
        let item = &mut self.items[place];
        item.stage = Stage::Waiting;
        item.not_before = not_before;
    }

    // The gate: what has to hold whenever anything is started or written.
    fn may_write(&mut self) -> bool {
        let (world, expected) = (&self.world, &self.settings.expected);
        let hold = may_write(world, expected, &self.times(), self.now);
        if hold != Err(Hold::NoEndpoint) {
            self.no_endpoint_since = None;
        }
        match hold {
            Ok(()) => return true,
            Err(Hold::Stop(stop)) => self.stop(stop),
            Err(Hold::Listing) => {}
            Err(Hold::NoEndpoint) => {
                let since = *self.no_endpoint_since.get_or_insert(self.now);
                let until = since + self.settings.timeout;
                if self.now >= until {
                    let what = "the proxy injector has no ready endpoint".to_owned();
                    self.stop(Stop::Injector(what));
                } else {
                    self.wake_at(until);
                }
            }
        }
        false
    }

    fn has_waiting(&self) -> bool {
        let mut items = self.items.iter();
        items.any(|item| matches!(item.stage, Stage::Waiting))
    }

    // The wave that is being rolled: that of the first workload that is not over.
    fn wave(&self) -> Option<Wave> {
        let mut items = self.items.iter();
        let first = items.find(|item| !matches!(item.stage, Stage::Over))?;
        Some(first.rank.wave)
    }

    fn may_start_another(&self, wave: Wave, kept: usize) -> bool {
        let most = match wave {
            Wave::Doors => 1,
            Wave::Deployments | Wave::DaemonSets | Wave::StatefulSets => {
                self.settings.max_in_flight
            }
        };
        self.stop.is_none() && self.flying.len() + kept < most
    }

    fn is_due(&mut self, place: usize) -> bool {
        match self.items[place].not_before {
            Some(at) if self.now < at => {
                self.wake_at(at);
                false
            }
            Some(_) | None => true,
        }
    }

    fn shares_a_budget(&self, place: usize) -> bool {
        let Some(observed) = self.world.workload(&self.items[place].task.key) else {
            return false;
        };
        let others = self.flying.iter().map(|other| &self.items[*other].task.key);
        let mut others = others.filter_map(|key| self.world.workload(key));
        others.any(|other| self.world.share_a_budget(observed, other))
    }

    // kubectl refuses a second restart within one second; a later value keeps the two apart.
    fn restart_value(&self, place: usize) -> String {
        let item = &self.items[place];
        if let Some(value) = &item.value {
            return value.clone();
        }
        let before = self.world.workload(&item.task.key);
        let before = before.and_then(|observed| observed.restarted_at());
        let before = before.and_then(|value| value.parse::<Timestamp>().ok());
        let second = |at: Timestamp| Timestamp::from_second(at.as_second()).unwrap_or(at);
        let mut at = second(self.now);
        if let Some(before) = before
            && before >= at
        {
            at = second(before) + SignedDuration::from_secs(1);
        }
        at.to_string()
    }
}

pub(super) fn ending(outcome: Outcome, reason: Option<Trouble>) -> Ending {
    Ending {
        outcome,
        reason,
        proven: 0,
    }
}

pub(super) fn interrupted(trouble: Trouble) -> Ending {
    ending(Outcome::Interrupted, Some(trouble))
}
