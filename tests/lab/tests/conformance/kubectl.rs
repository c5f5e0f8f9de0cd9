use std::{path::PathBuf, process::Command};

use mesh_testbed::Assets;

use crate::{Server, on_both, template};
use serde_json::json;

on_both!(kubectl_get_lists_pods_and_deployments);

/// The kubectl of the real bed, else the machine's.
fn kubectl() -> Option<PathBuf> {
    let program = Assets::find().map_or_else(|_| "kubectl".into(), |assets| assets.kubectl);
    let runs = Command::new(&program)
        .args(["version", "--client"])
        .output();
    runs.is_ok_and(|output| output.status.success())
        .then_some(program)
}

fn kubectl_get_lists_pods_and_deployments(server: &Server<'_>) {
    let Some(kubectl) = kubectl() else { return };
    let get = |args: &[&str]| {
        let mut command = server.bed.tool(&kubectl);
        let output = command.arg("get").args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    };
    server.home("seen");
    let web = json!({
        "metadata": { "name": "web" },
        "spec": { "replicas": 2, "selector": { "matchLabels": { "app": "web" } }, "template": template("web") },
    });
    server.create("/apis/apps/v1/namespaces/seen/deployments", &web);
    let web = "/apis/apps/v1/namespaces/seen/deployments/web";
    let ready = server
        .bed
        .await_field(web, "/status/readyReplicas", &2.into());
    ready.unwrap();
    let pods = get(&["pods", "-A"]);
    let of_web = pods
        .lines()
        .filter(|line| line.starts_with("seen") && line.contains("web-"));
    assert_eq!(of_web.count(), 2, "{pods}");
    for kind in ["deploy", "deployments", "deployments.apps", "Deployment"] {
        let named = get(&[kind, "-n", "seen", "-o", "name"]);
        assert_eq!(named, "deployment.apps/web\n", "{kind}");
    }
    let slices = get(&["endpointslices", "-n", "default", "-o", "name"]);
    assert!(slices.contains("/kubernetes\n"), "{slices}");
}
