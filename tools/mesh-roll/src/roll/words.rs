//! The words for what became of a workload.

use mesh_records::Trouble;

use super::flight::Awaits;

pub(super) const UNSTARTED: &str = "was not restarted: the run ended before the write";

/// Returns how far a workload was that the run left.
pub(super) fn interrupted(awaits: Option<Awaits>) -> &'static str {
    match awaits {
        Some(
            Awaits::Preparation
            | Awaits::Comparison
            | Awaits::Announcement
            | Awaits::LastLook
            | Awaits::Confirmation,
        ) => UNSTARTED,
        Some(Awaits::Answer | Awaits::Look | Awaits::NextLook) => {
            "may have been restarted: the run ended before it knew"
        }
        Some(Awaits::Rollout | Awaits::ListProof | Awaits::Nodes | Awaits::Refusal) | None => {
            "was still rolling out when the run ended"
        }
    }
}

/// Says that a workload lost the restart of this run before all its pods were new, and who writes it.
pub(super) fn taken_back(by: &[String]) -> String {
    let by = by.join(", ");
    let by = if by.is_empty() {
        by
    } else {
        format!("; it is written by {by}")
    };
    format!(
        "its restart was taken back (as by a rollout undo) or replaced, while some pods still had another proxy{by}; once that is settled, run the pipeline again"
    )
}

/// Returns a sentence for a reason.
pub(super) fn because_of(reason: Trouble) -> &'static str {
    match reason {
        Trouble::NotInjected => "a new pod has no proxy",
        Trouble::StillOld => "a new pod has the wrong proxy version or trust anchors",
        Trouble::CrashLoop => "a new pod keeps crashing (CrashLoopBackOff)",
        Trouble::ImagePull => "an image of a new pod cannot be pulled",
        Trouble::CreateContainer => "a container of a new pod cannot be created",
        Trouble::PodFailed => "a new pod has failed",
        Trouble::ProgressDeadline => "its progress deadline has passed (ProgressDeadlineExceeded)",
        Trouble::ReplicaFailure => "its controller cannot create pods (ReplicaFailure)",
        Trouble::PodRefused => "the API server refuses its new pods",
        Trouble::Unschedulable => "no node can run a new pod (Unschedulable)",
        Trouble::NodeNotReady => "a node of its pods is not ready",
        Trouble::Paused => "it was paused",
        Trouble::Partition => "its update strategy (partition or OnDelete) keeps old pods",
        Trouble::DowntimeOutage => "it would be down",
        Trouble::Budget => "a PodDisruptionBudget does not allow it",
        Trouble::NoPods => "it has no pods left",
        Trouble::ReadinessLost => "its pods did not stay ready",
        Trouble::TimedOut => "it took longer than --timeout",
        Trouble::Refused => "the API server did not accept the write",
        Trouble::Stopped => "the run was stopped",
        Trouble::LockLost => "the lock was lost",
        Trouble::Forbidden => "this user no longer has the right",
    }
}
