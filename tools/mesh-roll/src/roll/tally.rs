//! Counts what became of the workloads.

use mesh_records::{Obstacle, Outcome, SkipClass};

/// Counts of the results so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) writes: u32,
    pub(super) proven: u32,
    pub(super) failed: u32,
    /// Workloads that were blocked, interrupted or superseded; another run must continue them.
    pub(super) open: u32,
    pub(super) attention: u32,
}

impl Tally {
    pub(super) fn skipped(&mut self, obstacle: Obstacle) {
        self.attention += u32::from(obstacle.class() == SkipClass::Attention);
    }

    pub(super) fn ended(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Proven => self.proven += 1,
            Outcome::Failed => self.failed += 1,
            Outcome::Blocked | Outcome::Interrupted | Outcome::Superseded => self.open += 1,
            Outcome::Gone => {}
        }
    }
}
