//! Runs the same tests on the lab and on real servers. Where the two differ, the lab is wrong.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod admission;
mod budgets;
mod kubectl;
mod lists;
mod mesh;
mod patches;
mod rollouts;
mod sets;
mod watches;
mod writes;

use std::sync::LazyLock;

use mesh_testbed::{Ask, Bed};
use serde_json::{Value, json};

static REAL: LazyLock<Option<Bed>> = LazyLock::new(Bed::for_test);

/// Runs a property on its own lab; fails on unsupported requests.
#[track_caller]
fn on_lab(property: fn(&Server<'_>)) {
    let bed = Bed::lab().unwrap();
    property(&Server { bed: &bed });
    let unknown = bed.as_lab().unwrap().unknown();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// Runs a property on the shared real bed.
fn on_real(property: fn(&Server<'_>)) {
    if let Some(bed) = REAL.as_ref() {
        property(&Server { bed });
    }
}

/// Runs a property on its own real bed.
fn on_real_alone(property: fn(&Server<'_>)) {
    if let Some(bed) = Bed::for_test() {
        property(&Server { bed: &bed });
    }
}

/// Registers properties that change the whole cluster, each on its own bed.
macro_rules! on_both_alone {
    ($($property:ident),* $(,)?) => {
        mod lab { $(#[test] fn $property() { $crate::on_lab(super::$property); })* }
        mod real { $(#[test] fn $property() { $crate::on_real_alone(super::$property); })* }
    };
}
use on_both_alone;

/// Registers each property for both beds.
macro_rules! on_both {
    ($($property:ident),* $(,)?) => {
        mod lab { $(#[test] fn $property() { $crate::on_lab(super::$property); })* }
        mod real { $(#[test] fn $property() { $crate::on_real(super::$property); })* }
    };
}
use on_both;

struct Server<'a> {
    bed: &'a Bed,
}

impl Server<'_> {
    fn send(&self, method: &str, path: &str, form: &str, body: &Value) -> (u16, Value) {
        let ask = Ask {
            method,
            path,
            form,
            body,
        };
        self.bed.ask(ask).unwrap()
    }

    fn ask(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, "application/json", &Value::Null)
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        ok(self.ask(path), path)
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send("POST", path, "application/json", body)
    }

    #[track_caller]
    fn create(&self, path: &str, body: &Value) -> Value {
        ok(self.post(path, body), path)
    }

    fn merge(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send("PATCH", path, "application/merge-patch+json", body)
    }

    #[track_caller]
    fn patch(&self, path: &str, body: &Value) -> Value {
        ok(self.merge(path, body), path)
    }

    fn delete(&self, path: &str, options: &Value) -> (u16, Value) {
        self.send("DELETE", path, "application/json", options)
    }

    /// Returns the events of a watch up to the first for which `last` is true.
    #[track_caller]
    fn until(&self, path: &str, last: impl Fn(&Value) -> bool) -> Vec<Value> {
        let sign = if path.contains('?') { '&' } else { '?' };
        let watch = format!("{path}{sign}watch=true&timeoutSeconds=60");
        let events = self
            .bed
            .events(&watch, |events| events.iter().any(&last))
            .unwrap();
        assert!(
            events.iter().any(&last),
            "{path}: in vain: {:?}",
            events.last()
        );
        events
    }

    /// Returns the names in a list, in order.
    fn names(&self, path: &str) -> Vec<String> {
        names(&self.get(path))
    }

    /// Creates a namespace.
    fn home(&self, name: &str) {
        self.bed.namespace(name, &[]).unwrap();
    }
}

#[track_caller]
fn ok((code, body): (u16, Value), path: &str) -> Value {
    assert!((200..300).contains(&code), "{path}: {code}: {body}");
    body
}

fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|item| text(item, "/metadata/name").to_owned())
        .collect()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn count(value: &Value, pointer: &str) -> i64 {
    value
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

fn version(value: &Value) -> u64 {
    text(value, "/metadata/resourceVersion").parse().unwrap()
}

fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let conditions = object["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten();
    conditions
        .into_iter()
        .find(|one| one["type"] == kind)
        .unwrap_or(&Value::Null)
}

fn path(api: &str, namespace: &str, rest: &str) -> String {
    format!("{api}/namespaces/{namespace}/{rest}")
}

fn core(namespace: &str, rest: &str) -> String {
    path("/api/v1", namespace, rest)
}

fn apps(namespace: &str, rest: &str) -> String {
    path("/apis/apps/v1", namespace, rest)
}

fn map(name: &str, labels: &Value) -> Value {
    json!({ "metadata": { "name": name, "labels": labels } })
}

fn template(app: &str) -> Value {
    let container = json!({ "name": "app", "image": "registry.test/app:1" });
    json!({ "metadata": { "labels": { "app": app } }, "spec": { "containers": [container] } })
}

/// Makes a workload of any kind with a selector and a template; `more` is added to its spec.
fn workload(name: &str, more: &Value) -> Value {
    let selector = json!({ "matchLabels": { "app": name } });
    let mut spec = json!({ "selector": selector, "template": template(name) });
    for (field, value) in more.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    json!({ "metadata": { "name": name }, "spec": spec })
}

fn pod(name: &str) -> Value {
    let mut pod = template(name);
    pod["metadata"]["name"] = name.into();
    pod
}

/// Makes the patch that restarts a workload.
fn restart() -> Value {
    json!({ "spec": { "template": { "metadata": { "annotations": { "at": "now" } } } } })
}

fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready")["status"] == "True"
}

fn is_going(pod: &Value) -> bool {
    !pod["metadata"]["deletionTimestamp"].is_null()
}
