//! A workload of the plan, and what became of it so far.

use jiff::Timestamp;
use mesh_cluster::workload::rollout::Observed;
use mesh_records::{Obstacle, Outcome, Strategy, Trouble};

use super::decide::Task;
use super::order::{Rank, Wave};
use super::vigil::Vigil;

/// A workload of the plan.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) task: Task,
    pub(super) rank: Rank,
    /// How it is rolled, as decided last.
    pub(super) strategy: Strategy,
    /// Why it is rolled so and not by a restart.
    pub(super) strategy_reason: Option<Obstacle>,
    /// The workload's proxy versions before the restart.
    pub(super) from: Vec<String>,
    pub(super) attempts: u32,
    /// How often the list of its pods, or the dry run of one, had no answer.
    pub(super) unanswered: u32,
    /// How often the injector did not answer the dry run of a pod.
    pub(super) unprobed: u32,
    pub(super) not_before: Option<Timestamp>,
    /// The annotation's value in a write without an answer. If the workload has this value later,
    // the write happened.
    pub(super) value: Option<String>,
    /// What became of the last write, where no answer of its own says so.
    pub(super) astray: Option<String>,
    /// What was said of it last.
    pub(super) outcome: Option<Outcome>,
    /// The proxy's image in the dry run of its pod before the last restart.
    pub(super) image: Option<String>,
    pub(super) broken: bool,
    /// Why it was skipped.
    pub(super) skipped: Option<Obstacle>,
    /// Whether this run restarted it, or waited for its rollout.
    pub(super) began: bool,
    /// Whether the rollout that this run waits for is somebody else's: its failure is not of this run.
    pub(super) is_anothers: bool,
    /// What the workload waits for before it is started.
    pub(super) held: Option<Held>,
    /// What it must keep since it was proven.
    pub(super) vigil: Option<Vigil>,
}

/// A wait before the start.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) hold: Hold,
    pub(super) since: Timestamp,
    /// How often it was found again.
    pub(super) times: u32,
}

/// Why a workload is not started now, although that may pass by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) trouble: Trouble,
    /// What does not allow it: the name of a budget, or the words of a refusal.
    pub(super) by: String,
    pub(super) said: String,
    /// Whether another workload in flight is the reason; its own time limit ends the wait.
    pub(super) by_a_flight: bool,
}

impl Item {
    pub(super) fn new(task: Task) -> Self {
        let rank = Rank::of(&task.key, None, None);
        Self {
            task,
            rank,
            strategy: Strategy::Restart,
            strategy_reason: None,
            from: Vec::new(),
            attempts: 0,
            unanswered: 0,
            unprobed: 0,
            not_before: None,
            value: None,
            astray: None,
            outcome: None,
            image: None,
            broken: false,
            skipped: None,
            began: false,
            is_anothers: false,
            held: None,
            vigil: None,
        }
    }

    /// Returns true if a workload has what this run wrote.
    pub(super) fn has_written(&self, observed: &Observed) -> bool {
        let value = self.value.as_deref();
        value.is_some_and(|value| observed.has_restart(value))
    }

    /// Returns true if it was skipped and its new pods say nothing of the injector: its own settings decide
    /// what they get, or nobody asked.
    pub(super) fn has_pods_of_its_own(&self) -> bool {
        match self.skipped {
            Some(
                Obstacle::UnmeshedButAnnotated
                | Obstacle::WouldLoseProxy
                | Obstacle::VersionPinned
                | Obstacle::PodRefused
                | Obstacle::NotSelected,
            ) => true,
            Some(_) | None => false,
        }
    }

    pub(super) fn is_canary(&self) -> bool {
        self.rank.wave == Wave::Canary
    }

    /// Returns true if it was proven and whole, and has too few ready pods now.
    pub(super) fn has_lost_pods(&self) -> bool {
        self.vigil.as_ref().is_some_and(Vigil::is_unwhole)
    }

    /// Returns true if it was proven and too few of its pods are seen ready.
    pub(super) fn is_short(&self) -> bool {
        self.vigil.as_ref().is_some_and(Vigil::is_short)
    }
}
