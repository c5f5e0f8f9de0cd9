//! What can pass by itself is waited for until `--timeout`; what cannot fails at once.

use mesh_testbed::Bed;
use mesh_tests::{Run, Running, make_ready, make_wait, on_both_beds};
use serde_json::{Value, json};

use crate::scene::{NEW, Scene, behaves, new_pod, proxy, workload};

on_both_beds! {
    an_image_that_comes_late_is_waited_for_and_proven
    an_image_that_never_comes_times_out_with_its_pod_and_container
    a_first_crash_and_a_missing_secret_are_waited_for
    an_image_name_that_is_wrong_fails_at_once
    somebody_elses_broken_rollout_is_skipped_and_the_others_are_rolled
    somebody_elses_rollout_that_never_ends_gives_its_slot_to_the_others
    [Admission]
    a_quota_that_is_full_is_named_and_waited_for
    a_webhook_that_is_away_is_named_and_waited_for
    a_pod_that_no_node_takes_is_waited_for_and_blocked_at_the_timeout
    a_pod_that_does_not_go_away_is_named_with_its_finalizers
    a_pod_on_a_node_that_is_not_ready_blocks_with_the_names_of_both
}

/// Reads on until a record says that `reason` holds the workload up.
fn until_held_up(run: &mut Running, reason: &str) {
    run.until(|record| {
        let said = record["reason"].as_str();
        record["type"] == "progress" && said.is_some_and(|said| said.contains(reason))
    });
}

fn assert_all_proven(run: &Run, number: usize) {
    assert_eq!(run.code, Some(0), "{}", run.said());
    let rolled = run.of("rolled");
    let proven = rolled.iter().filter(|it| it["outcome"] == "proven");
    assert_eq!(proven.count(), number, "{}", run.said());
    assert_eq!(rolled.len(), number, "{}", run.said());
}

fn an_image_that_comes_late_is_waited_for_and_proven(bed: Bed) {
    let scene = Scene::with(bed, &[behaves("a", "image-pull"), behaves("b", "ok")]);
    let mut run = scene.start(&scene.verdict(), &["--yes", "--timeout", "2m"]);
    until_held_up(&mut run, "ImagePullBackOff");
    make_ready(&scene.bed, "shop", &new_pod(&scene, "a"));
    assert_all_proven(&run.finish(), 2);
}

fn an_image_that_never_comes_times_out_with_its_pod_and_container(bed: Bed) {
    let scene = Scene::with(bed, &[behaves("a", "image-pull"), behaves("b", "ok")]);
    let run = scene.roll(&scene.verdict(), &["--yes", "--timeout", "3s"]);
    assert_eq!(run.code, Some(1), "{}", run.said());
    let rolled = run.of("rolled");
    assert_eq!(rolled.len(), 1, "nothing more is started: {}", run.said());
    let rolled = rolled[0];
    assert_eq!(rolled["outcome"], "failed");
    assert_eq!(rolled["reason"], "timed-out");
    assert_eq!(rolled["pod"], new_pod(&scene, "a"));
    assert_eq!(rolled["container"], "a");
    let message = rolled["message"].as_str().unwrap();
    assert!(message.contains("ImagePullBackOff"), "{message}");
}

fn a_first_crash_and_a_missing_secret_are_waited_for(bed: Bed) {
    let scene = Scene::with(bed, &[behaves("a", "image-pull")]);
    let mut run = scene.start(&scene.verdict(), &["--yes", "--timeout", "2m"]);
    until_held_up(&mut run, "ImagePullBackOff");
    let pod = new_pod(&scene, "a");
    for (reason, restarts) in [("CreateContainerConfigError", 0), ("CrashLoopBackOff", 2)] {
        make_wait(&scene.bed, "shop", &pod, reason, restarts);
        until_held_up(&mut run, reason);
    }
    make_ready(&scene.bed, "shop", &pod);
    assert_all_proven(&run.finish(), 1);
}

fn an_image_name_that_is_wrong_fails_at_once(bed: Bed) {
    let scene = Scene::with(bed, &[behaves("a", "image-pull")]);
    let mut run = scene.start(&scene.verdict(), &["--yes", "--timeout", "1h"]);
    until_held_up(&mut run, "ImagePullBackOff");
    let pod = new_pod(&scene, "a");
    make_wait(&scene.bed, "shop", &pod, "InvalidImageName", 0);
    let run = run.finish();
    assert_eq!(run.code, Some(1), "{}", run.said());
    let rolled = run.of("rolled")[0];
    assert_eq!(
        (&rolled["outcome"], &rolled["pod"]),
        (&"failed".into(), &pod.into())
    );
    assert_eq!(rolled["reason"], "image-pull");
}

fn somebody_elses_broken_rollout_is_skipped_and_the_others_are_rolled(bed: Bed) {
    let names = ["a", "b", "c"];
    let workloads = names.map(|name| workload("Deployment", name, |_| {}));
    let scene = Scene::with(bed, &workloads);
    let broken = json!({ "metadata": { "labels": { "sim.test/behaviour": "image-pull" } } });
    let broken = json!({ "spec": { "template": broken } });
    let deployment = "/apis/apps/v1/namespaces/shop/deployments/a";
    scene.bed.merge(deployment, &broken).unwrap();
    let pulls = |events: &[Value]| {
        let pods = events.iter().map(|event| event["object"].to_string());
        pods.into_iter().any(|pod| pod.contains("ImagePullBackOff"))
    };
    let pods = "/api/v1/namespaces/shop/pods?watch=1&labelSelector=app%3Da";
    scene.bed.events(pods, pulls).unwrap();
    let run = scene.roll(&scene.verdict(), &["--yes", "--timeout", "20s"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert_all_proven(&run, 2);
    let skipped = run.of("skipped");
    assert_eq!(skipped[0]["name"], "a");
    assert_eq!(skipped[0]["class"], "attention");
}

fn somebody_elses_rollout_that_never_ends_gives_its_slot_to_the_others(bed: Bed) {
    let workloads = [
        behaves("a", "never-ready"),
        behaves("b", "ok"),
        behaves("c", "ok"),
    ];
    let scene = Scene::with(bed, &workloads);
    let labels = json!({ "metadata": { "labels": { "release": "2" } } });
    let redeployed = json!({ "spec": { "template": labels } });
    let deployment = "/apis/apps/v1/namespaces/shop/deployments/a";
    scene.bed.merge(deployment, &redeployed).unwrap();
    let is_there = |events: &[Value]| {
        let mut pods = events.iter().map(|event| &event["object"]);
        pods.any(|pod| proxy(pod) == Some(NEW))
    };
    let pods = "/api/v1/namespaces/shop/pods?watch=1&labelSelector=app%3Da";
    scene.bed.events(pods, is_there).unwrap();
    let verdict = scene.verdict();

    // Its own time is over, and the run goes on.
    let args = ["--yes", "--timeout", "10s", "--exclude", "shop/c"];
    let run = scene.roll(&verdict, &args);
    assert_eq!(run.code, Some(1), "{}", run.said());
    let ended = |run: &Run| -> Vec<String> {
        let rolled = run.of("rolled").into_iter();
        rolled
            .map(|it| format!("{} {}", it["name"], it["outcome"]))
            .collect()
    };
    let (a, b) = (r#""a" "failed""#, r#""b" "proven""#);
    assert_eq!(ended(&run), [a, b], "{}", run.said());

    // The next run does not begin with the same wait.
    let run = scene.roll(&verdict, &["--yes", "--timeout", "10s"]);
    assert_eq!(run.code, Some(1), "{}", run.said());
    assert_eq!(ended(&run).last().unwrap(), a, "{}", run.said());
    assert!(
        ended(&run).contains(&r#""c" "proven""#.to_owned()),
        "{}",
        run.said()
    );
}

fn a_quota_that_is_full_is_named_and_waited_for(bed: Bed) {
    let workloads = ["a", "b"].map(|name| {
        workload("Deployment", name, |spec| {
            spec["strategy"] = json!({ "rollingUpdate": { "maxSurge": 0, "maxUnavailable": 1 } });
            let annotations = &mut spec["template"]["metadata"]["annotations"];
            annotations[mesh_testbed::STOP_DELAY] = "2s".into();
        })
    });
    let scene = Scene::with(bed, &workloads);
    let quota = json!({ "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": { "name": "full", "namespace": "shop" }, "spec": { "hard": { "pods": "5" } } });
    scene.bed.apply(&quota.to_string()).unwrap();
    let quota = "/api/v1/namespaces/shop/resourcequotas/full";
    let used = Value::from("4");
    scene
        .bed
        .await_field(quota, "/status/used/pods", &used)
        .unwrap();
    let mut run = scene.start(&scene.verdict(), &["--yes", "--timeout", "2m"]);
    until_held_up(&mut run, "exceeded quota: full");
    assert_all_proven(&run.finish(), 2);
}

fn a_webhook_that_is_away_is_named_and_waited_for(bed: Bed) {
    let workloads = ["a", "b"].map(|name| {
        workload("Deployment", name, |spec| {
            let annotations = &mut spec["template"]["metadata"]["annotations"];
            annotations[mesh_testbed::READY_DELAY] = "2s".into();
        })
    });
    let scene = Scene::with(bed, &workloads);
    let mut run = scene.start(&scene.verdict(), &["--yes", "--timeout", "2m"]);
    run.until(|record| record["name"] == "a" && record["pods"]["updated"] == 1);
    scene.bed.apply(&away().to_string()).unwrap();
    until_held_up(&mut run, "failed calling webhook");
    let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/away";
    scene.bed.delete(path).unwrap();
    assert_all_proven(&run.finish(), 2);
}

// A webhook for new pods of the shop, of a Service that does not exist.
fn away() -> Value {
    let rule = json!({ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"] });
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": "away" },
        "webhooks": [{
            "name": "away.shop.test",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "timeoutSeconds": 1,
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "shop" } },
            "rules": [rule],
            "clientConfig": { "service": { "namespace": "shop", "name": "away", "path": "/" } },
        }],
    })
}

fn a_pod_that_no_node_takes_is_waited_for_and_blocked_at_the_timeout(bed: Bed) {
    let scene = Scene::with(bed, &[behaves("a", "ok"), behaves("b", "ok")]);
    cordon(&scene.bed, true);
    let run = scene.roll(&scene.verdict(), &["--yes", "--timeout", "2s"]);
    assert_eq!(run.code, Some(3), "{}", run.said());
    let rolled = run.of("rolled");
    let (outcome, reason) = (&rolled[0]["outcome"], &rolled[0]["reason"]);
    assert_eq!(
        (outcome, reason),
        (&"blocked".into(), &"unschedulable".into())
    );
    assert_eq!(rolled.len(), 1, "its slot is kept: {}", run.said());

    let mut run = scene.start(&scene.verdict(), &["--yes", "--timeout", "2m"]);
    until_held_up(&mut run, "Unschedulable");
    cordon(&scene.bed, false);
    assert_all_proven(&run.finish(), 2);
    let restarted = [
        "patch deployments shop/a 200",
        "patch deployments shop/b 200",
    ];
    assert_eq!(scene.writes(), restarted, "nothing is restarted twice");
}

fn a_pod_that_does_not_go_away_is_named_with_its_finalizers(bed: Bed) {
    let scene = Scene::with(bed, &[workload("StatefulSet", "a", |_| {})]);
    let pod = "/api/v1/namespaces/shop/pods/a-1";
    let finalizers = |all: Value| json!({ "metadata": { "finalizers": all } });
    let kept = finalizers(json!(["shop.test/kept"]));
    scene.bed.merge(pod, &kept).unwrap();
    let run = scene.roll(&scene.verdict(), &["--yes", "--timeout", "6s"]);
    scene.bed.merge(pod, &finalizers(Value::Null)).unwrap();
    assert_eq!(run.code, Some(1), "{}", run.said());
    let rolled = run.of("rolled")[0];
    assert_eq!(rolled["reason"], "timed-out", "{rolled}");
    assert_eq!(rolled["pod"], "a-1", "{rolled}");
    let message = rolled["message"].as_str().unwrap();
    assert!(message.contains("shop.test/kept"), "{message}");
}

fn a_pod_on_a_node_that_is_not_ready_blocks_with_the_names_of_both(bed: Bed) {
    let scene = Scene::with(bed, &[behaves("a", "never-ready")]);
    let mut run = scene.start(&scene.verdict(), &["--yes", "--timeout", "8s"]);
    run.until(|record| record["pods"]["updated"] == 1);
    let placed = |events: &[Value]| {
        let mut pods = events.iter().map(|event| &event["object"]);
        pods.any(|pod| proxy(pod) == Some(NEW) && pod["spec"]["nodeName"].is_string())
    };
    let pods = "/api/v1/namespaces/shop/pods";
    scene
        .bed
        .events(&format!("{pods}?watch=1"), placed)
        .unwrap();
    let pod = new_pod(&scene, "a");
    let path = format!("{pods}/{pod}");
    let found = scene.bed.get(&path).unwrap();
    let node = found["spec"]["nodeName"].as_str().unwrap().to_owned();
    let down = json!({ "status": { "conditions": [{ "type": "Ready", "status": "False" }] } });
    let path = format!("/api/v1/nodes/{node}/status");
    scene.bed.merge(&path, &down).unwrap();
    let run = run.finish();
    assert_eq!(run.code, Some(3), "{}", run.said());
    let rolled = run.of("rolled")[0];
    assert_eq!(
        (&rolled["outcome"], &rolled["reason"], &rolled["pod"]),
        (&"blocked".into(), &"node-not-ready".into(), &pod.into())
    );
    let message = rolled["message"].as_str().unwrap();
    let command = format!("kubectl --context testbed describe node {node}");
    assert!(message.contains(&command), "{message}");
}

fn cordon(bed: &Bed, cordoned: bool) {
    let nodes = bed.get("/api/v1/nodes").unwrap();
    for node in nodes["items"].as_array().unwrap() {
        let path = format!(
            "/api/v1/nodes/{}",
            node["metadata"]["name"].as_str().unwrap()
        );
        let spec = json!({ "spec": { "unschedulable": cordoned } });
        bed.merge(&path, &spec).unwrap();
    }
}
