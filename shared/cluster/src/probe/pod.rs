//! The pods that are sent as a dry run.

use serde_json::{Value, json};

use crate::object::label;

/// The image does not exist: if such a pod were ever created, it could not run.
const IMAGE: &str = "probe.mesh-tools.invalid/none";

/// Makes the pod that a workload's controller would create: its template with its labels,
/// annotations and spec, without an owner.
pub(super) fn of(workload: &Value) -> Value {
    let template = &workload["spec"]["template"];
    let part = |part: &str| {
        let fields = template["metadata"][part].as_object();
        Value::from(fields.cloned().unwrap_or_default())
    };
    let mut spec = template["spec"].clone();
    add_claims(&mut spec, workload);
    pod(&part("labels"), &part("annotations"), &spec)
}

/// Returns the name of the Deployment that has the template of an Argo Rollout (`workloadRef`).
pub(super) fn kept_in(workload: &Value) -> Option<&str> {
    let reference = &workload["spec"]["workloadRef"];
    let name = reference["name"].as_str()?;
    (reference["kind"] == "Deployment").then_some(name)
}

// A StatefulSet's containers mount its claims, which are no volumes of its template: its controller
// adds them to each pod. Admission does not look for the claims themselves.
fn add_claims(spec: &mut Value, workload: &Value) {
    let claims = workload["spec"]["volumeClaimTemplates"].as_array();
    let claims = claims.into_iter().flatten();
    let names: Vec<&str> = claims
        .filter_map(|claim| claim["metadata"]["name"].as_str())
        .collect();
    if names.is_empty() {
        return;
    }
    let set = workload["metadata"]["name"].as_str().unwrap_or_default();
    let mut volumes = spec["volumes"].as_array().cloned().unwrap_or_default();
    volumes.retain(|volume| !names.iter().any(|name| volume["name"] == *name));
    volumes.extend(names.iter().map(|name| {
        let claim = format!("{name}-{set}-0");
        json!({ "name": name, "persistentVolumeClaim": { "claimName": claim } })
    }));
    spec["volumes"] = volumes.into();
}

/// Makes a pod that asks for a proxy and for few resources, and sets strict security options, so
/// that few policies refuse it.
pub(super) fn plain() -> Value {
    let resources = json!({ "cpu": "1m", "memory": "8Mi" });
    let container = json!({
        "name": "probe",
        "image": IMAGE,
        "resources": { "requests": resources, "limits": resources },
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
    });
    let spec = json!({
        "restartPolicy": "Never",
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": 65534,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "containers": [container],
    });
    pod(&json!({}), &json!({ label::INJECT: "enabled" }), &spec)
}

fn pod(labels: &Value, annotations: &Value, spec: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "mesh-probe-",
            "labels": labels,
            "annotations": annotations,
        },
        "spec": spec,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_pod_asks_for_a_proxy_and_has_no_owner() {
        let body = plain();
        assert_eq!(
            body["metadata"]["annotations"]["linkerd.io/inject"],
            "enabled"
        );
        assert_eq!(body["metadata"].get("ownerReferences"), None);
    }

    #[test]
    fn a_workloads_pod_has_its_templates_labels_annotations_and_spec_and_no_owner() {
        let spec = json!({ "serviceAccountName": "web", "hostNetwork": true, "restartPolicy": "Always",
            "containers": [{ "name": "web", "resources": { "requests": { "cpu": "2" } } }] });
        let metadata = json!({ "creationTimestamp": null, "labels": { "app": "web" }, "annotations": { "a": "b" } });
        let template = json!({ "metadata": metadata, "spec": spec });
        let body = of(
            &json!({ "metadata": { "name": "web", "uid": "u" }, "spec": { "template": template } }),
        );
        let metadata = json!({ "generateName": "mesh-probe-", "labels": { "app": "web" }, "annotations": { "a": "b" } });
        assert_eq!(body["metadata"], metadata);
        assert_eq!(body["spec"], spec);
        let bare = of(&json!({ "spec": { "template": { "spec": {} } } }));
        assert_eq!(bare["metadata"]["labels"], json!({}));
    }

    #[test]
    fn the_claims_of_a_stateful_set_are_volumes_of_its_pod() {
        let volumes =
            json!([{ "name": "data", "emptyDir": {} }, { "name": "tmp", "emptyDir": {} }]);
        let claims = json!([{ "metadata": { "name": "data" } }]);
        let set = json!({ "metadata": { "name": "db" }, "spec": {
            "volumeClaimTemplates": claims, "template": { "spec": { "volumes": volumes } } } });
        let claim =
            json!({ "name": "data", "persistentVolumeClaim": { "claimName": "data-db-0" } });
        let expected = json!([{ "name": "tmp", "emptyDir": {} }, claim]);
        assert_eq!(of(&set)["spec"]["volumes"], expected);
    }
}
