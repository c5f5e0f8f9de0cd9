//! What an obstacle means for people.

use crate::{Obstacle, SkipClass};

// === impl Obstacle ===

impl Obstacle {
    /// Says whether somebody should look at a workload that was skipped for this reason.
    #[must_use]
    pub fn class(self) -> SkipClass {
        match self {
            Self::Current
            | Self::Job
            | Self::CronJob
            | Self::BarePod
            | Self::ScaledToZero
            | Self::Gone
            | Self::NotSelected => SkipClass::Expected,
            Self::VersionPinned
            | Self::Paused
            | Self::WorkloadUnhealthy
            | Self::UnmeshedButAnnotated
            | Self::WouldLoseProxy
            | Self::PodRefused
            | Self::DowntimeOutage
            | Self::UnavailablePods
            | Self::Budget
            | Self::OnDelete
            | Self::Partition
            | Self::ForeignOwner
            | Self::NoRestart
            | Self::RestartPlanned
            | Self::Forbidden => SkipClass::Attention,
        }
    }

    /// Returns the sentence to print after the workload's name.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Current => "is up to date: its pods already have the proxy that new pods get",
            Self::Job => "ends by itself and is not restarted",
            Self::CronJob => "is a CronJob: its next run gets the new proxy",
            Self::BarePod => "is a pod without a controller: nothing would create it again",
            Self::ScaledToZero => "is scaled to zero: its next pods get the new proxy",
            Self::Gone => "was deleted or replaced since the survey",
            Self::NotSelected => "is not selected (-n, -l, --kind or --exclude)",
            Self::VersionPinned => "has a pinned proxy: a restart cannot change its version",
            Self::Paused => "is paused: resume it first",
            Self::WorkloadUnhealthy => "is unhealthy: not all of its pods are ready",
            Self::UnmeshedButAnnotated => "has injection on, but none of its pods has a proxy",
            Self::WouldLoseProxy => {
                "would lose its proxy: new pods would not be injected (check linkerd.io/inject)"
            }
            Self::PodRefused => "would get no new pods: the API server refuses them",
            Self::DowntimeOutage => {
                "would be down during the restart: allow it with --allow-outage"
            }
            Self::UnavailablePods => {
                "would have more unavailable pods than --max-unavailable-pods allows"
            }
            Self::Budget => "cannot be restarted under its PodDisruptionBudget",
            Self::OnDelete => {
                "has the update strategy OnDelete, so that a restart replaces none of its pods"
            }
            Self::Partition => "has an update partition, so that a restart keeps old pods",
            Self::ForeignOwner => {
                "has a kind or an owner that a restart does not reach: restart it with its own tool"
            }
            Self::NoRestart => {
                "has a kind without a restart: only the eviction of its pods replaces them"
            }
            Self::RestartPlanned => {
                "has a restart that somebody planned for later (restartAt), and that is left in place"
            }
            Self::Forbidden => "may not be restarted by this user",
        }
    }
}
