//! Why a stream cannot be used, and what to do about it.

use std::{fmt, io};

use crate::{SCHEMA, Tool};

/// Why a stream cannot be used. Each of these ends the tool with exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The input cannot be read.
    #[error("cannot read the records: {0}")]
    Io(#[source] io::Error),
    /// The input has no stream.
    #[error("there is no stream in the input")]
    Empty,
    /// A line is longer than [`crate::line::LONGEST`].
    #[error("line {line}: longer than 16 MiB")]
    TooLong {
        /// The line's number.
        line: u64,
    },
    /// A line that is not UTF-8.
    #[error("line {line}: not UTF-8")]
    NotUtf8 {
        /// The line's number.
        line: u64,
    },
    /// A line is text that is not JSON.
    #[error("line {line}: not a JSON record: `{}`", start.escape_debug())]
    NotJson {
        /// The line's number.
        line: u64,
        /// The first 24 characters of the line.
        start: String,
    },
    /// A record is spread over several lines.
    #[error("line {line}: the records are spread over several lines")]
    Pretty {
        /// The number of the first of these lines.
        line: u64,
    },
    /// A line is not a valid record, or the record is in the wrong place.
    #[error("line {line}: {cause}")]
    Malformed {
        /// The line's number.
        line: u64,
        /// What is wrong.
        cause: String,
    },
    /// A field of a record is missing or wrong.
    #[error("line {line}: {kind}: {field}: {cause}")]
    WrongField {
        /// The line's number.
        line: u64,
        /// The record's type.
        kind: String,
        /// The path of the field.
        field: String,
        /// What is wrong.
        cause: String,
    },
    /// The stream has a schema that this version does not read.
    #[error("line {line}: schema `{schema}` is not `{SCHEMA}`")]
    Schema {
        /// The line's number.
        line: u64,
        /// The stream's schema.
        schema: String,
    },
    /// The input ends inside a bracket.
    #[error("the stream of {tool}{} is cut off after line {line}", on(cluster.as_deref()))]
    Cut {
        /// The tool whose bracket is open.
        tool: Tool,
        /// The cluster's label.
        cluster: Option<String>,
        /// The last line of the input.
        line: u64,
    },
    /// The tool that wrote the bracket did not complete.
    #[error("line {line}: {tool}{} did not complete: {outcome}{}", on(cluster.as_deref()), because(reason.as_deref()))]
    NotComplete {
        /// The number of the `end` line.
        line: u64,
        /// The tool that did not complete.
        tool: Tool,
        /// The cluster's label.
        cluster: Option<String>,
        /// The outcome in the `end` record.
        outcome: &'static str,
        /// The reason in the `end` record.
        reason: Option<String>,
    },
    /// The stream has been judged already.
    #[error("line {line}: this stream has been judged already")]
    JudgedAlready {
        /// The line of the `stream` record.
        line: u64,
    },
    /// The stream has not been judged.
    #[error("line {line}: this is a survey that nobody has judged")]
    NotJudged {
        /// The line of the `stream` record.
        line: u64,
    },
    /// The input has more than one judged stream.
    #[error("line {line}: a second judged stream")]
    SecondVerdictStream {
        /// The line where the second begins.
        line: u64,
    },
    /// The input has two surveys of one control plane.
    #[error(
        "line {line}: a second survey of the control plane in `{namespace}` of cluster `{cluster}`"
    )]
    SurveyedTwice {
        /// The line of the second.
        line: u64,
        /// The cluster's label.
        cluster: String,
        /// The control plane's namespace.
        namespace: String,
    },
    /// The survey is a watch, which never ends.
    #[error("line {line}: a survey that goes on watching never ends and cannot be judged")]
    Watching {
        /// The line of the `stream` record.
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

    /// Returns the hint.
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
