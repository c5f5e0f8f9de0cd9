//! Turns what a client sends into a stored object.

use serde_json::{Value, json};

use crate::{
    kind::{Key, Kind},
    object::{count, fresh_uid, name, now, stamp, suffix, text},
    refusal::Refusal,
};

/// Fields that would change an object's behaviour but that the lab does not support.
const UNSUPPORTED: &str = "/metadata/finalizers /stringData \
    /spec/minReadySeconds /spec/podManagementPolicy /spec/progressDeadlineSeconds \
    /spec/suspend /spec/unhealthyPodEvictionPolicy \
    /spec/updateStrategy/rollingUpdate/maxSurge /spec/updateStrategy/rollingUpdate/partition";

/// Makes a new object from a client's create.
pub(crate) fn object(kind: Kind, namespace: &str, body: &Value) -> Result<(Key, Value), Refusal> {
    let mut object = body.clone();
    let prefix = text(body, "/metadata/generateName");
    if name(body).is_empty() && !prefix.is_empty() {
        object["metadata"]["name"] = format!("{prefix}{}", suffix()).into();
    }
    let key = Key::new(kind, namespace, name(&object));
    if key.name.is_empty() {
        let message = "metadata.name: Required value";
        return Err(Refusal::new(422, "Invalid", message));
    }
    object["kind"] = kind.name().into();
    object["apiVersion"] = kind.api_version().into();
    object["status"] = Value::Null;
    let meta = &mut object["metadata"];
    meta["uid"] = fresh_uid().into();
    meta["creationTimestamp"] = stamp(now());
    meta["namespace"] = Some(namespace).filter(|_| kind.is_namespaced()).into();
    meta["generation"] = Some(1).filter(|_| kind.has_generation()).into();
    let object = filled(&key, &object)?;
    Ok((key, object))
}

/// Makes the next state of an object from a client's update.
pub(crate) fn changed(key: &Key, old: &Value, mut new: Value) -> Result<Value, Refusal> {
    let mut meta = old["metadata"].clone();
    for field in ["labels", "annotations", "ownerReferences", "finalizers"] {
        meta[field] = new["metadata"][field].take();
    }
    new["metadata"] = meta;
    for field in ["kind", "apiVersion"] {
        new[field] = old[field].clone();
    }
    let mut new = filled(key, &new)?;
    let differs = |pointer: &str| new.pointer(pointer) != old.pointer(pointer);
    // A change of a Deployment's annotations also raises its generation, unless its controller
    // makes the change.
    let noted = key.kind == Kind::Deployment && differs("/metadata/annotations");
    let noted = noted && !differs("/status");
    if key.kind.has_generation() && (noted || differs("/spec") || differs("/webhooks")) {
        let generation = count(old, "/metadata/generation");
        new["metadata"]["generation"] = (generation + 1).into();
    }
    Ok(new)
}

/// Adds defaults that clients need, removes nulls, and refuses fields that the lab does not
/// support.
fn filled(key: &Key, object: &Value) -> Result<Value, Refusal> {
    let unset = [json!(null), json!(0), json!(false), json!([])];
    let is_set = |value: &Value| !unset.contains(value);
    let mut unsupported = UNSUPPORTED.split_whitespace();
    if let Some(pointer) = unsupported.find(|pointer| object.pointer(pointer).is_some_and(is_set)) {
        return Err(Refusal::unsupported(format!("{pointer} in {key}")));
    }
    let (mut clean, mut filled) = (Value::Null, defaults(key, object));
    json_patch::merge(&mut clean, object);
    json_patch::merge(&mut filled, &clean);
    Ok(filled)
}

fn defaults(key: &Key, object: &Value) -> Value {
    let rolls = |strategy: &str, how: Value| match text(&object["spec"][strategy], "/type") {
        "" | "RollingUpdate" => json!({ "type": "RollingUpdate", "rollingUpdate": how }),
        _ => json!({}),
    };
    let pod = json!({
        "restartPolicy": "Always", "serviceAccountName": "default",
        "terminationGracePeriodSeconds": 30,
    });
    let template = json!({ "spec": pod });
    match key.kind.plural() {
        "namespaces" => {
            let labels = json!({ "kubernetes.io/metadata.name": key.name });
            json!({ "metadata": { "labels": labels } })
        }
        "pods" => json!({ "spec": pod, "status": { "phase": "Pending" } }),
        // Nothing connects to this address, so all Services have the same.
        "services" => json!({ "spec": { "clusterIP": "10.96.0.10", "type": "ClusterIP" } }),
        "replicasets" => json!({ "spec": { "replicas": 1, "template": template } }),
        "deployments" => {
            let how = json!({ "maxSurge": "25%", "maxUnavailable": "25%" });
            let strategy = rolls("strategy", how);
            json!({ "spec": { "replicas": 1, "strategy": strategy, "template": template } })
        }
        "statefulsets" => {
            let strategy = rolls("updateStrategy", json!({ "partition": 0 }));
            json!({ "spec": { "replicas": 1, "updateStrategy": strategy, "template": template } })
        }
        "daemonsets" => {
            let how = json!({ "maxSurge": 0, "maxUnavailable": 1 });
            let strategy = rolls("updateStrategy", how);
            json!({ "spec": { "updateStrategy": strategy, "template": template } })
        }
        "jobs" => json!({ "spec": { "completions": 1, "parallelism": 1, "template": template } }),
        _ => json!({}),
    }
}
