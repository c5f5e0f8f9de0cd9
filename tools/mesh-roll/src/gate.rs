//! The gate: which verdict a roll may rest on, and the workloads that come with it.

use std::io::BufRead;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mesh_records::{
    Ask, ControlPlane, Expect, Explained, Reader, RecordType, Skew, SkewAction, Source,
    StreamError, Tool, Verdict, What, Workload, WorkloadRef,
};

use crate::roll::{Expected, Task};

/// What the stream on standard input holds.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    verdicts: Vec<Verdict>,
    control_planes: Vec<Of<ControlPlane>>,
    workloads: Vec<Of<Workload>>,
}

/// What a roll may rest on.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) expected: Expected,
    pub(crate) tasks: Vec<Task>,
    /// When the verdict is too old.
    pub(crate) until: Timestamp,
}

/// Why the gate stays shut.
#[derive(Debug)]
pub(crate) enum Shut {
    /// The verdict is sound and says no.
    No(Explained),
    /// There is no verdict that a roll could rest on.
    Unsound(Explained),
}

/// What the verdict is held against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Here<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) cluster_uid: &'a str,
    pub(crate) now: Timestamp,
    pub(crate) max_age: Duration,
}

// A record with the uid of the cluster whose survey it stands in.
#[derive(Debug)]
struct Of<T> {
    cluster_uid: Option<String>,
    record: T,
}

/// A survey from the future means that a clock was set back; this much is between two servers.
const CLOCKS_APART: SignedDuration = SignedDuration::from_secs(30);
const AGAIN: &str = "survey and judge again: mesh-survey | mesh-skewcheck --ask roll | mesh-roll";

/// Reads the stream to its end.
pub(crate) fn read(input: impl BufRead) -> Result<Judged, StreamError> {
    let mut reader = Reader::new(input, Expect::Judged);
    let mut judged = Judged::default();
    let mut survey_of = None;
    while let Some(item) = reader.next_item()? {
        let cluster_uid = || -> Option<String> { survey_of.clone() };
        match item.what {
            What::Open(stream) if stream.tool == Tool::MeshSurvey => {
                survey_of = stream.cluster_uid;
            }
            What::Record(RecordType::Verdict) => judged.verdicts.push(item.line.parse()?),
            What::Record(RecordType::ControlPlane) => judged.control_planes.push(Of {
                cluster_uid: cluster_uid(),
                record: item.line.parse()?,
            }),
            What::Record(RecordType::Workload) => {
                judged.workloads.push(Of {
                    cluster_uid: cluster_uid(),
                    record: item.line.parse()?,
                });
            }
            What::Open(_) | What::Close(_) | What::Record(_) => {}
        }
    }
    Ok(judged)
}

fn task(workload: Workload, surveyed: Option<Timestamp>) -> Task {
    let to_be_rolled = |skew: &Skew| skew.action == SkewAction::Roll;
    Task {
        key: WorkloadRef {
            namespace: workload.namespace,
            kind: workload.kind,
            name: workload.name,
        },
        uid: workload.uid,
        stale_at: surveyed.filter(|_| workload.skew.as_ref().is_some_and(to_be_rolled)),
    }
}

impl Judged {
    /// What a roll of this cluster may rest on.
    pub(crate) fn order(self, here: Here<'_>) -> Result<Order, Shut> {
        let Self {
            verdicts,
            control_planes,
            workloads,
        } = self;
        let verdict = one(verdicts)?;
        let until = sound(&verdict, here).map_err(Shut::Unsound)?;
        if !verdict.pass {
            let rules = verdict.blocking.join(", ");
            return Err(Shut::No(Explained::new(
                format!("the verdict says no: {rules}"),
                "the findings before it say why; mend that, then survey and judge again",
            )));
        }
        let mine = |uid: &Option<String>| *uid == verdict.cluster_uid;
        let plane = control_planes.into_iter().find(|plane| {
            mine(&plane.cluster_uid) && plane.record.namespace == verdict.control_plane
        });
        let plane = plane.map(|plane| plane.record);
        let surveyed = workloads.len();
        let tasks = workloads.into_iter().filter_map(|workload| {
            let ours = mine(&workload.cluster_uid)
                && workload.record.control_plane == verdict.control_plane;
            ours.then(|| task(workload.record, verdict.surveyed))
        });
        let tasks: Vec<Task> = tasks.collect();
        if surveyed > 0 && tasks.is_empty() {
            return Err(Shut::Unsound(Explained::new(
                format!("none of the {surveyed} workloads in the stream is the verdict's"),
                AGAIN,
            )));
        }
        Ok(Order {
            tasks,
            expected: Expected {
                injects: plane.as_ref().and_then(|plane| plane.injects.clone()),
                anchors: plane.and_then(|plane| plane.trust_anchors_sha256),
                namespace: verdict.control_plane,
                version: verdict.from.version,
                config_resource_version: verdict.from.config_resource_version,
            },
            until,
        })
    }
}

fn one(verdicts: Vec<Verdict>) -> Result<Verdict, Shut> {
    let number = verdicts.len();
    let mut verdicts = verdicts.into_iter();
    match (verdicts.next(), number) {
        (Some(verdict), 1) => Ok(verdict),
        (Some(_), _) => Err(Shut::Unsound(Explained::new(
            format!("there are {number} verdicts, and a roll rests on one"),
            "roll one control plane at a time: survey that one",
        ))),
        (None, _) => Err(Shut::Unsound(Explained::new(
            "there is no verdict in the stream",
            "keep the verdict when you select workloads: select(.type != \"workload\" or …)",
        ))),
    }
}

// When it is too old, if it is sound at all.
fn sound(verdict: &Verdict, here: Here<'_>) -> Result<Timestamp, Explained> {
    let Here {
        cluster,
        cluster_uid,
        now,
        max_age,
    } = here;
    if verdict.ask != Ask::Roll {
        return Err(Explained::new(
            format!("the verdict answers `{}`, not `roll`", verdict.ask),
            "ask the question that is meant: mesh-skewcheck --ask roll",
        ));
    }
    if verdict.source != Source::Server {
        return Err(Explained::new(
            "the verdict rests on a dump, which is for looking only",
            AGAIN,
        ));
    }
    match &verdict.cluster_uid {
        Some(uid) if uid == cluster_uid => {}
        Some(uid) => {
            let other = &verdict.cluster;
            let what = format!(
                "the verdict is about another cluster, `{other}` ({uid}); this is `{cluster}` \
                 ({cluster_uid})"
            );
            return Err(Explained::new(what, "is it the right --context?"));
        }
        None => {
            let what = "the verdict does not say which cluster it is about";
            return Err(Explained::new(what, AGAIN));
        }
    }
    let Some(surveyed) = verdict.surveyed else {
        let what = "the verdict does not say when the cluster was surveyed";
        return Err(Explained::new(what, AGAIN));
    };
    if surveyed.duration_since(now) > CLOCKS_APART {
        let what = format!("the survey is from the future: {surveyed}, and it is {now}");
        return Err(Explained::new(what, "is the API server's clock right?"));
    }
    let until = surveyed.checked_add(max_age).unwrap_or(Timestamp::MAX);
    if now >= until {
        let age = now.duration_since(surveyed).as_secs();
        let what = format!("the verdict is too old: the survey behind it is {age} seconds old");
        return Err(Explained::new(what, AGAIN));
    }
    Ok(until)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = r#"{"type":"stream","schema":"mesh/1","tool":"mesh-skewcheck","version":"0"}
{"type":"stream","schema":"mesh/1","tool":"mesh-survey","version":"0","cluster":"eu","cluster_uid":"u1","time":"2026-01-02T03:00:00Z"}
{"type":"control_plane","cluster":"eu","namespace":"linkerd","version":"stable-2.14.10","injects":"stable-2.14.10","components":[],"state":"settled","installed_by":"helm","ha":false}
{"type":"workload","cluster":"eu","kind":"Deployment","namespace":"shop","name":"web","uid":"w1","control_plane":"linkerd","pods":{"total":1,"ready":1,"meshed":1},"proxies":[],"trust_anchors":"current","roll":{"by":"restart"},"downtime":{"grade":"none"}}
{"type":"workload","cluster":"eu","kind":"Deployment","namespace":"lab","name":"web","uid":"w2","control_plane":"linkerd-canary","pods":{"total":1,"ready":1,"meshed":1},"proxies":[],"trust_anchors":"current","roll":{"by":"restart"},"downtime":{"grade":"none"}}
{"type":"end","tool":"mesh-survey","outcome":"complete","exit":0,"totals":{"control_plane":1,"workload":5}}
VERDICT
{"type":"end","tool":"mesh-skewcheck","outcome":"complete","exit":0,"totals":{"verdict":9}}
"#;
    // The judge's own exit code agrees with its verdict.
    const EXIT: (&str, &str) = (
        r#""exit":0,"totals":{"verdict""#,
        r#""exit":1,"totals":{"verdict""#,
    );
    const VERDICT: &str = r#"{"type":"verdict","cluster":"eu","cluster_uid":"u1","control_plane":"linkerd","ask":"roll","pass":true,"from":{"version":"stable-2.14.10","config_resource_version":"7"},"scope":"partial","source":"server","surveyed":"2026-01-02T03:00:00Z","blocking":[],"releases_sha256":"0","counts":{}}"#;

    // Changes of the stream, the time, and a part of the answer.
    type Row<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);

    // The stream with one verdict, changed throughout.
    fn order(changes: &[(&str, &str)], now: &str) -> Result<Order, Shut> {
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
        };
        read(stream.as_bytes()).unwrap().order(here)
    }

    #[test]
    fn a_passing_verdict_brings_its_own_control_planes_workloads_and_partial_ones_are_welcome() {
        let order = order(&[], "2026-01-02T03:59:59Z").unwrap();
        let uids: Vec<&str> = order.tasks.iter().map(|task| task.uid.as_str()).collect();
        assert_eq!(uids, ["w1"]);
        assert_eq!(order.expected.injects.as_deref(), Some("stable-2.14.10"));
        assert_eq!(order.expected.config_resource_version.as_deref(), Some("7"));
        assert_eq!(order.until.to_string(), "2026-01-02T04:00:00Z");
    }

    #[test]
    fn no_other_verdict_opens_the_gate() {
        let now = "2026-01-02T03:10:00Z";
        let two = format!("{VERDICT}\n{VERDICT}");
        let no = (
            r#""pass":true"#,
            r#""pass":false"#,
            r#""blocking":[]"#,
            r#""blocking":["x"]"#,
        );
        let table: [Row<'_>; 11] = [
            (&[(VERDICT, &two)], now, "2 verdicts"),
            (&[(VERDICT, "")], now, "no verdict"),
            (&[(r#""ask":"roll""#, r#""ask":"drift""#)], now, "`drift`"),
            (
                &[(r#""source":"server""#, r#""source":"dump""#)],
                now,
                "dump",
            ),
            (&[(r#""cluster_uid":"u1","#, "")], now, "which cluster"),
            (&[("u1", "u2")], now, "another cluster"),
            (
                &[
                    (r#""surveyed":"2026-01-02T03:00:00Z","#, ""),
                    (r#","time":"2026-01-02T03:00:00Z""#, ""),
                ],
                now,
                "when the cluster was surveyed",
            ),
            (
                &[(
                    r#""control_plane":"linkerd","pods""#,
                    r#""control_plane":"x","pods""#,
                )],
                now,
                "none of the 2",
            ),
            (&[], "2026-01-02T04:00:00Z", "too old"),
            (&[], "2026-01-02T02:59:00Z", "future"),
            (
                &[(no.0, no.1), (no.2, no.3), EXIT],
                "2026-01-02T05:00:00Z",
                "too old",
            ),
        ];
        for (changes, now, part) in table {
            match order(changes, now) {
                Err(Shut::Unsound(why)) => {
                    assert!(why.to_string().contains(part), "{why}");
                    assert!(!why.hint().is_empty(), "{why}");
                }
                other => panic!("{part}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_sound_verdict_that_says_no_is_told_apart() {
        let changes = [
            (r#""pass":true"#, r#""pass":false"#),
            (r#""blocking":[]"#, r#""blocking":["injector-not-ready"]"#),
            EXIT,
        ];
        match order(&changes, "2026-01-02T03:10:00Z") {
            Err(Shut::No(why)) => assert!(why.to_string().contains("injector-not-ready")),
            other => panic!("{other:?}"),
        }
    }
}
