//! A workload of the mesh.

use mesh_testbed::Bed;
use serde_json::{Value, json};

/// Makes the Deployment `web` in a new namespace whose pods get a proxy, and waits until all are ready.
pub(crate) fn web(bed: &Bed, namespace: &str, replicas: u32) {
    let inject = [("linkerd.io/inject", "enabled")];
    bed.namespace(namespace, &inject).unwrap();
    let labels = json!({ "app": "web" });
    let container = json!({ "name": "web", "image": "registry.test/web:1" });
    let template =
        json!({ "metadata": { "labels": labels }, "spec": { "containers": [container] } });
    let web = json!({ "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "web", "namespace": namespace },
        "spec": { "replicas": replicas, "selector": { "matchLabels": labels }, "template": template } });
    bed.apply(&web.to_string()).unwrap();
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/web");
    let ready = Value::from(replicas);
    let field = "/status/readyReplicas";
    bed.await_field(&path, field, &ready).unwrap();
}
