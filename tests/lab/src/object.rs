//! Reads fields of objects, and makes up names.

use std::{
    collections::hash_map::{DefaultHasher, RandomState},
    hash::{BuildHasher as _, Hash as _, Hasher as _},
};

use jiff::{Timestamp, Zoned};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt as _};
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::kind::{Key, Kind};

pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    let found = object.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

pub(crate) fn count(object: &Value, pointer: &str) -> i64 {
    let found = object.pointer(pointer).and_then(Value::as_i64);
    found.unwrap_or_default()
}

pub(crate) fn items<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    let found = object.pointer(pointer).and_then(Value::as_array);
    found.map(Vec::as_slice).unwrap_or_default()
}

pub(crate) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

pub(crate) fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

pub(crate) fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

/// Returns the uid and the key of an object's controlling owner.
pub(crate) fn controller(object: &Value) -> Option<(&str, Key)> {
    let mut references = items(object, "/metadata/ownerReferences").iter();
    let owner = references.find(|owner| owner["controller"] == true)?;
    let kind = Kind::deserialize(&owner["kind"]).ok()?;
    let key = Key::new(kind, namespace(object), text(owner, "/name"));
    Some((text(owner, "/uid"), key))
}

pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let mut conditions = items(object, "/status/conditions").iter();
    conditions.find(|condition| condition["type"] == kind)
}

pub(crate) fn is_going(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

pub(crate) fn is_over(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// Returns true if a pod counts for its controller.
pub(crate) fn is_active(pod: &Value) -> bool {
    !is_going(pod) && !is_over(pod)
}

pub(crate) fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|ready| ready["status"] == "True")
}

/// Counts the objects for which `is` is true.
pub(crate) fn tally(objects: &[&Value], is: impl Fn(&Value) -> bool) -> i64 {
    let those = objects.iter().filter(|object| is(object));
    i64::try_from(those.count()).unwrap_or(i64::MAX)
}

/// Reads a `LabelSelector`; an absent one selects everything.
pub(crate) fn selector(selector: &Value) -> Selector {
    let selector = serde_json::from_value::<LabelSelector>(selector.clone());
    Selector::try_from(selector.unwrap_or_default()).unwrap_or_default()
}

pub(crate) fn labelled(labels: &Value) -> Selector {
    selector(&json!({ "matchLabels": labels }))
}

pub(crate) fn selects(selector: &Selector, object: &Value) -> bool {
    let labels = object["metadata"]["labels"]
        .as_object()
        .into_iter()
        .flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    selector.matches(
        &labels
            .map(|(key, value)| (key.clone(), text(value)))
            .collect(),
    )
}

/// Formats a time like the API, in whole seconds.
pub(crate) fn stamp(time: Timestamp) -> Value {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into()
}

pub(crate) fn now() -> Timestamp {
    Zoned::now().timestamp()
}

/// Reads a count, or a percentage of `total`.
pub(crate) fn share(value: &Value, total: i64, round_up: bool) -> i64 {
    let percent = value
        .as_str()
        .and_then(|text| text.strip_suffix('%')?.parse::<i64>().ok());
    match percent {
        Some(percent) if round_up => (total * percent + 99) / 100,
        Some(percent) => total * percent / 100,
        None => value.as_i64().unwrap_or_default(),
    }
}

/// Returns a hash of a pod template; equal templates have equal hashes.
pub(crate) fn hash(template: &Value) -> String {
    let mut hasher = DefaultHasher::new();
    template.hash(&mut hasher);
    format!("{:08x}", hasher.finish() >> 32)
}

pub(crate) fn fresh_uid() -> String {
    format!(
        "{:08x}-0000-4000-8000-{:012x}",
        random() >> 32,
        random() >> 16
    )
}

pub(crate) fn suffix() -> String {
    format!("{:05x}", random() >> 44)
}

fn random() -> u64 {
    RandomState::new().hash_one(0)
}
