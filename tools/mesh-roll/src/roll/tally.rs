//! Counts what became of the workloads.

use mesh_records::{Obstacle, Outcome, SkipClass};

/// Counts of the results so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) writes: u32,
    pub(super) proven: u32,
    pub(super) failed: u32,
    /// Those of the failed workloads that were not changed, because the API server refused it.
    pub(super) untouched: u32,
    /// Workloads that were blocked, interrupted or superseded; another run must continue them.
    pub(super) open: u32,
    pub(super) attention: u32,
}

impl Tally {
    /// Returns how many workloads failed that this run has changed.
    pub(super) fn failures(&self) -> u32 {
        self.failed.saturating_sub(self.untouched)
    }

    pub(super) fn skipped(&mut self, obstacle: Obstacle) {
        self.attention += u32::from(obstacle.class() == SkipClass::Attention);
    }

    pub(super) fn ended(&mut self, outcome: Outcome) {
        if let Some(count) = self.count(outcome) {
            *count += 1;
        }
    }

    /// Takes back what was counted of a workload whose outcome has changed.
    pub(super) fn changed(&mut self, before: Outcome) {
        if let Some(count) = self.count(before) {
            *count = count.saturating_sub(1);
        }
    }

    fn count(&mut self, outcome: Outcome) -> Option<&mut u32> {
        match outcome {
            Outcome::Proven => Some(&mut self.proven),
            Outcome::Failed => Some(&mut self.failed),
            Outcome::Blocked | Outcome::Interrupted | Outcome::Superseded => Some(&mut self.open),
            Outcome::Gone => None,
        }
    }
}
