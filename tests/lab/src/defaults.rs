//! What the API server adds to objects: the defaults that a client of the lab could miss.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{object, resource::Resource};

pub(crate) fn fill(resource: &Resource, object: &mut Value) {
    let defaults = defaults(resource, object);
    add(object, &defaults);
    if let Some((strategy, rolling)) = rolling(resource)
        && let Some(strategy) = object.pointer_mut(strategy)
        && strategy["type"] == "RollingUpdate"
    {
        add(strategy, &json!({ "rollingUpdate": rolling }));
    }
    for webhook in object["webhooks"].as_array_mut().into_iter().flatten() {
        add(
            webhook,
            &json!({ "failurePolicy": "Fail", "timeoutSeconds": 10 }),
        );
    }
    if let Some(template) = object.pointer_mut("/spec/template/spec") {
        add(template, &of_pod());
    }
    encode(object);
    drop_empty_maps(object);
}

fn defaults(resource: &Resource, object: &Value) -> Value {
    let (name, uid) = (object::name(object), object::uid(object));
    match resource.plural {
        "namespaces" => {
            json!({ "metadata": { "labels": { "kubernetes.io/metadata.name": name } } })
        }
        "pods" => json!({ "spec": of_pod() }),
        "services" => json!({ "spec": { "clusterIP": address(uid), "type": "ClusterIP" } }),
        "replicasets" => json!({ "spec": { "replicas": 1 } }),
        "deployments" => json!({ "spec": {
            "replicas": 1, "progressDeadlineSeconds": 600, "revisionHistoryLimit": 10,
            "strategy": { "type": "RollingUpdate" },
        } }),
        "statefulsets" => json!({ "spec": {
            "replicas": 1, "podManagementPolicy": "OrderedReady",
            "updateStrategy": { "type": "RollingUpdate" },
        } }),
        "daemonsets" => json!({ "spec": { "updateStrategy": { "type": "RollingUpdate" } } }),
        "jobs" => {
            let labels = json!({
                "batch.kubernetes.io/controller-uid": uid, "controller-uid": uid,
                "batch.kubernetes.io/job-name": name, "job-name": name,
            });
            json!({ "spec": {
                "completions": 1, "parallelism": 1, "backoffLimit": 6,
                "selector": { "matchLabels": { "batch.kubernetes.io/controller-uid": uid } },
                "template": { "metadata": { "labels": labels } },
            } })
        }
        _ => json!({}),
    }
}

/// Where a kind says how it rolls, and what it says unless told otherwise.
fn rolling(resource: &Resource) -> Option<(&'static str, Value)> {
    match resource.plural {
        "deployments" => Some((
            "/spec/strategy",
            json!({ "maxSurge": "25%", "maxUnavailable": "25%" }),
        )),
        "statefulsets" => Some(("/spec/updateStrategy", json!({ "partition": 0 }))),
        "daemonsets" => Some((
            "/spec/updateStrategy",
            json!({ "maxSurge": 0, "maxUnavailable": 1 }),
        )),
        _ => None,
    }
}

fn of_pod() -> Value {
    json!({ "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "serviceAccountName": "default" })
}

/// An address for a Service; two may share one, for nothing is reached by it.
fn address(uid: &str) -> String {
    let mix = |sum: u16, byte: u8| sum.wrapping_mul(31).wrapping_add(byte.into());
    let [a, b] = uid.bytes().fold(0, mix).to_be_bytes();
    format!("10.96.{a}.{b}")
}

/// Adds what is not there.
fn add(object: &mut Value, defaults: &Value) {
    let (Some(object), Some(defaults)) = (object.as_object_mut(), defaults.as_object()) else {
        return;
    };
    for (field, value) in defaults {
        let present = object.entry(field.clone()).or_insert(Value::Null);
        if present.is_null() {
            value.clone_into(present);
        } else {
            add(present, value);
        }
    }
}

fn encode(object: &mut Value) {
    let texts = object
        .as_object_mut()
        .and_then(|object| object.remove("stringData"));
    for (key, text) in texts
        .as_ref()
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        object["data"][key] = STANDARD.encode(text.as_str().unwrap_or_default()).into();
    }
}

/// The API does not write empty maps, so they are no difference either.
fn drop_empty_maps(object: &mut Value) {
    for meta in ["/metadata", "/spec/template/metadata"] {
        let meta = object.pointer_mut(meta).and_then(Value::as_object_mut);
        if let Some(meta) = meta {
            meta.retain(|_, value| value.as_object().is_none_or(|map| !map.is_empty()));
        }
    }
}
