//! What an action does: a line for each event that somebody waits for, and the sum at the end.

use jiff::Timestamp;
use mesh_records::{
    Deed, End, EndOutcome, InFlight, Intent, Outcome, Patch, Progress, Record, Rolled, SkipClass,
    Skipped, Step, StepName, StepState, Tool, roughly,
};

use super::look::{Look, Symbol, Tone};
use super::results::Results;
use super::text::{beside, folded, hanging, item, many, next, took, unbroken};
use crate::Clean;
use crate::consent::CANCELLED;

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
    results: Results,
    done: Option<String>,
    failed: Option<String>,
    skipped: String,
    /// The width of the workloads' names.
    names: usize,
}

/// The widest column of the workloads' names.
const NAMES: usize = 44;
/// What begins the message of a warning; its reason is the way out.
const WARNING: &str = "warning: ";

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
            Record::Progress(progress) => self.progress(progress, look),
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
        let names = intent.deeds.iter().map(|deed| deed.object.chars().count());
        self.names = names.max().unwrap_or(0).min(NAMES);
        self.is_dry = intent.dry_run.is_some();
        self.started = Some(intent.time);
        if self.is_asked {
            return None;
        }
        let mut text = format!("{}\n", Clean(&intent.message));
        let waves = intent.waves();
        let mut wave = None;
        for deed in &intent.deeds {
            let place = deed.wave.filter(|_| deed.wave != wave);
            wave = deed.wave;
            let begins = place.and_then(|it| waves.get(usize::try_from(it).ok()?.checked_sub(1)?));
            text.extend(begins.map(|it| folded(look, &format!("  {it}"))));
            let Deed { verb, object, .. } = deed;
            let takes = intent.forecast.map(|_| match deed.expected_seconds {
                Some(seconds) => format!(" (about {})", roughly(seconds)),
                None => " (duration unknown)".to_owned(),
            });
            let takes = takes.unwrap_or_default();
            let (run, colon) = match verb.split(' ').next() {
                Some("helm" | "linkerd") => ("run ", ":"),
                _ => ("", ""),
            };
            let would = match self.is_dry {
                true => format!("would {run}"),
                false => String::new(),
            };
            text += &folded(look, &format!("  {would}{verb}{colon} {object}{takes}"));
            for line in deed.patch.iter().flat_map(Patch::lines) {
                text += &folded(look, &format!("    {line}"));
            }
        }
        if let Some(forecast) = &intent.forecast {
            text += &folded(look, &format!("  {}", forecast.sentence()));
        }
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
            StepState::Failed => {
                self.failed = Some(step.message.clone());
                (Symbol::Failed, Tone::Bad)
            }
            // Steps that are left out for one reason have one line.
            StepState::Skipped if !self.is_wide && self.skipped == step.message => return None,
            StepState::Skipped => {
                self.skipped.clone_from(&step.message);
                (Symbol::Note, Tone::Dim)
            }
        };
        let took = step.duration_ms.filter(|it| *it >= 100).map(took);
        let took = took.map_or(String::new(), |took| format!(" ({took})"));
        Some(item(look, tone, symbol, &format!("{message}{took}")))
    }

    fn progress(&self, progress: &Progress, look: Look) -> Option<String> {
        if let (None, Some(hint), true) = (
            &progress.of,
            &progress.reason,
            progress.message.starts_with(WARNING),
        ) {
            return Some(warned(look, &progress.message, hint));
        }
        let is_workload = matches!(progress.of, Some(InFlight::Workload { .. }));
        // Progress with a reason repeats often during one rollout; people need only its start and
        // its result.
        let is_shown = match (&progress.of, &progress.reason) {
            (Some(_), None) => !self.is_live || self.is_dry,
            (Some(_), Some(_)) => !is_workload && !self.is_live,
            (None, None) => !self.is_live || self.is_dry,
            // What is waited for.
            (None, Some(_)) => true,
        };
        is_shown.then(|| format!("{}\n", Clean(&progress.message)))
    }

    fn rolled(&mut self, rolled: &Rolled, look: Look) -> Option<String> {
        self.results.rolled(rolled);
        let (symbol, tone) = match rolled.outcome {
            Outcome::Proven => (Symbol::Done, Tone::Good),
            Outcome::Failed => (Symbol::Failed, Tone::Bad),
            Outcome::Blocked | Outcome::Interrupted | Outcome::Superseded => {
                (Symbol::Warning, Tone::Warn)
            }
            Outcome::Gone => (Symbol::Note, Tone::Dim),
        };
        let words = match rolled.outcome {
            Outcome::Proven => {
                let pods = many(rolled.pods.wanted.into(), "pod");
                let (name, took) = (rolled.identity.to_string(), took(rolled.duration_ms));
                unbroken(&format!("{name:<0$}  {pods:>7}  {took:>5}", self.names))
            }
            Outcome::Failed
            | Outcome::Blocked
            | Outcome::Interrupted
            | Outcome::Superseded
            | Outcome::Gone => rolled.message.clone(),
        };
        Some(item(look, tone, symbol, &words))
    }

    fn skipped(&mut self, skipped: &Skipped, look: Look) -> Option<String> {
        self.results.skipped(skipped);
        let (symbol, tone) = match skipped.class {
            SkipClass::Attention => (Symbol::Warning, Tone::Warn),
            SkipClass::Expected if !self.is_wide => return None,
            SkipClass::Expected => (Symbol::Note, Tone::Dim),
        };
        Some(item(look, tone, symbol, &skipped.message))
    }

    /// Returns the sum of the run, if it has begun something.
    pub(super) fn sum(&self, end: &End, ended: Option<Timestamp>, look: Look) -> String {
        let Some(started) = self.started else {
            return String::new();
        };
        if self.planned.is_none() && self.done.is_none() && end.exit == 0 {
            return String::new();
        }
        let is_cancelled = end.reason.as_deref() == Some(CANCELLED);
        let (word, tone) = match (end.outcome, end.exit) {
            _ if is_cancelled => ("CANCELLED", Tone::Warn),
            (EndOutcome::Complete, 0) if self.is_dry => ("DRY RUN", Tone::Good),
            (EndOutcome::Complete, 0) => ("DONE", Tone::Good),
            (EndOutcome::Complete, _) => ("NOT DONE", Tone::Bad),
            (EndOutcome::Stopped, _) => ("STOPPED", Tone::Warn),
            (EndOutcome::Failed, _) => ("FAILED", Tone::Bad),
        };
        let said = match end.tool {
            _ if is_cancelled => vec!["nothing was changed".to_owned()],
            Tool::MeshRoll if self.results.is_begun() || end.reason.is_none() || self.is_dry => {
                let lasted = ended.map(|ended| ended.duration_since(started).as_millis());
                let lasted = lasted.and_then(|it| u64::try_from(it).ok()).map(took);
                self.rolls(lasted)
            }
            Tool::MeshRoll => Vec::new(),
            Tool::MeshSurvey | Tool::MeshSkewcheck | Tool::MeshCpUpgrade => self.upgrade(end),
        };
        // Why it ended like this is said once; a warning may be in it.
        let is_counted = end.tool == Tool::MeshRoll
            && (self.results.is_begun() || self.is_dry && end.outcome == EndOutcome::Complete);
        let is_told = is_cancelled || is_counted || self.failed == end.reason;
        let reason = end.reason.iter().filter(|_| !is_told);
        let reason = reason.map(|it| it.strip_prefix("dry run: ").unwrap_or(it).to_owned());
        let said: Vec<String> = said.into_iter().chain(reason).collect();
        let said = match said.is_empty() {
            true => "the step that failed above says why".to_owned(),
            false => said.join("; "),
        };
        let mut text = beside(look, (tone, word), word.len(), (Tone::Plain, &said));
        text += &self.results.rows(look);
        text + &next(look, end.next.as_deref())
    }

    fn rolls(&self, lasted: Option<String>) -> Vec<String> {
        let planned = self.planned.unwrap_or(0);
        let proven = self.results.proven();
        let lasted = lasted.map_or(String::new(), |it| format!(" in {it}"));
        let first = match (self.is_dry, planned) {
            (true, _) => format!("nothing was changed; {planned} would be restarted"),
            (false, 0) if self.results.needs_attention() => "nothing was restarted".to_owned(),
            (false, 0) => "nothing had to be restarted".to_owned(),
            (false, _) => format!("{proven} of {planned} restarted and proven{lasted}"),
        };
        vec![
            [first]
                .into_iter()
                .chain(self.results.others())
                .collect::<Vec<_>>()
                .join(", "),
        ]
    }

    fn upgrade(&self, end: &End) -> Vec<String> {
        match self.is_dry {
            // The reason of a dry run says what it did not look at either.
            true if end.reason.is_some() => Vec::new(),
            true => vec!["nothing was changed".to_owned()],
            false => self
                .done
                .iter()
                .filter(|_| end.exit == 0)
                .cloned()
                .collect(),
        }
    }
}

fn warned(look: Look, message: &str, hint: &str) -> String {
    let mut text = item(look, Tone::Warn, Symbol::Warning, message);
    // The sentence of some has it.
    if !message.contains(hint) {
        text += &hanging(look, (Tone::Dim, "  hint:"), 8, (Tone::Plain, hint));
    }
    text
}
