//! What autoscalers and other people do to a workload in the middle of its rollout.

use mesh_testbed::{Ask, Bed};
use mesh_tests::{Run, Running, on_both_beds};
use serde_json::{Value, json};

use crate::evictions::said_so;
use crate::scene::{Scene, behaves, slow, workload};

on_both_beds! {
    scaled_out_in_mid_roll_is_proven_by_all_its_pods
    scaled_in_in_mid_roll_is_proven_by_those_that_are_left
    a_restart_that_somebody_takes_back_is_said_and_the_next_run_makes_it_again
    a_restart_of_a_stateful_set_that_is_taken_back_is_said
    a_stateful_set_that_is_scaled_out_in_mid_roll_is_proven_by_all_its_pods
    a_node_that_joins_in_mid_roll_has_a_pod_of_the_daemon_set_that_proves_it_too
    what_is_changed_after_its_proof_is_said_and_not_watched_any_more
    paused_in_mid_roll_is_blocked_with_the_command_that_resumes_it
    a_workload_that_was_made_anew_since_the_survey_is_gone
    somebody_elses_broken_image_in_mid_roll_uses_up_no_failure
    [Kubectl]
    a_stateful_set_that_was_made_anew_with_its_old_pods_leaves_the_run_unfinished
    the_failure_of_a_restart_that_a_colleague_made_ends_nothing
}

const PATH: &str = "/apis/apps/v1/namespaces/shop/deployments/a";

fn scene(bed: Bed, replicas: u32) -> Scene {
    let it = workload("Deployment", "a", |spec| {
        spec["replicas"] = replicas.into();
        spec["strategy"] = json!({ "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } });
    });
    Scene::with(bed, &[it])
}

/// Restarts the workload, and changes it while its first new pod is not ready.
fn changed_in_mid_roll(scene: &Scene, change: &Value) -> Run {
    in_mid_roll(scene, || scene.bed.merge(PATH, change).unwrap())
}

pub(crate) fn in_mid_roll(scene: &Scene, act: impl FnOnce()) -> Run {
    let hold = scene.bed.kubelet().hold("shop", "");
    let mut run: Running = scene.start(&scene.verdict(), &["--yes", "--timeout", "2m"]);
    run.until(|record| record["name"] == "a" && record["pods"]["updated"] == 1);
    act();
    drop(hold);
    run.finish()
}

fn scaled(bed: Bed, from: u32, to: u32) {
    let scene = scene(bed, from);
    let run = changed_in_mid_roll(&scene, &json!({ "spec": { "replicas": to } }));
    assert_eq!(run.code, Some(0), "{}", run.said());
    let rolled = run.of("rolled")[0];
    assert_eq!(rolled["outcome"], "proven", "{rolled}");
    let all = json!({ "wanted": to, "new": to, "proven": to });
    assert_eq!(rolled["pods"], all, "{rolled}");
    assert_eq!(scene.writes(), ["patch deployments shop/a 200"]);
}

fn scaled_out_in_mid_roll_is_proven_by_all_its_pods(bed: Bed) {
    scaled(bed, 2, 4);
}

fn scaled_in_in_mid_roll_is_proven_by_those_that_are_left(bed: Bed) {
    scaled(bed, 3, 1);
}

const SET: &str = "/apis/apps/v1/namespaces/shop/statefulsets/a";

fn a_stateful_set_that_is_scaled_out_in_mid_roll_is_proven_by_all_its_pods(bed: Bed) {
    let scene = Scene::with(bed, &[workload("StatefulSet", "a", |_| {})]);
    let three = json!({ "spec": { "replicas": 3 } });
    let run = in_mid_roll(&scene, || scene.bed.merge(SET, &three).unwrap());
    assert_eq!(run.code, Some(0), "{}", run.said());
    let rolled = run.of("rolled")[0];
    let all = json!({ "wanted": 3, "new": 3, "proven": 3 });
    assert_eq!(rolled["pods"], all, "{rolled}");
    assert_eq!(scene.writes(), ["patch statefulsets shop/a 200"]);
}

fn a_node_that_joins_in_mid_roll_has_a_pod_of_the_daemon_set_that_proves_it_too(bed: Bed) {
    let scene = Scene::with(bed, &[workload("DaemonSet", "a", |_| {})]);
    let node = scene.bed.get("/api/v1/nodes/node-1").unwrap();
    let joins = || {
        let labels = json!({ "kubernetes.io/os": "linux", "kubernetes.io/hostname": "node-4" });
        let new = json!({ "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": "node-4", "labels": labels } });
        scene.bed.apply(&new.to_string()).unwrap();
        let status = json!({ "status": node["status"] });
        scene
            .bed
            .merge("/api/v1/nodes/node-4/status", &status)
            .unwrap();
    };
    let run = in_mid_roll(&scene, joins);
    assert_eq!(run.code, Some(0), "{}", run.said());
    let rolled = run.of("rolled")[0];
    let all = json!({ "wanted": 4, "new": 4, "proven": 4 });
    assert_eq!(rolled["pods"], all, "{rolled}");
}

fn what_is_changed_after_its_proof_is_said_and_not_watched_any_more(bed: Bed) {
    let scene = scene(bed, 2);
    let args = ["--yes", "--timeout", "2m", "--settle", "1h"];
    let mut run: Running = scene.start(&scene.verdict(), &args);
    run.until(|record| record["type"] == "rolled");
    a_colleague_restarts(&scene, &json!("2030-01-02T03:04:05Z"));
    let run = run.finish();
    assert_eq!(run.code, Some(0), "{}", run.said());
    let said = said_so(
        &run,
        "shop/Deployment/a was done, and is not watched any more",
    );
    assert_eq!(said.len(), 1, "{}", run.said());
    assert!(said[0].contains("somebody else changed it"), "{}", said[0]);
}

fn paused_in_mid_roll_is_blocked_with_the_command_that_resumes_it(bed: Bed) {
    let scene = scene(bed, 2);
    let _hold = scene.bed.kubelet().hold("shop", "");
    let mut run: Running = scene.start(&scene.verdict(), &["--yes", "--timeout", "6s"]);
    run.until(|record| record["name"] == "a" && record["pods"]["updated"] == 1);
    let pause = json!({ "spec": { "paused": true } });
    scene.bed.merge(PATH, &pause).unwrap();
    let run = run.finish();
    assert_eq!(run.code, Some(3), "{}", run.said());
    let rolled = run.of("rolled")[0];
    let found = [&rolled["outcome"], &rolled["reason"]];
    assert_eq!(found, ["blocked", "paused"], "{rolled}");
    let message = rolled["message"].as_str().unwrap();
    assert!(message.contains("rollout resume Deployment/a"), "{message}");
}

// As people do who enlarge the volumes of a set: its pods outlive it.
fn a_stateful_set_that_was_made_anew_with_its_old_pods_leaves_the_run_unfinished(bed: Bed) {
    let it = workload("StatefulSet", "a", |_| {});
    let scene = Scene::with(bed, std::slice::from_ref(&it));
    let (verdict, before) = (scene.verdict(), scene.uids_of_pods());
    let orphaning = format!("{SET}?propagationPolicy=Orphan");
    scene.bed.delete(&orphaning).unwrap();
    let sets = "/apis/apps/v1/namespaces/shop/statefulsets";
    let list = scene.bed.get(sets).unwrap();
    if !list["items"].as_array().unwrap().is_empty() {
        let from = list["metadata"]["resourceVersion"].as_str().unwrap();
        let watch = format!("{sets}?watch=1&resourceVersion={from}");
        let gone = |events: &[Value]| events.last().is_some_and(|it| it["type"] == "DELETED");
        scene.bed.events(&watch, gone).unwrap();
    }
    scene.bed.apply(&it.to_string()).unwrap();
    let ready = Value::from(2);
    scene
        .bed
        .await_field(SET, "/status/readyReplicas", &ready)
        .unwrap();
    assert_eq!(scene.uids_of_pods(), before);
    let run = scene.roll(&verdict, &["--yes"]);
    assert_eq!(run.code, Some(3), "{}", run.said());
    assert_eq!(run.of("skipped")[0]["reason"], "gone");
    let reason = run.end()["reason"].as_str().unwrap();
    assert!(
        reason.contains("shop/StatefulSet/a was deleted and made anew"),
        "{reason}"
    );
    let run = scene.roll(&scene.verdict(), &["--yes"]);
    assert_eq!(run.of("rolled")[0]["outcome"], "proven", "{}", run.said());
}

fn somebody_elses_broken_image_in_mid_roll_uses_up_no_failure(bed: Bed) {
    let all = ["a", "b"].map(|name| workload("Deployment", name, slow));
    let scene = Scene::with(bed, &all);
    let mut run: Running = scene.start(&scene.verdict(), &["--yes", "--timeout", "8s"]);
    run.until(|record| record["name"] == "a" && record["pods"]["updated"] == 1);
    let labels = json!({ mesh_testbed::BEHAVIOUR: "image-pull" });
    let broken = json!({ "spec": { "template": { "metadata": { "labels": labels } } } });
    scene.bed.merge(PATH, &broken).unwrap();
    let run = run.finish();
    let rolled = run.of("rolled");
    let of = |name: &str| &rolled.iter().find(|it| it["name"] == name).unwrap()["outcome"];
    assert_eq!([of("a"), of("b")], ["failed", "proven"], "{}", run.said());
    assert_eq!(run.code, Some(1), "{}", run.said());
}

fn a_workload_that_was_made_anew_since_the_survey_is_gone(bed: Bed) {
    let it = workload("Deployment", "a", |_| {});
    let scene = Scene::with(bed, std::slice::from_ref(&it));
    let verdict = scene.verdict();
    let uid = scene.bed.get(PATH).unwrap()["metadata"]["uid"].clone();
    scene.bed.delete(PATH).unwrap();
    scene.bed.apply(&it.to_string()).unwrap();
    let anew = scene.bed.get(PATH).unwrap()["metadata"]["uid"].clone();
    assert_ne!(anew, uid);
    let run = scene.roll(&verdict, &["--yes"]);
    let skipped = run.of("skipped")[0];
    let found = [&skipped["reason"], &skipped["uid"]];
    assert_eq!(found, [&json!("gone"), &uid], "{}", run.said());
    assert_eq!(scene.writes(), [""; 0]);
}

// What `kubectl rollout restart` writes.
pub(crate) fn a_colleague_restarts(scene: &Scene, at: &Value) {
    let annotations = json!({ "kubectl.kubernetes.io/restartedAt": at });
    let restart = json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } });
    let ask = Ask {
        method: "PATCH",
        path: &format!("{PATH}?fieldManager=kubectl-rollout"),
        form: "application/merge-patch+json",
        body: &restart,
    };
    assert_eq!(scene.bed.ask(ask).unwrap().0, 200);
}

fn the_failure_of_a_restart_that_a_colleague_made_ends_nothing(bed: Bed) {
    let scene = Scene::with(bed, &[behaves("a", "never-ready"), behaves("b", "ok")]);
    let pods = "/api/v1/namespaces/shop/pods?labelSelector=app%3Da";
    let pods = scene.bed.get(pods).unwrap();
    let recently = &pods["items"][0]["metadata"]["creationTimestamp"];
    a_colleague_restarts(&scene, recently);
    let run = scene.roll(&scene.verdict(), &["--yes", "--timeout", "10s"]);
    assert_eq!(run.code, Some(1), "{}", run.said());
    let rolled = run.of("rolled").into_iter();
    let ended: Vec<_> = rolled
        .map(|it| (it["name"].as_str(), it["outcome"].as_str()))
        .collect();
    let expected = [("a", "failed"), ("b", "proven")];
    let expected = expected.map(|(name, outcome)| (Some(name), Some(outcome)));
    assert_eq!(ended, expected, "{}", run.said());
}

fn a_restart_that_somebody_takes_back_is_said_and_the_next_run_makes_it_again(bed: Bed) {
    let scene = scene(bed, 2);
    assert_taken_back(&changed_in_mid_roll(&scene, &undo()));
    let run = scene.roll(&scene.verdict(), &["--yes", "--timeout", "2m"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert_eq!(run.of("rolled")[0]["outcome"], "proven", "{}", run.said());
}

fn a_restart_of_a_stateful_set_that_is_taken_back_is_said(bed: Bed) {
    let scene = Scene::with(bed, &[workload("StatefulSet", "a", |_| {})]);
    let taken_back = || scene.bed.merge(SET, &undo()).unwrap();
    assert_taken_back(&in_mid_roll(&scene, taken_back));
}

// What `kubectl rollout undo` writes: the template of before.
fn undo() -> Value {
    let annotations = json!({ "kubectl.kubernetes.io/restartedAt": null });
    json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } })
}

fn assert_taken_back(run: &Run) {
    assert_eq!(run.code, Some(3), "{}", run.said());
    let rolled = run.of("rolled")[0];
    assert_eq!(rolled["outcome"], "superseded", "{rolled}");
    let message = rolled["message"].as_str().unwrap();
    for part in [
        "changed by somebody else",
        "its restart was taken back (as by a rollout undo)",
        "run the pipeline again",
    ] {
        assert!(message.contains(part), "{message}");
    }
}
