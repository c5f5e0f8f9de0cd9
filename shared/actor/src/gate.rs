//! The gate: decides whether a verdict allows a run.

use std::io::BufRead;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mesh_cli::records_from_stdin;
use mesh_records::{
    Ask, Expect, Explained, Finding, KEEP, RawLine, Reader, RecordType, Severity, Source,
    StreamError, Tool, Verdict, VerdictScope, What,
};

use crate::ending::{Ending, Outcome};
use crate::run::Run;

/// The parts of a judged stream that both tools need.
#[derive(Debug, Default)]
pub struct Judged {
    verdicts: Vec<Verdict>,
    // At most one a rule and control plane, so they are few.
    findings: Vec<Finding>,
    // Whether a survey was limited, or records were removed from it.
    is_partial: bool,
}

/// A record that a tool reads beside the verdict.
#[derive(Clone, Copy, Debug)]
pub struct Surveyed<'a> {
    /// The record's type.
    pub kind: RecordType,
    /// The record's line.
    pub line: RawLine<'a>,
    /// The uid of the cluster whose survey the record belongs to.
    pub cluster_uid: Option<&'a str>,
}

/// The requirements of a tool for a verdict.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'a> {
    /// The question that the verdict must answer.
    pub ask: Ask,
    /// The namespace of the control plane that the verdict must be about, which also chooses among
    /// several verdicts; any if absent.
    pub control_plane: Option<&'a str>,
    /// Whether a verdict on a part of the cluster is enough.
    pub takes_partial: bool,
}

/// The facts that a verdict must match.
#[derive(Clone, Copy, Debug)]
pub struct Here<'a> {
    /// The cluster's label.
    pub cluster: &'a str,
    /// The cluster's identity.
    pub cluster_uid: &'a str,
    /// The API server's time.
    pub now: Timestamp,
    /// The greatest age of the survey.
    pub max_age: Duration,
    /// The pipeline that gives a new verdict, for hints.
    pub pipeline: &'a str,
}

/// A verdict that allows the run.
#[derive(Debug)]
pub struct Passed {
    /// The verdict.
    pub verdict: Verdict,
    /// The findings that do not block: the id and the message of each.
    pub warnings: Vec<String>,
}

/// Why no verdict allows the run.
#[derive(Debug)]
pub enum Shut {
    /// The verdict is valid and does not pass.
    No(Explained),
    /// No verdict is valid for this run.
    Unsound(Explained),
}

/// The allowed difference between two servers' clocks. A survey from further in the future means
/// that a clock was set back.
const CLOCKS_APART: SignedDuration = SignedDuration::from_secs(30);

/// The most findings and verdicts that a stream may have: mesh-skewcheck writes few for each
/// control plane.
const MOST: usize = 10_000;

impl From<Shut> for Ending {
    fn from(shut: Shut) -> Self {
        match shut {
            Shut::No(error) => Self::No(error),
            Shut::Unsound(error) => Self::Failed(error.into()),
        }
    }
}

// === impl Run ===

impl Run {
    /// Reads the judged stream on standard input on its own thread, because the programs before
    /// this one may run for long.
    ///
    /// # Errors
    /// The stream is not a complete judged stream, or the run was interrupted.
    pub async fn read<T: Send + 'static>(
        &mut self,
        read: impl FnOnce(&mut dyn BufRead) -> Result<T, StreamError> + Send + 'static,
    ) -> Outcome<T> {
        let pipeline = self.voice.again.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let mut input = records_from_stdin(&pipeline)?;
            read(&mut input).map_err(|error| unusable(error, &pipeline))
        });
        let read = self.unless_stopped(reading).await?;
        let read =
            read.map_err(|error| anyhow::Error::new(error).context("cannot use standard input"))??;
        // Reading the stream may have taken long, so the clock and the cluster's identity are read
        // now.
        let cluster = self.cluster.clone();
        self.cluster_uid = self.unless_stopped(cluster.uid()).await??;
        Ok(read)
    }

    /// Returns the facts that a verdict must match now.
    pub fn here(&self) -> Here<'_> {
        Here {
            cluster: self.cluster.label(),
            cluster_uid: &self.cluster_uid,
            now: self.now(),
            max_age: self.args.max_age,
            pipeline: &self.voice.again,
        }
    }
}

// === impl Judged ===

impl Judged {
    /// Reads the stream to its end and calls `keep` with every record of a survey.
    ///
    /// # Errors
    /// The stream is not a complete judged stream.
    pub fn read(
        input: impl BufRead,
        mut keep: impl FnMut(Surveyed<'_>) -> Result<(), StreamError>,
    ) -> Result<Self, StreamError> {
        let mut reader = Reader::new(input, Expect::Judged);
        let mut judged = Self::default();
        let mut survey_of = None;
        while let Some(item) = reader.next_item()? {
            // A stream that never ends would take all memory.
            if judged.verdicts.len() + judged.findings.len() > MOST {
                return Err(StreamError::Malformed {
                    line: item.line.number,
                    cause: format!("the input has more than {MOST} findings and verdicts"),
                });
            }
            match item.what {
                What::Open(stream) if stream.tool == Tool::MeshSurvey => {
                    survey_of = stream.cluster_uid;
                }
                What::Close(closed) if closed.stream.tool == Tool::MeshSurvey => {
                    judged.is_partial |= !closed.is_full();
                }
                What::Record(RecordType::Verdict) => judged.verdicts.push(item.line.parse()?),
                What::Record(RecordType::Finding) => judged.findings.push(item.line.parse()?),
                What::Record(kind) => keep(Surveyed {
                    kind,
                    line: item.line,
                    cluster_uid: survey_of.as_deref(),
                })?,
                What::Open(_) | What::Close(_) => {}
            }
        }
        Ok(judged)
    }
}

// === impl Gate ===

impl Gate<'_> {
    /// Returns the one verdict that allows the run. `further` checks the tool's own rules before
    /// the verdict's answer is read, so that a verdict on something else is invalid and not a "no".
    ///
    /// # Errors
    /// No verdict allows the run; [`Shut`] gives the reason.
    pub fn pass(
        &self,
        judged: Judged,
        here: Here<'_>,
        further: impl FnOnce(&Verdict) -> Result<(), Explained>,
    ) -> Result<Passed, Shut> {
        let (partial, mut findings) = (judged.is_partial, judged.findings);
        let sound = self.only(judged.verdicts, here.pipeline).and_then(|verdict| {
            is_of(&verdict, here)?;
            self.answers(&verdict, here.pipeline)?;
            fresh(&verdict, here)?;
            if !self.takes_partial && (partial || verdict.scope == VerdictScope::Partial) {
                return Err(Explained::new(
                    "the verdict covers only a part of the cluster",
                    "survey the whole cluster: run mesh-survey without -n, -l and --meshed-only, give it every \
                     permission that it reports as missing, and use no filter that removes its records",
                ));
            }
            further(&verdict)?;
            Ok(verdict)
        });
        let verdict = sound.map_err(Shut::Unsound)?;
        findings.retain(|it| {
            it.cluster == verdict.cluster && it.control_plane == verdict.control_plane
        });
        if !verdict.pass {
            return Err(Shut::No(no(&verdict, &findings)));
        }
        let warns = |it: &&Finding| it.severity == Severity::Warning || it.waived.is_some();
        let warnings = findings.iter().filter(warns);
        let warnings = warnings.map(|it| match &it.waived {
            Some(reason) => format!("{} (accepted: {reason}): {}", it.id, it.message),
            None => format!("{}: {}", it.id, it.message),
        });
        Ok(Passed {
            warnings: warnings.collect(),
            verdict,
        })
    }

    fn only(&self, mut verdicts: Vec<Verdict>, pipeline: &str) -> Result<Verdict, Explained> {
        if let Some(namespace) = self.control_plane
            && verdicts.len() > 1
        {
            verdicts.retain(|verdict| verdict.control_plane == namespace);
        }
        only(verdicts, pipeline)
    }

    fn answers(&self, verdict: &Verdict, pipeline: &str) -> Result<(), Explained> {
        if let Some(namespace) = self.control_plane
            && namespace != verdict.control_plane
        {
            let of = &verdict.control_plane;
            return Err(Explained::new(
                format!(
                    "the verdict is about the control plane in `{of}`, not the one in `{namespace}`"
                ),
                "name the same control plane with -L, or leave -L out",
            ));
        }
        if verdict.ask != self.ask {
            let (is, wanted) = (verdict.ask, self.ask);
            return Err(Explained::new(
                format!(
                    "the verdict answers the question `{is}`, but this tool needs the answer to `{wanted}`"
                ),
                format!("run {pipeline}"),
            ));
        }
        Ok(())
    }
}

fn unusable(error: StreamError, pipeline: &str) -> anyhow::Error {
    let error = if matches!(error, StreamError::NotJudged { .. }) {
        let hint = format!("pipe it through mesh-skewcheck first: {pipeline}");
        Explained::new(error.to_string(), hint).into()
    } else {
        anyhow::Error::new(error)
    };
    error.context("cannot use standard input")
}

fn only(verdicts: Vec<Verdict>, pipeline: &str) -> Result<Verdict, Explained> {
    let count = verdicts.len();
    let mut verdicts = verdicts.into_iter();
    match (verdicts.next(), verdicts.next()) {
        (Some(verdict), None) => Ok(verdict),
        (None, _) => Err(Explained::new(
            "the input has no verdict",
            format!("run {pipeline}; {KEEP}"),
        )),
        (Some(_), Some(_)) => Err(Explained::new(
            format!("there are {count} verdicts in the stream; exactly one is needed"),
            "name one control plane with -L NAMESPACE, and survey one cluster",
        )),
    }
}

fn is_of(verdict: &Verdict, here: Here<'_>) -> Result<(), Explained> {
    let Here {
        cluster,
        cluster_uid,
        ..
    } = here;
    match verdict.cluster_uid.as_deref() {
        None => Err(Explained::new(
            "the verdict does not say which cluster it is about",
            judge_again(here.pipeline),
        )),
        Some(uid) if uid != cluster_uid => Err(Explained::new(
            format!(
                "the verdict is about another cluster, `{}` ({uid}); this is `{cluster}` \
                 ({cluster_uid})",
                verdict.cluster
            ),
            "use one --kubeconfig and --context for the survey and for this tool",
        )),
        Some(_) => Ok(()),
    }
}

/// Checks that the survey of a verdict is recent enough, and returns the time until which it is.
///
/// # Errors
/// The survey is too old, from the future or from a dump, or has no time.
pub fn fresh(verdict: &Verdict, here: Here<'_>) -> Result<Timestamp, Explained> {
    let Here {
        now,
        max_age,
        pipeline,
        ..
    } = here;
    if verdict.source != Source::Server {
        return Err(Explained::new(
            "the verdict is about a dump (mesh-survey --from); a change needs a survey of the live cluster",
            format!("survey the cluster itself: {pipeline}"),
        ));
    }
    let Some(surveyed) = verdict.surveyed else {
        return Err(Explained::new(
            "the verdict does not say when the cluster was surveyed",
            judge_again(pipeline),
        ));
    };
    if surveyed.duration_since(now) > CLOCKS_APART {
        return Err(Explained::new(
            format!("the survey is from the future: taken at {surveyed}, and it is {now}"),
            "correct the clocks of the API servers, then run the whole pipeline again",
        ));
    }
    let until = surveyed.checked_add(max_age).unwrap_or(Timestamp::MAX);
    if now >= until {
        let age = now.duration_since(surveyed);
        let max_age = SignedDuration::try_from(max_age).unwrap_or(SignedDuration::MAX);
        return Err(Explained::new(
            format!("the verdict is too old: the survey is {age:#} old, --max-age is {max_age:#}"),
            judge_again(pipeline),
        ));
    }
    Ok(until)
}

// Repeats the findings that block, because the person who reads this sees only the last program of
// the pipe.
fn no(verdict: &Verdict, findings: &[Finding]) -> Explained {
    let blocking = verdict.blocking.iter().map(|rule| {
        let mut of_rule = findings.iter();
        let finding = of_rule.find(|it| it.id == *rule && it.severity == Severity::Error);
        match finding {
            Some(finding) => format!("{rule}: {}", finding.message),
            None => rule.clone(),
        }
    });
    let rules: Vec<String> = blocking.collect();
    let blocks = |it: &&Finding| it.severity == Severity::Error && it.waived.is_none();
    let hints = findings.iter().filter(blocks);
    let mut hints: Vec<&str> = hints.filter_map(|it| it.hint.as_deref()).collect();
    hints.push("then run the whole pipeline again; without its last command it shows all findings");
    let what = format!("the verdict says no, because of {}", rules.join("; "));
    let no = Explained::new(what, hints.join("; "));
    match &verdict.next {
        Some(next) => no.with_next(next),
        None => no,
    }
}

fn judge_again(pipeline: &str) -> String {
    format!("run the whole pipeline again: {pipeline}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = r#"{"type":"stream","schema":"mesh/1","tool":"mesh-skewcheck","version":"0"}
{"type":"stream","schema":"mesh/1","tool":"mesh-survey","version":"0","cluster":"eu","cluster_uid":"u1","time":"2026-01-02T03:00:00Z","scope":{}}
{"type":"end","tool":"mesh-survey","outcome":"complete","exit":0,"totals":{}}
VERDICT
{"type":"end","tool":"mesh-skewcheck","outcome":"complete","exit":0,"totals":{"verdict":9,"finding":9}}
"#;
    // mesh-skewcheck's exit code must match its verdict.
    const EXIT: (&str, &str) = (
        r#""exit":0,"totals":{"verdict""#,
        r#""exit":1,"totals":{"verdict""#,
    );
    const NO: [(&str, &str); 3] = [
        (r#""pass":true"#, r#""pass":false"#),
        (r#""blocking":[]"#, r#""blocking":["proxy-too-old"]"#),
        EXIT,
    ];
    const VERDICT: &str = r#"{"type":"verdict","cluster":"eu","cluster_uid":"u1","control_plane":"linkerd","ask":"upgrade","pass":true,"from":{"version":"stable-2.13.7","config_resource_version":"7"},"target":"stable-2.14.10","scope":"full","source":"server","surveyed":"2026-01-02T03:00:00Z","blocking":[],"releases_sha256":"0","counts":{}}"#;
    const FINDING: &str = r#"{"type":"finding","cluster":"eu","id":"proxy-too-old","severity":"error","control_plane":"linkerd","message":"1 workload is too old","hint":"restart it","decided":"yes","count":1}"#;
    const PARTIAL: (&str, &str) = (r#""scope":"full""#, r#""scope":"partial""#);

    const UPGRADE: Gate<'_> = Gate {
        ask: Ask::Upgrade,
        control_plane: None,
        takes_partial: false,
    };

    // Returns the exit code and the message.
    fn answer(gate: Gate<'_>, changes: &[(&str, &str)], now: &str) -> (u8, String) {
        let mut stream = STREAM.replace("VERDICT", VERDICT);
        for (from, to) in changes {
            assert!(stream.contains(from), "{from}");
            stream = stream.replace(from, to);
        }
        let here = Here {
            cluster: "eu",
            cluster_uid: "u1",
            now: now.parse().unwrap(),
            max_age: Duration::from_secs(3600),
            pipeline: "mesh-survey | mesh-skewcheck",
        };
        let judged = Judged::read(stream.as_bytes(), |_| Ok(())).unwrap();
        let further = |verdict: &Verdict| match verdict.target {
            Some(_) => Ok(()),
            None => Err(Explained::new("the tool's own rule", "hint")),
        };
        match gate.pass(judged, here, further) {
            Ok(passed) => (0, passed.warnings.join("; ")),
            Err(Shut::No(error)) => (1, format!("{error}; {}", error.hint())),
            Err(Shut::Unsound(error)) => {
                assert!(!error.hint().is_empty(), "{error}");
                (2, error.to_string())
            }
        }
    }

    type Row<'a> = (Gate<'a>, &'a [(&'a str, &'a str)], &'a str, u8, &'a str);

    #[test]
    fn a_no_repeats_its_findings_and_a_yes_says_what_the_verdict_warns_of() {
        let now = "2026-01-02T03:10:00Z";
        let with = |finding: &str| format!("{finding}\n{VERDICT}");
        let (no, yes) = (with(FINDING), with(&FINDING.replace("error", "warning")));
        let waived = r#""hint":"restart it","waived":"it is being deleted""#;
        let waived = with(&FINDING.replace(r#""hint":"restart it""#, waived));
        let foreign = with(&FINDING.replace(r#""linkerd""#, r#""canary""#));
        let row = |stream: &str, no: &[(&str, &str)]| {
            let mut changes = vec![(VERDICT, stream)];
            changes.extend(no);
            answer(UPGRADE, &changes, now)
        };
        let (exit, said) = row(&no, &NO);
        assert_eq!(exit, 1);
        let why = "because of proxy-too-old: 1 workload is too old; restart it; then run";
        assert!(said.contains(why), "{said}");
        let warned = (0, "proxy-too-old: 1 workload is too old".to_owned());
        assert_eq!(row(&yes, &[]), warned);
        let accepted = "proxy-too-old (accepted: it is being deleted): 1 workload is too old";
        assert_eq!(row(&waived, &[]), (0, accepted.to_owned()));
        assert_eq!(
            row(&foreign.replace("error", "warning"), &[]),
            (0, String::new())
        );
    }

    #[test]
    fn a_stream_of_endless_findings_is_refused() {
        let findings = format!("{FINDING}\n").repeat(MOST + 2);
        let error = Judged::read(
            STREAM.replace("VERDICT\n", &findings).as_bytes(),
            |_| Ok(()),
        );
        let error = error.unwrap_err().to_string();
        assert!(error.contains("more than 10000 findings"), "{error}");
    }

    #[test]
    fn the_gate_allows_a_verdict_or_gives_the_reason() {
        let now = "2026-01-02T03:10:00Z";
        let two = format!("{VERDICT}\n{VERDICT}");
        let other = VERDICT.replace(
            r#""control_plane":"linkerd""#,
            r#""control_plane":"canary""#,
        );
        let planes = format!("{VERDICT}\n{other}");
        let roll = Gate {
            ask: Ask::Roll,
            takes_partial: true,
            ..UPGRADE
        };
        let asked = (r#""ask":"upgrade""#, r#""ask":"roll""#);
        let there = Gate {
            control_plane: Some("linkerd"),
            ..UPGRADE
        };
        let elsewhere = Gate {
            control_plane: Some("mesh"),
            ..UPGRADE
        };
        let narrowed = (r#""scope":{}"#, r#""scope":{"namespaces":["a"]}"#);
        let thinned = (
            r#""exit":0,"totals":{}"#,
            r#""exit":0,"totals":{"workload":1}"#,
        );
        let untold = [
            (r#""surveyed":"2026-01-02T03:00:00Z","#, ""),
            (r#","time":"2026-01-02T03:00:00Z""#, ""),
        ];
        let no_target = (r#""target":"stable-2.14.10","#, "");
        let dump = (r#""source":"server""#, r#""source":"dump""#);
        let old_no = [NO[0], NO[1], NO[2], ("u1", "u2")];
        let table: [Row<'_>; 30] = [
            (UPGRADE, &[], now, 0, ""),
            (there, &[], now, 0, ""),
            (roll, &[asked], now, 0, ""),
            (roll, &[asked, PARTIAL], now, 0, ""),
            (roll, &[asked, thinned], now, 0, ""),
            (UPGRADE, &NO, now, 1, "proxy-too-old"),
            (roll, &[asked, NO[0], NO[1], NO[2]], now, 1, "proxy-too-old"),
            (UPGRADE, &[(VERDICT, "")], now, 2, "no verdict"),
            (UPGRADE, &[(VERDICT, &two)], now, 2, "2 verdicts"),
            (UPGRADE, &[(VERDICT, &planes)], now, 2, "2 verdicts"),
            (there, &[(VERDICT, &planes)], now, 0, ""),
            (elsewhere, &[(VERDICT, &planes)], now, 2, "no verdict"),
            (UPGRADE, &[PARTIAL], now, 2, "a part"),
            (UPGRADE, &[narrowed], now, 2, "a part"),
            (UPGRADE, &[thinned], now, 2, "a part"),
            (UPGRADE, &[("u1", "u2")], now, 2, "another cluster"),
            (
                UPGRADE,
                &[(r#""cluster_uid":"u1","#, "")],
                now,
                2,
                "which cluster",
            ),
            (elsewhere, &[], now, 2, "not the one in `mesh`"),
            (UPGRADE, &[asked], now, 2, "`roll`"),
            (roll, &[(asked.0, r#""ask":"drift""#)], now, 2, "`drift`"),
            (UPGRADE, &[dump], now, 2, "dump"),
            (UPGRADE, &untold, now, 2, "when the cluster was surveyed"),
            (UPGRADE, &[], "2026-01-02T03:59:59Z", 0, ""),
            (UPGRADE, &[], "2026-01-02T04:00:00Z", 2, "too old"),
            (UPGRADE, &[], "2026-01-02T02:59:58Z", 0, ""),
            (UPGRADE, &[], "2026-01-02T02:59:29Z", 2, "future"),
            (roll, &[asked], "2026-01-02T02:59:00Z", 2, "future"),
            (UPGRADE, &[no_target], now, 2, "own rule"),
            // A failing verdict on something else, or a failing verdict that is too old, is invalid
            // and not a "no".
            (UPGRADE, &old_no, now, 2, "another cluster"),
            (UPGRADE, &NO, "2026-01-02T05:00:00Z", 2, "too old"),
        ];
        for (number, (gate, changes, now, code, part)) in table.into_iter().enumerate() {
            let (exit, text) = answer(gate, changes, now);
            assert_eq!(exit, code, "row {number}: {text}");
            assert!(text.contains(part), "row {number}: {text}");
        }
    }
}
