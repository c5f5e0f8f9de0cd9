//! Argo Rollouts are restarted by their own controller (`spec.restartAt`). A stand-in plays its part:
//! the test evicts the pods that are older than the restart, as the controller does, and then writes
//! the time to the status.

use jiff::{SignedDuration, Timestamp};
use mesh_testbed::{Ask, Bed};
use mesh_tests::{Run, on_both_beds, records, run};
use serde_json::{Value, json};

use crate::scene::{NEW, Scene};

on_both_beds! {
    [Kinds]
    a_rollout_is_restarted_by_its_controller_and_proven_until_all_is_done
    the_template_of_a_rollout_may_be_in_a_deployment
    a_restart_that_is_planned_for_later_is_left_in_place
    without_its_controller_a_rollout_times_out_and_the_next_run_waits_for_the_same_restart
    a_restart_that_is_planned_over_the_own_one_is_waited_for_by_nobody
    a_rollout_whose_template_somebody_changes_in_the_middle_is_superseded
    a_budget_counts_for_a_rollout_as_for_evictions_and_nothing_overrides_it
    a_rollout_that_is_scaled_to_zero_before_its_turn_is_skipped
}

const DEFINITION: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: rollouts.argoproj.io}
spec:
  group: argoproj.io
  names: {kind: Rollout, plural: rollouts}
  scope: Namespaced
  versions: [{name: v1alpha1, served: true, storage: true, subresources: {status: {}}, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
"#;
const ROLLOUT: &str = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/canary";
const SET: &str = "/apis/apps/v1/namespaces/shop/replicasets/canary-5d8f";
const PODS: &str = "/api/v1/namespaces/shop/pods";
const HASH: &str = "rollouts-pod-template-hash";

fn template() -> Value {
    let container = json!({ "name": "canary", "image": "registry.test/canary:1.0.0" });
    json!({ "metadata": { "labels": { "app": "canary" } }, "spec": { "containers": [container] } })
}

/// Makes a Rollout of two pods with this spec, as its controller would have.
fn scene(bed: Bed, spec: &Value) -> Scene {
    let fill = |bed: &Bed| {
        bed.namespace("shop", &[("linkerd.io/inject", "enabled")])
            .unwrap();
        bed.apply(DEFINITION).unwrap();
        let definition =
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/rollouts.argoproj.io";
        let established = "/status/conditions/1/status";
        bed.await_field(definition, established, &"True".into())
            .unwrap();
        let rollout = json!({ "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
            "metadata": { "name": "canary", "namespace": "shop" }, "spec": spec });
        bed.apply(&rollout.to_string()).unwrap();
        let uid = bed.get(ROLLOUT).unwrap()["metadata"]["uid"].clone();
        let owner = json!({ "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "canary",
            "uid": uid, "controller": true });
        let mut template = template();
        template["metadata"]["labels"][HASH] = "5d8f".into();
        let set = json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": { "name": "canary-5d8f", "namespace": "shop", "ownerReferences": [owner] },
            "spec": { "replicas": 2, "selector": { "matchLabels": { HASH: "5d8f" } }, "template": template } });
        bed.apply(&set.to_string()).unwrap();
        bed.await_field(SET, "/status/readyReplicas", &2.into())
            .unwrap();
        write_status(bed, None);
    };
    Scene::of(bed, fill).0
}

fn write_status(bed: &Bed, restarted_at: Option<&Value>) {
    let generation = &bed.get(ROLLOUT).unwrap()["metadata"]["generation"];
    let mut status = json!({ "observedGeneration": generation.to_string(), "phase": "Healthy",
        "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2 });
    if let Some(time) = restarted_at {
        status["restartedAt"] = time.clone();
    }
    let path = format!("{ROLLOUT}/status");
    bed.merge(&path, &json!({ "status": status })).unwrap();
}

/// Does once what Argo's controller does after `spec.restartAt` was written.
fn play_the_controller(bed: &Bed) {
    let is_asked = |events: &[Value]| {
        let mut objects = events.iter().map(|event| &event["object"]);
        objects.any(|object| object["spec"]["restartAt"].is_string())
    };
    let watch = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts?watch=1";
    bed.events(watch, is_asked).unwrap();
    let asked = bed.get(ROLLOUT).unwrap()["spec"]["restartAt"].clone();
    let pods = bed.get(PODS).unwrap();
    for pod in pods["items"].as_array().unwrap() {
        evict(bed, pod["metadata"]["name"].as_str().unwrap());
        bed.await_field(SET, "/status/readyReplicas", &1.into())
            .unwrap();
        bed.await_field(SET, "/status/readyReplicas", &2.into())
            .unwrap();
    }
    write_status(bed, Some(&asked));
}

fn evict(bed: &Bed, pod: &str) {
    let eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": { "name": pod, "namespace": "shop" } });
    let path = format!("{PODS}/{pod}/eviction");
    let ask = Ask {
        method: "POST",
        path: &path,
        form: "application/json",
        body: &eviction,
    };
    let (code, answer) = bed.ask(ask).unwrap();
    assert_eq!(code, 201, "{answer}");
}

fn is_proven(scene: &Scene) -> Run {
    let mut run = scene.start(&scene.verdict(), &["--yes"]);
    run.until(|record| record["message"] == "restarting shop/Rollout/canary");
    play_the_controller(&scene.bed);
    let run = run.finish();
    assert_proven(&run);
    run
}

fn assert_proven(run: &Run) {
    assert_eq!(run.code, Some(0), "{}", run.said());
    let rolled = run.of("rolled")[0];
    assert_eq!(rolled["outcome"], "proven", "{rolled}");
    assert_eq!(rolled["strategy"], "restart-at");
    assert_eq!(
        rolled["pods"],
        json!({ "wanted": 2, "new": 2, "proven": 2 })
    );
}

/// The spec of a Rollout of two pods.
fn spec() -> Value {
    json!({ "replicas": 2, "selector": { "matchLabels": { "app": "canary" } },
        "template": template(), "strategy": { "canary": {} } })
}

/// Plans a restart for the day after the survey, like somebody else, and returns its time.
fn plan_a_restart(scene: &Scene, verdict: &str) -> Value {
    let mut surveyed = records(verdict).into_iter();
    let surveyed = surveyed.find_map(|it| it["surveyed"].as_str()?.parse::<Timestamp>().ok());
    let later = surveyed
        .unwrap()
        .checked_add(SignedDuration::from_hours(24));
    let later = Value::from(later.unwrap().strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let plan = json!({ "spec": { "restartAt": later } });
    scene.bed.merge(ROLLOUT, &plan).unwrap();
    later
}

fn a_rollout_is_restarted_by_its_controller_and_proven_until_all_is_done(bed: Bed) {
    let scene = scene(bed, &spec());
    is_proven(&scene);
    assert_eq!(scene.writes(), ["patch rollouts shop/canary 200"]);
    let mut command = scene.tool("mesh-skewcheck");
    command.args(["--ask", "done", "--to", NEW]);
    let done = run(command, &scene.survey(&[]));
    assert_eq!(done.code, Some(0), "{}", done.said());
}

fn the_template_of_a_rollout_may_be_in_a_deployment(bed: Bed) {
    let reference = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "canary" });
    let spec = json!({ "replicas": 2, "selector": { "matchLabels": { "app": "canary" } },
        "workloadRef": reference, "strategy": { "canary": {} } });
    let scene = scene(bed, &spec);
    let deployment = json!({ "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "canary", "namespace": "shop" },
        "spec": { "replicas": 0, "selector": { "matchLabels": { "app": "canary" } }, "template": template() } });
    scene.bed.apply(&deployment.to_string()).unwrap();
    is_proven(&scene);
}

fn a_restart_that_is_planned_for_later_is_left_in_place(bed: Bed) {
    let scene = scene(bed, &spec());
    let verdict = scene.verdict();
    let planned = plan_a_restart(&scene, &verdict);
    write_status(&scene.bed, None);
    let run = scene.roll(&verdict, &["--yes"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    let skipped = run.of("skipped")[0];
    let found = (&skipped["reason"], &skipped["class"]);
    let expected = (&json!("restart-planned"), &json!("attention"));
    assert_eq!(found, expected, "{skipped}");
    let message = skipped["message"].as_str().unwrap();
    assert!(message.contains(planned.as_str().unwrap()), "{message}");
    assert_eq!(scene.writes(), [""; 0]);

    // Evictions do not touch what somebody planned.
    let run = scene.roll(&verdict, &["--yes", "--strategy", "evict"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert_eq!(run.of("rolled")[0]["outcome"], "proven", "{}", run.said());
    let kept = &scene.bed.get(ROLLOUT).unwrap()["spec"]["restartAt"];
    assert_eq!(*kept, planned);
}

fn without_its_controller_a_rollout_times_out_and_the_next_run_waits_for_the_same_restart(
    bed: Bed,
) {
    let scene = scene(bed, &spec());
    let verdict = scene.verdict();
    for outcome in ["its own restart", "that of the run before"] {
        let run = scene.roll(&verdict, &["--yes", "--timeout", "3s"]);
        assert_eq!(run.code, Some(1), "{outcome}: {}", run.said());
        let rolled = run.of("rolled")[0];
        assert_eq!(rolled["reason"], "timed-out", "{rolled}");
        let message = rolled["message"].as_str().unwrap();
        assert!(message.contains("no controller acts on it"), "{message}");
        // Its controller has seen the restart and does nothing more.
        write_status(&scene.bed, None);
    }
    let mut run = scene.start(&verdict, &["--yes"]);
    run.until(|record| {
        record["message"]
            .as_str()
            .is_some_and(|it| it.contains("already in progress"))
    });
    play_the_controller(&scene.bed);
    let run = run.finish();
    assert_eq!(run.of("rolled")[0]["outcome"], "proven", "{}", run.said());
    assert_eq!(scene.writes(), ["patch rollouts shop/canary 200"]);
}

fn a_restart_that_is_planned_over_the_own_one_is_waited_for_by_nobody(bed: Bed) {
    let scene = scene(bed, &spec());
    let verdict = scene.verdict();
    let mut run = scene.start(&verdict, &["--yes"]);
    run.until(|record| record["name"] == "canary" && record["reason"].is_string());
    plan_a_restart(&scene, &verdict);
    write_status(&scene.bed, None);
    let run = run.finish();
    assert_eq!(run.code, Some(3), "{}", run.said());
    let rolled = run.of("rolled")[0];
    assert_eq!(rolled["outcome"], "superseded", "{rolled}");
    let message = rolled["message"].as_str().unwrap();
    assert!(message.contains("its restart was taken back"), "{message}");
    assert!(message.contains("run the pipeline again"), "{message}");
}

// A changed template makes its controller forget the restart; it writes the time all the same.
fn a_rollout_whose_template_somebody_changes_in_the_middle_is_superseded(bed: Bed) {
    let scene = scene(bed, &spec());
    let mut run = scene.start(&scene.verdict(), &["--yes", "--timeout", "1m"]);
    run.until(|record| record["name"] == "canary" && record["reason"].is_string());
    let asked = scene.bed.get(ROLLOUT).unwrap()["spec"]["restartAt"].clone();
    let annotations = json!({ "config.linkerd.io/proxy-log-level": "debug" });
    let changed = json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } });
    scene.bed.merge(ROLLOUT, &changed).unwrap();
    write_status(&scene.bed, Some(&asked));
    let run = run.finish();
    assert_eq!(run.code, Some(3), "{}", run.said());
    let rolled = run.of("rolled")[0];
    assert_eq!(rolled["outcome"], "superseded", "{rolled}");
}

fn a_budget_counts_for_a_rollout_as_for_evictions_and_nothing_overrides_it(bed: Bed) {
    let scene = scene(bed, &spec());
    let budget = json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": { "name": "tight", "namespace": "shop" },
        "spec": { "maxUnavailable": 0, "selector": { "matchLabels": { "app": "canary" } } } });
    scene.bed.apply(&budget.to_string()).unwrap();
    let run = scene.roll(&scene.verdict(), &["--yes", "--allow-budget", "*"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    let skipped = run.of("skipped")[0];
    let found = [&skipped["reason"], &skipped["class"]];
    assert_eq!(found, ["budget", "attention"], "{skipped}");
    let message = skipped["message"].as_str().unwrap();
    assert!(message.contains("PodDisruptionBudget tight"), "{message}");
    assert!(!message.contains("--allow-budget"), "{message}");
    assert_eq!(scene.writes(), [""; 0]);
}

fn a_rollout_that_is_scaled_to_zero_before_its_turn_is_skipped(bed: Bed) {
    let scene = scene(bed, &spec());
    let verdict = scene.verdict();
    let none = json!({ "spec": { "replicas": 0 } });
    scene.bed.merge(ROLLOUT, &none).unwrap();
    let run = scene.roll(&verdict, &["--yes"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    let skipped = run.of("skipped")[0];
    assert_eq!(skipped["reason"], "scaled-to-zero", "{skipped}");
    assert_eq!(scene.writes(), [""; 0]);
}
