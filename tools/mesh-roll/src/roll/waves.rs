//! What is known of the waves of a run.

use jiff::Timestamp;
use mesh_records::{Obstacle, Record, Skipped};

use super::order::Wave;

/// How far the run is in its waves.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The waves of the plan, in order.
    pub(super) waves: Vec<Wave>,
    /// The last wave that has begun.
    pub(super) begun: Option<Wave>,
    /// Whether it was said that the canaries are watched.
    pub(super) said_settling: bool,
    pub(super) gate: Gate,
    /// What ended since the gate was asked last.
    pub(super) ended: Vec<Record>,
}

/// How far the gate before the next wave is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Gate {
    #[default]
    Closed,
    Asked(Timestamp),
    Open,
}

impl Pace {
    /// Keeps the record of a workload that has ended, for the gate. What is current when the plan is
    /// made may have been restarted by an earlier run that the gate stopped.
    pub(super) fn note(&mut self, record: &Record, is_plan: bool) {
        let is_current = |it: &Skipped| it.reason == Obstacle::Current;
        if matches!(record, Record::Rolled(_))
            || matches!(record, Record::Skipped(it) if !is_plan || is_current(it))
        {
            self.ended.push(record.clone());
        }
    }
}
