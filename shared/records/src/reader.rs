//! Reads a stream and checks its brackets, so that a stream that was cut off, doubled or mixed with
//! another is an error.

use std::collections::BTreeSet;
use std::io::BufRead;

use serde::Deserialize;

use crate::agreement::Agreement;
use crate::{
    End, EndOutcome, Lines, RawLine, RecordType, SCHEMA, Scope, Stream, StreamError, Tool, Totals,
};

/// Reads the lines of a stream in order and classifies each.
///
/// Does *not* check that a survey covers the whole cluster; see [`Closed::is_full`].
#[derive(Debug)]
pub struct Reader<R> {
    lines: Lines<R>,
    brackets: Brackets,
}

/// Which kind of stream a tool reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// One or more surveys; `mesh-skewcheck` reads these.
    Surveys,
    /// One judged stream; the two actions read this.
    Judged,
}

/// A line and its classification.
#[derive(Debug)]
pub struct Item<'a> {
    /// The line, unchanged.
    pub line: RawLine<'a>,
    /// The classification.
    pub what: What,
}

/// The classification of a line.
#[derive(Debug)]
pub enum What {
    /// A `stream` record: a bracket opens.
    Open(Box<Stream>),
    /// An `end` record: a bracket closes, and its tool completed.
    Close(Box<Closed>),
    /// Any other record, of known or foreign type.
    Record(RecordType),
}

/// A bracket that was closed by a tool that completed.
#[derive(Clone, Debug)]
pub struct Closed {
    /// The record that opened the bracket.
    pub stream: Stream,
    /// The record that closed the bracket.
    pub end: End,
    /// Whether a filter removed records: there were fewer than the `end` record counts.
    pub thinned: bool,
}

#[derive(Debug)]
struct Brackets {
    expect: Expect,
    open: Vec<Open>,
    opened: bool,
    judged: bool,
    agreement: Agreement,
    seen: BTreeSet<(String, String)>,
    last: u64,
}

#[derive(Debug)]
struct Open {
    stream: Stream,
    counts: Totals,
}

#[derive(Deserialize)]
struct ControlPlaneName {
    cluster: String,
    namespace: String,
}

// === impl Reader ===

impl<R: BufRead> Reader<R> {
    /// Makes a reader of `input`, which must be the kind of stream that `expect` names.
    pub fn new(input: R, expect: Expect) -> Self {
        let brackets = Brackets {
            expect,
            open: Vec::new(),
            opened: false,
            judged: false,
            agreement: Agreement::default(),
            seen: BTreeSet::new(),
            last: 0,
        };
        Self {
            lines: Lines::new(input),
            brackets,
        }
    }

    /// Returns the next line, or `None` when the input ends outside every bracket. With
    /// [`Expect::Surveys`] a workload's line was not parsed: the caller must, to find what is wrong
    /// with it.
    ///
    /// # Errors
    /// The stream is invalid ([`StreamError`]); the caller must then trust none of its lines.
    pub fn next_item(&mut self) -> Result<Option<Item<'_>>, StreamError> {
        let Self { lines, brackets } = self;
        let Some(line) = lines.next_line()? else {
            return brackets.finish().map(|()| None);
        };
        let what = brackets.take(line)?;
        Ok(Some(Item { line, what }))
    }
}

// === impl Closed ===

impl Closed {
    /// Returns true if the whole cluster was surveyed and no record was removed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        !self.thinned && self.stream.scope.as_ref().is_some_and(Scope::is_whole)
    }
}

// === impl Brackets ===

impl Brackets {
    fn take(&mut self, line: RawLine<'_>) -> Result<What, StreamError> {
        self.last = line.number;
        // Whoever reads surveys parses each workload itself: to parse it here too, for its type
        // alone, would take a third of the time.
        if self.expect == Expect::Surveys && line.begins_as_workload() {
            return self.count(line, RecordType::Workload);
        }
        let name = line.kind()?;
        let kind = RecordType::named(&name);
        match kind {
            RecordType::Stream => self.open(line),
            RecordType::End => self.close(line),
            RecordType::Foreign => {
                if let Some(open) = self.open.last_mut() {
                    *open.counts.entry(name.into_owned()).or_default() += 1;
                }
                Ok(What::Record(kind))
            }
            RecordType::ControlPlane => {
                let what = self.count(line, kind)?;
                self.once(line)?;
                Ok(what)
            }
            RecordType::Verdict => {
                let what = self.count(line, kind)?;
                self.agreement.verdict(line)?;
                Ok(what)
            }
            RecordType::Extension
            | RecordType::Workload
            | RecordType::Proxy
            | RecordType::Anomaly
            | RecordType::Unseen
            | RecordType::Finding
            | RecordType::Plan
            | RecordType::Intent
            | RecordType::Step
            | RecordType::Progress
            | RecordType::Rolled
            | RecordType::Skipped => self.count(line, kind),
        }
    }

    fn open(&mut self, line: RawLine<'_>) -> Result<What, StreamError> {
        let number = line.number;
        let stream: Stream = line.parse()?;
        if stream.schema != SCHEMA {
            return Err(StreamError::Schema {
                line: number,
                schema: stream.schema,
            });
        }
        match (
            stream.tool,
            self.expect,
            self.open.last().map(|open| open.stream.tool),
        ) {
            (Tool::MeshSkewcheck, Expect::Surveys, _) => {
                return Err(StreamError::JudgedAlready { line: number });
            }
            (Tool::MeshSurvey, Expect::Judged, None) => {
                return Err(StreamError::NotJudged { line: number });
            }
            (Tool::MeshSkewcheck, Expect::Judged, None) if self.judged => {
                return Err(StreamError::SecondVerdictStream { line: number });
            }
            (Tool::MeshSkewcheck, Expect::Judged, None)
            | (Tool::MeshSurvey, Expect::Surveys, None)
            | (Tool::MeshSurvey, Expect::Judged, Some(Tool::MeshSkewcheck)) => {}
            (tool, Expect::Surveys | Expect::Judged, Some(inside)) if tool == inside => {
                return Err(StreamError::Restarted { line: number, tool });
            }
            (tool, Expect::Surveys | Expect::Judged, inside) => {
                let place =
                    inside.map_or("here".to_owned(), |it| format!("inside a stream of {it}"));
                let cause = format!("a stream of {tool} must not start {place}");
                return Err(StreamError::malformed(number, &cause));
            }
        }
        if stream
            .scope
            .as_ref()
            .is_some_and(|scope| scope.watch == Some(true))
        {
            return Err(StreamError::Watching { line: number });
        }
        self.opened = true;
        if stream.tool == Tool::MeshSurvey {
            self.agreement.survey(&stream);
        }
        self.judged |= stream.tool == Tool::MeshSkewcheck;
        self.open.push(Open {
            stream: stream.clone(),
            counts: Totals::new(),
        });
        Ok(What::Open(Box::new(stream)))
    }

    fn close(&mut self, line: RawLine<'_>) -> Result<What, StreamError> {
        let number = line.number;
        let end: End = line.parse()?;
        let Some(Open { stream, counts }) = self.open.pop() else {
            return Err(StreamError::Unframed {
                line: number,
                kind: "end".to_owned(),
            });
        };
        // When mesh-skewcheck fails, its `end` may close the survey's bracket that it was reading,
        // so this check comes before the comparison of the tools.
        if end.outcome != EndOutcome::Complete {
            return Err(StreamError::NotComplete {
                line: number,
                tool: end.tool,
                cluster: end.cluster.or(stream.cluster),
                outcome: end.outcome.as_str(),
                reason: end.reason,
            });
        }
        if end.tool == Tool::MeshSkewcheck && stream.tool == Tool::MeshSurvey {
            let (line, tool) = (number, stream.tool);
            return Err(StreamError::Unended { line, tool });
        }
        if stream.tool != end.tool {
            let cause = format!(
                "an `end` record of {} closes the stream of {}",
                end.tool, stream.tool
            );
            return Err(StreamError::malformed(number, &cause));
        }
        if stream.tool == Tool::MeshSkewcheck {
            self.agreement.end(&end, number)?;
        }
        let thinned = compare(&counts, &end.totals).map_err(|(kind, count, total)| {
            let cause = format!(
                "the stream has {count} `{kind}` records, but {} wrote only {total}",
                stream.tool
            );
            StreamError::malformed(number, &cause)
        })?;
        Ok(What::Close(Box::new(Closed {
            stream,
            end,
            thinned,
        })))
    }

    fn count(&mut self, line: RawLine<'_>, kind: RecordType) -> Result<What, StreamError> {
        let name = kind.as_str();
        let Some(open) = self.open.last_mut() else {
            let (line, kind) = (line.number, name.to_owned());
            // After a stream that ended, it is a record of nobody.
            return Err(match self.opened {
                false => StreamError::Unframed { line, kind },
                true => {
                    let cause = format!("a `{kind}` record outside any stream");
                    StreamError::malformed(line, &cause)
                }
            });
        };
        if kind.writer() != Some(open.stream.tool) {
            let cause = format!(
                "a `{name}` record must not be in a stream of {}",
                open.stream.tool
            );
            return Err(StreamError::malformed(line.number, &cause));
        }
        match open.counts.get_mut(name) {
            Some(count) => *count += 1,
            None => {
                open.counts.insert(name.to_owned(), 1);
            }
        }
        Ok(What::Record(kind))
    }

    fn once(&mut self, line: RawLine<'_>) -> Result<(), StreamError> {
        let ControlPlaneName { cluster, namespace } = line.parse()?;
        let uid = self
            .open
            .last()
            .and_then(|open| open.stream.cluster_uid.clone());
        let identity = uid.unwrap_or_else(|| cluster.clone());
        if self.seen.insert((identity, namespace.clone())) {
            return Ok(());
        }
        Err(StreamError::SurveyedTwice {
            line: line.number,
            cluster,
            namespace,
        })
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        if let Some(Open { stream, counts: _ }) = self.open.pop() {
            let Stream { tool, cluster, .. } = stream;
            return Err(StreamError::Cut {
                tool,
                cluster,
                line: self.last,
            });
        }
        if self.last == 0 {
            Err(StreamError::Empty)
        } else {
            Ok(())
        }
    }
}

// Returns true if records were removed. The error is a type with too many records: its name, the
// number of records and the total.
fn compare(counts: &Totals, totals: &Totals) -> Result<bool, (String, u64, u64)> {
    for (kind, &count) in counts {
        let known = RecordType::named(kind) != RecordType::Foreign;
        let total = totals.get(kind).copied();
        match total {
            Some(total) if count > total => return Err((kind.clone(), count, total)),
            None if known => return Err((kind.clone(), count, 0)),
            Some(_) | None => {}
        }
    }
    Ok(totals
        .iter()
        .any(|(kind, &total)| counts.get(kind).copied().unwrap_or(0) < total))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SURVEY: &str = concat!(
        r#"{"type":"stream","schema":"mesh/1","tool":"mesh-survey","version":"0","cluster":"a","cluster_uid":"u","scope":{}}"#,
        "\n",
        r#"{"type":"control_plane","cluster":"a","namespace":"linkerd"}"#,
        "\n",
        r#"{"type":"workload","cluster":"a","n":1}"#,
        "\n",
        r#"{"type":"workload","cluster":"a","n":2}"#,
        "\n",
        r#"{"type":"end","tool":"mesh-survey","cluster":"a","outcome":"complete","exit":0,"totals":{"control_plane":1,"workload":2}}"#,
        "\n",
    );
    const OPEN: &str = "{\"type\":\"stream\",\"schema\":\"mesh/1\",\"tool\":\"mesh-skewcheck\",\"version\":\"0\"}\n";
    const CLOSE: &str = "{\"type\":\"end\",\"tool\":\"mesh-skewcheck\",\"outcome\":\"complete\",\"exit\":0,\"totals\":{}}\n";

    fn read(input: &str, expect: Expect) -> Result<Vec<bool>, StreamError> {
        let mut reader = Reader::new(input.as_bytes(), expect);
        let mut full = Vec::new();
        while let Some(item) = reader.next_item()? {
            if let What::Close(closed) = item.what {
                full.push(closed.is_full());
            }
        }
        Ok(full)
    }

    fn judged(survey: &str) -> String {
        format!("{OPEN}{survey}{CLOSE}")
    }

    #[test]
    fn is_full_holds_for_a_whole_survey_alone_and_judged() {
        assert_eq!(read(SURVEY, Expect::Surveys).unwrap(), [true]);
        assert!(read(&judged(SURVEY), Expect::Judged).unwrap()[0]);
    }

    fn said(input: &str, expect: Expect) -> String {
        let error = read(input, expect).unwrap_err();
        format!("{error}; {}", error.hint())
    }

    #[test]
    fn an_input_that_ends_within_a_line_names_the_line_and_not_the_json() {
        let end = SURVEY.find("\"n\":2").unwrap();
        let start = SURVEY[..end].rfind('\n').unwrap() + 1;
        let expected = "line 4: the input ends in the middle of this line: the program before the \
                        pipe, or the copy of a file, was cut off; read the error of the program \
                        before the pipe, on stderr, then run the pipeline again";
        for cut in start + 1..end {
            assert_eq!(said(&SURVEY[..cut], Expect::Surveys), expected);
        }
        let mut within = format!("{SURVEY}{{\"type\":\"é").into_bytes();
        within.pop();
        let mut reader = Reader::new(&*within, Expect::Surveys);
        let error = loop {
            if let Err(error) = reader.next_item() {
                break error;
            }
        };
        assert!(matches!(error, StreamError::CutLine { line: 6 }), "{error}");
    }

    #[test]
    fn a_filter_that_took_stream_or_end_out_is_told_what_to_keep() {
        let without = |input: &str, gone: &[&str]| {
            let keeps = |line: &&str| !gone.iter().any(|kind| line.contains(kind));
            let kept = input.split_inclusive('\n').filter(keeps);
            kept.collect::<String>()
        };
        let (stream, end) = ("\"type\":\"stream\"", "\"type\":\"end\"");
        let keep = "let a filter keep every record that is not a workload: \
                    jq -c 'select(.type != \"workload\" or .namespace == \"NAMESPACE\")'";
        let judged = judged(SURVEY);
        let unframed = |kind: &str| {
            format!(
                "line 1: there is no `stream` record before this `{kind}` record: a filter took it \
                 out; {keep}"
            )
        };
        let table = [
            (without(SURVEY, &[stream, end]), unframed("control_plane")),
            (without(SURVEY, &[stream]), unframed("control_plane")),
            (without(SURVEY, &[stream, "space", "\"n\":"]), unframed("end")),
            (
                without(SURVEY, &[end]),
                "the stream of mesh-survey on `a` is cut off after line 4: it has no `end` record; \
                 read the error of the program before the pipe, on stderr, then run the pipeline \
                 again; a filter must keep `stream` and `end`"
                    .to_owned(),
            ),
        ];
        for (input, expected) in table {
            assert_eq!(said(&input, Expect::Surveys), expected);
        }
        assert_eq!(
            said(&without(&judged, &[stream, end]), Expect::Judged),
            unframed("control_plane")
        );
        let inner = "\"tool\":\"mesh-survey\",\"cluster\":\"a\",\"outcome\"";
        assert_eq!(
            said(&without(&judged, &[inner]), Expect::Judged),
            format!(
                "line 6: the stream of mesh-survey has no `end` record: a filter took that out; \
                 {keep}"
            )
        );
    }

    #[test]
    fn two_runs_in_one_file_are_told_about_appending() {
        let first = SURVEY.rsplit_once("{\"type\":\"end\"").unwrap().0;
        let judged = judged(SURVEY);
        let table = [
            (
                format!("{SURVEY}{SURVEY}"),
                Expect::Surveys,
                "line 7: the input has a second survey of the control plane in namespace `linkerd` \
                 of cluster `a`; survey each cluster once; write the surveys to a new file: `>>` \
                 keeps the old ones that the file has already",
            ),
            (
                format!("{first}{SURVEY}"),
                Expect::Surveys,
                "line 5: a second stream of mesh-survey begins here, but the first has no `end` \
                 record: it was cut off, or a filter took that out; write the records to a new \
                 file with `>`: `>>` keeps what the file has already",
            ),
            (
                format!("{judged}{judged}"),
                Expect::Judged,
                "line 8: the input has a second judged stream (from mesh-skewcheck); pass the \
                 output of one mesh-skewcheck run; write it to a file with `>`: `>>` keeps what \
                 the file has already",
            ),
        ];
        for (input, expect, expected) in table {
            assert_eq!(said(&input, expect), expected);
        }
    }

    #[test]
    fn every_proper_prefix_is_refused() {
        let whole = judged(SURVEY);
        for cut in 0..whole.len() - 1 {
            assert!(read(&whole[..cut], Expect::Judged).is_err(), "cut at {cut}");
        }
        for cut in 0..SURVEY.len() - 1 {
            assert!(
                read(&SURVEY[..cut], Expect::Surveys).is_err(),
                "cut at {cut}"
            );
        }
        assert!(read(whole.trim_end(), Expect::Judged).is_ok());
    }

    #[test]
    fn removing_a_line_makes_the_survey_not_full_but_is_no_error() {
        let without: String = SURVEY
            .split_inclusive('\n')
            .filter(|line| !line.contains("\"n\":1"))
            .collect();
        assert_eq!(read(&without, Expect::Surveys).unwrap(), [false]);
    }

    #[test]
    fn more_lines_than_the_totals_are_refused() {
        let twice: String = SURVEY
            .split_inclusive('\n')
            .flat_map(|line| {
                if line.contains("\"n\":1") {
                    vec![line, line]
                } else {
                    vec![line]
                }
            })
            .collect();
        assert!(matches!(
            read(&twice, Expect::Surveys),
            Err(StreamError::Malformed { .. })
        ));
    }

    #[test]
    fn a_foreign_type_passes_anywhere() {
        let foreign = "{\"type\":\"remark\",\"text\":\"x\"}\n";
        let mixed: String = SURVEY
            .split_inclusive('\n')
            .flat_map(|line| [foreign, line, foreign])
            .collect();
        assert_eq!(read(&mixed, Expect::Surveys).unwrap(), [true]);
    }

    #[test]
    fn a_narrowed_survey_or_one_of_unknown_scope_is_not_full() {
        let scoped = SURVEY.replace("\"scope\":{}", "\"scope\":{\"namespaces\":[\"shop\"]}");
        assert_eq!(read(&scoped, Expect::Surveys).unwrap(), [false]);
        let unknown = SURVEY.replace(",\"scope\":{}", "");
        assert_eq!(read(&unknown, Expect::Surveys).unwrap(), [false]);
    }

    #[test]
    fn a_verdict_that_contradicts_itself_or_its_stream_is_refused() {
        let verdict = |uid: &str, pass: bool, blocking: &str| {
            let survey = SURVEY.replace("\"scope\"", "\"time\":\"2026-01-02T03:00:00Z\",\"scope\"");
            let end = CLOSE.replace("{}", "{\"verdict\":1}");
            format!(
                "{OPEN}{survey}{{\"type\":\"verdict\",\"cluster_uid\":\"{uid}\",\"surveyed\":\
                 \"2026-01-02T03:00:00Z\",\"pass\":{pass},\"blocking\":[{blocking}]}}\n{end}"
            )
        };
        let no = verdict("u", false, "\"downgrade\"");
        assert!(read(&verdict("u", true, ""), Expect::Judged).is_ok());
        assert!(
            read(
                &no.replace(
                    "complete\",\"exit\":0,\"totals\":{\"verdict",
                    "complete\",\"exit\":1,\"totals\":{\"verdict"
                ),
                Expect::Judged
            )
            .is_ok()
        );
        for wrong in [
            no,
            verdict("u", true, "\"downgrade\""),
            verdict("u", false, ""),
            verdict("v", true, ""),
            verdict("u", true, "")
                .replace("\"surveyed\":\"2026-01-02", "\"surveyed\":\"2026-01-03"),
        ] {
            let error = read(&wrong, Expect::Judged).unwrap_err();
            assert!(
                matches!(error, StreamError::Malformed { .. }),
                "{error}: {wrong}"
            );
        }
    }

    #[test]
    fn each_wrong_order_of_streams_has_its_own_stream_error() {
        let twice = format!("{SURVEY}{SURVEY}");
        let other = SURVEY.replace("\"u\"", "\"v\"");
        let failed = SURVEY.replace("complete", "failed");
        let watching = SURVEY.replace("\"scope\":{}", "\"scope\":{\"watch\":true}");
        let newer = SURVEY.replace("mesh/1", "mesh/2");
        let outside = format!("{SURVEY}{{\"type\":\"workload\"}}\n");
        let stray = format!("{OPEN}{{\"type\":\"workload\"}}\n{CLOSE}");
        let two = format!("{0}{0}", judged(SURVEY));
        let survey = SURVEY.lines().next().unwrap();
        let no_verdict = judged(&format!("{survey}\n")).replace("complete", "failed");
        assert!(read(&format!("{SURVEY}{other}"), Expect::Surveys).is_ok());
        type Row<'a> = (&'a str, Expect, fn(&StreamError) -> bool);
        let table: [Row<'_>; 12] = [
            (&twice, Expect::Surveys, |e| {
                matches!(e, StreamError::SurveyedTwice { .. })
            }),
            (&judged(&twice), Expect::Judged, |e| {
                matches!(e, StreamError::SurveyedTwice { .. })
            }),
            (&failed, Expect::Surveys, |e| {
                matches!(e, StreamError::NotComplete { .. })
            }),
            (&judged(&failed), Expect::Judged, |e| {
                matches!(e, StreamError::NotComplete { .. })
            }),
            (
                &no_verdict,
                Expect::Judged,
                |e| matches!(e, StreamError::NotComplete { tool, .. } if *tool == Tool::MeshSkewcheck),
            ),
            (&watching, Expect::Surveys, |e| {
                matches!(e, StreamError::Watching { .. })
            }),
            (&newer, Expect::Surveys, |e| {
                matches!(e, StreamError::Schema { .. })
            }),
            (&outside, Expect::Surveys, |e| {
                matches!(e, StreamError::Malformed { .. })
            }),
            (&stray, Expect::Judged, |e| {
                matches!(e, StreamError::Malformed { .. })
            }),
            (&judged(SURVEY), Expect::Surveys, |e| {
                matches!(e, StreamError::JudgedAlready { .. })
            }),
            (SURVEY, Expect::Judged, |e| {
                matches!(e, StreamError::NotJudged { .. })
            }),
            (&two, Expect::Judged, |e| {
                matches!(e, StreamError::SecondVerdictStream { .. })
            }),
        ];
        for (number, (input, expect, right)) in table.into_iter().enumerate() {
            let error = read(input, expect).unwrap_err();
            assert!(right(&error), "row {number}: {error}");
        }
        assert!(matches!(read("", Expect::Surveys), Err(StreamError::Empty)));
        assert!(matches!(
            read("\n\n", Expect::Judged),
            Err(StreamError::Empty)
        ));
    }
}
