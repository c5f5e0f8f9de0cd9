//! The gate: which verdict a roll may rest on, and the workloads that come with it.

use std::io::BufRead;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mesh_records::{
    Ask, ControlPlane, Expect, Explained, Reader, RecordType, Source, StreamError, Tool, Verdict,
    What, Workload, WorkloadRef,
};

use crate::roll::Expected;

/// What the stream on standard input holds.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    verdicts: Vec<Verdict>,
    control_planes: Vec<Of<ControlPlane>>,
    workloads: Vec<Of<(String, WorkloadRef, String)>>,
}

/// What a roll may rest on.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) expected: Expected,
    /// Each with its uid.
    pub(crate) workloads: Vec<(WorkloadRef, String)>,
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
                let workload: Workload = item.line.parse()?;
                judged.workloads.push(Of {
                    cluster_uid: cluster_uid(),
                    record: identity(workload),
                });
            }
            What::Open(_) | What::Close(_) | What::Record(_) => {}
        }
    }
    Ok(judged)
}

fn identity(workload: Workload) -> (String, WorkloadRef, String) {
    let key = WorkloadRef {
        namespace: workload.namespace,
        kind: workload.kind,
        name: workload.name,
    };
    (workload.control_plane, key, workload.uid)
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
        let workloads = workloads.into_iter().filter_map(|workload| {
            let (control_plane, key, uid) = workload.record;
            let ours = mine(&workload.cluster_uid) && control_plane == verdict.control_plane;
            ours.then_some((key, uid))
        });
        Ok(Order {
            workloads: workloads.collect(),
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
        Some(_) => {
            let other = &verdict.cluster;
            let what = format!("the verdict is about the cluster `{other}`, not about `{cluster}`");
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
{"type":"stream","schema":"mesh/1","tool":"mesh-survey","version":"0","cluster":"eu","cluster_uid":"u1"}
{"type":"control_plane","cluster":"eu","namespace":"linkerd","version":"stable-2.14.10","injects":"stable-2.14.10","components":[],"state":"settled","installed_by":"helm","ha":false}
{"type":"workload","cluster":"eu","kind":"Deployment","namespace":"shop","name":"web","uid":"w1","control_plane":"linkerd","pods":{"total":1,"ready":1,"meshed":1},"proxies":[],"trust_anchors":"current","roll":{"by":"restart"},"downtime":{"grade":"none"}}
{"type":"workload","cluster":"eu","kind":"Deployment","namespace":"lab","name":"web","uid":"w2","control_plane":"linkerd-canary","pods":{"total":1,"ready":1,"meshed":1},"proxies":[],"trust_anchors":"current","roll":{"by":"restart"},"downtime":{"grade":"none"}}
{"type":"end","tool":"mesh-survey","outcome":"complete","exit":0,"totals":{"control_plane":1,"workload":5}}
VERDICT
{"type":"end","tool":"mesh-skewcheck","outcome":"complete","exit":0,"totals":{"verdict":9}}
"#;
    const VERDICT: &str = r#"{"type":"verdict","cluster":"eu","cluster_uid":"u1","control_plane":"linkerd","ask":"roll","pass":true,"from":{"version":"stable-2.14.10","config_resource_version":"7"},"scope":"partial","source":"server","surveyed":"2026-01-02T03:00:00Z","blocking":[],"releases_sha256":"0","counts":{}}"#;

    fn order(verdict: &str, now: &str) -> Result<Order, Shut> {
        let stream = STREAM.replace("VERDICT", verdict);
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
        let order = order(VERDICT, "2026-01-02T03:59:59Z").unwrap();
        let uids: Vec<&str> = order
            .workloads
            .iter()
            .map(|(_, uid)| uid.as_str())
            .collect();
        assert_eq!(uids, ["w1"]);
        assert_eq!(order.expected.injects.as_deref(), Some("stable-2.14.10"));
        assert_eq!(order.expected.config_resource_version.as_deref(), Some("7"));
        assert_eq!(order.until.to_string(), "2026-01-02T04:00:00Z");
    }

    #[test]
    fn no_other_verdict_opens_the_gate() {
        let now = "2026-01-02T03:10:00Z";
        let two = format!("{VERDICT}\n{VERDICT}");
        let change = |from: &str, to: &str| VERDICT.replace(from, to);
        let table = [
            (two, now, "2 verdicts"),
            (String::new(), now, "no verdict"),
            (
                change(r#""ask":"roll""#, r#""ask":"drift""#),
                now,
                "`drift`",
            ),
            (
                change(r#""source":"server""#, r#""source":"dump""#),
                now,
                "dump",
            ),
            (change(r#""cluster_uid":"u1","#, ""), now, "which cluster"),
            (change("u1", "u2"), now, "cluster `eu`"),
            (
                change(r#""surveyed":"2026-01-02T03:00:00Z","#, ""),
                now,
                "when the cluster was surveyed",
            ),
            (VERDICT.to_owned(), "2026-01-02T04:00:00Z", "too old"),
            (VERDICT.to_owned(), "2026-01-02T02:59:00Z", "future"),
            (
                change(r#""pass":true"#, r#""pass":false"#),
                "2026-01-02T05:00:00Z",
                "too old",
            ),
        ];
        for (verdict, now, part) in table {
            match order(&verdict, now) {
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
        let no = VERDICT
            .replace(r#""pass":true"#, r#""pass":false"#)
            .replace(r#""blocking":[]"#, r#""blocking":["injector-not-ready"]"#);
        match order(&no, "2026-01-02T03:10:00Z") {
            Err(Shut::No(why)) => assert!(why.to_string().contains("injector-not-ready")),
            other => panic!("{other:?}"),
        }
    }
}
