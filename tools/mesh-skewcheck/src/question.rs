//! What is asked, and what it is judged against.

use std::collections::BTreeMap;

use mesh_records::{Ask, Rule, WorkloadKind};
use mesh_versions::{Channel, Releases, Target, Version};

/// The question, with everything that changes its answer.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) ask: Ask,
    pub(crate) to: Option<Target>,
    pub(crate) partial: bool,
    pub(crate) jobs: Jobs,
    pub(crate) acknowledged: Vec<Rule>,
    pub(crate) releases: Releases,
    /// Every option that was not left at its default, as it is said in the verdict.
    pub(crate) thresholds: BTreeMap<String, String>,
}

/// What a running Job beyond the target's skew means for an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Jobs {
    /// The upgrade waits for it
    Hold,
    /// It may lose its control plane
    Ignore,
}

/// A question put to one control plane.
#[derive(Debug)]
pub(crate) struct Standpoint<'a> {
    pub(crate) question: &'a Question,
    /// What the control plane says that it runs.
    pub(crate) running: Version,
    /// The release that the question is about, if it is about one.
    pub(crate) target: Option<Version>,
    /// What a new pod gets now.
    pub(crate) injects: Option<Version>,
}

impl Standpoint<'_> {
    /// What proxies are compared with: the target, or what runs.
    pub(crate) fn base(&self) -> &Version {
        self.target.as_ref().unwrap_or(&self.running)
    }

    pub(crate) fn ask(&self) -> Ask {
        self.question.ask
    }

    pub(crate) fn releases(&self) -> &Releases {
        &self.question.releases
    }

    /// Whether two versions are one release, aliases considered.
    pub(crate) fn same_release(&self, one: &Version, other: &Version) -> bool {
        self.releases()
            .canonical(one)
            .same_release(self.releases().canonical(other))
    }

    /// The channel that runs; what is no Linkerd version is taken for open source, where it is
    /// told apart by its unknown 2.x.
    pub(crate) fn channel(&self) -> Channel {
        self.releases()
            .canonical(&self.running)
            .channel()
            .unwrap_or(Channel::Stable)
    }
}

/// Whether a workload of this kind ends or renews itself.
pub(crate) fn is_job(kind: &WorkloadKind) -> bool {
    match kind {
        WorkloadKind::Job | WorkloadKind::CronJob => true,
        WorkloadKind::Deployment
        | WorkloadKind::StatefulSet
        | WorkloadKind::DaemonSet
        | WorkloadKind::ReplicaSet
        | WorkloadKind::ReplicationController
        | WorkloadKind::Rollout
        | WorkloadKind::Pod
        | WorkloadKind::Other(_) => false,
    }
}
