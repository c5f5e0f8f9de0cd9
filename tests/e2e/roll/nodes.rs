//! DaemonSets where a node is not ready: the pods on the other nodes are rolled, and what is left is
//! named.

use mesh_testbed::Bed;
use mesh_tests::on_both_beds;
use serde_json::{Value, json};

use crate::scene::{Scene, workload};

on_both_beds! {
    daemon_set_is_rolled_on_the_nodes_that_are_ready_and_keeps_no_slot
    daemon_set_without_room_beside_a_node_that_is_not_ready_is_left_alone_or_evicted
    daemon_set_on_nodes_that_are_ready_again_is_proven
    node_that_is_lost_in_the_middle_is_named_long_before_the_timeout
}

const NODE: &str = "node-2";

// A DaemonSet that may miss so many pods, and a Deployment on another node.
fn scene(bed: Bed, unavailable: u32) -> Scene {
    let agent = workload("DaemonSet", "agent", |spec| {
        spec["updateStrategy"] = json!({ "rollingUpdate": { "maxUnavailable": unavailable } });
    });
    let elsewhere = json!({ "kubernetes.io/hostname": "node-1" });
    let web = workload("Deployment", "web", |spec| {
        spec["template"]["spec"]["nodeSelector"] = elsewhere;
    });
    Scene::with(bed, &[agent, web])
}

fn say(bed: &Bed, is_ready: bool) {
    mark(bed, is_ready);
    let number = if is_ready { 3 } else { 2 };
    let set = "/apis/apps/v1/namespaces/shop/daemonsets?watch=1";
    let seen = |events: &[Value]| {
        let last = events.last();
        last.is_some_and(|event| event["object"]["status"]["numberAvailable"] == number)
    };
    bed.events(set, seen).unwrap();
}

// Says of the node and of its pods whether they are ready.
fn mark(bed: &Bed, is_ready: bool) {
    let status = if is_ready { "True" } else { "False" };
    let since = "2026-01-02T03:04:05Z";
    let ready = json!({ "type": "Ready", "status": status, "lastTransitionTime": since });
    let status = json!({ "status": { "conditions": [ready] } });
    let path = format!("/api/v1/nodes/{NODE}/status");
    bed.merge(&path, &status).unwrap();
    // So does the controller of the nodes.
    for pod in agents(bed)
        .iter()
        .filter(|pod| pod["spec"]["nodeName"] == NODE)
    {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let path = format!("/api/v1/namespaces/shop/pods/{name}/status");
        bed.merge(&path, &status).unwrap();
    }
}

fn agents(bed: &Bed) -> Vec<Value> {
    let pods = bed.get("/api/v1/namespaces/shop/pods?labelSelector=app%3Dagent");
    pods.unwrap()["items"].as_array().unwrap().clone()
}

fn stranded(bed: &Bed) -> String {
    let pods = agents(bed);
    let mut pods = pods.iter().filter(|pod| pod["spec"]["nodeName"] == NODE);
    let pod = pods.next().unwrap();
    pod["metadata"]["name"].as_str().unwrap().to_owned()
}

fn daemon_set_is_rolled_on_the_nodes_that_are_ready_and_keeps_no_slot(bed: Bed) {
    let scene = scene(bed, 2);
    let _lost = scene.bed.kubelet().lose(NODE);
    say(&scene.bed, false);
    let left = stranded(&scene.bed);
    let run = scene.roll(&scene.verdict(), &["--yes", "--timeout", "2m"]);
    assert_eq!(run.code, Some(3), "{}", run.said());
    let rolled = run.of("rolled");
    let of = |kind: &str| *rolled.iter().find(|it| it["kind"] == kind).unwrap();
    assert_eq!(of("Deployment")["outcome"], "proven", "{}", run.said());
    let agent = of("DaemonSet");
    let found = [&agent["outcome"], &agent["reason"], &agent["pod"]];
    assert_eq!(
        found,
        ["blocked", "node-not-ready", left.as_str()],
        "{agent}"
    );
    let message = agent["message"].as_str().unwrap();
    assert!(
        message.contains(NODE) && message.contains("its other pods are done"),
        "{message}"
    );
    let pods = json!({ "wanted": 3, "new": 2, "proven": 2 });
    assert_eq!(agent["pods"], pods, "{agent}");

    let again = scene.roll(&scene.verdict(), &["--yes", "--timeout", "2m"]);
    let skipped = again.of("skipped");
    let skipped = skipped.iter().find(|it| it["kind"] == "DaemonSet").unwrap();
    assert_eq!(skipped["reason"], "workload-unhealthy", "{}", again.said());
    assert!(
        skipped["message"].as_str().unwrap().contains(NODE),
        "{skipped}"
    );
    let writes = scene.writes();
    let patches = writes.iter().filter(|it| it.contains("daemonsets")).count();
    assert_eq!(patches, 1, "not restarted again every night: {writes:?}");
}

fn daemon_set_without_room_beside_a_node_that_is_not_ready_is_left_alone_or_evicted(bed: Bed) {
    let scene = scene(bed, 1);
    let _lost = scene.bed.kubelet().lose(NODE);
    say(&scene.bed, false);
    let run = scene.roll(&scene.verdict(), &["--yes", "--timeout", "2m"]);
    let skipped = run.of("skipped");
    let skipped = skipped.iter().find(|it| it["kind"] == "DaemonSet").unwrap();
    assert_eq!(skipped["reason"], "workload-unhealthy", "{}", run.said());
    let message = skipped["message"].as_str().unwrap();
    assert!(
        message.contains(NODE) && message.contains("--strategy evict"),
        "{message}"
    );
    assert!(!scene.writes().iter().any(|it| it.contains("daemonsets")));

    let args = [
        "--yes",
        "--timeout",
        "2m",
        "--strategy",
        "evict",
        "--kind",
        "ds",
    ];
    let run = scene.roll(&scene.verdict(), &args);
    assert_eq!(run.code, Some(3), "{}", run.said());
    let agent = run.of("rolled")[0];
    let found = [&agent["outcome"], &agent["reason"], &agent["pods"]["new"]];
    assert_eq!(
        found,
        [&json!("blocked"), &json!("node-not-ready"), &json!(2)],
        "{agent}"
    );
}

fn daemon_set_on_nodes_that_are_ready_again_is_proven(bed: Bed) {
    let scene = scene(bed, 2);
    let lost = scene.bed.kubelet().lose(NODE);
    say(&scene.bed, false);
    let verdict = scene.verdict();
    lost.release();
    say(&scene.bed, true);
    let run = scene.roll(&verdict, &["--yes", "--timeout", "2m"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    let rolled = run.of("rolled");
    assert!(
        rolled.iter().all(|it| it["outcome"] == "proven"),
        "{}",
        run.said()
    );
}

fn node_that_is_lost_in_the_middle_is_named_long_before_the_timeout(bed: Bed) {
    let scene = scene(bed, 2);
    let hold = scene.bed.kubelet().hold("shop", "app=agent");
    let args = ["--yes", "--timeout", "1h", "--kind", "ds"];
    let mut run = scene.start(&scene.verdict(), &args);
    let away = "of 3 pods are new, 1 ready";
    run.until(|record| {
        let message = record["message"].as_str();
        message.is_some_and(|message| message.contains(away))
    });
    let _lost = scene.bed.kubelet().lose(NODE);
    mark(&scene.bed, false);
    hold.release();
    let run = run.finish();
    assert_eq!(run.code, Some(3), "{}", run.said());
    let agent = run.of("rolled")[0];
    let found = [&agent["outcome"], &agent["reason"]];
    assert_eq!(found, ["blocked", "node-not-ready"], "{agent}");
    assert!(agent["message"].as_str().unwrap().contains(NODE), "{agent}");
    assert_eq!(agent["pods"]["proven"], 2, "{agent}");
}
