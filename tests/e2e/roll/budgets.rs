//! PodDisruptionBudgets bind restarts too, and whatever rolls out or is not whole keeps its budgets
//! and its slot.

use mesh_testbed::Bed;
use mesh_tests::{Run, make_ready, make_wait, on_both_beds};
use serde_json::{Value, json};

use crate::scene::{Scene, slow, workload};

on_both_beds! {
    a_budget_that_a_sick_neighbour_uses_up_is_waited_for_and_then_blocks_by_its_name
    a_budget_that_can_never_allow_a_disruption_is_a_skip_unless_it_is_overridden
    two_workloads_that_share_a_budget_by_a_label_of_admission_are_never_short_at_once
    a_rollout_that_somebody_else_began_keeps_its_slot
    a_rollout_that_somebody_else_began_keeps_its_budget
}

fn budget(selector: &Value, bound: &Value) -> String {
    let mut budget = json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": { "name": "x", "namespace": "shop" },
        "spec": { "selector": { "matchLabels": selector } } });
    for (field, value) in bound.as_object().unwrap() {
        budget["spec"][field] = value.clone();
    }
    budget.to_string()
}

fn await_allowed(bed: &Bed, number: u32) {
    let path = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets/x";
    let number = number.into();
    bed.await_field(path, "/status/disruptionsAllowed", &number)
        .unwrap();
}

fn db(name: &str) -> Value {
    workload("StatefulSet", name, |spec| {
        slow(spec);
        spec["template"]["metadata"]["labels"]["db"] = "x".into();
    })
}

fn names(run: &Run, outcome: &str) -> Vec<String> {
    let rolled = run.of("rolled").into_iter();
    let rolled = rolled.filter(|record| record["outcome"] == outcome);
    rolled
        .map(|record| record["name"].as_str().unwrap().to_owned())
        .collect()
}

fn a_budget_that_a_sick_neighbour_uses_up_is_waited_for_and_then_blocks_by_its_name(bed: Bed) {
    let scene = Scene::with(bed, &[db("a"), db("b")]);
    let x = budget(&json!({ "db": "x" }), &json!({ "minAvailable": 3 }));
    scene.bed.apply(&x).unwrap();
    make_wait(&scene.bed, "shop", "a-0", "CrashLoopBackOff", 1);
    await_allowed(&scene.bed, 0);

    let run = scene.roll(&scene.verdict(), &["--yes", "--timeout", "3s"]);
    assert_eq!(run.code, Some(3), "{}", run.said());
    assert_eq!(names(&run, "blocked"), ["b"], "{}", run.said());
    let blocked = run.of("rolled")[0];
    assert_eq!(blocked["reason"], "budget");
    let message = blocked["message"].as_str().unwrap();
    let expected = "PodDisruptionBudget x allows no disruption";
    assert!(message.contains(expected), "{message}");
    assert_eq!(scene.writes(), [""; 0], "nothing is restarted");

    let mut run = scene.start(&scene.verdict(), &["--yes", "--timeout", "2m"]);
    run.until(|record| {
        let reason = record["reason"].as_str();
        record["name"] == "b" && reason.is_some_and(|reason| reason.contains(expected))
    });
    make_ready(&scene.bed, "shop", "a-0");
    let run = run.finish();
    assert_eq!(run.code, Some(0), "{}", run.said());
    let mut proven = names(&run, "proven");
    proven.sort_unstable();
    assert_eq!(proven, ["a", "b"], "{}", run.said());
}

fn a_budget_that_can_never_allow_a_disruption_is_a_skip_unless_it_is_overridden(bed: Bed) {
    let scene = Scene::with(bed, &[db("a")]);
    let x = budget(&json!({ "db": "x" }), &json!({ "maxUnavailable": 0 }));
    scene.bed.apply(&x).unwrap();
    await_allowed(&scene.bed, 0);
    let verdict = scene.verdict();
    let run = scene.roll(&verdict, &["--yes"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    let skipped = run.of("skipped")[0];
    let said = (&skipped["reason"], &skipped["class"]);
    assert_eq!(said, (&"budget".into(), &"attention".into()));
    let message = skipped["message"].as_str().unwrap();
    assert!(message.contains("PodDisruptionBudget x"), "{message}");
    assert!(message.contains("--allow-budget shop/"), "{message}");
    assert_eq!(scene.writes(), [""; 0], "nothing is restarted");

    let run = scene.roll(&verdict, &["--yes", "--allow-budget", "shop/a"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert_eq!(names(&run, "proven"), ["a"], "{}", run.said());
}

fn two_workloads_that_share_a_budget_by_a_label_of_admission_are_never_short_at_once(bed: Bed) {
    let sets = ["a", "b"].map(|name| workload("StatefulSet", name, slow));
    let scene = Scene::with(bed, &sets);
    let label = json!({ "linkerd.io/control-plane-ns": "linkerd" });
    scene
        .bed
        .apply(&budget(&label, &json!({ "maxUnavailable": 1 })))
        .unwrap();
    await_allowed(&scene.bed, 1);
    let run = scene.roll(&scene.verdict(), &["--yes", "--max-in-flight", "3"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert_eq!(names(&run, "proven"), ["a", "b"], "{}", run.said());
    let place = |is: &dyn Fn(&Value) -> bool| run.records.iter().position(is).unwrap();
    let proven = place(&|record| record["type"] == "rolled" && record["name"] == "a");
    let begun = place(&|record| record["message"] == "restarting shop/StatefulSet/b");
    assert!(proven < begun, "{}", run.said());
}

fn a_rollout_that_somebody_else_began_keeps_its_slot(bed: Bed) {
    begins_when_the_other_is_whole(bed, "1", None);
}

fn a_rollout_that_somebody_else_began_keeps_its_budget(bed: Bed) {
    let label = json!({ "linkerd.io/control-plane-ns": "linkerd" });
    let x = budget(&label, &json!({ "maxUnavailable": 1 }));
    begins_when_the_other_is_whole(bed, "3", Some(&x));
}

fn begins_when_the_other_is_whole(bed: Bed, most: &str, budget: Option<&str>) {
    let deployments = ["a", "b"].map(|name| workload("Deployment", name, slow));
    let scene = Scene::with(bed, &deployments);
    if let Some(budget) = budget {
        scene.bed.apply(budget).unwrap();
        await_allowed(&scene.bed, 1);
    }
    let verdict = scene.verdict();
    let deployment = "/apis/apps/v1/namespaces/shop/deployments/a";
    let annotations = json!({ mesh_testbed::READY_DELAY: "2s" });
    let theirs = json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } });
    scene.bed.merge(deployment, &theirs).unwrap();
    let args = ["--yes", "--exclude", "shop/a", "--max-in-flight", most];
    let mut run = scene.start(&verdict, &args);
    run.until(|record| record["message"] == "restarting shop/Deployment/b");
    let other = scene.bed.get(deployment).unwrap();
    let (meta, status) = (&other["metadata"], &other["status"]);
    assert_eq!(status["observedGeneration"], meta["generation"], "{other}");
    for count in ["updatedReplicas", "replicas", "availableReplicas"] {
        assert_eq!(status[count], 2, "{count}: {other}");
    }
    let run = run.finish();
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert_eq!(names(&run, "proven"), ["b"], "{}", run.said());
}
