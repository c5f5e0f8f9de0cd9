//! The gate: which verdict opens it.

use std::io::BufRead;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mesh_records::{
    Ask, Expect, Explained, Reader, RecordType, Source, StreamError, Tool, Verdict, VerdictScope,
    What,
};
use mesh_versions::{Releases, Target, Version};

/// What the stream on standard input holds.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) verdicts: Vec<Verdict>,
    /// Surveys that were narrowed, or that records were taken out of.
    pub(crate) partial: usize,
}

/// What the verdict is held against.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) cluster_uid: &'a str,
    pub(crate) control_plane: Option<&'a str>,
    pub(crate) to: Option<&'a Target>,
    pub(crate) now: Timestamp,
    pub(crate) max_age: Duration,
}

/// Why the gate stays shut.
#[derive(Debug)]
pub(crate) enum Shut {
    /// The verdict is sound and says no.
    No(Explained),
    /// There is no verdict that this upgrade could rest on.
    Unsound(Explained),
}

/// A survey from the future means that a clock was set back; this much is between two servers.
const CLOCKS_APART: SignedDuration = SignedDuration::from_secs(30);
const AGAIN: &str = "survey and judge again: mesh-survey | mesh-skewcheck --to VERSION";

/// Reads the stream to its end.
pub(crate) fn read(input: impl BufRead) -> Result<Judged, StreamError> {
    let mut reader = Reader::new(input, Expect::Judged);
    let mut judged = Judged::default();
    while let Some(item) = reader.next_item()? {
        match item.what {
            What::Record(RecordType::Verdict) => judged.verdicts.push(item.line.parse()?),
            What::Close(closed) if closed.stream.tool == Tool::MeshSurvey => {
                judged.partial += usize::from(!closed.is_full());
            }
            What::Open(_) | What::Close(_) | What::Record(_) => {}
        }
    }
    Ok(judged)
}

/// The one verdict that allows the upgrade.
pub(crate) fn judge(judged: Judged, question: &Question<'_>) -> Result<Verdict, Shut> {
    let partial = judged.partial > 0;
    let verdict = only(judged.verdicts)?;
    about_this(&verdict, question)?;
    fresh(&verdict, question.now, question.max_age)?;
    if partial || verdict.scope == VerdictScope::Partial {
        return unsound(
            "the verdict is about a part of the cluster only",
            "an upgrade concerns all of it: survey without -n and -l, and let no filter take \
             records out",
        );
    }
    let Some(target) = &verdict.target else {
        return unsound("the verdict names no target", AGAIN);
    };
    same_target(target, question.to)?;
    if !verdict.pass {
        let rules = verdict.blocking.join(", ");
        let next = verdict
            .next
            .as_deref()
            .unwrap_or("see the findings of mesh-skewcheck");
        return Err(Shut::No(Explained::new(
            format!("the verdict on going to {target} is no, because of {rules}"),
            next,
        )));
    }
    Ok(verdict)
}

fn only(verdicts: Vec<Verdict>) -> Result<Verdict, Shut> {
    let count = verdicts.len();
    let mut verdicts = verdicts.into_iter();
    match (verdicts.next(), verdicts.next()) {
        (Some(verdict), None) => Ok(verdict),
        (None, _) => unsound("there is no verdict in the stream", AGAIN),
        (Some(_), Some(_)) => unsound(
            &format!("{count} verdicts in the stream, and an upgrade takes one"),
            "upgrade one control plane at a time: mesh-survey --context NAME | mesh-skewcheck …",
        ),
    }
}

fn about_this(verdict: &Verdict, question: &Question<'_>) -> Result<(), Shut> {
    let Question {
        cluster,
        cluster_uid,
        control_plane,
        ..
    } = *question;
    match verdict.cluster_uid.as_deref() {
        None => return unsound("the verdict does not say which cluster it is about", AGAIN),
        Some(uid) if uid != cluster_uid => {
            return unsound(
                &format!(
                    "the verdict is about another cluster, `{}` ({uid}); this is `{cluster}` \
                     ({cluster_uid})",
                    verdict.cluster
                ),
                "use one --kubeconfig and --context for the survey and the upgrade",
            );
        }
        Some(_) => {}
    }
    if let Some(namespace) = control_plane
        && namespace != verdict.control_plane
    {
        return unsound(
            &format!(
                "the verdict is about the control plane in `{}`, not the one in `{namespace}`",
                verdict.control_plane
            ),
            "name the same one with -L, or leave -L out",
        );
    }
    if verdict.ask != Ask::Upgrade {
        return unsound(
            &format!("the verdict answers `{}`, not `upgrade`", verdict.ask),
            "ask whether the control plane may be upgraded: mesh-skewcheck --to VERSION",
        );
    }
    Ok(())
}

/// Whether the survey behind a verdict is young enough at `now`.
pub(crate) fn fresh(verdict: &Verdict, now: Timestamp, max_age: Duration) -> Result<(), Shut> {
    if verdict.source != Source::Server {
        return unsound(
            "the verdict rests on a dump, which is for looking only",
            "survey the cluster itself: mesh-survey | mesh-skewcheck --to VERSION",
        );
    }
    let Some(surveyed) = verdict.surveyed else {
        return unsound("the verdict does not say when the survey was taken", AGAIN);
    };
    let age = now.duration_since(surveyed);
    let max_age = SignedDuration::try_from(max_age).unwrap_or(SignedDuration::MAX);
    if age > max_age {
        return unsound(
            &format!("the survey is {age:#} old, and may be {max_age:#} (--max-age)"),
            AGAIN,
        );
    }
    if age < -CLOCKS_APART {
        return unsound(
            &format!("the survey was taken at {surveyed}, and here it is {now}"),
            "the API servers' clocks disagree; set them right and survey again",
        );
    }
    Ok(())
}

fn same_target(target: &str, to: Option<&Target>) -> Result<(), Shut> {
    let same = match to {
        None => true,
        Some(Target::Release(version)) => version.as_str() == target,
        Some(Target::Line(minor)) => {
            let of = Releases::embedded().minor_of(&Version::of_tag(target));
            of.is_some_and(|of| of.minor == *minor)
        }
    };
    if same {
        return Ok(());
    }
    let to = to.map(ToString::to_string).unwrap_or_default();
    unsound(
        &format!("the verdict is about going to {target}, and --to says {to}"),
        "judge that target: mesh-skewcheck --to VERSION",
    )
}

fn unsound<T>(what: &str, hint: &str) -> Result<T, Shut> {
    Err(Shut::Unsound(Explained::new(what, hint)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mesh_records::From;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn verdict() -> Verdict {
        Verdict {
            cluster: "eu".into(),
            cluster_uid: Some("uid-eu".into()),
            control_plane: "linkerd".into(),
            ask: Ask::Upgrade,
            pass: true,
            from: From {
                version: "stable-2.13.7".into(),
                config_resource_version: Some("7".into()),
            },
            target: Some("stable-2.14.10".into()),
            next: None,
            scope: VerdictScope::Full,
            source: Source::Server,
            surveyed: Some(at(0)),
            blocking: Vec::new(),
            waived: Vec::new(),
            thresholds: BTreeMap::new(),
            releases_sha256: String::new(),
            counts: BTreeMap::new(),
        }
    }

    // The exit code that it comes to, and the sentence.
    fn answer(judged: Judged, to: Option<&str>, now: i64) -> (u8, String) {
        let to: Option<Target> = to.map(|to| to.parse().unwrap());
        let question = Question {
            cluster: "eu",
            cluster_uid: "uid-eu",
            control_plane: None,
            to: to.as_ref(),
            now: at(now),
            max_age: Duration::from_secs(3600),
        };
        match judge(judged, &question) {
            Ok(_) => (0, String::new()),
            Err(Shut::No(error)) => (1, error.to_string()),
            Err(Shut::Unsound(error)) => (2, error.to_string()),
        }
    }

    fn one(change: impl Fn(&mut Verdict)) -> Judged {
        let mut verdict = verdict();
        change(&mut verdict);
        Judged {
            verdicts: vec![verdict],
            partial: 0,
        }
    }

    #[test]
    fn each_verdict_opens_the_gate_or_says_why_not() {
        let no = |v: &mut Verdict| {
            v.pass = false;
            v.blocking = vec!["proxy-too-old".into()];
        };
        let two = Judged {
            verdicts: vec![verdict(), verdict()],
            partial: 0,
        };
        let thinned = Judged {
            verdicts: vec![verdict()],
            partial: 1,
        };
        let line = Some("2.14");
        let table = [
            (one(|_| ()), None, 0, 0, ""),
            (one(|_| ()), Some("stable-2.14.10"), 3600, 0, ""),
            (one(|_| ()), line, 0, 0, ""),
            (one(no), None, 0, 1, "proxy-too-old"),
            (Judged::default(), None, 0, 2, "no verdict"),
            (two, None, 0, 2, "2 verdicts"),
            (thinned, None, 0, 2, "a part"),
            (
                one(|v| v.scope = VerdictScope::Partial),
                None,
                0,
                2,
                "a part",
            ),
            (
                one(|v| v.cluster_uid = Some("uid-us".into())),
                None,
                0,
                2,
                "another cluster",
            ),
            (one(|v| v.cluster_uid = None), None, 0, 2, "which cluster"),
            (one(|v| v.ask = Ask::Roll), None, 0, 2, "`roll`"),
            (one(|v| v.source = Source::Dump), None, 0, 2, "dump"),
            (one(|v| v.surveyed = None), None, 0, 2, "when"),
            (one(|_| ()), None, 3601, 2, "old"),
            (one(|_| ()), None, -31, 2, "taken at"),
            (one(|_| ()), None, -2, 0, ""),
            (one(|v| v.target = None), None, 0, 2, "no target"),
            (one(|_| ()), Some("stable-2.14.9"), 0, 2, "--to says"),
            (one(|_| ()), Some("2.15"), 0, 2, "--to says"),
        ];
        for (number, (judged, to, now, code, part)) in table.into_iter().enumerate() {
            let (exit, text) = answer(judged, to, now);
            assert_eq!(exit, code, "row {number}: {text}");
            assert!(text.contains(part), "row {number}: {text}");
        }
    }

    #[test]
    fn a_verdict_that_says_no_for_another_cluster_is_unsound_not_a_no() {
        let foreign = one(|v| {
            v.pass = false;
            v.cluster_uid = Some("uid-us".into());
        });
        assert_eq!(answer(foreign, None, 0).0, 2);
    }
}
