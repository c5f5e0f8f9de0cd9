//! What a plan says beforehand: how long the rollouts take, and what is written to whose object.

use std::fs::{self, File};

use mesh_testbed::Bed;
use mesh_tests::on_both_beds;
use serde_json::{Value, json};

use crate::scene::{Scene, slow, workload};

on_both_beds! {
    a_plan_says_how_long_each_rollout_and_all_take_and_of_which_that_is_unknown
    diff_shows_the_field_its_manager_and_who_else_manages_the_workload
    a_dry_run_says_that_another_run_holds_the_lock_and_goes_on
}

// A duration as it is shown.
fn about(seconds: u64) -> String {
    match seconds {
        ..60 => format!("{seconds}s"),
        _ => format!("{}m{:02}s", seconds / 60, seconds % 60),
    }
}

// What a person sees.
fn text(scene: &Scene, verdict: &str, args: &[&str]) -> String {
    let path = scene.tools.folder().join("verdict.ndjson");
    fs::write(&path, verdict).unwrap();
    let mut command = scene.tool("mesh-roll");
    command.args(args).args(["-o", "table"]);
    let output = command.stdin(File::open(path).unwrap()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

// Forgets since when the pods of a workload are ready.
fn forget_readiness(scene: &Scene, app: &str) {
    let path = format!("/api/v1/namespaces/shop/pods?labelSelector=app%3D{app}");
    let pods = scene.bed.get(&path).unwrap();
    let conditions = json!({ "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
    for pod in pods["items"].as_array().unwrap() {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let status = format!("/api/v1/namespaces/shop/pods/{name}/status");
        scene.bed.merge(&status, &conditions).unwrap();
    }
}

fn a_plan_says_how_long_each_rollout_and_all_take_and_of_which_that_is_unknown(bed: Bed) {
    let names = ["a", "b", "c"];
    let workloads = names.map(|name| workload("Deployment", name, slow));
    let scene = Scene::with(bed, &workloads);
    forget_readiness(&scene, "b");
    let verdict = scene.verdict();
    let plan = scene.roll(&verdict, &["--plan-only", "--settle", "7s"]);
    assert_eq!(plan.code, Some(0), "{}", plan.said());
    let intent = plan.of("intent")[0];
    let seconds = |name: usize| intent["deeds"][name]["expected_seconds"].as_u64();
    let (Some(a), None, Some(c)) = (seconds(0), seconds(1), seconds(2)) else {
        panic!("{intent}");
    };
    assert!(a > 0 && c > 0, "{intent}");
    let forecast = json!({ "seconds": a + c + 7, "unknown": 1 });
    assert_eq!(intent["forecast"], forecast, "{intent}");

    let args = ["--dry-run", "--settle", "0s", "--max-in-flight", "3"];
    let text = text(&scene, &verdict, &args);
    let most = a.max(c);
    for said in [
        format!("would restart shop/Deployment/a (about {})", about(a)),
        "would restart shop/Deployment/b (duration unknown)".to_owned(),
        format!(
            "takes about {} at this pace, without 1 workload of unknown duration",
            about(most)
        ),
    ] {
        assert!(text.contains(&said), "{said}: {text}");
    }
    // The watches tell it all.
    let events = scene.bed.audit_of("mesh-roll/").unwrap().into_iter();
    let extra = events.filter(|event| {
        event.resource == "replicasets" || event.resource == "pods" && !event.namespace.is_empty()
    });
    assert_eq!(extra.count(), 0);
}

fn diff_shows_the_field_its_manager_and_who_else_manages_the_workload(bed: Bed) {
    let mut synced = workload("Deployment", "a", |_| {});
    let tracking = json!({ "argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/a" });
    synced["metadata"]["annotations"] = tracking;
    let evicted = workload("StatefulSet", "b", |spec| {
        spec["updateStrategy"] = json!({ "type": "OnDelete" });
    });
    let scene = Scene::with(bed, &[synced, evicted]);
    let verdict = scene.verdict();
    for how in ["--plan-only", "--dry-run=client", "--dry-run=server"] {
        let plan = scene.roll(&verdict, &[how, "--diff"]);
        assert_eq!(plan.code, Some(0), "{}", plan.said());
        let deeds = &plan.of("intent")[0]["deeds"];
        let patch = &deeds[0]["patch"];
        let path = r#".spec.template.metadata.annotations["kubectl.kubernetes.io/restartedAt"]"#;
        assert_eq!(patch["path"], path, "{patch}");
        assert_eq!(patch["manager"], "mesh-roll");
        assert_eq!(patch["managed_by"], "argocd");
        assert!(patch["before"].is_null(), "{patch}");
        // The lab keeps no field managers.
        if scene.bed.as_lab().is_none() {
            assert_eq!(patch["managers"], json!(["kubectl"]));
        }
        assert_eq!(
            deeds[1]["patch"],
            Value::Null,
            "an eviction patches nothing"
        );
    }
    let text = text(&scene, &verdict, &["--plan-only", "--diff"]);
    for said in ["(field manager mesh-roll)", "managed by argocd"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert_eq!(scene.writes(), [""; 0]);
}

fn a_dry_run_says_that_another_run_holds_the_lock_and_goes_on(bed: Bed) {
    let workloads = ["a", "b"].map(|name| workload("Deployment", name, |_| {}));
    let scene = Scene::with(bed, &workloads);
    let verdict = scene.verdict();
    let hold = scene.bed.kubelet().hold("shop", "");
    let mut first = scene.start(&verdict, &["--yes"]);
    first.until(|record| record["pods"]["updated"] == 1);
    for how in ["--dry-run=client", "--dry-run=server", "--plan-only"] {
        // The other run's rollout keeps a slot.
        let run = scene.roll(&verdict, &[how, "--max-in-flight", "2"]);
        assert_eq!(run.code, Some(0), "{how}: {}", run.said());
        let progress = run.of("progress");
        let warned = progress.iter().find_map(|it| {
            let message = it["message"].as_str()?;
            let held = "warning: the lock of the control plane in linkerd is held by ";
            message.contains(held).then_some(&it["reason"])
        });
        let way_out = warned.and_then(Value::as_str);
        let way_out = way_out.unwrap_or_else(|| panic!("{how}: {}", run.said()));
        assert!(
            way_out.contains("run the pipeline again later"),
            "{way_out}"
        );
        assert_eq!(run.of("intent").len(), 1, "{how}");
    }
    drop(hold);
    let first = first.finish();
    assert_eq!(first.code, Some(0), "{}", first.said());
    let after = scene.roll(&scene.verdict(), &["--dry-run"]);
    assert!(!after.said().contains("is held by"), "{}", after.said());
}
