//! What autoscalers and other people do to a workload in the middle of its rollout.

use mesh_testbed::{Ask, Bed};
use mesh_tests::{Run, Running, on_both_beds};
use serde_json::{Value, json};

use crate::scene::{Scene, behaves, workload};

on_both_beds! {
    scaled_out_in_mid_roll_is_proven_by_all_its_pods
    scaled_in_in_mid_roll_is_proven_by_those_that_are_left
    a_restart_that_somebody_takes_back_is_said_and_the_next_run_makes_it_again
    [Kubectl]
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
    let hold = scene.bed.kubelet().hold("shop", "");
    let mut run: Running = scene.start(&scene.verdict(), &["--yes", "--timeout", "2m"]);
    run.until(|record| record["name"] == "a" && record["pods"]["updated"] == 1);
    scene.bed.merge(PATH, change).unwrap();
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

fn the_failure_of_a_restart_that_a_colleague_made_ends_nothing(bed: Bed) {
    let scene = Scene::with(bed, &[behaves("a", "never-ready"), behaves("b", "ok")]);
    let pods = "/api/v1/namespaces/shop/pods?labelSelector=app%3Da";
    let pods = scene.bed.get(pods).unwrap();
    let recently = &pods["items"][0]["metadata"]["creationTimestamp"];
    let annotations = json!({ "kubectl.kubernetes.io/restartedAt": recently });
    let restart = json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } });
    let ask = Ask {
        method: "PATCH",
        path: &format!("{PATH}?fieldManager=kubectl-rollout"),
        form: "application/merge-patch+json",
        body: &restart,
    };
    assert_eq!(scene.bed.ask(ask).unwrap().0, 200);
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
    // What `kubectl rollout undo` writes: the template of before.
    let annotations = json!({ "kubectl.kubernetes.io/restartedAt": null });
    let undo = json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } });
    let run = changed_in_mid_roll(&scene, &undo);
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
    let run = scene.roll(&scene.verdict(), &["--yes", "--timeout", "2m"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert_eq!(run.of("rolled")[0]["outcome"], "proven", "{}", run.said());
}
