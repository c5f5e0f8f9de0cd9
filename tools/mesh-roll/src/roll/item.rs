//! A workload of the plan, and what became of it so far.

use jiff::Timestamp;
use mesh_records::Outcome;

use super::budget::Lack;
use super::decide::Task;
use super::order::Rank;

/// A workload of the plan.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) task: Task,
    pub(super) rank: Rank,
    /// The workload's proxy versions before the restart.
    pub(super) from: Vec<String>,
    pub(super) attempts: u32,
    /// How often listing the workload's pods failed.
    pub(super) unlisted: u32,
    pub(super) not_before: Option<Timestamp>,
    /// The annotation's value in a write without an answer. If the workload has this value later,
    // the write happened.
    pub(super) value: Option<String>,
    /// What was said of it last.
    pub(super) outcome: Option<Outcome>,
    pub(super) broken: bool,
    /// Whether this run restarted it, or waited for its rollout.
    pub(super) began: bool,
    /// The budget that the workload waits for.
    pub(super) held: Option<Held>,
}

/// A wait for a budget.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) lack: Lack,
    pub(super) since: Timestamp,
}

impl Item {
    pub(super) fn new(task: Task) -> Self {
        let rank = Rank::of(&task.key, None);
        Self {
            task,
            rank,
            from: Vec::new(),
            attempts: 0,
            unlisted: 0,
            not_before: None,
            value: None,
            outcome: None,
            broken: false,
            began: false,
            held: None,
        }
    }
}
