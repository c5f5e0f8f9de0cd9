//! What a kubelet would say of a pod, said by a test.

use mesh_testbed::Bed;
use serde_json::{Value, json};

/// Makes a pod ready, as a kubelet does once its containers have come up at last.
///
/// # Panics
/// Where there is no such pod.
pub fn make_ready(bed: &Bed, namespace: &str, pod: &str) {
    write_status(bed, namespace, pod, "True", &json!({ "running": {} }), 0);
}

/// Makes a pod not ready whose containers run, as after a probe that was answered too late.
///
/// # Panics
/// Where there is no such pod.
pub fn make_unready(bed: &Bed, namespace: &str, pod: &str) {
    write_status(bed, namespace, pod, "False", &json!({ "running": {} }), 0);
}

/// Makes the containers of a pod wait for this reason, after so many restarts.
///
/// # Panics
/// Where there is no such pod.
pub fn make_wait(bed: &Bed, namespace: &str, pod: &str, reason: &str, restarts: i32) {
    let message = format!("the test says {reason}");
    let waiting = json!({ "waiting": { "reason": reason, "message": message } });
    write_status(bed, namespace, pod, "False", &waiting, restarts);
}

fn write_status(bed: &Bed, namespace: &str, pod: &str, ready: &str, state: &Value, restarts: i32) {
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}");
    let status = &bed.get(&path).expect("the pod is there")["status"];
    let list = |field: &str| status[field].as_array().cloned().unwrap_or_default();
    let mut conditions = list("conditions");
    for condition in &mut conditions {
        if ["Ready", "ContainersReady"].contains(&condition["type"].as_str().unwrap_or_default()) {
            condition["status"] = ready.into();
            // When it began is for whoever reads it to see.
            if ready == "False" {
                condition["lastTransitionTime"] = Value::Null;
            }
        }
    }
    let mut containers = list("containerStatuses");
    for container in &mut containers {
        if container["name"] != "linkerd-proxy" {
            container["ready"] = (ready == "True").into();
            container["restartCount"] = restarts.into();
            container["state"] = state.clone();
        }
    }
    let status =
        json!({ "phase": "Running", "conditions": conditions, "containerStatuses": containers });
    let status = json!({ "status": status });
    let path = format!("{path}/status");
    bed.merge(&path, &status)
        .expect("its status can be written");
}
