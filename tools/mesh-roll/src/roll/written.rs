//! Handles the answer to a restart, and the read after one without a clear answer.

use jiff::SignedDuration;
use mesh_cli::DryRun;
use mesh_cluster::act::MANAGER;
use mesh_cluster::workload::rollout::Observed;
use mesh_records::{Outcome, WorkloadRef, after};

use super::conclusion::Conclusion;
use super::event::{Action, Answer};
use super::flight::Awaits;
use super::state::Roll;

/// How often the write to one workload is tried after conflicts and lost answers.
const ATTEMPTS: u32 = 10;
/// What is said where the answer to the restart does not have it.
const STRIPPED: &str = "the answer does not have what was written: an admission webhook or policy takes the restart out of it";
const PAUSE: SignedDuration = SignedDuration::from_secs(1);
/// How long to leave an API server alone that has too many requests.
const BUSY: SignedDuration = SignedDuration::from_secs(5);

impl Roll {
    pub(super) fn patched(&mut self, key: &WorkloadRef, answer: Answer) {
        let Some(flight) = self.flight(key) else {
            return;
        };
        match answer {
            Answer::Done(observed) if !flight.item.has_written(&observed) => {
                self.refused(key, STRIPPED);
            }
            Answer::Done(_) if self.settings.dry_run == DryRun::Server => {
                let record = self.saying(&flight.item).rehearsed(self.counts(key));
                self.emit(record);
                if let Some(flight) = self.land(key) {
                    self.over.insert(key.clone(), flight.item);
                }
            }
            Answer::Done(observed) => self.written(key, *observed),
            Answer::Refused(why) => self.refused(key, &why),
            Answer::Forbidden(why) => self.forbidden(key, why),
            Answer::Busy(why) if flight.item.attempts >= ATTEMPTS => self.refused(key, &why),
            Answer::Busy(why) => {
                let again = after(self.now, BUSY);
                let record = self.saying(&flight.item).busy(self.counts(key), &why);
                self.emit(record);
                self.try_again(key, Some(again));
            }
            Answer::Lost(why) => {
                let record = self.saying(&flight.item).unanswered(&why);
                self.emit(record);
                self.look_after_write(key, Some(format!("had no answer: {why}")));
            }
            Answer::Missing(why) => {
                self.look_after_write(key, Some(format!("found nothing there: {why}")));
            }
            Answer::Changed => self.look_after_write(key, None),
        }
    }

    // The look shows whether the write happened; `astray` says what became of it, unless another's came first.
    fn look_after_write(&mut self, key: &WorkloadRef, astray: Option<String>) {
        if let Some(flight) = self.flight_mut(key) {
            flight.item.astray = astray;
        }
        self.await_answer(key, Awaits::Look, Action::Look(key.clone()));
    }

    fn written(&mut self, key: &WorkloadRef, observed: Observed) {
        if let Some(flight) = self.flight_mut(key) {
            flight.written(&observed);
        }
        self.world.take_workload(observed);
    }

    /// Handles the read after a write without a clear answer. The annotation's value shows whether
    /// the write happened.
    pub(super) fn looked(
        &mut self,
        key: &WorkloadRef,
        answer: Result<Option<Box<Observed>>, String>,
    ) {
        let now = self.now;
        let Some(flight) = self.flight_mut(key) else {
            return self.looked_again(key, answer);
        };
        let observed = match answer {
            Ok(Some(observed)) => *observed,
            Ok(None) => return self.conclude(key, Conclusion::of(Outcome::Gone)),
            Err(_) => return flight.later(Awaits::NextLook, now),
        };
        let item = &flight.item;
        let attempts = item.attempts;
        let happened = item.has_written(&observed) && observed.uid == item.task.uid;
        if happened {
            return self.written(key, observed);
        }
        self.world.take_workload(observed);
        if attempts >= ATTEMPTS {
            let why = self.contended(key);
            return self.refused(key, &why);
        }
        // The first repetition comes at once; later ones wait longer, because somebody else
        // writes the object often.
        let tries = i32::try_from(attempts).unwrap_or(i32::MAX);
        let pause = PAUSE.saturating_mul(tries.saturating_sub(1));
        self.put_off(key, "the write did not happen");
        self.try_again(key, Some(after(now, pause)));
    }

    // Says why no write of this run came through: it had no answer, or somebody writes the workload so
    // often that none of this run is the next one.
    fn contended(&self, key: &WorkloadRef) -> String {
        let astray = self.flight(key).and_then(|it| it.item.astray.as_ref());
        if let Some(astray) = astray {
            return format!("none of {ATTEMPTS} writes came through; the last {astray}");
        }
        let observed = self.world.workload(key);
        let by = observed.map(|it| it.other_managers(MANAGER).join(", "));
        let by = by.filter(|by| !by.is_empty());
        let by = by.map_or_else(String::new, |by| format!(" (it is written by {by})"));
        format!("none of {ATTEMPTS} writes came through: somebody else changes it all the time{by}")
    }
}
