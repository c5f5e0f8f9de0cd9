//! States and edge cases of rollouts that no other file is about.

use jiff::{SignedDuration, Timestamp};
use mesh_testbed::Bed;
use mesh_tests::{Run, on_both_beds};
use serde_json::{Value, json};

use crate::alone::{outcomes, pairs};
use crate::evictions::on_delete;
use crate::kills::forget_lock;
use crate::others::{a_colleague_restarts, in_mid_roll};
use crate::scene::{NEW, OLD, Scene, behaves, slow, workload};

on_both_beds! {
    a_new_pod_with_the_old_proxy_is_named_and_nothing_more_is_started
    a_replacement_that_crashes_ends_the_evictions
    killed_between_evictions_the_next_run_evicts_what_is_left
    what_is_scaled_to_zero_or_paused_before_its_turn_is_skipped
    a_restart_of_somebody_else_in_mid_roll_gives_the_pods_that_prove_it
    [Kinds]
    the_pods_of_a_parallel_stateful_set_are_proven
    a_pod_that_is_ready_is_not_enough_before_its_min_ready_seconds
    a_deployment_that_no_deadline_ends_is_proven_and_times_out_by_the_runs_own
}

fn skipped<'a>(run: &'a Run, name: &str) -> &'a Value {
    let mut skipped = run.of("skipped").into_iter();
    skipped.find(|record| record["name"] == name).unwrap()
}

// The first new pod comes before somebody pins the old version, and the second one after.
fn a_new_pod_with_the_old_proxy_is_named_and_nothing_more_is_started(bed: Bed) {
    let all = ["a", "b"].map(|name| workload("Deployment", name, |_| {}));
    let scene = Scene::with(bed, &all);
    let run = in_mid_roll(&scene, || {
        let pin = json!({ "config.linkerd.io/proxy-version": OLD });
        let pin = json!({ "metadata": { "annotations": pin } });
        scene.bed.merge("/api/v1/namespaces/shop", &pin).unwrap();
    });
    assert_eq!(run.code, Some(1), "{}", run.said());
    let rolled = run.of("rolled");
    let found = [&rolled[0]["outcome"], &rolled[0]["reason"]];
    assert_eq!(found, ["failed", "still-old"], "{}", run.said());
    assert_eq!(rolled.len(), 1, "{}", run.said());
    assert_eq!(scene.writes(), ["patch deployments shop/a 200"]);
}

fn a_replacement_that_crashes_ends_the_evictions(bed: Bed) {
    let mut set = on_delete("StatefulSet", "db");
    let annotations = &mut set["spec"]["template"]["metadata"]["annotations"];
    annotations[mesh_testbed::WITH_PROXY] = format!("{NEW}=crash-loop").into();
    let scene = Scene::with(bed, &[set]);
    let run = scene.roll(&scene.verdict(), &["--yes", "--timeout", "2m"]);
    assert_eq!(run.code, Some(1), "{}", run.said());
    let failed = run.of("rolled")[0];
    let found = [&failed["outcome"], &failed["reason"], &failed["pod"]];
    assert_eq!(found, ["failed", "crash-loop", "db-1"], "{failed}");
    assert_eq!(scene.evicted().len(), 1, "{}", run.said());
}

fn killed_between_evictions_the_next_run_evicts_what_is_left(bed: Bed) {
    let scene = Scene::with(bed, &[on_delete("StatefulSet", "db")]);
    let before = scene.uids_of_pods();
    let mut run = scene.start(&scene.verdict(), &["--yes"]);
    run.until(|record| record["pods"]["updated"] == 1);
    run.kill();
    forget_lock(&scene);
    let run = scene.roll(&scene.verdict(), &["--yes"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert_eq!(outcomes(&run), pairs(&[("db", "proven")]), "{}", run.said());
    assert_eq!(scene.evicted(), before, "each once, by its uid");
}

fn what_is_scaled_to_zero_or_paused_before_its_turn_is_skipped(bed: Bed) {
    let all = ["a", "b"].map(|name| workload("Deployment", name, |_| {}));
    let scene = Scene::with(bed, &all);
    let verdict = scene.verdict();
    let changes = [
        ("a", json!({ "replicas": 0 })),
        ("b", json!({ "paused": true })),
    ];
    for (name, spec) in changes {
        let path = format!("/apis/apps/v1/namespaces/shop/deployments/{name}");
        scene.bed.merge(&path, &json!({ "spec": spec })).unwrap();
    }
    let run = scene.roll(&verdict, &["--yes"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    let zero = skipped(&run, "a");
    let found = [&zero["reason"], &zero["class"]];
    assert_eq!(found, ["scaled-to-zero", "expected"], "{zero}");
    let paused = skipped(&run, "b");
    let found = [&paused["reason"], &paused["class"]];
    assert_eq!(found, ["paused", "attention"], "{paused}");
    assert_eq!(scene.writes(), [""; 0]);
}

fn a_restart_of_somebody_else_in_mid_roll_gives_the_pods_that_prove_it(bed: Bed) {
    let scene = Scene::with(bed, &[workload("Deployment", "a", |_| {})]);
    let later = json!("2030-01-02T03:04:05Z");
    let run = in_mid_roll(&scene, || a_colleague_restarts(&scene, &later));
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert_eq!(outcomes(&run), pairs(&[("a", "proven")]), "{}", run.said());
    assert_eq!(scene.writes(), ["patch deployments shop/a 200"]);
}

fn the_pods_of_a_parallel_stateful_set_are_proven(bed: Bed) {
    let set = workload("StatefulSet", "db", |spec| {
        slow(spec);
        spec["podManagementPolicy"] = "Parallel".into();
        spec["ordinals"] = json!({ "start": 3 });
    });
    let scene = Scene::with(bed, &[set]);
    let run = scene.roll(&scene.verdict(), &["--yes"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert_eq!(outcomes(&run), pairs(&[("db", "proven")]), "{}", run.said());
}

// Its controller counts from the time in the condition of the pod. The tool knows the time of the server only
// from its dates, to a second.
fn a_pod_that_is_ready_is_not_enough_before_its_min_ready_seconds(bed: Bed) {
    let kinds = ["Deployment", "StatefulSet", "DaemonSet"];
    let all = kinds.map(|kind| {
        workload(kind, &kind.to_lowercase(), |spec| {
            spec["minReadySeconds"] = 4.into();
        })
    });
    let scene = Scene::with(bed, &all);
    let run = scene.roll(&scene.verdict(), &["--yes", "--max-in-flight", "3"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    let rolled = run.of("rolled");
    assert_eq!(rolled.len(), kinds.len(), "{}", run.said());
    let time = |value: &Value| value.as_str().unwrap().parse::<Timestamp>().unwrap();
    for record in rolled {
        assert_eq!(record["outcome"], "proven", "{record}");
        let app = record["name"].as_str().unwrap();
        let pods = format!("/api/v1/namespaces/shop/pods?labelSelector=app%3D{app}");
        let pods = scene.bed.get(&pods).unwrap();
        let pods = pods["items"].as_array().unwrap().iter();
        let conditions = pods.flat_map(|pod| pod["status"]["conditions"].as_array().unwrap());
        let ready = conditions.filter(|it| it["type"] == "Ready");
        let last = ready
            .map(|it| time(&it["lastTransitionTime"]))
            .max()
            .unwrap();
        let after = time(&record["time"]).duration_since(last);
        assert!(after >= SignedDuration::from_secs(3), "{after}: {record}");
    }
}

// The largest deadline stands for none, and then the controller writes no condition on the progress.
fn a_deployment_that_no_deadline_ends_is_proven_and_times_out_by_the_runs_own(bed: Bed) {
    let endless = |mut workload: Value| {
        workload["spec"]["progressDeadlineSeconds"] = i32::MAX.into();
        workload
    };
    let well = endless(workload("Deployment", "well", |_| {}));
    let wont = endless(behaves("wont", "never-ready"));
    let scene = Scene::with(bed, &[wont, well]);
    let conditions = scene
        .bed
        .get("/apis/apps/v1/namespaces/shop/deployments/well");
    let conditions = conditions.unwrap()["status"]["conditions"].to_string();
    assert!(!conditions.contains("Progressing"), "{conditions}");
    let run = scene.roll(
        &scene.verdict(),
        &[
            "--yes",
            "--timeout",
            "20s",
            "--settle",
            "0s",
            "--max-failures",
            "2",
        ],
    );
    assert_eq!(run.code, Some(1), "{}", run.said());
    let expected = [("well", "proven"), ("wont", "failed")];
    assert_eq!(outcomes(&run), pairs(&expected), "{}", run.said());
}
