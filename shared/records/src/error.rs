//! Why a stream cannot be used, and what to do about it.

use std::{fmt, io};

use crate::{SCHEMA, Tool};

/// Why a stream cannot be used. Every one of them is exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The input cannot be read.
    #[error("cannot read the records: {0}")]
    Io(#[source] io::Error),
    /// There is nothing at all, or nothing of this contract.
    #[error("there is no stream in the input")]
    Empty,
    /// A line over [`crate::line::LONGEST`].
    #[error("line {line}: longer than 16 MiB")]
    TooLong {
        /// Its number.
        line: u64,
    },
    /// A line that is not UTF-8.
    #[error("line {line}: not UTF-8")]
    NotUtf8 {
        /// Its number.
        line: u64,
    },
    /// Text that is no JSON.
    #[error("line {line}: not a JSON record: `{}`", start.escape_debug())]
    NotJson {
        /// Its number.
        line: u64,
        /// How it begins.
        start: String,
    },
    /// JSON spread over several lines.
    #[error("line {line}: the records are spread over several lines")]
    Pretty {
        /// The number of the first.
        line: u64,
    },
    /// No record of this contract.
    #[error("line {line}: {cause}")]
    Malformed {
        /// Its number.
        line: u64,
        /// What is wrong with it.
        cause: String,
    },
    /// A record with a field that is missing or wrong.
    #[error("line {line}: {kind}: {field}: {cause}")]
    WrongField {
        /// Its number.
        line: u64,
        /// Its type.
        kind: String,
        /// The path of the field.
        field: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A schema that this version does not read.
    #[error("line {line}: schema `{schema}` is not `{SCHEMA}`")]
    Schema {
        /// Its number.
        line: u64,
        /// What it says.
        schema: String,
    },
    /// The input ends inside a bracket.
    #[error("the stream of {tool}{} is cut off after line {line}", on(cluster.as_deref()))]
    Cut {
        /// Whose stream.
        tool: Tool,
        /// Of which cluster.
        cluster: Option<String>,
        /// The last line there is.
        line: u64,
    },
    /// A bracket that its writer did not complete.
    #[error("line {line}: {tool}{} did not complete: {outcome}{}", on(cluster.as_deref()), because(reason.as_deref()))]
    NotComplete {
        /// The `end`'s number.
        line: u64,
        /// Who did not complete.
        tool: Tool,
        /// On which cluster.
        cluster: Option<String>,
        /// How it ended.
        outcome: &'static str,
        /// Why.
        reason: Option<String>,
    },
    /// The stream has been judged already.
    #[error("line {line}: this stream has been judged already")]
    JudgedAlready {
        /// The line that shows it.
        line: u64,
    },
    /// The stream has not been judged.
    #[error("line {line}: this is a survey that nobody has judged")]
    NotJudged {
        /// The line that shows it.
        line: u64,
    },
    /// More than one judged stream.
    #[error("line {line}: a second judged stream")]
    SecondVerdictStream {
        /// Where it begins.
        line: u64,
    },
    /// Two surveys of one control plane.
    #[error(
        "line {line}: a second survey of the control plane in `{namespace}` of cluster `{cluster}`"
    )]
    SurveyedTwice {
        /// Where the second is.
        line: u64,
        /// The cluster's label.
        cluster: String,
        /// The control plane's namespace.
        namespace: String,
    },
    /// A survey that never ends.
    #[error("line {line}: a survey that goes on watching never ends and cannot be judged")]
    Watching {
        /// Its first line.
        line: u64,
    },
}

// === impl StreamError ===

impl StreamError {
    pub(crate) fn malformed(line: u64, cause: &str) -> Self {
        Self::Malformed {
            line,
            cause: cause.to_owned(),
        }
    }

    /// The way out.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io(_) => "run the whole pipeline again",
            Self::Empty => "did the program before the pipe fail? its error is on stderr",
            Self::NotJson { .. } => {
                "is it a table? leave out `-o table`, or say `-o ndjson`, in front of a pipe"
            }
            Self::Pretty { .. } => "use `jq -c`, so that each record keeps its line",
            Self::TooLong { .. } | Self::NotUtf8 { .. } | Self::Malformed { .. } => {
                "only the mesh tools and filters that select whole lines may stand in the pipe"
            }
            Self::WrongField { .. } => "was a record edited, or do the tools' versions differ?",
            Self::Schema { .. } => "use tools of one version on both sides of the pipe",
            Self::Cut { .. } => "the program before the pipe was ended; run the pipeline again",
            Self::NotComplete { .. } => "mend what it says and run the pipeline again",
            Self::JudgedAlready { .. } => "give mesh-skewcheck the survey itself",
            Self::NotJudged { .. } => "mesh-survey | mesh-skewcheck … | this tool",
            Self::SecondVerdictStream { .. } => "act on one verdict at a time",
            Self::SurveyedTwice { .. } => "survey each cluster once; does a label stand twice?",
            Self::Watching { .. } => "leave out `--watch` in front of a pipe",
        }
    }
}

fn on(cluster: Option<&str>) -> impl fmt::Display {
    cluster
        .map(|cluster| format!(" on `{}`", cluster.escape_debug()))
        .unwrap_or_default()
}

fn because(reason: Option<&str>) -> impl fmt::Display {
    reason
        .map(|reason| format!(": {reason}"))
        .unwrap_or_default()
}
