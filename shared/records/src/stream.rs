//! The two records that every tool writes: `stream` and `end`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How many records of each type a tool wrote itself, brackets not counted.
pub type Totals = BTreeMap<String, u64>;

/// Opens a bracket. A filter's own bears nothing but schema, tool and version, so that the same
/// input gives the same output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// [`crate::SCHEMA`].
    pub schema: String,
    /// Who writes.
    pub tool: Tool,
    /// The tool's version.
    pub version: String,
    /// A label for people: the context's name, `in-cluster`, or what was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Identifies this run of the tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The API server's time when the run began; a dump has it only from `--taken-at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// The cluster's identity: the uid of its `kube-system` namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_uid: Option<String>,
    /// Where the facts come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Whether the lists were quorum reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Consistency>,
    /// What was looked at. A whole survey bears an empty scope; a missing one is not known to be whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Who acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// The command line of an action, secrets taken out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub argv: Vec<String>,
    /// How an action writes nothing; absent where it acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<DryRun>,
}

/// The ways to write nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DryRun {
    /// No write is sent.
    Client,
    /// Each write is sent for the API server to check, and not kept.
    Server,
}

/// The four tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tool {
    /// Looks.
    MeshSurvey,
    /// Judges.
    MeshSkewcheck,
    /// Upgrades the control plane.
    MeshCpUpgrade,
    /// Rolls workloads.
    MeshRoll,
}

/// Where a survey's facts come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A running API server.
    Server,
    /// A dump: for looking, never for acting.
    Dump,
}

/// How current a survey's lists are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consistency {
    /// Quorum reads.
    Current,
    /// Served from the API server's watch cache, possibly seconds old.
    Cached,
}

/// What narrows a survey. Empty means the whole cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Only these namespaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Only what this label selector matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Kinds that a dump lacks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// The survey goes on for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<bool>,
}

/// Who runs an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// The user as the API server sees it.
    pub user: String,
    /// Its groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The machine it runs on.
    pub host: String,
}

/// Closes a bracket, on every way out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// Who wrote the bracket.
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
    /// How many records of each type were written by this tool.
    pub totals: Totals,
    /// Optional permissions that were missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blind: Vec<String>,
    /// Why it did not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The command to go on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// How a tool's run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndOutcome {
    /// All that was asked was done, whatever the answer.
    Complete,
    /// It stopped in good order before the end.
    Stopped,
    /// It could not be done.
    Failed,
}

/// A time as records bear it: the date of the API server's answers is no finer (RFC 9110, 5.6.7).
#[must_use]
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

// === impl Stream ===

impl Stream {
    /// A bracket's first record with nothing in it but who writes.
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
    /// Whether nothing narrowed the survey.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        *self == Self::default()
    }
}

// === impl Tool ===

impl Tool {
    /// The binary's name.
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
    /// The spelling on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}
