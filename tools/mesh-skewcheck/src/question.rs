//! The question, and the versions that it is judged against.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_records::{Ask, Paste, Rule, Severity};
use mesh_versions::{Channel, Releases, Target, Version};

use crate::waiver::{InForce, Waivers};

/// The question and all options that change its answer.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) ask: Ask,
    pub(crate) to: Option<Target>,
    pub(crate) partial: bool,
    pub(crate) jobs: Jobs,
    pub(crate) acknowledged: Vec<Rule>,
    pub(crate) waivers: Waivers,
    /// The mildest severity that makes the answer a no.
    pub(crate) fail_on: Severity,
    /// How many minor versions a proxy may be behind.
    pub(crate) max_behind: u32,
    /// A certificate that expires within this time is an error.
    pub(crate) cert_horizon: Option<Duration>,
    /// Whether all control planes of the input must run one release.
    pub(crate) same_version: bool,
    pub(crate) releases: Releases,
    /// Every option that differs from its default, as the verdict shows it.
    pub(crate) thresholds: BTreeMap<String, String>,
}

/// What a running Job beyond the target's skew means for an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Jobs {
    /// The Job blocks the upgrade until it ends
    Hold,
    /// The Job does not block the upgrade; its proxy may lose its control plane
    Ignore,
}

/// The question for one control plane.
#[derive(Debug)]
pub(crate) struct Standpoint<'a> {
    pub(crate) question: &'a Question,
    /// Makes commands for the surveyed cluster.
    pub(crate) paste: Paste,
    /// The namespace of the control plane.
    pub(crate) namespace: String,
    pub(crate) waivers: InForce<'a>,
    /// The version in the control plane's configuration.
    pub(crate) running: Version,
    /// The release that the question is about, if it is about one.
    pub(crate) target: Option<Version>,
    /// The proxy version that new pods get now.
    pub(crate) injects: Option<Version>,
}

impl Standpoint<'_> {
    /// Returns the version that proxies are compared with: the target, or else the running version.
    pub(crate) fn base(&self) -> &Version {
        self.target.as_ref().unwrap_or(&self.running)
    }

    pub(crate) fn ask(&self) -> Ask {
        self.question.ask
    }

    pub(crate) fn releases(&self) -> &Releases {
        &self.question.releases
    }

    /// Returns true if two versions are the same release, also by an alias.
    pub(crate) fn same_release(&self, one: &Version, other: &Version) -> bool {
        self.releases()
            .canonical(one)
            .same_release(self.releases().canonical(other))
    }

    /// Returns the running channel. A version that is not Linkerd's counts as open source; its
    /// unknown minor version is reported elsewhere.
    pub(crate) fn channel(&self) -> Channel {
        self.releases()
            .canonical(&self.running)
            .channel()
            .unwrap_or(Channel::Stable)
    }
}
