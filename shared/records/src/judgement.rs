//! What `mesh-skewcheck` says: findings, the path, the verdict.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Source, WorkloadRef};

/// A rule's answer about one control plane and its workloads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The cluster's label.
    pub cluster: String,
    /// The rule.
    pub id: String,
    /// How bad it is for the question that was asked.
    pub severity: Severity,
    /// The namespace of the control plane it is about.
    pub control_plane: String,
    /// One sentence.
    pub message: String,
    /// The way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Where to read more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// Whether the facts were there to decide it.
    pub decided: Decided,
    /// The reason it was waived for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waived: Option<String>,
    /// How many workloads it concerns; 1 where it concerns the control plane.
    pub count: u64,
    /// The first of them by kind, namespace and name, at most twenty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<WorkloadRef>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The answer is no.
    Error,
    /// Look at it.
    Warning,
    /// Good to know.
    Info,
}

/// Whether the facts sufficed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decided {
    /// They did.
    Yes,
    /// They did not: the rule may or may not hold.
    CannotTell,
}

/// The path from what runs to the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The cluster's label.
    pub cluster: String,
    /// The namespace of the control plane.
    pub control_plane: String,
    /// The steps, in order.
    pub hops: Vec<Hop>,
}

/// A step of the path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// The 2.x before it.
    pub from: String,
    /// The 2.x after it.
    pub to: String,
    /// The release to take.
    pub release: String,
    /// What is to be done.
    pub kind: HopKind,
    /// The upgrade notes to read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What a step of the path upgrades.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HopKind {
    /// The cluster itself.
    Kubernetes,
    /// The custom resource definitions.
    Crds,
    /// The control plane.
    ControlPlane,
    /// The extensions.
    Extensions,
    /// The data plane.
    Roll,
}

/// The answer to the question, for one control plane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The cluster's label.
    pub cluster: String,
    /// The cluster's identity. A verdict without one allows nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_uid: Option<String>,
    /// The namespace of the control plane.
    pub control_plane: String,
    /// The question.
    pub ask: Ask,
    /// The answer.
    pub pass: bool,
    /// What the answer rests on.
    pub from: From,
    /// The version that the question is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The command or step that comes next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether all of the survey was judged.
    pub scope: VerdictScope,
    /// Where the survey's facts come from.
    pub source: Source,
    /// When the survey was taken, by the API server's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surveyed: Option<Timestamp>,
    /// The rules that say no.
    pub blocking: Vec<String>,
    /// The rules that were waived.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waived: Vec<String>,
    /// Every option that was not left at its default.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub thresholds: BTreeMap<String, String>,
    /// SHA-256 of the releases file.
    pub releases_sha256: String,
    /// How many workloads are in which state.
    pub counts: BTreeMap<String, u64>,
}

/// The state of a control plane that a verdict was given on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct From {
    /// Its version.
    pub version: String,
    /// The resourceVersion of its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_resource_version: Option<String>,
}

/// The questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// May the control plane go to the target now?
    Upgrade,
    /// Is every proxy within parameters of the control plane that runs?
    Drift,
    /// Is it safe to roll now?
    Roll,
    /// Is the upgrade to the target over?
    Done,
}

/// Whether a verdict is about all of a survey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictScope {
    /// It is.
    Full,
    /// The survey was narrowed, or records were taken out of it.
    Partial,
}

impl Ask {
    /// The spelling on the wire and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upgrade => "upgrade",
            Self::Drift => "drift",
            Self::Roll => "roll",
            Self::Done => "done",
        }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
