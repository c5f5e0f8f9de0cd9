use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use mesh_testbed::{BEHAVIOUR, Server, WITH_PROXY};

use crate::real::{await_pod, is_ready, phase, pod, shared, waits_for};

#[test]
fn pods_behave_as_their_label_says() {
    let Some(bed) = shared() else { return };
    bed.namespace("behaviours", &[]).unwrap();
    type Shown = fn(&Pod) -> bool;
    let cases: [(&str, Shown); 6] = [
        ("ok", is_ready),
        ("slow", is_ready),
        ("never-ready", |pod| {
            phase(pod) == "Running" && !is_ready(pod)
        }),
        ("image-pull", |pod| {
            waits_for(pod) == Some("ImagePullBackOff")
        }),
        ("crash-loop", |pod| {
            waits_for(pod) == Some("CrashLoopBackOff") && phase(pod) == "Running"
        }),
        ("job-done", |pod| phase(pod) == "Succeeded"),
    ];
    for (behaviour, _) in cases {
        bed.apply(&pod(
            "behaviours",
            behaviour,
            &[(BEHAVIOUR, behaviour)],
            &[],
        ))
        .unwrap();
    }
    for (behaviour, shown) in cases {
        await_pod(bed, "behaviours", behaviour, shown);
    }
}

#[test]
fn a_pod_with_requests_becomes_ready() {
    let Some(bed) = shared() else { return };
    bed.namespace("burstable", &[]).unwrap();
    let mut manifest: serde_json::Value =
        serde_json::from_str(&pod("burstable", "app", &[], &[])).unwrap();
    let resources = serde_json::json!({ "requests": { "cpu": "1m" } });
    manifest["spec"]["containers"][0]["resources"] = resources;
    bed.apply(&manifest.to_string()).unwrap();
    let ready = await_pod(bed, "burstable", "app", is_ready);
    let class = ready.status.and_then(|status| status.qos_class);
    assert_eq!(class.as_deref(), Some("Burstable"));
}

#[test]
fn a_wrong_behaviour_label_is_reported_in_the_pods_status() {
    let Some(bed) = shared() else { return };
    bed.namespace("wrong", &[]).unwrap();
    bed.apply(&pod("wrong", "label", &[(BEHAVIOUR, "dance")], &[]))
        .unwrap();
    bed.apply(&pod(
        "wrong",
        "annotation",
        &[],
        &[(WITH_PROXY, "crash-loop")],
    ))
    .unwrap();
    for name in ["label", "annotation"] {
        await_pod(bed, "wrong", name, |pod| {
            waits_for(pod) == Some("CreateContainerConfigError")
        });
    }
}

#[test]
fn a_held_pod_becomes_ready_when_it_is_released() {
    let Some(bed) = shared() else { return };
    bed.namespace("held", &[]).unwrap();
    let hold = bed.kubelet().hold("held", "app=first");
    bed.apply(&pod("held", "first", &[], &[])).unwrap();
    bed.apply(&pod("held", "second", &[], &[])).unwrap();
    await_pod(bed, "held", "second", is_ready);
    let first = await_pod(bed, "held", "first", |pod| {
        waits_for(pod) == Some("ContainerCreating")
    });
    assert!(!is_ready(&first));
    hold.release();
    await_pod(bed, "held", "first", is_ready);
}

#[test]
fn a_deleted_pod_goes() {
    let Some(bed) = shared() else { return };
    bed.namespace("going", &[]).unwrap();
    bed.apply(&pod("going", "app", &[], &[])).unwrap();
    await_pod(bed, "going", "app", is_ready);
    // kubectl returns when the pod is gone.
    bed.kubectl(["delete", "pod", "app", "-n", "going"])
        .unwrap();
    let pods: Api<Pod> = Api::namespaced(bed.client(), "going");
    assert!(bed.block_on(pods.get_opt("app")).unwrap().is_none());
}

#[test]
fn a_stateful_set_replaces_its_pods_in_place() {
    let Some(bed) = shared() else { return };
    bed.namespace("stateful", &[]).unwrap();
    let container = serde_json::json!({ "name": "app", "image": "registry.test/app:1" });
    let set = serde_json::json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": { "name": "db", "namespace": "stateful" },
        "spec": {
            "replicas": 3,
            "serviceName": "db",
            "selector": { "matchLabels": { "app": "db" } },
            "template": { "metadata": { "labels": { "app": "db" } }, "spec": { "containers": [container] } },
        },
    });
    bed.apply(&set.to_string()).unwrap();
    bed.kubectl([
        "rollout",
        "status",
        "statefulset/db",
        "-n",
        "stateful",
        "--timeout=60s",
    ])
    .unwrap();
    bed.kubectl(["rollout", "restart", "statefulset/db", "-n", "stateful"])
        .unwrap();
    bed.kubectl([
        "rollout",
        "status",
        "statefulset/db",
        "-n",
        "stateful",
        "--timeout=60s",
    ])
    .unwrap();
}

#[test]
fn pods_are_played_on_after_the_api_server_came_back() {
    let Some(bed) = mesh_testbed::Bed::for_test() else {
        return;
    };
    bed.namespace("back", &[]).unwrap();
    bed.restart(Server::ApiServer).unwrap();
    bed.await_ready().unwrap();
    bed.apply(&pod("back", "app", &[], &[])).unwrap();
    await_pod(&bed, "back", "app", is_ready);
}
