//! The records of `mesh-skewcheck`: findings, the plan, the verdict.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Source, WorkloadRef};

/// The result of one rule for one control plane and its workloads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Finding {
    /// The cluster's label.
    pub cluster: String,
    /// The rule's id.
    pub id: String,
    /// How serious the finding is for the question that was asked.
    pub severity: Severity,
    /// The namespace of the control plane.
    pub control_plane: String,
    /// One sentence for people.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The address of a page with more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// Whether the survey had the facts that the rule needs.
    pub decided: Decided,
    /// The reason that the user gave to waive the finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waived: Option<String>,
    /// The number of workloads concerned; 1 for a finding about the control plane itself.
    pub count: u64,
    /// At most twenty of the workloads, sorted by kind, namespace and name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<WorkloadRef>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Blocks: the verdict does not pass.
    Error,
    /// Somebody should look.
    Warning,
    /// Only information.
    Info,
}

/// Whether the facts sufficed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Decided {
    /// The rule was decided.
    Yes,
    /// Facts are missing: the rule may or may not apply.
    CannotTell,
}

/// The steps from the running version to the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Plan {
    /// The cluster's label.
    pub cluster: String,
    /// The namespace of the control plane.
    pub control_plane: String,
    /// The steps, in order.
    pub hops: Vec<Hop>,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Hop {
    /// The minor version before the step, such as `2.13`.
    pub from: String,
    /// The minor version after the step.
    pub to: String,
    /// The release to install.
    pub release: String,
    /// What the step upgrades.
    pub kind: HopKind,
    /// The ids of the upgrade notes to read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The commands of the step, for this cluster and its way of installing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
    /// What to know about the step, or what to do where there is no command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What a step of the path upgrades.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum HopKind {
    /// The cluster itself.
    Kubernetes,
    /// The Helm release, which becomes two: Linkerd has two charts since 2.12.
    ChartSplit,
    /// The custom resource definitions.
    Crds,
    /// The control plane.
    ControlPlane,
    /// The extensions.
    Extensions,
    /// The proxies, by rolling the workloads.
    Roll,
}

/// The answer to the question ([`Ask`]) for one control plane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Verdict {
    /// The cluster's label.
    pub cluster: String,
    /// The uid of the `kube-system` namespace. The actions refuse a verdict without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_uid: Option<String>,
    /// The namespace of the control plane.
    pub control_plane: String,
    /// The question.
    pub ask: Ask,
    /// The answer.
    pub pass: bool,
    /// The state of the control plane that was judged.
    pub from: From,
    /// The version that the question is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The next command or step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether the whole cluster was surveyed and judged.
    pub scope: VerdictScope,
    /// Where the survey's facts come from.
    pub source: Source,
    /// When the survey was taken, by the API server's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surveyed: Option<Timestamp>,
    /// The rules that block.
    pub blocking: Vec<String>,
    /// The rules that the user accepted with `--ack`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waived: Vec<String>,
    /// Every option that differs from its default.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub thresholds: BTreeMap<String, String>,
    /// SHA-256 of the releases file.
    pub releases_sha256: String,
    /// The number of workloads by state and by action, and of their pods.
    pub counts: BTreeMap<String, u64>,
}

/// The state of the control plane that a verdict is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct From {
    /// The control plane's version.
    pub version: String,
    /// The resourceVersion of `linkerd-config`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_resource_version: Option<String>,
}

/// The questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// May the control plane be upgraded to the target now?
    Upgrade,
    /// Is every proxy's version close enough to the running control plane?
    Drift,
    /// Is it safe to roll now?
    Roll,
    /// Is the upgrade to the target finished?
    Done,
}

/// Whether a verdict is about the whole cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum VerdictScope {
    /// The whole cluster.
    Full,
    /// A part: the survey was limited, or a filter removed records.
    Partial,
}

impl Ask {
    /// Returns the spelling in the records and on the command line.
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
