//! The question, and the versions that it is judged against.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_records::{Ask, Paste, Rule, Severity};
use mesh_versions::{Channel, Releases, Target, Version};

use crate::acknowledged::{Acknowledged, PREFIX};
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
    /// The upgrade notes that were acknowledged.
    pub(crate) notes: Vec<Acknowledged>,
    /// The file of the waivers, if there is one.
    pub(crate) waivers_file: Option<String>,
    /// The releases file, if it is not the built-in one.
    pub(crate) releases_file: Option<String>,
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

/// The options that are about one input, or that no action accepts: a command for later leaves them
/// out.
const OF_THIS_INPUT: [&str; 4] = ["expect", "max_age", "now", "partial"];

impl Standpoint<'_> {
    /// Returns the pipeline that asks for the next answer, with the options that this one rests on.
    pub(crate) fn judged(&self, question: &[&str]) -> String {
        let mut words: Vec<String> = question.iter().map(ToString::to_string).collect();
        let options = self.question.thresholds.iter();
        for (name, value) in options.filter(|(name, _)| !OF_THIS_INPUT.contains(&name.as_str())) {
            let value = self.carried(name, value, question);
            let flag = value
                .as_ref()
                .map(|_| format!("--{}", name.replace('_', "-")));
            words.extend(flag);
            words.extend(value.filter(|it| it != "true"));
        }
        let files = [
            ("--waivers", &self.question.waivers_file),
            ("--releases", &self.question.releases_file),
        ];
        for (flag, file) in files {
            words.extend(file.iter().flat_map(|it| [flag.to_owned(), it.clone()]));
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.paste.judged(&words)
    }

    /// Returns the value that an option of this question has when `question` is asked. Another question
    /// takes what was accepted of the cluster, and neither what was accepted of an upgrade's notes
    /// nor how strict this question was meant.
    fn carried(&self, name: &str, value: &str, question: &[&str]) -> Option<String> {
        let asked = match question {
            ["--ask", asked, ..] => asked,
            _ => Ask::Upgrade.as_str(),
        };
        if name != "ack" {
            return (asked == self.ask().as_str()).then(|| value.to_owned());
        }
        let of_notes = |id: &&str| id.starts_with(PREFIX);
        let accepted = value.split(',');
        let accepted = accepted.filter(|id| asked == Ask::Upgrade.as_str() || !of_notes(id));
        let accepted: Vec<&str> = accepted.collect();
        (!accepted.is_empty()).then(|| accepted.join(","))
    }

    /// Returns the pipeline that passes the answer to a mesh tool that acts, with these words.
    pub(crate) fn acted(&self, question: &[&str], action: &str, words: &[&str]) -> String {
        format!(
            "{} | {}",
            self.judged(question),
            self.paste.mesh(action, words)
        )
    }

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
