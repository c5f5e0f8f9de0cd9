//! What the lab reads of objects.

use std::{collections::hash_map::RandomState, hash::BuildHasher as _, time::Duration};

use jiff::{SignedDuration, Timestamp, Zoned};
use serde_json::Value;

/// The letters of generated names: no vowels, no words.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

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

pub(crate) fn label<'a>(object: &'a Value, key: &str) -> &'a str {
    object["metadata"]["labels"][key]
        .as_str()
        .unwrap_or_default()
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

/// The reference to whoever controls an object.
pub(crate) fn controller(object: &Value) -> Option<&Value> {
    let references = items(object, "/metadata/ownerReferences").iter();
    references
        .into_iter()
        .find(|owner| owner["controller"] == true)
}

pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = items(object, "/status/conditions").iter();
    conditions
        .into_iter()
        .find(|condition| condition["type"] == kind)
}

pub(crate) fn is_going(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

pub(crate) fn is_over(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// Whether a pod counts for its controller.
pub(crate) fn is_active(pod: &Value) -> bool {
    !is_going(pod) && !is_over(pod)
}

pub(crate) fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|ready| ready["status"] == "True")
}

/// How long until a pod has been ready for `seconds`; none for one that is not ready.
pub(crate) fn available_in(pod: &Value, seconds: i64, now: Timestamp) -> Option<Duration> {
    let ready = condition(pod, "Ready").filter(|ready| ready["status"] == "True")?;
    if seconds == 0 {
        return Some(Duration::ZERO);
    }
    let since = time(ready, "/lastTransitionTime")?;
    let left = since + SignedDuration::from_secs(seconds) - now;
    Some(Duration::try_from(left).unwrap_or(Duration::ZERO))
}

pub(crate) fn is_available(pod: &Value, seconds: i64, now: Timestamp) -> bool {
    available_in(pod, seconds, now) == Some(Duration::ZERO)
}

pub(crate) fn time(object: &Value, pointer: &str) -> Option<Timestamp> {
    text(object, pointer).parse().ok()
}

pub(crate) fn now() -> Timestamp {
    Zoned::now().timestamp()
}

/// A time as the API writes it: in whole seconds.
pub(crate) fn stamp(time: Timestamp) -> Value {
    format!("{}", time.strftime("%Y-%m-%dT%H:%M:%SZ")).into()
}

/// A count or a percentage of `total`.
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

pub(crate) fn fresh_uid() -> String {
    let (a, b) = (random(), random());
    let (c, d) = (a >> 16 & 0xffff, a & 0xfff);
    let (e, f) = (b >> 48 & 0x3fff | 0x8000, b & 0xffff_ffff_ffff);
    format!("{:08x}-{c:04x}-4{d:03x}-{e:04x}-{f:012x}", a >> 32)
}

/// The end of a generated name.
pub(crate) fn suffix() -> String {
    letters(random(), 5)
}

/// The name of a pod template, the same for equal templates.
pub(crate) fn hash(template: &Value) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in template.to_string().bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    letters(hash, 10)
}

fn random() -> u64 {
    RandomState::new().hash_one(0)
}

fn letters(mut number: u64, length: usize) -> String {
    let mut letters = String::new();
    for _ in 0..length {
        let at = usize::try_from(number % LETTERS.len() as u64).expect("it is small");
        letters.push(char::from(LETTERS[at]));
        number /= LETTERS.len() as u64;
    }
    letters
}
