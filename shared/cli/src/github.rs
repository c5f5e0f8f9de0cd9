//! Records as annotations of GitHub Actions: one workflow command a line.

use std::fmt::{self, Write as _};

use mesh_records::{
    Decided, End, EndOutcome, Finding, Outcome, Record, Severity, SkipClass, StepState, Tool,
    Unseen, Verdict,
};

use crate::Clean;
use crate::screen::{but, names};

/// Collects what a person has to know of a run, as annotations.
#[derive(Debug, Default)]
pub(crate) struct Annotations {
    lines: Vec<String>,
    verdicts: usize,
    /// The control planes whose verdict is a no.
    refused: Vec<String>,
}

/// The kinds of annotations.
#[derive(Clone, Copy, Debug)]
enum Level {
    Error,
    Warning,
    Notice,
}

// === impl Annotations ===

impl Annotations {
    pub(crate) fn add(&mut self, record: &Record) {
        match record {
            Record::Finding(record) => self.finding(record),
            Record::Verdict(record) => self.verdict(record),
            Record::Unseen(Unseen {
                cluster,
                verb,
                resource,
                reason,
                ..
            }) => {
                let message = format!("no permission to {verb} {resource}: {reason}");
                self.line(Level::Warning, cluster, &message);
            }
            Record::Rolled(record) => match record.outcome {
                Outcome::Proven | Outcome::Gone => {}
                Outcome::Failed => self.line(Level::Error, &record.cluster, &record.message),
                Outcome::Blocked | Outcome::Interrupted | Outcome::Superseded => {
                    self.line(Level::Warning, &record.cluster, &record.message);
                }
            },
            Record::Skipped(record) => {
                if record.class == SkipClass::Attention {
                    self.line(Level::Warning, &record.cluster, &record.message);
                }
            }
            Record::Step(record) => {
                if record.state == StepState::Failed {
                    self.line(Level::Error, &record.cluster, &record.message);
                }
            }
            Record::Anomaly(record) => self.line(Level::Warning, &record.cluster, &record.message),
            Record::End(record) => self.end(record),
            Record::Stream(_)
            | Record::ControlPlane(_)
            | Record::Extension(_)
            | Record::Workload(_)
            | Record::Proxy(_)
            | Record::Plan(_)
            | Record::Intent(_)
            | Record::Progress(_) => {}
        }
    }

    fn finding(&mut self, finding: &Finding) {
        let Finding {
            cluster,
            id,
            severity,
            control_plane,
            message,
            hint,
            waived,
            decided,
            ..
        } = finding;
        let level = match (waived, severity) {
            (Some(_), _) | (None, Severity::Info) => Level::Notice,
            (None, Severity::Error) => Level::Error,
            (None, Severity::Warning) => Level::Warning,
        };
        let hint = hint.as_ref().map(|it| format!("\nhint: {it}"));
        let waived = waived.as_ref().map(|it| format!("\nwaived: {it}"));
        let (hint, waived) = (hint.unwrap_or_default(), waived.unwrap_or_default());
        let title = format!("{id} in {cluster}/{control_plane}");
        let doubt = if *decided == Decided::CannotTell {
            "cannot tell: "
        } else {
            ""
        };
        let names = names(finding);
        let said = format!("{doubt}{message}{names}{hint}{waived}");
        self.line(level, &title, &said);
    }

    fn verdict(&mut self, verdict: &Verdict) {
        let Verdict {
            cluster,
            control_plane,
            ask,
            pass,
            target,
            next,
            ..
        } = verdict;
        let place = format!("{cluster}/{control_plane}");
        let target = target.as_ref().map(|it| format!(" {it}"));
        let title = format!("{ask}{} of {place}", target.unwrap_or_default());
        let next = next.as_ref().map(|it| format!("\nnext: {it}"));
        let next = next.unwrap_or_default();
        let but = but(verdict);
        let (level, answer) = match pass {
            true => (Level::Notice, "yes"),
            false => (Level::Error, "no"),
        };
        // GitHub shows only the first annotations of a step, and the answer counts most.
        let line = line(level, &title, &format!("{answer}{but}{next}"));
        self.lines.insert(self.verdicts, line);
        self.verdicts = self.verdicts.saturating_add(1);
        if !pass {
            self.refused.push(place);
        }
    }

    fn end(&mut self, end: &End) {
        let reason = end.reason.as_deref();
        let acts = matches!(end.tool, Tool::MeshCpUpgrade | Tool::MeshRoll);
        let (level, what) = match (end.outcome, end.exit, reason) {
            (EndOutcome::Complete, 0, Some(_)) if acts => (Level::Warning, "completed"),
            (EndOutcome::Complete, 1.., _) if acts => (Level::Error, "did not succeed"),
            (EndOutcome::Complete, _, _) => return,
            (EndOutcome::Stopped | EndOutcome::Failed, _, _) => (Level::Error, "did not complete"),
        };
        let reason = reason.unwrap_or("the reason is not known");
        self.line(level, &end.tool.to_string(), &format!("{what}: {reason}"));
    }

    fn line(&mut self, level: Level, title: &str, message: &str) {
        self.lines.push(line(level, title, message));
    }
}

fn line(level: Level, title: &str, message: &str) -> String {
    let level = match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Notice => "notice",
    };
    let title = property(title);
    format!("::{level} title={title}::{}", data(message))
}

impl fmt::Display for Annotations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        let Self {
            verdicts, refused, ..
        } = self;
        if *verdicts < 2 {
            return Ok(());
        }
        match refused.as_slice() {
            [] => writeln!(f, "yes for all {verdicts} control planes"),
            _ => {
                let named = data(&refused.join(", "));
                writeln!(
                    f,
                    "no for {} of {verdicts} control planes: {named}",
                    refused.len()
                )
            }
        }
    }
}

/// Escapes the text of a workflow command. A line end is the only control character that is kept.
fn data(text: &str) -> String {
    let mut escaped = String::new();
    for (index, line) in text.split('\n').enumerate() {
        let gap = if index > 0 { "%0A" } else { "" };
        let line = Clean(line).to_string().replace('%', "%25");
        // Writing to a String cannot fail.
        let _ = write!(escaped, "{gap}{line}");
    }
    escaped
}

/// Escapes a property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(lines: &[&str]) -> String {
        let mut annotations = Annotations::default();
        for line in lines {
            if let Ok(record) = serde_json::from_str(line) {
                annotations.add(&record);
            }
        }
        annotations.to_string()
    }

    const FINDING: &str = r#"{"type":"finding","cluster":"eu:1,2","id":"proxy-too-old","severity":"error","control_plane":"linkerd","message":"3 workloads\nare 100% old\u001b[2J","hint":"roll them","decided":"yes","count":3}"#;
    const VERDICT: &str = r#"{"type":"verdict","cluster":"eu","control_plane":"linkerd","ask":"upgrade","pass":false,"from":{"version":"stable-2.13.7"},"target":"stable-2.14.10","next":"mesh-roll","scope":"full","source":"server","blocking":["proxy-too-old"],"releases_sha256":"0","counts":{}}"#;

    #[test]
    fn a_finding_is_an_annotation_that_no_text_of_the_cluster_can_break_out_of() {
        assert_eq!(
            shown(&[FINDING]),
            "::error title=proxy-too-old in eu%3A1%2C2/linkerd::3 workloads%0Aare 100%25 \
             old\\u{1b}[2J%0Ahint: roll them\n"
        );
        let waived = FINDING.replace("\"count\"", "\"waived\":\"moves (ana)\",\"count\"");
        let waived = shown(&[&waived]);
        assert!(waived.starts_with("::notice "), "{waived}");
        assert!(waived.contains("%0Awaived: moves (ana)"), "{waived}");
    }

    #[test]
    fn a_fleet_has_one_line_for_all_its_verdicts_at_the_end() {
        let no = "::error title=upgrade stable-2.14.10 of eu/linkerd::no (because of \
                  proxy-too-old)%0Anext: mesh-roll\n";
        assert_eq!(shown(&[VERDICT]), no);
        let us = VERDICT.replace("\"eu\"", "\"us\"").replace("false", "true");
        let us = us.replace("\"blocking\":[\"proxy-too-old\"]", "\"blocking\":[]");
        let yes = "::notice title=upgrade stable-2.14.10 of us/linkerd::yes%0Anext: mesh-roll\n";
        let last = "no for 1 of 2 control planes: eu/linkerd\n";
        assert_eq!(shown(&[VERDICT, &us]), format!("{no}{yes}{last}"));
        let both = shown(&[&us, &us]);
        assert!(both.ends_with("\nyes for all 2 control planes\n"), "{both}");
    }

    #[test]
    fn a_run_that_did_not_complete_is_an_error() {
        let end = r#"{"type":"end","tool":"mesh-skewcheck","outcome":"failed","exit":2,"totals":{},"reason":"the stream was cut"}"#;
        let cut = "::error title=mesh-skewcheck::did not complete: the stream was cut\n";
        assert_eq!(shown(&[end, "no record"]), cut);
        let complete = end.replace("failed", "complete");
        assert_eq!(shown(&[&complete]), "");
    }
}
