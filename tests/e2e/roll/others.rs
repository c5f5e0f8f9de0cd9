//! What autoscalers and other people do to a workload in the middle of its rollout.

use mesh_testbed::Bed;
use mesh_tests::{Run, Running, on_both_beds};
use serde_json::{Value, json};

use crate::scene::{Scene, workload};

on_both_beds! {
    scaled_out_in_mid_roll_is_proven_by_all_its_pods
    scaled_in_in_mid_roll_is_proven_by_those_that_are_left
    a_restart_that_somebody_takes_back_is_said_and_the_next_run_makes_it_again
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
