//! What an action does: a line for each event that somebody waits for, and the sum at the end.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mesh_records::{
    Deed, End, EndOutcome, InFlight, Intent, Obstacle, Outcome, Progress, Record, Rolled,
    SkipClass, Skipped, Step, StepName, StepState, Tool,
};

use super::look::{Look, Symbol, Tone};
use super::text::{MANY, beside, many, next, rows, took};
use crate::Clean;

/// What an action has done so far.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// Whether every record has its line.
    is_wide: bool,
    /// Whether a question shows the plan, so that no line needs to.
    pub(super) is_asked: bool,
    /// Whether what is in flight is shown while it is.
    pub(super) is_live: bool,
    started: Option<Timestamp>,
    planned: Option<usize>,
    is_dry: bool,
    proven: usize,
    unproven: Vec<String>,
    failed: usize,
    attention: Vec<String>,
    quiet: BTreeMap<Obstacle, u64>,
    slowest: Option<(u64, String)>,
    done: Option<String>,
}

// === impl Account ===

impl Account {
    pub(super) fn new(is_wide: bool) -> Self {
        Self {
            is_wide,
            ..Self::default()
        }
    }

    /// Counts a record, and returns the text that is shown at once.
    pub(super) fn line(&mut self, record: &Record, look: Look) -> Option<String> {
        match record {
            Record::Intent(intent) => self.intent(intent, look),
            Record::Step(step) => self.step(step, look),
            Record::Progress(progress) => self.progress(progress),
            Record::Rolled(rolled) => self.rolled(rolled, look),
            Record::Skipped(skipped) => self.skipped(skipped, look),
            Record::Stream(_)
            | Record::ControlPlane(_)
            | Record::Extension(_)
            | Record::Workload(_)
            | Record::Proxy(_)
            | Record::Anomaly(_)
            | Record::Unseen(_)
            | Record::Finding(_)
            | Record::Plan(_)
            | Record::Verdict(_)
            | Record::End(_) => None,
        }
    }

    fn intent(&mut self, intent: &Intent, look: Look) -> Option<String> {
        self.planned = Some(intent.deeds.len());
        self.is_dry = intent.dry_run.is_some();
        self.started = Some(intent.time);
        if self.is_asked {
            return None;
        }
        let mut text = format!("{}\n", Clean(&intent.message));
        let would = if self.is_dry { "would " } else { "" };
        let deeds = intent.deeds.iter();
        text.extend(
            deeds.map(|Deed { verb, object }| {
                format!("  {would}{} {}\n", Clean(verb), Clean(object))
            }),
        );
        for warning in &intent.warnings {
            text += &beside(look, (Tone::Warn, "  warning"), 9, (Tone::Plain, warning));
        }
        Some(text + &look.paint(Tone::Dim, &format!("  digest {}", intent.digest)) + "\n")
    }

    fn step(&mut self, step: &Step, look: Look) -> Option<String> {
        self.started = self.started.or(Some(step.time));
        let message = Clean(&step.message).to_string();
        let (symbol, tone) = match step.state {
            StepState::Started if self.is_live => return None,
            StepState::Started => return Some(message + "\n"),
            StepState::Done => {
                // What the run was for is said at its end, rather than what came last.
                let is_last = !matches!(step.step, StepName::Prove | StepName::Afterwards);
                if is_last || self.done.is_none() {
                    self.done = Some(step.message.clone());
                }
                (Symbol::Done, Tone::Good)
            }
            StepState::Failed => (Symbol::Failed, Tone::Bad),
            StepState::Skipped => (Symbol::Note, Tone::Dim),
        };
        let took = step.duration_ms.filter(|it| *it >= 100).map(took);
        let took = took.map_or(String::new(), |took| format!(" ({took})"));
        Some(format!(
            "{} {message}{took}\n",
            look.paint(tone, look.symbol(symbol))
        ))
    }

    fn progress(&self, progress: &Progress) -> Option<String> {
        let is_workload = matches!(progress.of, Some(InFlight::Workload { .. }));
        // Progress with a reason repeats often during one rollout; people need only its start and
        // its result.
        let is_shown = match (&progress.of, &progress.reason) {
            (Some(_), None) => !self.is_live || self.is_dry,
            (Some(_), Some(_)) => !is_workload && !self.is_live,
            (None, _) => !self.is_live || self.is_dry,
        };
        is_shown.then(|| format!("{}\n", Clean(&progress.message)))
    }

    fn rolled(&mut self, rolled: &Rolled, look: Look) -> Option<String> {
        let Rolled {
            identity,
            message,
            pods,
            duration_ms,
            ..
        } = rolled;
        let (symbol, tone) = match rolled.outcome {
            Outcome::Proven => {
                self.proven = self.proven.saturating_add(1);
                let this = (*duration_ms, identity.to_string());
                self.slowest = self.slowest.take().max(Some(this));
                let words = format!(
                    "{identity}  {}  {}",
                    many(pods.wanted.into(), "pod"),
                    took(*duration_ms)
                );
                let symbol = look.paint(Tone::Good, look.symbol(Symbol::Done));
                return Some(format!("{symbol} {}\n", Clean(&words)));
            }
            Outcome::Failed => {
                self.failed = self.failed.saturating_add(1);
                (Symbol::Failed, Tone::Bad)
            }
            Outcome::Blocked | Outcome::Interrupted | Outcome::Superseded => {
                (Symbol::Warning, Tone::Warn)
            }
            Outcome::Gone => {
                return Some(format!(
                    "{} {}\n",
                    look.symbol(Symbol::Note),
                    Clean(message)
                ));
            }
        };
        self.unproven.push(message.clone());
        Some(format!(
            "{} {}\n",
            look.paint(tone, look.symbol(symbol)),
            Clean(message)
        ))
    }

    fn skipped(&mut self, skipped: &Skipped, look: Look) -> Option<String> {
        let symbol = match skipped.class {
            SkipClass::Attention => {
                self.attention.push(skipped.identity.to_string());
                look.paint(Tone::Warn, look.symbol(Symbol::Warning))
            }
            SkipClass::Expected => {
                let count = self.quiet.entry(skipped.reason).or_default();
                *count = count.saturating_add(1);
                if !self.is_wide {
                    return None;
                }
                look.paint(Tone::Dim, look.symbol(Symbol::Note))
            }
        };
        Some(format!("{symbol} {}\n", Clean(&skipped.message)))
    }

    /// Returns the sum of the run, if it has begun something.
    pub(super) fn sum(&self, end: &End, ended: Option<Timestamp>, look: Look) -> String {
        if self.planned.is_none() && self.done.is_none() {
            return String::new();
        }
        let (word, tone) = match (self.is_dry, end.outcome, end.exit) {
            (true, EndOutcome::Complete, 0) => ("DRY RUN", Tone::Good),
            (true, _, _) => ("DRY RUN", Tone::Warn),
            (false, EndOutcome::Complete, 0) => ("DONE", Tone::Good),
            (false, EndOutcome::Complete, _) => ("NOT DONE", Tone::Bad),
            (false, EndOutcome::Stopped, _) => ("STOPPED", Tone::Warn),
            (false, EndOutcome::Failed, _) => ("FAILED", Tone::Bad),
        };
        let is_begun = self.proven > 0 || !self.unproven.is_empty() || self.is_dry;
        let said = match end.tool {
            Tool::MeshRoll if is_begun || end.reason.is_none() => self.rolls(ended),
            Tool::MeshRoll => end.reason.clone().unwrap_or_default(),
            Tool::MeshSurvey | Tool::MeshSkewcheck | Tool::MeshCpUpgrade => self.upgrade(end),
        };
        let mut text = beside(look, (tone, word), word.len(), (Tone::Plain, &said));
        text += &rows("failed", &self.unproven, look);
        if !self.attention.is_empty() {
            let more = self.attention.len().saturating_sub(MANY);
            let named: Vec<&str> = self
                .attention
                .iter()
                .take(MANY)
                .map(String::as_str)
                .collect();
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            text += &rows("attention", &[named.join(", ") + &more], look);
        }
        let quiet: Vec<String> = self
            .quiet
            .iter()
            .map(|(reason, count)| short(*reason, *count))
            .collect();
        if !quiet.is_empty() {
            text += &rows("left", &[quiet.join(", ")], look);
        }
        if let Some((slowest, name)) = self.slowest.as_ref().filter(|_| self.proven > 2) {
            text += &rows("slowest", &[format!("{name} {}", took(*slowest))], look);
        }
        text + &next(look, end.next.as_deref())
    }

    fn rolls(&self, ended: Option<Timestamp>) -> String {
        let Self {
            proven,
            failed,
            planned,
            ..
        } = self;
        let planned = planned.unwrap_or(0);
        let mut parts = Vec::new();
        if self.is_dry {
            parts.push(format!("nothing was changed; {planned} would be restarted"));
        } else if planned == 0 {
            parts.push("nothing had to be restarted".to_owned());
        } else {
            let times = self.started.zip(ended);
            let lasted = times.map(|(started, ended)| ended.duration_since(started).as_millis());
            let lasted = lasted.and_then(|it| u64::try_from(it).ok()).map(took);
            let lasted = lasted.map_or(String::new(), |it| format!(" in {it}"));
            parts.push(format!(
                "{proven} of {planned} restarted and proven{lasted}"
            ));
        }
        let unfinished = self.unproven.len().saturating_sub(*failed);
        for (count, what) in [
            (*failed, "failed"),
            (unfinished, "unfinished"),
            (self.attention.len(), "skipped and need attention"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        parts.join(", ")
    }

    fn upgrade(&self, end: &End) -> String {
        let reason = end.reason.clone();
        let done = self.done.clone().filter(|_| end.exit == 0);
        let said = match self.is_dry {
            true => Some("nothing was changed".to_owned()),
            false => done.or(reason),
        };
        said.unwrap_or_else(|| "see above".to_owned())
    }
}

// What so many workloads have in common.
fn short(reason: Obstacle, count: u64) -> String {
    let what = match reason {
        Obstacle::Job => return many(count, "Job"),
        Obstacle::CronJob => return many(count, "CronJob"),
        Obstacle::BarePod => return many(count, "bare pod"),
        Obstacle::Current => "up to date",
        Obstacle::ScaledToZero => "scaled to zero",
        Obstacle::Gone => "deleted meanwhile",
        Obstacle::NotSelected => "not selected",
        Obstacle::VersionPinned
        | Obstacle::Paused
        | Obstacle::WorkloadUnhealthy
        | Obstacle::UnmeshedButAnnotated
        | Obstacle::WouldLoseProxy
        | Obstacle::PodRefused
        | Obstacle::DowntimeOutage
        | Obstacle::Budget
        | Obstacle::OnDelete
        | Obstacle::Partition
        | Obstacle::ForeignOwner
        | Obstacle::Forbidden => "skipped",
    };
    format!("{count} {what}")
}
