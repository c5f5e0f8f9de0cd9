//! What became of the workloads of a run.

use std::collections::BTreeMap;

use mesh_records::{Obstacle, Outcome, Rolled, SkipClass, Skipped};

use super::look::Look;
use super::text::{MANY, many, rows, took};

/// The last word on each workload.
#[derive(Debug, Default)]
pub(super) struct Results {
    rolled: BTreeMap<String, Result>,
    attention: Vec<String>,
    quiet: BTreeMap<Obstacle, u64>,
}

#[derive(Debug)]
struct Result {
    outcome: Outcome,
    message: String,
    milliseconds: u64,
}

// === impl Results ===

impl Results {
    /// Counts a result. A workload that was proven and has failed since counts as failed.
    pub(super) fn rolled(&mut self, rolled: &Rolled) {
        let result = Result {
            outcome: rolled.outcome,
            message: rolled.message.clone(),
            milliseconds: rolled.duration_ms,
        };
        self.rolled.insert(rolled.identity.to_string(), result);
    }

    pub(super) fn skipped(&mut self, skipped: &Skipped) {
        match skipped.class {
            SkipClass::Attention => self.attention.push(skipped.identity.to_string()),
            SkipClass::Expected => {
                let count = self.quiet.entry(skipped.reason).or_default();
                *count = count.saturating_add(1);
            }
        }
    }

    pub(super) fn is_begun(&self) -> bool {
        !self.rolled.is_empty()
    }

    /// Returns true if somebody should look at a workload that was skipped.
    pub(super) fn needs_attention(&self) -> bool {
        !self.attention.is_empty()
    }

    pub(super) fn proven(&self) -> usize {
        self.of(|outcome| outcome == Outcome::Proven).count()
    }

    fn of(&self, is: impl Fn(Outcome) -> bool) -> impl Iterator<Item = (&String, &Result)> {
        self.rolled.iter().filter(move |(_, it)| is(it.outcome))
    }

    /// Returns the counts of what is not proven, in words.
    pub(super) fn others(&self) -> Vec<String> {
        let rows = [
            (self.of(|it| it == Outcome::Failed).count(), "failed"),
            (self.of(is_open).count(), "unfinished"),
            (self.of(|it| it == Outcome::Gone).count(), "gone"),
            (
                self.attention.len(),
                match self.attention.len() {
                    1 => "skipped and needs attention",
                    _ => "skipped and need attention",
                },
            ),
        ];
        let rows = rows.into_iter().filter(|(count, _)| *count > 0);
        rows.map(|(count, what)| format!("{count} {what}"))
            .collect()
    }

    /// Returns the lines below the sum.
    pub(super) fn rows(&self, look: Look) -> String {
        let messages = |is: fn(Outcome) -> bool| -> Vec<String> {
            self.of(is).map(|(_, it)| it.message.clone()).collect()
        };
        let mut text = rows("failed", &messages(|it| it == Outcome::Failed), look);
        text += &rows("unfinished", &messages(is_open), look);
        if !self.attention.is_empty() {
            let named: Vec<&str> = self
                .attention
                .iter()
                .take(MANY)
                .map(String::as_str)
                .collect();
            let more = match self.attention.len().saturating_sub(MANY) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            text += &rows("attention", &[named.join(", ") + &more], look);
        }
        let quiet = self
            .quiet
            .iter()
            .map(|(reason, count)| short(*reason, *count));
        let quiet: Vec<String> = quiet.collect();
        if !quiet.is_empty() {
            text += &rows("untouched", &[quiet.join(", ")], look);
        }
        let proven = self.of(|it| it == Outcome::Proven);
        if let Some((name, slowest)) = proven.max_by_key(|(_, it)| it.milliseconds)
            && self.proven() > 2
        {
            text += &rows(
                "slowest",
                &[format!("{name} {}", took(slowest.milliseconds))],
                look,
            );
        }
        text
    }
}

fn is_open(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Blocked | Outcome::Interrupted | Outcome::Superseded => true,
        Outcome::Proven | Outcome::Failed | Outcome::Gone => false,
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
        | Obstacle::UnavailablePods
        | Obstacle::Budget
        | Obstacle::OnDelete
        | Obstacle::Partition
        | Obstacle::ForeignOwner
        | Obstacle::NoRestart
        | Obstacle::RestartPlanned
        | Obstacle::Forbidden => "skipped",
    };
    format!("{count} {what}")
}
