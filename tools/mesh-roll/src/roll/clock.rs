//! The time, the time limits, and when to look again.

use jiff::{SignedDuration, Timestamp};
use mesh_records::after;

/// The time, the time limits, and when to look again.
#[derive(Debug)]
pub(crate) struct Clock {
    pub(crate) now: Timestamp,
    pub(crate) timeout: SignedDuration,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) wake: Option<Timestamp>,
}

// === impl Clock ===

impl Clock {
    /// Returns true if the time is `at` or later; otherwise asks to be woken at `at`.
    pub(crate) fn reached(&mut self, at: Timestamp) -> bool {
        if self.now >= at {
            return true;
        }
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
        false
    }

    pub(crate) fn is_over(&mut self, since: Timestamp) -> bool {
        self.reached(after(since, self.timeout))
    }

    pub(crate) fn is_past_deadline(&mut self) -> bool {
        let deadline = self.deadline;
        deadline.is_some_and(|deadline| self.reached(deadline))
    }
}
