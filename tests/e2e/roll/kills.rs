//! The tool is killed at each of its writes in turn, and run again.

use std::process::Command;

use http::Method;
use mesh_testbed::{Bed, FaultProxy, Match, Victim, When};
use mesh_tests::{Run, begin, of_type, on_both_beds};
use serde_json::{Value, json};

use crate::scene::{NEW, Scene, proxy, slow, workload};

on_both_beds! {
    killed_at_any_write_the_next_run_carries_on_and_restarts_nothing_twice
}

const PODS: &str = "/namespaces/shop/pods?";
const LOCK: &str = "/apis/coordination.k8s.io/v1/namespaces/linkerd/leases/mesh-tools";
const WORKLOADS: &str = "/apis/apps/v1/";
const ARGS: [&str; 4] = ["--yes", "--if-locked", "wait=30s", "--allow-outage=shop"];

/// Makes one workload of each kind and behaviour.
fn six() -> Vec<Value> {
    vec![
        workload("Deployment", "plain", |_| {}),
        workload("Deployment", "slow", slow),
        workload("Deployment", "recreated", |spec| {
            spec["strategy"] = json!({ "type": "Recreate" });
        }),
        workload("Deployment", "surging", |spec| {
            spec["strategy"] = json!({ "rollingUpdate": { "maxSurge": 2, "maxUnavailable": 0 } });
        }),
        workload("StatefulSet", "ordered", |_| {}),
        workload("DaemonSet", "everywhere", |_| {}),
    ]
}

/// What each of the six is restarted by, once.
const WRITES: [&str; 6] = [
    "patch daemonsets shop/everywhere 200",
    "patch deployments shop/plain 200",
    "patch deployments shop/recreated 200",
    "patch deployments shop/slow 200",
    "patch deployments shop/surging 200",
    "patch statefulsets shop/ordered 200",
];

fn killed_at_any_write_the_next_run_carries_on_and_restarts_nothing_twice(bed: Bed) {
    let scene = Scene::with(bed, &six());
    let proxy = scene.bed.proxy().unwrap();
    let verdict = scene.verdict();
    let both = [When::BeforeForward, When::AfterForward];
    let [before, after] = both;
    let mut proven = Vec::new();
    let mut kill = |place, when| proven.append(&mut killed(&scene, &proxy, &verdict, place, when));
    kill("leases", before);
    kill("leases", after);
    // The first takeover waits until the lock has expired.
    kill(PODS, before);
    // After that somebody deletes the lock of each killed run.
    forget_lock(&scene);
    kill(PODS, after);
    for when in [both; 6].concat() {
        forget_lock(&scene);
        kill(WORKLOADS, when);
    }
    forget_lock(&scene);
    let output = scene.roll(&verdict, &ARGS);
    assert_eq!(output.code, Some(0), "{}", output.said());
    let owners = |of: fn(Option<&str>) -> bool| scene.owners_of_pods(|pod| of(self::proxy(pod)));
    assert_eq!(owners(|version| version == Some(NEW)).len(), 6);
    assert!(owners(|version| version != Some(NEW)).is_empty());
    proven.append(&mut proven_in(&output.records));
    proven.sort();
    proven.dedup();
    let names = [
        "everywhere",
        "ordered",
        "plain",
        "recreated",
        "slow",
        "surging",
    ];
    assert_eq!(proven, names);
    let mut writes = scene.writes();
    writes.retain(|write| write.ends_with(" 200"));
    writes.sort();
    assert_eq!(writes, WRITES);
}

// Starts a run that is killed at its first write to `place`; returns what it had proven before.
fn killed(
    scene: &Scene,
    proxy: &FaultProxy,
    verdict: &str,
    place: &str,
    when: When,
) -> Vec<String> {
    let victim = Victim::default();
    let write = if place == PODS {
        Match::method(Method::POST)
    } else {
        Match::writes()
    };
    let write = write.path(place).agent("mesh-roll/").nth(1);
    proxy.on(write).kill(&victim, when);
    let mut command: Command = scene.tools.run("mesh-roll");
    command.env("KUBECONFIG", proxy.kubeconfig()).args(ARGS);
    let run = begin(command, verdict);
    victim.set(run.child.id());
    let Run { records, code, .. } = run.finish();
    assert_eq!(
        code, None,
        "{place} {when:?}: it was to be killed: {records:#?}"
    );
    proxy.clear();
    proven_in(&records)
}

fn proven_in(records: &[Value]) -> Vec<String> {
    let rolled = of_type(records, "rolled").into_iter();
    let proven = rolled.filter(|rolled| rolled["outcome"] == "proven");
    proven
        .map(|rolled| rolled["name"].as_str().unwrap().to_owned())
        .collect()
}

// Deletes the killed holder's lock.
pub(crate) fn forget_lock(scene: &Scene) {
    scene.bed.delete(LOCK).unwrap();
}
