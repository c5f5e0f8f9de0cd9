//! A workload of the plan, and what became of it so far.

use jiff::Timestamp;
use mesh_records::Outcome;

use super::decide::Task;
use super::order::Rank;

/// A workload of the plan.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) task: Task,
    pub(super) rank: Rank,
    /// The versions that it ran before it was touched.
    pub(super) from: Vec<String>,
    pub(super) attempts: u32,
    /// Lists of its pods that had no answer.
    pub(super) unlisted: u32,
    pub(super) not_before: Option<Timestamp>,
    /// What an unanswered write bore: whichever copy of it lands is recognised by it.
    pub(super) value: Option<String>,
    /// What was said of it last.
    pub(super) outcome: Option<Outcome>,
    pub(super) broken: bool,
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
        }
    }
}
