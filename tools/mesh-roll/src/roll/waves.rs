//! What is known of the waves of a run.

use jiff::Timestamp;
use mesh_records::Record;

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
    /// Keeps the record of a workload that has ended, for the gate.
    pub(super) fn note(&mut self, record: &Record) {
        if matches!(record, Record::Rolled(_) | Record::Skipped(_)) {
            self.ended.push(record.clone());
        }
    }
}
