//! Small workloads of each kind, in one namespace per run.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::DeleteParams;
use mesh_testbed::{Bed, READY_DELAY, STOP_DELAY};
use serde_json::{Value, json};

pub(crate) const OLD: &str = "stable-2.13.7";
pub(crate) const NEW: &str = "stable-2.14.10";
/// The CLI renders a control plane only if its definitions are in the cluster. Definitions of an
/// earlier patch are enough for the CLI, and leave the tool something to write.
pub(crate) const DEFINITIONS: &str = "stable-2.14.5";
pub(crate) const PEOPLE: &str = "people";

/// Names, kinds and numbers of pods; a DaemonSet has one pod per node.
pub(crate) const WORKLOADS: [(&str, &str, usize); 4] = [
    ("anna", "Deployment", 1),
    ("bert", "StatefulSet", 2),
    ("carl", "DaemonSet", 3),
    ("dora", "Deployment", 2),
];

/// Creates the workloads in each of these namespaces, and waits until they are ready and meshed.
pub(crate) fn people(bed: &Bed, namespaces: &[&str]) {
    for namespace in namespaces {
        let inject = [("linkerd.io/inject", "enabled")];
        bed.namespace(namespace, &inject).unwrap();
        let items: Vec<Value> = WORKLOADS
            .iter()
            .map(|(name, kind, pods)| workload(namespace, name, kind, *pods))
            .collect();
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
        bed.apply(&list.to_string()).unwrap();
    }
    let pods = WORKLOADS.iter().map(|(_, _, pods)| pods).sum::<usize>() * namespaces.len();
    bed.until(
        Api::<Pod>::all(bed.client()),
        "part-of=people",
        "the people",
        |seen| {
            seen.len() == pods
                && seen
                    .values()
                    .all(|pod| is_ready(pod) && proxy(pod).is_some())
        },
    )
    .unwrap();
}

fn workload(namespace: &str, name: &str, kind: &str, pods: usize) -> Value {
    let labels = json!({ "app": name, "part-of": "people" });
    let quick = json!({ READY_DELAY: "20ms", STOP_DELAY: "20ms" });
    let container = json!({ "name": name, "image": format!("registry.test/{name}:1.0.0") });
    let mut workload = json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "template": { "metadata": { "labels": labels, "annotations": quick }, "spec": { "containers": [container] } },
        },
    });
    if kind != "DaemonSet" {
        workload["spec"]["replicas"] = pods.into();
    }
    if kind == "StatefulSet" {
        workload["spec"]["serviceName"] = name.into();
    }
    workload
}

/// Returns the tag of a pod's proxy, if it has one.
pub(crate) fn proxy(pod: &Pod) -> Option<&str> {
    let spec = pod.spec.as_ref()?;
    let mut containers = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten());
    let proxy = containers.find(|container| container.name == "linkerd-proxy")?;
    Some(proxy.image.as_ref()?.rsplit_once(':')?.1)
}

pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Starts another lab.
pub(crate) fn another_lab() -> Bed {
    Bed::lab().unwrap()
}

/// Starts more real servers, if real servers are used.
pub(crate) fn another() -> Bed {
    Bed::for_test().unwrap()
}

/// Removes the lock of a killed run, so that the test need not wait until it expires.
pub(crate) fn forget_lock(bed: &Bed) {
    let leases: Api<Lease> = Api::namespaced(bed.client(), "linkerd");
    let how = DeleteParams::default();
    match bed.block_on(leases.delete("mesh-tools", &how)) {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => panic!("{error}"),
    }
}
