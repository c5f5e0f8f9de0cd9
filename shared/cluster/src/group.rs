//! Kills a child process with everything that it started.

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;

/// The process group of a child that was started in a group of its own. Dropping it kills the
/// group, unless the child [`ended`](Group::ended).
#[derive(Debug)]
pub struct Group(Option<Pid>);

impl Group {
    /// Returns the group of a child that was not waited for yet.
    pub fn of(child: &Child) -> Self {
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        Self(pid.and_then(Pid::from_raw))
    }

    /// Forgets the group after the child was waited for: its number may belong to somebody else.
    pub fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // If the group has ended, there is nothing to kill.
            kill_process_group(group, Signal::KILL).ok();
        }
    }
}
