//! Which workloads a run takes, in which waves, and how fast.

use mesh_testbed::Bed;
use mesh_tests::{make_wait, on_both_beds};
use serde_json::{Value, json};

use crate::onlooker::{Onlooker, most_at_once};
use crate::scene::{NEW, Scene, behaves, new_pod, workload};

on_both_beds! {
    the_own_labels_of_workloads_select_them
    canaries_are_watched_before_anything_else_is_started
    a_canary_that_fails_stops_the_run_whatever_max_failures_says
    a_canary_that_cannot_begin_refuses_the_run
    canaries_by_number_or_by_percent_are_the_first_of_the_plan
    nothing_is_started_after_more_failures_than_max_failures
    groups_are_rolled_one_after_the_other_in_waves_that_the_plan_shows
    pods_that_may_be_unavailable_are_a_limit_of_all_rollouts_together
}

// A workload with labels of its own, which its pods do not have.
fn labelled(kind: &str, name: &str, labels: &Value) -> Value {
    let mut workload = workload(kind, name, |_| {});
    workload["metadata"]["labels"] = labels.clone();
    workload
}

fn the_own_labels_of_workloads_select_them(bed: Bed) {
    let workloads = [
        labelled("Deployment", "a", &json!({ "team": "shop", "tier": "web" })),
        labelled("Deployment", "b", &json!({ "team": "bank" })),
        labelled("StatefulSet", "c", &json!({ "team": "shop", "tier": "db" })),
    ];
    let scene = Scene::with(bed, &workloads);
    let verdict = scene.verdict();
    for (labels, said) in [
        ("team=market", "-l team=market matches no workload"),
        ("team in shop", "expected `(` at character 9"),
    ] {
        let run = scene.roll(&verdict, &["--yes", "-l", labels]);
        assert_eq!(run.code, Some(2), "{}", run.said());
        assert!(run.said().contains(said), "{labels}: {}", run.said());
    }
    let run = scene.roll(&verdict, &["--yes", "-l", "team=shop,tier notin (web)"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert_eq!(scene.writes(), ["patch statefulsets shop/c 200"]);
    let skipped = run.of("skipped");
    assert_eq!(skipped.len(), 2, "{}", run.said());
    assert!(skipped.iter().all(|it| it["reason"] == "not-selected"));
}

fn canaries_are_watched_before_anything_else_is_started(bed: Bed) {
    let workloads = ["a", "b", "c"].map(|name| behaves(name, "ok"));
    let scene = Scene::with(bed, &workloads);
    let args = ["--yes", "--max-in-flight", "3", "--canary", "shop/b"];
    let mut run = scene.start(&scene.verdict(), &[&args[..], &["--settle", "1h"]].concat());
    run.until(|record| said(record).starts_with("wave 1 of 2: canary"));
    run.until(|record| said(record).starts_with("watching 1 canary"));
    let pod = new_pod(&scene, "b");
    make_wait(&scene.bed, "shop", &pod, "CrashLoopBackOff", 1);
    let run = run.finish();
    assert_eq!(run.code, Some(1), "{}", run.said());
    assert_eq!(scene.writes(), ["patch deployments shop/b 200"]);
    assert_eq!(run.of("rolled")[1]["reason"], "readiness-lost");
}

fn a_canary_that_fails_stops_the_run_whatever_max_failures_says(bed: Bed) {
    let workloads = [
        behaves("a", "ok"),
        behaves("b", "crash-loop"),
        behaves("c", "ok"),
    ];
    let scene = Scene::with(bed, &workloads);
    let args = ["--yes", "--max-in-flight", "3", "--max-failures", "9"];
    let run = scene.roll(
        &scene.verdict(),
        &[&args[..], &["--canary", "shop/b"]].concat(),
    );
    assert_eq!(run.code, Some(1), "{}", run.said());
    assert_eq!(scene.writes(), ["patch deployments shop/b 200"]);
    let reason = run.end()["reason"].as_str().unwrap();
    assert!(
        reason.contains("the canary shop/Deployment/b failed"),
        "{reason}"
    );
}

fn a_canary_that_cannot_begin_refuses_the_run(bed: Bed) {
    let workloads = ["a", "b", "c"].map(|name| workload("Deployment", name, |_| {}));
    let scene = Scene::with(bed, &workloads);
    let verdict = scene.verdict();
    let refused = |more: &[&str]| {
        let args = ["--yes", "--canary", "shop/b"];
        let run = scene.roll(&verdict, &[&args[..], more].concat());
        assert_eq!(run.code, Some(2), "{}", run.said());
        let reason = run.end()["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains("--canary"), "{reason}");
        assert!(reason.contains("shop/Deployment/b"), "{reason}");
    };
    refused(&["--exclude", "shop/b"]);
    let zero = json!({ "spec": { "replicas": 0 } });
    let path = "/apis/apps/v1/namespaces/shop/deployments/b";
    scene.bed.merge(path, &zero).unwrap();
    refused(&[]);
    assert_eq!(scene.writes(), Vec::<String>::new());
}

fn canaries_by_number_or_by_percent_are_the_first_of_the_plan(bed: Bed) {
    let workloads = ["a", "b", "c", "d", "e"].map(|name| workload("Deployment", name, |_| {}));
    let scene = Scene::with(bed, &workloads);
    let verdict = scene.verdict();
    for (canary, expected) in [("1", "a"), ("3", "abc"), ("50%", "abc"), ("1%", "a")] {
        let run = scene.roll(&verdict, &["--dry-run", "--canary", canary]);
        let intent = run.of("intent")[0];
        assert_eq!(intent["waves"][0], "canary", "{intent}");
        let deeds = intent["deeds"].as_array().unwrap().iter();
        let first = deeds.filter(|deed| deed["wave"] == 1);
        let first: String = first
            .filter_map(|it| it["object"].as_str()?.rsplit('/').next())
            .collect();
        assert_eq!(first, expected, "{canary}: {intent}");
    }
}

fn nothing_is_started_after_more_failures_than_max_failures(bed: Bed) {
    let broken = |name: &str| {
        workload("Deployment", name, |spec| {
            spec["template"]["metadata"]["annotations"]["sim.test/with-proxy"] =
                format!("{NEW}=image-pull").into();
        })
    };
    let well = |name: &str| behaves(name, "ok");
    let scene = Scene::with(bed, &[broken("a"), broken("b"), well("c"), well("d")]);
    let args = ["--yes", "--max-in-flight", "2", "--timeout", "4s"];
    let verdict = scene.verdict();
    let run = scene.roll(&verdict, &[&args[..], &["--max-failures", "1"]].concat());
    assert_eq!(run.code, Some(1), "{}", run.said());
    let mut writes = scene.writes();
    writes.sort();
    let expected = ["a", "b"].map(|name| format!("patch deployments shop/{name} 200"));
    assert_eq!(writes, expected, "{}", run.said());
    let of = |outcome| {
        run.of("rolled")
            .iter()
            .filter(|it| it["outcome"] == outcome)
            .count()
    };
    assert_eq!((of("failed"), of("proven")), (2, 0), "{}", run.said());
}

fn groups_are_rolled_one_after_the_other_in_waves_that_the_plan_shows(bed: Bed) {
    let workloads = [
        labelled("StatefulSet", "a", &json!({ "ring": "2" })),
        labelled("Deployment", "b", &json!({ "ring": "10" })),
        labelled("Deployment", "c", &json!({})),
        labelled("Deployment", "ingress", &json!({ "ring": "2" })),
        labelled("Deployment", "z", &json!({ "ring": "2" })),
    ];
    let scene = Scene::with(bed, &workloads);
    let verdict = scene.verdict();
    let idle = scene.roll(&verdict, &["--yes", "--group-by", "rang"]);
    assert_eq!(idle.code, Some(2), "{}", idle.said());

    let args = ["--max-in-flight", "5", "--group-by", "ring"];
    let plan = scene.roll(&verdict, &[&args[..], &["--dry-run"]].concat());
    let intent = plan.of("intent")[0];
    assert_eq!(
        intent["waves"],
        json!([
            "Deployments and the like with ring=2",
            "StatefulSets with ring=2",
            "Deployments and the like with ring=10",
            "Deployments and the like without the label ring",
            "ingresses and gateways, one at a time",
        ])
    );
    let deeds = intent["deeds"].as_array().unwrap().iter();
    let deeds: Vec<String> = deeds
        .map(|deed| format!("{} {}", deed["wave"], deed["object"].as_str().unwrap()))
        .collect();
    let expected = [
        "1 shop/Deployment/z",
        "2 shop/StatefulSet/a",
        "3 shop/Deployment/b",
        "4 shop/Deployment/c",
        "5 shop/Deployment/ingress",
    ];
    assert_eq!(deeds, expected);
    let run = scene.roll(&verdict, &[&args[..], &["--yes"]].concat());
    assert_eq!(run.code, Some(0), "{}", run.said());
    let writes = [
        "patch deployments shop/z 200",
        "patch statefulsets shop/a 200",
        "patch deployments shop/b 200",
        "patch deployments shop/c 200",
        "patch deployments shop/ingress 200",
    ];
    assert_eq!(scene.writes(), writes);
}

fn pods_that_may_be_unavailable_are_a_limit_of_all_rollouts_together(bed: Bed) {
    let wide = workload("Deployment", "wide", |spec| {
        spec["replicas"] = 4.into();
        spec["strategy"] = json!({ "rollingUpdate": { "maxUnavailable": 2, "maxSurge": 0 } });
    });
    let set = |kind, name| workload(kind, name, |_| {});
    let sets = [
        set("StatefulSet", "a"),
        set("StatefulSet", "b"),
        set("DaemonSet", "c"),
    ];
    let scene = Scene::with(bed, &[&[wide], &sets[..]].concat());
    let onlooker = Onlooker::new(&scene);
    let args = [
        "--yes",
        "--max-in-flight",
        "9",
        "--max-unavailable-pods",
        "1",
    ];
    let run = scene.roll(&scene.verdict(), &args);
    assert_eq!(run.code, Some(0), "{}", run.said());
    let [skipped] = run.of("skipped")[..] else {
        panic!("one is skipped: {}", run.said());
    };
    assert_eq!(skipped["name"], "wide");
    assert_eq!(
        (&skipped["reason"], &skipped["class"]),
        (&"unavailable-pods".into(), &"attention".into())
    );
    let rollouts = onlooker.rollouts();
    assert_eq!(rollouts.len(), 3, "{rollouts:#?}");
    assert_eq!(most_at_once(&rollouts), 1, "{rollouts:#?}");
}

fn said(record: &Value) -> &str {
    record["message"].as_str().unwrap_or_default()
}
