//! Tests on real servers.

mod faults;
mod kubelet;
mod mesh;
mod process;
mod record;
mod variables;

use std::{collections::BTreeMap, sync::LazyLock};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use mesh_testbed::Bed;

/// The bed shared by tests that use only their own namespace.
static SHARED: LazyLock<Option<Bed>> = LazyLock::new(Bed::for_test);

fn shared() -> Option<&'static Bed> {
    SHARED.as_ref()
}

/// Waits until `done` is true for a pod.
#[track_caller]
fn await_pod(bed: &Bed, namespace: &str, app: &str, done: impl Fn(&Pod) -> bool) -> Pod {
    let pods: Api<Pod> = Api::namespaced(bed.client(), namespace);
    let seen = bed
        .until(pods, &format!("app={app}"), app, |pods| {
            pods.values().any(&done)
        })
        .unwrap();
    seen.into_values().find(|pod| done(pod)).unwrap()
}

fn pod(
    namespace: &str,
    app: &str,
    labels: &[(&str, &str)],
    annotations: &[(&str, &str)],
) -> String {
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    let mut labels = map(labels);
    labels.insert("app".to_owned(), app.to_owned());
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": app, "namespace": namespace, "labels": labels, "annotations": map(annotations) },
        "spec": { "containers": [{ "name": "app", "image": "registry.test/app:1" }] },
    })
    .to_string()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn phase(pod: &Pod) -> &str {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

/// Returns why the pod's first container waits.
fn waits_for(pod: &Pod) -> Option<&str> {
    let container = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    container
        .state
        .as_ref()?
        .waiting
        .as_ref()?
        .reason
        .as_deref()
}

/// Returns the image of the pod's proxy, from the containers or the init containers.
fn proxy(pod: &Pod) -> Option<&str> {
    let spec = pod.spec.as_ref()?;
    let mut containers = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten());
    containers
        .find(|container| container.name == "linkerd-proxy")?
        .image
        .as_deref()
}
