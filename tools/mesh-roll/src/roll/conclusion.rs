//! How a flight ended.

use mesh_cluster::workload::rollout::{Passes, Problem};
use mesh_records::{Outcome, Trouble};

use super::proof::ProvenBy;
use super::words::taken_back;

/// The result of a workload in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conclusion {
    pub(crate) outcome: Outcome,
    pub(crate) reason: Option<Trouble>,
    /// What was wrong, and where.
    pub(crate) problem: Option<Problem>,
    pub(crate) proven: ProvenBy,
}

impl Conclusion {
    pub(crate) fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            reason: None,
            problem: None,
            proven: ProvenBy::default(),
        }
    }

    pub(crate) fn failed(reason: Trouble, problem: Option<Problem>) -> Self {
        Self {
            reason: Some(reason),
            problem,
            ..Self::of(Outcome::Failed)
        }
    }

    /// The workload failed because a right is missing; `why` names its RBAC rule.
    pub(crate) fn forbidden(why: String) -> Self {
        let problem = Problem {
            passes: Passes::Never,
            ..problem(Trouble::Forbidden, why)
        };
        Self::failed(Trouble::Forbidden, Some(problem))
    }

    pub(crate) fn blocked(reason: Trouble, problem: Option<Problem>) -> Self {
        Self {
            reason: Some(reason),
            problem,
            ..Self::of(Outcome::Blocked)
        }
    }

    /// The restart of this run was taken back before all pods were new; `by` says who writes the workload.
    pub(crate) fn taken_back(by: &[String]) -> Self {
        Self {
            problem: Some(problem(Trouble::StillOld, taken_back(by))),
            ..Self::of(Outcome::Superseded)
        }
    }

    pub(crate) fn interrupted(reason: Trouble) -> Self {
        Self {
            reason: Some(reason),
            ..Self::of(Outcome::Interrupted)
        }
    }
}

/// Makes a problem of a whole workload, which may pass by itself.
pub(crate) fn problem(trouble: Trouble, said: String) -> Problem {
    Problem {
        trouble,
        pod: None,
        container: None,
        said,
        passes: Passes::Maybe,
    }
}
