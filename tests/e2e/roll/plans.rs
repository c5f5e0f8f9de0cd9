//! What the judge says of a workload is what the plan does with it, for every kind and way; and a
//! plan alone answers by its exit code.

use std::collections::BTreeMap;

use mesh_testbed::Bed;
use mesh_tests::{Run, on_both_beds};
use serde_json::{Value, json};

use crate::scene::{Scene, workload};

on_both_beds! {
    the_plan_rolls_what_the_judge_says_and_skips_the_rest_for_the_judges_reason
    a_plan_alone_says_by_its_code_whether_all_would_be_rolled
    nothing_is_started_after_the_time_of_until
}

type Bend = fn(&mut Value);

/// Every kind and way to new pods that both beds have.
fn zoo() -> Vec<Value> {
    let on_delete: Bend = |spec| spec["updateStrategy"] = json!({ "type": "OnDelete" });
    let pinned: Bend = |spec| {
        let annotations = &mut spec["template"]["metadata"]["annotations"];
        annotations["config.linkerd.io/proxy-version"] = "stable-2.13.7".into();
    };
    let none: Bend = |_| {};
    let table: [(&str, &str, Bend); 9] = [
        ("Deployment", "plain", none),
        ("Deployment", "pinned", pinned),
        ("StatefulSet", "ordered", none),
        ("StatefulSet", "kept", on_delete),
        ("StatefulSet", "held", on_delete),
        ("DaemonSet", "everywhere", none),
        ("DaemonSet", "lazy", on_delete),
        ("Deployment", "two", none),
        ("Deployment", "paused", none),
    ];
    let zoo = table.into_iter();
    zoo.map(|(kind, name, bend)| workload(kind, name, bend))
        .collect()
}

fn the_plan_rolls_what_the_judge_says_and_skips_the_rest_for_the_judges_reason(bed: Bed) {
    let scene = Scene::with(bed, &zoo());
    scene
        .bed
        .apply(&workload("ReplicaSet", "bare", |_| {}).to_string())
        .unwrap();
    let bare = "/apis/apps/v1/namespaces/shop/replicasets/bare";
    scene
        .bed
        .await_field(bare, "/status/readyReplicas", &2.into())
        .unwrap();
    // The lab's controllers know no pause; there it is one Deployment more.
    if scene.bed.as_lab().is_none() {
        let paused = "/apis/apps/v1/namespaces/shop/deployments/paused";
        let pause = json!({ "spec": { "paused": true } });
        scene.bed.merge(paused, &pause).unwrap();
    }
    let held = "/apis/apps/v1/namespaces/shop/statefulsets/held";
    let change =
        json!({ "spec": { "template": { "metadata": { "annotations": { "held": "back" } } } } });
    scene.bed.merge(held, &change).unwrap();
    let generation = scene.bed.get(held).unwrap()["metadata"]["generation"].clone();
    scene
        .bed
        .await_field(held, "/status/observedGeneration", &generation)
        .unwrap();

    let verdict = scene.verdict();
    for strategy in ["auto", "evict"] {
        let plan = scene.roll(&verdict, &["--dry-run", "--strategy", strategy]);
        assert_eq!(plan.code, Some(0), "{}", plan.said());
        let planned = planned(&plan);
        for judged in verdict.lines().map(parsed) {
            if judged["type"] != "workload" {
                continue;
            }
            let name = judged["ref"].as_str().unwrap();
            let found = planned[name].as_str();
            let skew = &judged["skew"];
            match skew["action"].as_str().unwrap() {
                "roll" => assert!(
                    ["restart", "evict the pods of"].contains(&found),
                    "{name}: {found}"
                ),
                "leave" => assert_eq!(found, "current", "{name}"),
                // The user may ask for more than what is safe by itself.
                _ if strategy == "evict" && name.ends_with("/held") => {
                    assert_eq!(found, "evict the pods of");
                }
                _ => assert_eq!(
                    skew["why"].as_array().unwrap().last(),
                    Some(&json!(found)),
                    "{name}"
                ),
            }
        }
    }
    assert_eq!(scene.writes(), [""; 0]);
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

// What the plan does with each workload: the verb, or the reason of the skip.
fn planned(plan: &Run) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let deeds = plan.of("intent")[0]["deeds"].as_array().unwrap().iter();
    let deeds = deeds.map(|deed| (text(&deed["object"]), text(&deed["verb"])));
    let skipped = plan.of("skipped").into_iter();
    let skipped = skipped.map(|record| (text(&record["ref"]), text(&record["reason"])));
    deeds.chain(skipped).collect()
}

fn a_plan_alone_says_by_its_code_whether_all_would_be_rolled(bed: Bed) {
    let recreated = workload("Deployment", "b", |spec| {
        spec["strategy"] = json!({ "type": "Recreate" });
    });
    let scene = Scene::with(bed, &[workload("Deployment", "a", |_| {}), recreated]);
    let verdict = scene.verdict();
    let plan = scene.roll(&verdict, &["--plan-only"]);
    assert_eq!(plan.code, Some(1), "{}", plan.said());
    assert_eq!(plan.of("skipped")[0]["reason"], "downtime-outage");
    let plan = scene.roll(&verdict, &["--plan-only", "--allow-outage", "shop/b"]);
    assert_eq!(plan.code, Some(0), "{}", plan.said());
    assert_eq!(plan.of("intent")[0]["dry_run"], "client");
    assert_eq!(scene.writes(), [""; 0]);
    let usage = scene.roll(&verdict, &["--plan-only", "--yes"]);
    assert_eq!(usage.code, Some(2), "{}", usage.said());
}

fn nothing_is_started_after_the_time_of_until(bed: Bed) {
    let scene = Scene::with(bed, &[workload("Deployment", "a", |_| {})]);
    let verdict = scene.verdict();
    let run = scene.roll(&verdict, &["--yes", "--until", "2024-01-01T00:00:00Z"]);
    assert_eq!(run.code, Some(3), "{}", run.said());
    let reason = run.end()["reason"].as_str().unwrap();
    assert!(reason.contains("--until"), "{reason}");
    assert_eq!(scene.writes(), [""; 0]);
    let args = ["--yes", "--until", "2999-01-01T00:00:00Z"];
    let run = scene.roll(&verdict, &args);
    assert_eq!(run.code, Some(0), "{}", run.said());
}
