//! Argo CD and Flux apply a workload again and again from its source, which does not have the restart.

use mesh_testbed::Bed;
use mesh_tests::on_both_beds;
use serde_json::Value;

use crate::scene::{Scene, workload};

on_both_beds! {
    [Kubectl]
    a_restart_survives_those_who_apply_the_workload_from_its_source
}

const WEB: &str = "/apis/apps/v1/namespaces/shop/deployments/web";
/// The field managers of Argo CD and of Flux.
const TOOLS: [&str; 2] = ["argocd-controller", "kustomize-controller"];

fn apply_as(scene: &Scene, manager: &str, manifest: &Value) {
    let manager = format!("--field-manager={manager}");
    let apply = ["apply", "--server-side", "--force-conflicts", &manager];
    let args = [&apply[..], &["-f", "-"]].concat();
    let manifest = manifest.to_string();
    scene.bed.kubectl_with_input(&args, &manifest).unwrap();
}

fn a_restart_survives_those_who_apply_the_workload_from_its_source(bed: Bed) {
    let mut source = workload("Deployment", "web", |_| {});
    let scene = Scene::with(bed, &[source.clone()]);
    for tool in TOOLS {
        apply_as(&scene, tool, &source);
    }
    let hold = scene.bed.kubelet().hold("shop", "");
    let mut run = scene.start(&scene.verdict(), &["--yes"]);
    run.until(|record| record["pods"]["updated"] == 1);
    // Without a change an apply writes nothing.
    source["metadata"]["labels"]["commit"] = "2".into();
    for tool in TOOLS {
        apply_as(&scene, tool, &source);
    }
    let applied = scene.bed.get(WEB).unwrap();
    assert_eq!(applied["metadata"]["labels"]["commit"], "2");
    drop(hold);
    let run = run.finish();
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert_eq!(run.of("rolled")[0]["outcome"], "proven", "{}", run.said());

    source["metadata"]["labels"]["commit"] = "3".into();
    for tool in TOOLS {
        apply_as(&scene, tool, &source);
    }
    let after = scene.bed.get(WEB).unwrap();
    let restarted = "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt";
    assert!(
        after.pointer(restarted).is_some_and(Value::is_string),
        "{after}"
    );
    assert_eq!(after.pointer(restarted), applied.pointer(restarted));
    assert_eq!(
        after["metadata"]["generation"],
        applied["metadata"]["generation"]
    );
    let managers = after["metadata"]["managedFields"].as_array().unwrap();
    let ours = managers.iter().find(|it| it["manager"] == "mesh-roll");
    let owns =
        "/fieldsV1/f:spec/f:template/f:metadata/f:annotations/f:kubectl.kubernetes.io~1restartedAt";
    assert!(ours.unwrap().pointer(owns).is_some(), "{managers:?}");
    assert_eq!(scene.writes(), ["patch deployments shop/web 200"]);
}
