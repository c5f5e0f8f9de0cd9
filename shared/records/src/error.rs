//! Why a stream cannot be used, and what to do about it.

use std::{fmt, io};

use crate::{SCHEMA, Tool};

/// The hint for a filter that took out records which hold a stream together.
pub const KEEP: &str = "let a filter keep every record that is not a workload: \
                        jq -c 'select(.type != \"workload\" or .namespace == \"NAMESPACE\")'";

/// Why a stream cannot be used. Each of these ends the tool with exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The input cannot be read.
    #[error("cannot read the records: {0}")]
    Io(#[source] io::Error),
    /// The input has no stream.
    #[error("no stream of records in the input")]
    Empty,
    /// A line is longer than [`crate::line::LONGEST`].
    #[error("line {line}: the line is longer than 16 MiB")]
    TooLong {
        /// The line's number.
        line: u64,
    },
    /// A line that is not UTF-8.
    #[error("line {line}: the line is not UTF-8")]
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
    #[error("line {line}: one JSON record is spread over several lines")]
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
    #[error("line {line}: the schema is `{schema}`; this tool reads `{SCHEMA}`")]
    Schema {
        /// The line's number.
        line: u64,
        /// The stream's schema.
        schema: String,
    },
    /// The input ends inside a bracket.
    #[error("the stream of {tool}{} is cut off after line {line}: it has no `end` record", on(cluster.as_deref()))]
    Cut {
        /// The tool whose bracket is open.
        tool: Tool,
        /// The cluster's label.
        cluster: Option<String>,
        /// The last line of the input.
        line: u64,
    },
    /// The input ends in the middle of a line.
    #[error(
        "line {line}: the input ends in the middle of this line: the program before the pipe, or \
         the copy of a file, was cut off"
    )]
    CutLine {
        /// The line's number.
        line: u64,
    },
    /// A record that is in no stream.
    #[error(
        "line {line}: there is no `stream` record before this `{kind}` record: a filter took it out"
    )]
    Unframed {
        /// The line's number.
        line: u64,
        /// The record's type.
        kind: String,
    },
    /// An outer stream ends before the inner one.
    #[error("line {line}: the stream of {tool} has no `end` record: a filter took that out")]
    Unended {
        /// The number of the line at which it is missing.
        line: u64,
        /// The tool whose bracket is open.
        tool: Tool,
    },
    /// A stream begins in another one of the same tool.
    #[error(
        "line {line}: a second stream of {tool} begins here, but the first has no `end` record: it \
         was cut off, or a filter took that out"
    )]
    Restarted {
        /// The line where the second begins.
        line: u64,
        /// The tool that wrote both.
        tool: Tool,
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
    #[error("line {line}: this stream was judged already by mesh-skewcheck")]
    JudgedAlready {
        /// The line of the `stream` record.
        line: u64,
    },
    /// The stream has not been judged.
    #[error("line {line}: this is raw mesh-survey output without a verdict")]
    NotJudged {
        /// The line of the `stream` record.
        line: u64,
    },
    /// The input has more than one judged stream.
    #[error("line {line}: the input has a second judged stream (from mesh-skewcheck)")]
    SecondVerdictStream {
        /// The line where the second begins.
        line: u64,
    },
    /// The input has two surveys of one control plane.
    #[error(
        "line {line}: the input has a second survey of the control plane in namespace \
         `{namespace}` of cluster `{cluster}`"
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
    #[error("line {line}: this survey watches the cluster and never ends; it cannot be judged")]
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
            Self::Empty => "read the error of the program before the pipe, on stderr",
            Self::NotJson { .. } => {
                "pass `-o ndjson` to the program before the pipe, if it printed a table"
            }
            Self::Pretty { .. } => "use `jq -c`: it writes one record per line",
            Self::TooLong { .. } | Self::NotUtf8 { .. } | Self::Malformed { .. } => {
                "put only mesh tools, and filters that select whole lines, into the pipe"
            }
            Self::WrongField { .. } => {
                "use tools of one version, and do not edit records in the pipe"
            }
            Self::Schema { .. } => "use tools of one version on both sides of the pipe",
            Self::Cut { .. } => {
                "read the error of the program before the pipe, on stderr, then run the pipeline again; a filter must keep `stream` and `end`"
            }
            Self::CutLine { .. } => {
                "read the error of the program before the pipe, on stderr, then run the pipeline again"
            }
            Self::Unframed { .. } | Self::Unended { .. } => KEEP,
            Self::Restarted { .. } => {
                "write the records to a new file with `>`: `>>` keeps what the file has already"
            }
            Self::NotComplete { .. } => "fix the error above and run the pipeline again",
            Self::JudgedAlready { .. } => {
                "pipe the output of mesh-survey directly into mesh-skewcheck"
            }
            Self::NotJudged { .. } => "pipe it through mesh-skewcheck first",
            Self::SecondVerdictStream { .. } => {
                "pass the output of one mesh-skewcheck run; write it to a file with `>`: `>>` keeps what the file has already"
            }
            Self::SurveyedTwice { .. } => {
                "survey each cluster once; write the surveys to a new file: `>>` keeps the old ones that the file has already"
            }
            Self::Watching { .. } => "pipe a survey that ends: run mesh-survey again",
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
