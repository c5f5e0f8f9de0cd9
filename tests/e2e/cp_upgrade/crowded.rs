//! Components whose new pods have no room: said before the write, and waited for.

use mesh_testbed::Bed;
use mesh_tests::on_both_beds;
use serde_json::{Value, json};

use crate::hindered::{assert_upgraded, until_held_up};
use crate::stage::Stage;

on_both_beds! {
    surge_pod_that_no_node_takes_is_waited_for
    [Admission]
    quota_that_is_freed_is_waited_for
}

// Checks that the preflight says no in these words, and that another run only warns.
#[track_caller]
fn assert_no_room(stage: &Stage, judged: &str, words: [&str; 2]) {
    let now = stage.run(judged, &["--preflight"]);
    assert_eq!(now.code, Some(1), "{}", now.said());
    for words in words {
        assert!(now.stderr.contains(words), "{words}: {}", now.stderr);
    }
    let dry = stage.run(judged, &["--dry-run=server"]);
    assert_eq!(dry.code, Some(0), "{}", dry.said());
    let warning = format!("warning: {}", words[0]);
    assert!(dry.said().contains(&warning), "{}", dry.said());
}

fn quota_that_is_freed_is_waited_for(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let quota = json!({ "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": { "name": "full", "namespace": "linkerd" }, "spec": { "hard": { "pods": "3" } } });
    stage.bed.apply(&quota.to_string()).unwrap();
    let path = "/api/v1/namespaces/linkerd/resourcequotas/full";
    let used = Value::from("3");
    stage
        .bed
        .await_field(path, "/status/used/pods", &used)
        .unwrap();
    let room = "a quota has no room for new pods of the control plane: Deployment linkerd-";
    assert_no_room(&stage, &judged, [room, "exceeded quota: full"]);
    let mut run = stage.begin(&judged, &[]);
    until_held_up(&mut run, "exceeded quota: full");
    stage.bed.delete(path).unwrap();
    assert_upgraded(&stage, &run.finish());
}

pub(crate) fn nodes(stage: &Stage) -> Vec<String> {
    let nodes = stage.bed.get("/api/v1/nodes").unwrap();
    let name = |node: &Value| node["metadata"]["name"].as_str().unwrap().to_owned();
    nodes["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(name)
        .collect()
}

fn pods_on(stage: &Stage, node: &str) -> usize {
    let path = format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{node}");
    let pods = stage.bed.get(&path).unwrap();
    pods["items"].as_array().unwrap().len()
}

fn surge_pod_that_no_node_takes_is_waited_for(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let room = "no node has room for a new pod of the control plane: Deployment linkerd-";
    let nodes = nodes(&stage);
    let each = |patch: &dyn Fn(&str) -> (String, Value)| {
        for node in &nodes {
            let (path, patch) = patch(node);
            stage.bed.merge(&path, &patch).unwrap();
        }
    };
    let cordon = |cordoned: bool| {
        let spec = json!({ "spec": { "unschedulable": cordoned } });
        each(&|node| (format!("/api/v1/nodes/{node}"), spec.clone()));
    };
    let assert_full = |why: &str| {
        let all = nodes.len();
        let why = format!("none of {all} nodes takes it: {all} {why}");
        assert_no_room(&stage, &judged, [room, &why]);
    };
    cordon(true);
    assert_full("cordoned");
    // Only a real scheduler counts pods.
    let counts = stage.bed.as_lab().is_none();
    let rooms = |spare: usize| {
        each(&|node| {
            let room = (pods_on(&stage, node) + spare).to_string();
            let status = json!({ "allocatable": { "pods": room }, "capacity": { "pods": room } });
            (
                format!("/api/v1/nodes/{node}/status"),
                json!({ "status": status }),
            )
        });
    };
    if counts {
        cordon(false);
        rooms(0);
        assert_full("with no room for another pod");
    }
    let mut run = stage.begin(&judged, &[]);
    until_held_up(&mut run, "Unschedulable");
    match counts {
        true => rooms(100),
        false => cordon(false),
    }
    assert_upgraded(&stage, &run.finish());
}
