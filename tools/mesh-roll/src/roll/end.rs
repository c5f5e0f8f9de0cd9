//! Decides how a run ends, and its exit code.

use mesh_cli::{CANCELLED, DryRun, Exit};
use mesh_records::{Obstacle, Outcome, WorkloadRef};

use super::event::{Action, Finish};
use super::item::Item;
use super::limits::Stop;
use super::proof::is_current;
use super::state::{Phase, Roll, Settings};
use super::tally::Tally;

impl Roll {
    /// Ends the run if nothing is in flight and nothing more will start.
    pub(super) fn finish_if_done(&mut self) {
        let is_jammed = self.jammed().is_some();
        let nothing_starts = self.stop.is_some() || self.waiting.is_empty() || is_jammed;
        if !self.flying.is_empty() || !nothing_starts || self.is_settling() {
            self.is_not_at_the_end();
        } else if self.is_rechecked() {
            self.end_holds();
            self.finish();
        }
    }

    /// Ends the run at once after a second signal.
    pub(super) fn leave(&mut self, number: u8) {
        let reason = Some(self.reason("ended at once by a second signal"));
        self.end(Finish {
            exit: Exit::Signal(number),
            reason,
            hint: String::new(),
        });
    }

    pub(super) fn finish(&mut self) {
        if self.phase == Phase::Over {
            return;
        }
        let exit = self.exit();
        let is_cancelled =
            self.phase == Phase::Asking && matches!(self.stop, Some(Stop::Signal(_)));
        let why = match is_cancelled {
            true => Some(CANCELLED.to_owned()),
            false => self.stop.as_ref().map(Stop::sentence),
        };
        let jam = self
            .jammed()
            .map(|keepers| format!("nothing could start within --timeout: {keepers}"));
        let why = why.or(jam);
        let why = why.or_else(|| match exit {
            Exit::Yes => None,
            Exit::No if self.tally.failed > 0 => Some("a workload failed".to_owned()),
            Exit::No => Some("workloads were skipped and need attention".to_owned()),
            Exit::Failed | Exit::Stopped | Exit::BrokenPipe | Exit::Signal(_) => {
                Some(match self.made_anew() {
                    Some(key) => format!("{key} was deleted and made anew, and its pods have other proxies than new ones get"),
                    None => "workloads are not finished".to_owned(),
                })
            }
        });
        let Settings {
            paste, expected, ..
        } = &self.settings;
        let hint = self.stop.as_ref();
        let hint = hint.map(|stop| stop.hint(paste, &expected.namespace));
        let hint = hint.unwrap_or_default();
        let reason = why.filter(|_| exit != Exit::Yes);
        let reason = reason.map(|why| match is_cancelled {
            true => why,
            false => self.reason(&why),
        });
        self.end(Finish { exit, reason, hint });
    }

    fn exit(&self) -> Exit {
        let Self {
            tally, settings, ..
        } = self;
        if tally.failed > 0 {
            return Exit::No;
        }
        if let Some(stop) = &self.stop {
            let nothing_done = tally.writes == 0 || settings.dry_run != DryRun::None;
            let nothing_left = self.waiting.is_empty() && tally.open == 0 && self.has_planned();
            if matches!(stop, Stop::Blind(_)) || nothing_done && stop.is_a_refusal() {
                return Exit::Failed;
            }
            // Another run does not repair an injector, nor what a gate found.
            if matches!(stop, Stop::Injector(_) | Stop::Silent(_) | Stop::Gate(_)) {
                return Exit::No;
            }
            let told = matches!(stop, Stop::Signal(_) | Stop::ReaderGone);
            if told || !nothing_left {
                return Exit::Stopped;
            }
            // What was proven before is not watched to the end.
            if matches!(stop, Stop::Canary(_)) {
                return Exit::No;
            }
        }
        if tally.open > 0 || self.jammed().is_some() || self.made_anew().is_some() {
            return Exit::Stopped;
        }
        self.verdict()
    }

    // Returns a workload that was deleted since the survey and is there again, with pods that are not up to
    // date: nobody has judged that one.
    fn made_anew(&self) -> Option<&WorkloadRef> {
        let is_another = |(key, item): &(&WorkloadRef, &Item)| {
            let is_gone =
                item.outcome == Some(Outcome::Gone) || item.skipped == Some(Obstacle::Gone);
            let now = self.world.whole(key).filter(|_| is_gone);
            now.is_some_and(|it| it.uid != item.task.uid && !it.deleting)
        };
        let mut anew = self.over.iter().filter(is_another);
        let anew = anew.find(|(key, _)| {
            let mut pods = self.world.pods(key);
            pods.any(|pod| pod.proxy.is_some() && !is_current(pod, self.world.target()))
        });
        anew.map(|(key, _)| key)
    }

    fn verdict(&self) -> Exit {
        if self.settings.fail_on_attention && self.tally.attention > 0 {
            Exit::No
        } else {
            Exit::Yes
        }
    }

    fn reason(&self, why: &str) -> String {
        let Tally {
            proven,
            failed,
            open,
            ..
        } = self.tally;
        if !self.has_planned() {
            return why.to_owned();
        }
        let waiting = self.waiting.len();
        format!("{why}; {proven} done, {failed} failed, {open} unfinished, {waiting} not started")
    }

    fn has_planned(&self) -> bool {
        self.phase != Phase::Gathering
    }

    fn end(&mut self, finish: Finish) {
        self.phase = Phase::Over;
        self.out.push(Action::Finish(finish));
    }
}
