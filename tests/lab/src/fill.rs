//! What the API server adds to objects, and what it does not take.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    object::{self, fresh_uid, stamp, suffix, text},
    refusal::Refusal,
    resource::{
        BUDGETS, DAEMON_SETS, DEPLOYMENTS, JOBS, Key, MUTATING_WEBHOOKS, NAMESPACES, PODS,
        REPLICA_SETS, Resource, SERVICES, STATEFUL_SETS,
    },
    selector::Selector,
    store::Part,
};

const NO_DEADLINE: i64 = 600;

/// The part of an object whose changes count as generations.
fn spec(object: &Value) -> &Value {
    object.get("spec").unwrap_or(&object["webhooks"])
}

/// Whether a change counts. A Deployment's annotations count, too, unless its controller sets them.
pub(crate) fn is_new_generation(resource: &Resource, part: Part, new: &Value, old: &Value) -> bool {
    let annotations = |object: &Value| object["metadata"]["annotations"].clone();
    let noted =
        *resource == DEPLOYMENTS && part == Part::Main && annotations(new) != annotations(old);
    resource.has_generation() && (noted || spec(new) != spec(old))
}

/// Makes an object out of what a client sent to be created.
pub(crate) fn fresh(
    resource: &'static Resource,
    namespace: &str,
    mut object: Value,
) -> Result<(Key, Value), Refusal> {
    if !object.is_object() || !object["metadata"].is_object() {
        return Err(Refusal::bad_request("the body is no object with metadata"));
    }
    for (field, expected) in [
        ("kind", resource.kind),
        ("apiVersion", &resource.api_version()),
    ] {
        if object.get(field).is_some_and(|given| given != expected) {
            return Err(Refusal::bad_request(format!(
                "the {field} is not {expected}"
            )));
        }
        object[field] = expected.into();
    }
    let within = object::namespace(&object);
    if resource.is_namespaced() && !within.is_empty() && within != namespace {
        return Err(Refusal::bad_request(
            "the namespace of the object does not match the namespace on the request",
        ));
    }
    let generated = text(&object, "/metadata/generateName");
    if object::name(&object).is_empty() && !generated.is_empty() {
        object["metadata"]["name"] = format!("{generated}{}", suffix()).into();
    }
    let key = Key::new(resource, namespace, object::name(&object));
    let meta = &mut object["metadata"];
    meta["uid"] = fresh_uid().into();
    meta["creationTimestamp"] = stamp(object::now());
    for foreign in [
        "resourceVersion",
        "deletionTimestamp",
        "generation",
        "managedFields",
    ] {
        meta.as_object_mut().map(|meta| meta.remove(foreign));
    }
    if resource.is_namespaced() {
        meta["namespace"] = namespace.into();
    }
    if resource.has_generation() {
        meta["generation"] = 1.into();
    }
    if resource.has_status() {
        object["status"] = first_status(resource);
    }
    defaults(resource, &mut object);
    check(&key, &object, None)?;
    Ok((key, object))
}

fn first_status(resource: &Resource) -> Value {
    if *resource == PODS {
        return json!({ "phase": "Pending", "qosClass": "BestEffort" });
    }
    if *resource == NAMESPACES {
        return json!({ "phase": "Active" });
    }
    json!({})
}

/// The defaults that a client of the lab could miss.
pub(crate) fn defaults(resource: &Resource, object: &mut Value) {
    let (name, uid) = (
        object::name(object).to_owned(),
        object::uid(object).to_owned(),
    );
    let spec = &mut object["spec"];
    if *resource == PODS {
        default_pod(spec);
    } else if *resource == DEPLOYMENTS {
        default(spec, "replicas", json!(1));
        default(spec, "progressDeadlineSeconds", NO_DEADLINE.into());
        default(spec, "revisionHistoryLimit", json!(10));
        default(spec, "strategy", json!({}));
        default(&mut spec["strategy"], "type", "RollingUpdate".into());
        if spec["strategy"]["type"] == "RollingUpdate" {
            default(&mut spec["strategy"], "rollingUpdate", json!({}));
            default(
                &mut spec["strategy"]["rollingUpdate"],
                "maxSurge",
                "25%".into(),
            );
            default(
                &mut spec["strategy"]["rollingUpdate"],
                "maxUnavailable",
                "25%".into(),
            );
        }
    } else if *resource == REPLICA_SETS {
        default(spec, "replicas", json!(1));
    } else if *resource == STATEFUL_SETS {
        default(spec, "replicas", json!(1));
        default(spec, "podManagementPolicy", "OrderedReady".into());
        default_update(spec, &json!({ "partition": 0 }));
    } else if *resource == DAEMON_SETS {
        default_update(spec, &json!({ "maxUnavailable": 1, "maxSurge": 0 }));
    } else if *resource == JOBS {
        for (field, value) in [("completions", 1), ("parallelism", 1), ("backoffLimit", 6)] {
            default(spec, field, value.into());
        }
        let labels = json!({ "batch.kubernetes.io/controller-uid": uid, "controller-uid": uid,
            "batch.kubernetes.io/job-name": name, "job-name": name });
        default(
            spec,
            "selector",
            json!({ "matchLabels": { "batch.kubernetes.io/controller-uid": uid } }),
        );
        json_patch::merge(
            spec,
            &json!({ "template": { "metadata": { "labels": labels } } }),
        );
    } else if *resource == SERVICES {
        let number = uid.bytes().fold(0_u16, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(byte.into())
        });
        let [a, b] = number.to_be_bytes();
        default(spec, "clusterIP", format!("10.96.{a}.{b}").into());
        default(spec, "type", "ClusterIP".into());
    } else if *resource == NAMESPACES {
        json_patch::merge(
            object,
            &json!({ "metadata": { "labels": { "kubernetes.io/metadata.name": name } } }),
        );
    } else if *resource == MUTATING_WEBHOOKS {
        for webhook in object["webhooks"].as_array_mut().into_iter().flatten() {
            default(webhook, "failurePolicy", "Fail".into());
            default(webhook, "timeoutSeconds", json!(10));
        }
    }
    if let Some(Value::Object(texts)) = object.as_object_mut().and_then(|o| o.remove("stringData"))
    {
        for (key, text) in texts {
            object["data"][key] = STANDARD.encode(text.as_str().unwrap_or_default()).into();
        }
    }
    for meta in ["/metadata", "/spec/template/metadata"] {
        let meta = object.pointer_mut(meta).and_then(Value::as_object_mut);
        // The API does not write empty maps, so they are no difference either.
        if let Some(meta) = meta {
            meta.retain(|_, value| value.as_object().is_none_or(|map| !map.is_empty()));
        }
    }
    if let Some(template) = object.pointer_mut("/spec/template/spec") {
        default_pod(template);
    }
}

fn default_update(spec: &mut Value, rolling: &Value) {
    default(spec, "updateStrategy", json!({}));
    let strategy = &mut spec["updateStrategy"];
    default(strategy, "type", "RollingUpdate".into());
    if strategy["type"] == "RollingUpdate" {
        default(strategy, "rollingUpdate", json!({}));
        for (field, value) in rolling.as_object().into_iter().flatten() {
            default(&mut strategy["rollingUpdate"], field, value.clone());
        }
    }
}

fn default_pod(spec: &mut Value) {
    default(spec, "restartPolicy", "Always".into());
    default(spec, "terminationGracePeriodSeconds", json!(30));
    default(spec, "serviceAccountName", "default".into());
}

fn default(object: &mut Value, field: &str, value: Value) {
    if object[field].is_null() {
        object[field] = value;
    }
}

/// Refuses what the lab would otherwise take and the API server would not.
pub(crate) fn check(key: &Key, object: &Value, old: Option<&Value>) -> Result<(), Refusal> {
    let name = key.name();
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.:".contains(c);
    if name.is_empty() || name.len() > 253 || !name.chars().all(letters) {
        return Err(Refusal::invalid(
            key,
            "metadata.name: a lowercase RFC 1123 subdomain is required",
        ));
    }
    if !object::items(object, "/metadata/finalizers").is_empty() {
        return Err(Refusal::unsupported("finalizers"));
    }
    let spec = &object["spec"];
    let pod = if *key.resource == PODS {
        spec
    } else {
        &spec["template"]["spec"]
    };
    let of_pods = [
        &PODS,
        &DEPLOYMENTS,
        &REPLICA_SETS,
        &STATEFUL_SETS,
        &DAEMON_SETS,
        &JOBS,
    ];
    if of_pods.contains(&key.resource) && object::items(pod, "/containers").is_empty() {
        return Err(Refusal::invalid(key, "spec.containers: Required value"));
    }
    let selects = [&DEPLOYMENTS, &REPLICA_SETS, &STATEFUL_SETS, &DAEMON_SETS];
    if selects.contains(&key.resource) {
        let selector = Selector::of(&spec["selector"]);
        if selector.is_empty() || !selector.matches(&spec["template"]) {
            return Err(Refusal::invalid(
                key,
                "spec.template.metadata.labels: `selector` does not match template `labels`",
            ));
        }
        if old.is_some_and(|old| old["spec"]["selector"] != spec["selector"]) {
            return Err(Refusal::invalid(key, "spec.selector: field is immutable"));
        }
        let rolling = &spec["strategy"]["rollingUpdate"];
        let none = |value: &Value| *value == 0 || *value == "0%";
        if none(&rolling["maxSurge"]) && none(&rolling["maxUnavailable"]) {
            return Err(Refusal::invalid(
                key,
                "spec.strategy.rollingUpdate.maxUnavailable: may not be 0 when `maxSurge` is 0",
            ));
        }
    }
    let both = !spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null();
    if *key.resource == BUDGETS && both {
        return Err(Refusal::invalid(
            key,
            "spec: minAvailable and maxUnavailable cannot be both set",
        ));
    }
    Ok(())
}
