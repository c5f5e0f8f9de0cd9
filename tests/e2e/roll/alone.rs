//! One trouble is one workload's trouble: it ends no run, and holds up no other workload.

use http::{Method, StatusCode};
use mesh_testbed::{Bed, FaultProxy, Match};
use mesh_tests::{Run, make_ready, make_wait, on_both_beds, run};
use serde_json::{Value, json};

use crate::scene::{NEW, Scene, behaves, slow, workload};

on_both_beds! {
    scaled_to_zero_in_mid_roll_is_done_and_the_others_are_rolled
    unhealthy_for_a_moment_is_looked_at_again_and_rolled
    unhealthy_before_the_run_is_planned_and_rolled_once_it_is_healthy
    unhealthy_for_good_is_skipped_with_attention_after_the_time_of_one_workload
    a_stateful_set_that_is_stuck_behind_its_own_pod_is_not_waited_for_and_the_pod_is_named
    a_restart_that_admission_takes_out_is_said_and_the_others_are_rolled
    what_an_earlier_run_left_in_a_crash_loop_is_not_up_to_date
    dry_runs_without_an_answer_in_one_namespace_do_not_stop_the_others
    lists_without_an_answer_in_one_namespace_do_not_stop_the_others
    [Admission]
    a_webhook_that_cannot_be_called_for_the_restart_is_named_and_the_others_are_rolled
    a_namespace_that_terminates_does_not_stop_the_others
}

pub(crate) fn outcomes(run: &Run) -> Vec<(String, String)> {
    let rolled = run.of("rolled").into_iter();
    let mut found: Vec<(String, String)> = rolled
        .map(|record| {
            let text = |field: &str| record[field].as_str().unwrap().to_owned();
            (text("name"), text("outcome"))
        })
        .collect();
    found.sort();
    found
}

pub(crate) fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let expected = expected.iter();
    expected
        .map(|(name, outcome)| ((*name).to_owned(), (*outcome).to_owned()))
        .collect()
}

pub(crate) fn deployments(names: &[&str], change: fn(&mut Value)) -> Vec<Value> {
    let names = names.iter();
    names
        .map(|name| workload("Deployment", name, change))
        .collect()
}

fn scaled_to_zero_in_mid_roll_is_done_and_the_others_are_rolled(bed: Bed) {
    let scene = Scene::with(bed, &deployments(&["a", "b"], slow));
    let mut run = scene.start(&scene.verdict(), &["--yes", "--timeout", "1m"]);
    run.until(|record| record["name"] == "a" && record["pods"]["updated"] == 1);
    let path = "/apis/apps/v1/namespaces/shop/deployments/a";
    let none = json!({ "spec": { "replicas": 0 } });
    scene.bed.merge(path, &none).unwrap();
    let run = run.finish();
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert_eq!(
        outcomes(&run),
        pairs(&[("a", "superseded"), ("b", "proven")])
    );
    let rolled = run.of("rolled")[0];
    assert_eq!(rolled["reason"], "no-pods");
    let message = rolled["message"].as_str().unwrap();
    assert!(message.contains("scaled to zero"), "{message}");
}

// Makes a pod of `b` not ready while `a` rolls, before it is the turn of `b`.
fn while_b_is_unhealthy(scene: &Scene, timeout: &str) -> (mesh_tests::Running, String) {
    let args = ["--yes", "--timeout", timeout];
    let mut run = scene.start(&scene.verdict(), &args);
    run.until(|record| record["message"] == "restarting shop/Deployment/a");
    let pods = "/api/v1/namespaces/shop/pods?labelSelector=app%3Db";
    let pods = scene.bed.get(pods).unwrap();
    let pod = pods["items"][0]["metadata"]["name"].as_str().unwrap();
    make_wait(&scene.bed, "shop", pod, "CrashLoopBackOff", 1);
    (run, pod.to_owned())
}

fn unhealthy_for_a_moment_is_looked_at_again_and_rolled(bed: Bed) {
    let scene = Scene::with(bed, &deployments(&["a", "b", "c"], slow));
    let (mut run, pod) = while_b_is_unhealthy(&scene, "2m");
    run.until(|record| record["name"] == "c" && record["outcome"] == "proven");
    make_ready(&scene.bed, "shop", &pod);
    let run = run.finish();
    assert_eq!(run.code, Some(0), "{}", run.said());
    let all = [("a", "proven"), ("b", "proven"), ("c", "proven")];
    assert_eq!(outcomes(&run), pairs(&all), "{}", run.said());
}

fn unhealthy_before_the_run_is_planned_and_rolled_once_it_is_healthy(bed: Bed) {
    let scene = Scene::with(bed, &deployments(&["a", "b", "c"], slow));
    let pods = "/api/v1/namespaces/shop/pods?labelSelector=app%3Db";
    let pods = scene.bed.get(pods).unwrap();
    let pod = pods["items"][0]["metadata"]["name"].as_str().unwrap();
    make_wait(&scene.bed, "shop", pod, "CrashLoopBackOff", 1);
    let path = "/apis/apps/v1/namespaces/shop/deployments/b";
    let ready = "/status/readyReplicas";
    scene.bed.await_field(path, ready, &1.into()).unwrap();
    let verdict = scene.verdict();

    let plan = scene.roll(&verdict, &["--plan-only"]);
    assert_eq!(plan.code, Some(1), "it needs attention: {}", plan.said());
    let mut run = scene.start(&verdict, &["--yes", "--timeout", "2m"]);
    let held = run.until(|record| record["type"] == "progress" && record["name"] == "b");
    let message = held["message"].as_str().unwrap();
    assert!(
        message.contains("waits to be restarted") && message.contains(pod),
        "{message}"
    );
    run.until(|record| record["name"] == "c" && record["outcome"] == "proven");
    make_ready(&scene.bed, "shop", pod);
    let run = run.finish();
    assert_eq!(run.code, Some(0), "{}", run.said());
    let all = [("a", "proven"), ("b", "proven"), ("c", "proven")];
    assert_eq!(outcomes(&run), pairs(&all), "{}", run.said());
    let digest = |run: &Run| run.of("intent")[0]["digest"].clone();
    assert_eq!(digest(&run), digest(&plan));
}

fn unhealthy_for_good_is_skipped_with_attention_after_the_time_of_one_workload(bed: Bed) {
    let scene = Scene::with(bed, &deployments(&["a", "b", "c"], slow));
    let (run, pod) = while_b_is_unhealthy(&scene, "6s");
    let run = run.finish();
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert_eq!(outcomes(&run), pairs(&[("a", "proven"), ("c", "proven")]));
    let skipped = run.of("skipped")[0];
    let found = (&skipped["name"], &skipped["reason"]);
    assert_eq!(found, (&json!("b"), &json!("workload-unhealthy")));
    let message = skipped["message"].as_str().unwrap();
    assert!(message.contains(&pod), "{message}");
}

fn a_stateful_set_that_is_stuck_behind_its_own_pod_is_not_waited_for_and_the_pod_is_named(
    bed: Bed,
) {
    let set = workload("StatefulSet", "a", |spec| {
        let annotations = &mut spec["template"]["metadata"]["annotations"];
        annotations[mesh_testbed::WITH_PROXY] = format!("{NEW}=crash-loop").into();
    });
    let scene = Scene::with(bed, &[set]);
    let run = scene.roll(&scene.verdict(), &["--yes", "--timeout", "40s"]);
    assert_eq!(run.code, Some(1), "{}", run.said());
    let failed = run.of("rolled")[0];
    assert_eq!(failed["pod"], "a-1", "{failed}");
    let delete = "kubectl --context testbed -n shop delete pod a-1";
    let message = failed["message"].as_str().unwrap();
    assert!(message.contains(delete), "{message}");

    let path = "/apis/apps/v1/namespaces/shop/statefulsets/a";
    let annotations = json!({ mesh_testbed::WITH_PROXY: null });
    let mended = json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } });
    scene.bed.merge(path, &mended).unwrap();
    let generation = scene.bed.get(path).unwrap()["metadata"]["generation"].clone();
    scene
        .bed
        .await_field(path, "/status/observedGeneration", &generation)
        .unwrap();
    let run = scene.roll(&scene.verdict(), &["--yes", "--timeout", "1h"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    let skipped = run.of("skipped")[0];
    assert_eq!(skipped["reason"], "workload-unhealthy");
    let message = skipped["message"].as_str().unwrap();
    assert!(message.contains(delete), "{message}");

    scene
        .bed
        .delete("/api/v1/namespaces/shop/pods/a-1")
        .unwrap();
    let run = scene.roll(&scene.verdict(), &["--yes", "--timeout", "1m"]);
    // On a slow machine the controller is through before the survey.
    let skipped = run.of("skipped");
    let is_through = skipped.iter().any(|it| it["reason"] == "current");
    let is_proven = outcomes(&run) == pairs(&[("a", "proven")]);
    assert!(is_through || is_proven, "{}", run.said());
    scene
        .bed
        .await_field(path, "/status/updatedReplicas", &2.into())
        .unwrap();
}

const HOOKS: &str = "/apis/admissionregistration.k8s.io/v1";

fn a_webhook_that_cannot_be_called_for_the_restart_is_named_and_the_others_are_rolled(bed: Bed) {
    let mut other = workload("Deployment", "b", |_| {});
    other["metadata"]["namespace"] = "bank".into();
    let scene = Scene::with(bed, &[workload("Deployment", "a", |_| {}), other]);
    let verdict = scene.verdict();
    let rule = json!({ "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments"] });
    let hook = json!({ "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration", "metadata": { "name": "away" },
        "webhooks": [{ "name": "away.shop.test", "admissionReviewVersions": ["v1"],
            "sideEffects": "None", "failurePolicy": "Fail", "timeoutSeconds": 1,
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "shop" } },
            "rules": [rule],
            "clientConfig": { "service": { "namespace": "shop", "name": "away", "path": "/" } } }] });
    scene.bed.apply(&hook.to_string()).unwrap();
    let run = scene.roll(&verdict, &["--yes", "--timeout", "1m"]);
    assert_eq!(run.code, Some(1), "{}", run.said());
    let expected = [("a", "failed"), ("b", "proven")];
    assert_eq!(outcomes(&run), pairs(&expected), "{}", run.said());
    let mut rolled = run.of("rolled").into_iter();
    let failed = rolled.rfind(|it| it["name"] == "a").unwrap();
    assert_eq!(failed["reason"], "refused");
    let message = failed["message"].as_str().unwrap();
    assert!(message.contains("away.shop.test"), "{message}");
    let tries = scene.writes().into_iter();
    let tries = tries.filter(|write| write.contains("shop/a")).count();
    assert_eq!(tries, 1, "it is not tried again");
    let path = format!("{HOOKS}/validatingwebhookconfigurations/away");
    scene.bed.delete(&path).unwrap();
}

// Answers the restart of `a` like an API server whose admission takes the annotation out.
pub(crate) fn stripping(scene: &Scene) -> FaultProxy {
    let path = "/apis/apps/v1/namespaces/shop/deployments/a";
    let unchanged = scene.bed.get(path).unwrap().to_string();
    let proxy = scene.bed.proxy().unwrap();
    let patch = Match::method(Method::PATCH).path("/deployments/a");
    proxy.on(patch).answer_with(StatusCode::OK, &unchanged);
    proxy
}

fn a_restart_that_admission_takes_out_is_said_and_the_others_are_rolled(bed: Bed) {
    let scene = Scene::with(bed, &deployments(&["a", "b"], |_| {}));
    let proxy = stripping(&scene);
    let mut command = scene.tools.run("mesh-roll");
    command.env("KUBECONFIG", proxy.kubeconfig());
    command.args(["--yes", "--settle", "0s"]);
    let run = run(command, &scene.verdict());
    assert_eq!(run.code, Some(1), "{}", run.said());
    let expected = [("a", "failed"), ("b", "proven")];
    assert_eq!(outcomes(&run), pairs(&expected), "{}", run.said());
    let message = run.of("rolled")[0]["message"].as_str().unwrap();
    assert!(message.contains("takes the restart out"), "{message}");
}

fn what_an_earlier_run_left_in_a_crash_loop_is_not_up_to_date(bed: Bed) {
    let mut scene = behaves("a", "crash-loop");
    scene["spec"]["strategy"] = json!({ "type": "Recreate" });
    let scene = Scene::with(bed, &[scene]);
    let args = ["--yes", "--allow-outage", "*", "--timeout", "1m"];
    let run = scene.roll(&scene.verdict(), &args);
    assert_eq!(run.code, Some(1), "{}", run.said());
    assert_eq!(
        run.of("rolled")[0]["reason"],
        "crash-loop",
        "{}",
        run.said()
    );

    let strict = [&args[..], &["--fail-on", "attention"]].concat();
    let run = scene.roll(&scene.verdict(), &strict);
    let skipped = run.of("skipped")[0];
    let found = [&skipped["reason"], &skipped["class"]];
    assert_eq!(found, ["workload-unhealthy", "attention"], "{skipped}");
    let message = skipped["message"].as_str().unwrap();
    assert!(message.contains("CrashLoopBackOff"), "{message}");
    assert_eq!(run.code, Some(1), "{}", run.said());
}

fn dry_runs_without_an_answer_in_one_namespace_do_not_stop_the_others(bed: Bed) {
    let pods = Match::method(Method::POST).path("/namespaces/bank/pods");
    let message = without_an_answer(bed, pods);
    assert!(message.contains("dry-run pod in bank"), "{message}");
}

fn lists_without_an_answer_in_one_namespace_do_not_stop_the_others(bed: Bed) {
    let pods = Match::method(Method::GET).path("/namespaces/bank/pods");
    let message = without_an_answer(bed, pods);
    assert!(message.contains("cannot list the pods"), "{message}");
}

// Answers the requests that match with "too many requests"; returns what is said of the workload.
fn without_an_answer(bed: Bed, requests: Match) -> String {
    let mut first = workload("Deployment", "a", |_| {});
    first["metadata"]["namespace"] = "bank".into();
    let scene = Scene::with(bed, &[first, workload("Deployment", "b", |_| {})]);
    let verdict = scene.verdict();
    let busy = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 429,
        "reason": "TooManyRequests", "message": "too many requests, please try again later" });
    let proxy = scene.bed.proxy().unwrap();
    let (status, busy) = (StatusCode::TOO_MANY_REQUESTS, busy.to_string());
    proxy.on(requests).answer_with(status, &busy);
    let mut command = scene.tools.run("mesh-roll");
    command.env("KUBECONFIG", proxy.kubeconfig());
    command.args(["--yes", "--settle", "0s", "--timeout", "20s"]);
    let run = run(command, &verdict);
    assert_eq!(run.code, Some(3), "{}", run.said());
    let expected = [("a", "blocked"), ("b", "proven")];
    assert_eq!(outcomes(&run), pairs(&expected), "{}", run.said());
    let mut rolled = run.of("rolled").into_iter();
    let blocked = rolled.find(|it| it["name"] == "a").unwrap();
    assert_eq!(blocked["reason"], "timed-out", "{blocked}");
    let message = blocked["message"].as_str().unwrap();
    assert!(message.contains("too many requests"), "{message}");
    message.to_owned()
}

fn a_namespace_that_terminates_does_not_stop_the_others(bed: Bed) {
    let homes = ["one", "three", "two"].map(|home| {
        let mut it = workload("Deployment", "a", slow);
        it["metadata"]["namespace"] = home.into();
        it["metadata"]["finalizers"] = json!(["shop.test/slow"]);
        it
    });
    let scene = Scene::with(bed, &homes);
    let mut run = scene.start(&scene.verdict(), &["--yes", "--timeout", "1m"]);
    run.until(|record| record["message"] == "restarting one/Deployment/a");
    scene.bed.delete("/api/v1/namespaces/three").unwrap();
    let run = run.finish();
    for home in ["one", "two", "three"] {
        let path = format!("/apis/apps/v1/namespaces/{home}/deployments/a");
        let free = json!({ "metadata": { "finalizers": null } });
        scene.bed.merge(&path, &free).unwrap();
    }
    assert_eq!(run.code, Some(0), "{}", run.said());
    let rolled = run.of("rolled").into_iter();
    let proven = rolled.filter(|record| record["outcome"] == "proven");
    let mut proven: Vec<&str> = proven.map(|it| it["namespace"].as_str().unwrap()).collect();
    proven.sort_unstable();
    assert_eq!(proven, ["one", "two"], "{}", run.said());
}
