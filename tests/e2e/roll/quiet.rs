//! A watch that stays open and brings nothing: what it does not show is listed before the run says
//! how it ended.

use mesh_testbed::{Bed, FaultProxy, Match, When};
use mesh_tests::{Running, begin, make_wait, on_both_beds};
use serde_json::{Value, json};

use crate::probed::{await_no_proxy, change_webhook};
use crate::scene::{Scene, behaves, is_ready, new_pod};

on_both_beds! {
    a_proven_pod_that_fails_unseen_by_the_watch_is_found_before_the_end
    a_replacement_without_a_proxy_that_the_watch_does_not_show_is_found_before_the_end
    a_watch_of_pods_that_brings_nothing_makes_no_workload_fail
}

/// Two workloads in two namespaces, so that the last list is that of all pods.
fn two() -> [Value; 2] {
    let mut other = behaves("b", "ok");
    other["metadata"]["namespace"] = "bank".into();
    [behaves("a", "ok"), other]
}

fn start(scene: &Scene, faults: &FaultProxy, args: &[&str]) -> Running {
    let mut command = scene.tool("mesh-roll");
    command.env("KUBECONFIG", faults.kubeconfig());
    command.args(args).args(["--yes", "--settle", "0s"]);
    begin(command, &scene.verdict())
}

fn a_proven_pod_that_fails_unseen_by_the_watch_is_found_before_the_end(bed: Bed) {
    let scene = Scene::with(bed, &two());
    let faults = scene.bed.proxy().unwrap();
    let silent = faults.on(Match::watches("/pods")).hold(When::BeforeForward);
    let all = Match::method(http::Method::GET).path("/api/v1/pods?limit");
    let last = faults.on(all.nth(2)).hold(When::BeforeForward);
    let run = start(&scene, &faults, &[]);
    last.arrived();
    let pod = new_pod(&scene, "a");
    make_wait(&scene.bed, "shop", &pod, "CrashLoopBackOff", 1);
    last.release();
    let run = run.finish();
    assert!(
        silent.has_arrived(),
        "the watch of pods is to bring nothing"
    );
    assert_eq!(run.code, Some(1), "{}", run.said());
    let lost = run.of("rolled").into_iter();
    let lost: Vec<&Value> = lost.filter(|it| it["outcome"] == "failed").collect();
    assert_eq!(lost.len(), 1, "{}", run.said());
    assert_eq!(lost[0]["reason"], "readiness-lost", "{}", run.said());
    assert_eq!(lost[0]["pod"], pod, "{}", run.said());
}

fn a_replacement_without_a_proxy_that_the_watch_does_not_show_is_found_before_the_end(bed: Bed) {
    let scene = Scene::with(bed, &two());
    let faults = scene.bed.proxy().unwrap();
    let silent = faults.on(Match::watches("/pods")).hold(When::BeforeForward);
    let all = Match::method(http::Method::GET).path("/api/v1/pods?limit");
    let last = faults.on(all.nth(2)).hold(When::BeforeForward);
    let run = start(&scene, &faults, &[]);
    last.arrived();
    let expressions = json!([{ "key": "app", "operator": "NotIn", "values": ["a"] }]);
    let selector = json!({ "matchExpressions": expressions });
    change_webhook(&scene, "objectSelector", &selector);
    await_no_proxy(&scene, "shop", "a");
    let pod = replaced(&scene, "a");
    last.release();
    let run = run.finish();
    assert!(
        silent.has_arrived(),
        "the watch of pods is to bring nothing"
    );
    assert_eq!(run.code, Some(1), "{}", run.said());
    let lost = run.of("rolled").into_iter();
    let lost: Vec<&Value> = lost.filter(|it| it["outcome"] == "failed").collect();
    assert_eq!(lost.len(), 1, "{}", run.said());
    assert_eq!(lost[0]["name"], "a", "{}", run.said());
    assert_eq!(lost[0]["pod"], pod, "{}", run.said());
}

// Deletes the new pod of a workload, and returns the one that is ready in its place.
fn replaced(scene: &Scene, app: &str) -> String {
    let gone = new_pod(scene, app);
    let path = "/api/v1/namespaces/shop/pods";
    scene.bed.delete(&format!("{path}/{gone}")).unwrap();
    let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap().to_owned();
    let next = |events: &[Value]| {
        let pods = events.iter().map(|event| &event["object"]);
        pods.filter(|pod| is_ready(pod))
            .map(name)
            .find(|name| *name != gone)
    };
    let path = format!("{path}?watch=1&labelSelector=app%3D{app}");
    let events = scene.bed.events(&path, |events| next(events).is_some());
    next(&events.unwrap()).unwrap()
}

fn a_watch_of_pods_that_brings_nothing_makes_no_workload_fail(bed: Bed) {
    let scene = Scene::with(bed, &two());
    let faults = scene.bed.proxy().unwrap();
    let silent = faults.on(Match::watches("/pods")).hold(When::BeforeForward);
    let run = start(&scene, &faults, &["--timeout", "30s"]).finish();
    assert!(
        silent.has_arrived(),
        "the watch of pods is to bring nothing"
    );
    assert_eq!(run.code, Some(0), "{}", run.said());
    let rolled = run.of("rolled");
    assert_eq!(rolled.len(), 2, "{}", run.said());
    assert!(rolled.iter().all(|it| it["outcome"] == "proven"));
}
