//! What makes an object of what a client sends, and what is not taken.

use serde_json::{Value, json};

use crate::{
    defaults,
    object::{self, fresh_uid, stamp, suffix, text},
    refusal::Refusal,
    resource::{
        BUDGETS, DAEMON_SETS, DEPLOYMENTS, JOBS, Key, NAMESPACES, PODS, REPLICA_SETS, Resource,
        STATEFUL_SETS,
    },
    selector::Selector,
    store::Part,
};

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
    object: &Value,
) -> Result<(Key, Value), Refusal> {
    let mut object = without_nulls(object);
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
    defaults::fill(resource, &mut object);
    check(&key, &object, None)?;
    Ok((key, object))
}

/// A field that is null is one that is not there.
pub(crate) fn without_nulls(object: &Value) -> Value {
    let mut clean = Value::Null;
    json_patch::merge(&mut clean, object);
    clean
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
