//! The two records that every tool writes: `stream` and `end`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Paste;

/// The number of records of each type that a tool wrote itself, without `stream` and `end`.
pub type Totals = BTreeMap<String, u64>;

/// The first record of a tool's output. `mesh-skewcheck` sets only the schema, tool and version, so
/// that the same input gives the same output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Stream {
    /// The schema of the records: `mesh/1`.
    pub schema: String,
    /// The tool that writes the stream.
    pub tool: Tool,
    /// The tool's version.
    pub version: String,
    /// A label for people: the name of the kubeconfig context, `in-cluster`, or the user's own
    /// choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Identifies this run of the tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The API server's time when the run began. A survey of a dump has a time only with
    /// `--taken-at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// The cluster's identity: the uid of its `kube-system` namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_uid: Option<String>,
    /// Whether the facts come from a server or a dump.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The flags with which the survey's user chose the cluster, for the commands in findings and
    /// verdicts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flags: Option<Paste>,
    /// How current the lists are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Consistency>,
    /// What limits the survey. Empty for the whole cluster; if absent, the survey does not count as
    /// whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// The person or account that runs an action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// The command line of an action, without secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub argv: Vec<String>,
    /// How an action writes nothing; absent where it acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<DryRun>,
}

/// The ways to write nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DryRun {
    /// No write is sent.
    Client,
    /// Each write is sent for the API server to check, and not kept.
    Server,
}

/// The four tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Tool {
    /// Surveys a cluster.
    MeshSurvey,
    /// Judges surveys.
    MeshSkewcheck,
    /// Upgrades the control plane.
    MeshCpUpgrade,
    /// Rolls workloads.
    MeshRoll,
}

/// Where a survey's facts come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A running API server.
    Server,
    /// A dump. The actions refuse a verdict from a dump.
    Dump,
}

/// How current a survey's lists are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Consistency {
    /// Quorum reads.
    #[default]
    Current,
    /// Served from the API server's watch cache, possibly seconds old.
    Cached,
}

/// What limits a survey. Empty means the whole cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Scope {
    /// The namespaces, if limited.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// The label selector, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Kinds that a dump lacks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// True for a survey that watches and never ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<bool>,
}

/// Who runs an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct By {
    /// The user as the API server sees it.
    pub user: String,
    /// The user's groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The name of the machine that runs the tool.
    pub host: String,
}

/// The last record of a tool's output, written whatever the outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct End {
    /// The tool that wrote the stream.
    pub tool: Tool,
    /// The label of [`Stream::cluster`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The run of an action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Whether the tool did what it was asked to do.
    pub outcome: EndOutcome,
    /// The process's exit code.
    pub exit: u8,
    /// The number of records of each type that this tool wrote.
    pub totals: Totals,
    /// Optional permissions that were missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blind: Vec<String>,
    /// Why the tool did not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The next command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// How a tool's run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum EndOutcome {
    /// The tool did all that was asked, whatever the answer.
    Complete,
    /// The tool stopped early on request, in good order.
    Stopped,
    /// The tool failed.
    Failed,
}

/// Rounds a time down to whole seconds: the Date header of the API server is no finer (RFC 9110,
/// 5.6.7).
#[must_use]
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

// === impl Stream ===

impl Stream {
    /// Makes a `stream` record with only the schema, the tool and its version.
    #[must_use]
    pub fn of(tool: Tool, version: &str) -> Self {
        Self {
            schema: crate::SCHEMA.to_owned(),
            tool,
            version: version.to_owned(),
            cluster: None,
            run: None,
            time: None,
            cluster_uid: None,
            source: None,
            flags: None,
            consistency: None,
            scope: None,
            by: None,
            argv: Vec::new(),
            dry_run: None,
        }
    }
}

// === impl Scope ===

impl Scope {
    /// Returns true if nothing limited the survey.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        *self == Self::default()
    }
}

// === impl Tool ===

impl Tool {
    /// Returns the binary's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MeshSurvey => "mesh-survey",
            Self::MeshSkewcheck => "mesh-skewcheck",
            Self::MeshCpUpgrade => "mesh-cp-upgrade",
            Self::MeshRoll => "mesh-roll",
        }
    }
}

impl std::fmt::Display for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl EndOutcome {
    /// Returns the spelling in the records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}
