//! The format of the releases file, and the errors in one.

use serde::Deserialize;

use crate::channel::Channel;
use crate::minor::Minor;
use crate::note::{Condition, Demand};
use crate::parts::{ReadDefinition, ShippedDefinition};

/// The schema that this program reads.
pub(crate) const SCHEMA: &str = "mesh-releases/1";

/// Why a releases file was refused.
#[derive(Debug, thiserror::Error)]
pub enum ReleasesError {
    /// The file is not JSON, or a field is missing, unknown, doubled or of the wrong type.
    #[error("not a valid releases file")]
    Json(#[source] serde_json::Error),
    /// A field has a wrong value.
    #[error("{field} (line {line}): {trouble}")]
    Field {
        /// The path of the field, such as `lines[3].floor.edge`.
        field: String,
        /// The line of the file.
        line: usize,
        /// What is wrong with the value.
        trouble: Trouble,
    },
}

/// What is wrong with a field of a releases file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The schema is not the one that this program reads.
    #[error("the schema is {0:?}; this tool reads {SCHEMA:?}")]
    Schema(String),
    /// The value is not a version, or is a version of the wrong channel.
    #[error("{0:?} is not {1}")]
    Not(String, &'static str),
    /// The value is out of order or repeated.
    #[error("{0} must come after {1}")]
    Unsorted(String, String),
    /// The value is repeated.
    #[error("{0} is listed twice")]
    Duplicate(String),
    /// The value belongs to another minor version, or to none.
    #[error("{0} does not belong to {1}")]
    Foreign(String, Minor),
    /// The list is empty, but must not be.
    #[error("the list is empty")]
    Empty,
}

impl ReleasesError {
    /// Adds the line on which a field stands.
    pub(crate) fn on_line(self, line_of: impl FnOnce(&str) -> usize) -> Self {
        match self {
            Self::Json(_) => self,
            Self::Field { field, trouble, .. } => Self::Field {
                line: line_of(&field),
                field,
                trouble,
            },
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) schema: String,
    pub(crate) known_until: String,
    pub(crate) lines: Vec<FileLine>,
    pub(crate) not_recommended: Vec<String>,
    pub(crate) charts: Vec<FileCharts>,
    pub(crate) repositories: Vec<FileRepository>,
    pub(crate) aliases: Vec<FileAlias>,
    pub(crate) sources: Vec<FileSource>,
    pub(crate) notes: Vec<FileNote>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileLine {
    pub(crate) line: String,
    pub(crate) floor: FileFloor,
    pub(crate) releases: Vec<String>,
    pub(crate) recommended: Vec<String>,
    pub(crate) kubernetes: FileKubernetes,
    pub(crate) components: Vec<String>,
    pub(crate) definitions: Vec<ShippedDefinition>,
    /// What the components read and the charts do not bring, or not always.
    #[serde(default)]
    pub(crate) reads: Vec<ReadDefinition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileFloor {
    pub(crate) edge: String,
    pub(crate) source: FloorSource,
}

/// Whether Linkerd's table states a floor, or it was derived from the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FloorSource {
    Table,
    Inferred,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileKubernetes {
    pub(crate) min: String,
    pub(crate) tested: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileCharts {
    pub(crate) release: String,
    pub(crate) control_plane: Option<String>,
    pub(crate) crds: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileRepository {
    pub(crate) channel: Channel,
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) control_plane: String,
    pub(crate) crds: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileAlias {
    pub(crate) tag: String,
    pub(crate) release: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileSource {
    pub(crate) facts: String,
    pub(crate) from: String,
    pub(crate) page: Option<String>,
    pub(crate) known_until: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileNote {
    pub(crate) hop: String,
    pub(crate) name: String,
    pub(crate) since: Option<String>,
    pub(crate) demand: Demand,
    pub(crate) destructive: bool,
    pub(crate) text: String,
    pub(crate) concerns: String,
    pub(crate) act: Option<String>,
    pub(crate) page: String,
    pub(crate) when: Condition,
}
