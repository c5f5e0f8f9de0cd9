//! Reads what belongs to the verdict: its control plane and its workloads.

use jiff::Timestamp;
use mesh_actor::Gate;
use mesh_actor::gate::Surveyed;
use mesh_records::{
    Ask, ControlPlane, Explained, RecordType, Skew, SkewAction, StreamError, Verdict, Workload,
};

use crate::roll::{Expected, Task};

/// Returns the requirements of a roll for a verdict.
pub(crate) fn gate(control_plane: Option<&str>) -> Gate<'_> {
    Gate {
        ask: Ask::Roll,
        control_plane,
        takes_partial: true,
    }
}

/// The control planes and workloads in the stream.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    control_planes: Vec<Of<ControlPlane>>,
    workloads: Vec<Of<Workload>>,
}

/// The verdict's control plane and workloads.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) expected: Expected,
    /// How many workloads the verdict counts to restart.
    pub(crate) counted: u64,
    pub(crate) tasks: Vec<Task>,
}

// A record with the uid of the cluster whose survey it belongs to.
#[derive(Debug)]
struct Of<T> {
    cluster_uid: Option<String>,
    record: T,
}

fn task(workload: Workload, surveyed: Option<Timestamp>) -> Task {
    let to_be_rolled = |skew: &Skew| skew.action == SkewAction::Roll;
    Task {
        key: workload.identity,
        uid: workload.uid,
        by: workload.roll.by,
        managed_by: workload.managed_by,
        stale_at: surveyed.filter(|_| workload.skew.as_ref().is_some_and(to_be_rolled)),
    }
}

impl Survey {
    /// Keeps what a roll needs.
    pub(crate) fn keep(&mut self, surveyed: Surveyed<'_>) -> Result<(), StreamError> {
        let Surveyed {
            kind,
            line,
            cluster_uid,
        } = surveyed;
        let cluster_uid = cluster_uid.map(str::to_owned);
        if kind == RecordType::ControlPlane {
            let record = line.parse()?;
            self.control_planes.push(Of {
                cluster_uid,
                record,
            });
        } else if kind == RecordType::Workload {
            let record = line.parse()?;
            self.workloads.push(Of {
                cluster_uid,
                record,
            });
        }
        Ok(())
    }

    /// Returns the workloads of the verdict's control plane. `pipeline` is for the hint.
    pub(crate) fn order(self, verdict: Verdict, pipeline: &str) -> Result<Order, Explained> {
        let Self {
            control_planes,
            workloads,
        } = self;
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
            return Err(Explained::new(
                format!("none of the {surveyed} workloads in the input belongs to the verdict"),
                format!("run the whole pipeline again: {pipeline}"),
            ));
        }
        Ok(Order {
            tasks,
            counted: verdict.counts.get("roll").copied().unwrap_or(0),
            expected: Expected {
                injects: plane.as_ref().and_then(|plane| plane.injects.clone()),
                anchors: plane.and_then(|plane| plane.trust_anchors_sha256),
                namespace: verdict.control_plane,
                version: verdict.from.version,
                config_resource_version: verdict.from.config_resource_version,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mesh_actor::Judged;
    use mesh_actor::gate::Here;

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
    const VERDICT: &str = r#"{"type":"verdict","cluster":"eu","cluster_uid":"u1","control_plane":"linkerd","ask":"roll","pass":true,"from":{"version":"stable-2.14.10","config_resource_version":"7"},"scope":"partial","source":"server","surveyed":"2026-01-02T03:00:00Z","blocking":[],"releases_sha256":"0","counts":{}}"#;

    fn order(change: (&str, &str)) -> Result<Order, Explained> {
        let stream = STREAM.replace("VERDICT", VERDICT);
        assert!(stream.contains(change.0), "{}", change.0);
        let stream = stream.replace(change.0, change.1);
        let mut survey = Survey::default();
        let judged = Judged::read(stream.as_bytes(), |surveyed| survey.keep(surveyed));
        let here = Here {
            cluster: "eu",
            cluster_uid: "u1",
            now: "2026-01-02T03:10:00Z".parse().unwrap(),
            max_age: Duration::from_secs(3600),
            pipeline: "mesh-survey | …",
        };
        let passed = gate(None).pass(judged.unwrap(), here, |_| Ok(())).unwrap();
        survey.order(passed.verdict, here.pipeline)
    }

    #[test]
    fn the_gate_takes_a_passing_verdict_also_partial_with_its_control_planes_workloads() {
        let order = order(("eu", "eu")).unwrap();
        let uids: Vec<&str> = order.tasks.iter().map(|task| task.uid.as_str()).collect();
        assert_eq!(uids, ["w1"]);
        assert_eq!(order.expected.injects.as_deref(), Some("stable-2.14.10"));
        assert_eq!(order.expected.config_resource_version.as_deref(), Some("7"));
    }

    #[test]
    fn workloads_of_other_control_planes_only_are_none() {
        let mine = r#""control_plane":"linkerd","pods""#;
        let error = order((mine, r#""control_plane":"x","pods""#)).unwrap_err();
        assert!(error.to_string().contains("none of the 2"), "{error}");
    }
}
