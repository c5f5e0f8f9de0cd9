//! Compares a live object with a rendered one. Pure.

use serde_json::Value;

use crate::anew::OF_CERTIFICATES;

/// Fields that the API server sets.
const OF_SERVER: [&str; 2] = ["status", "creationTimestamp"];

/// Returns true if `live` contains all of `rendered`. The API server adds defaults and leaves out
/// empty values. A new certificate alone is no reason to write.
pub(crate) fn contained(rendered: &Value, live: &Value) -> bool {
    match (rendered, live) {
        (Value::Object(rendered), Value::Object(live)) => rendered.iter().all(|(key, value)| {
            let found = live.get(key);
            let is_new = OF_CERTIFICATES.contains(&key.as_str());
            is_new
                || OF_SERVER.contains(&key.as_str())
                || found.map_or_else(|| is_empty(value), |found| contained(value, found))
        }),
        (Value::Array(rendered), Value::Array(live)) => {
            let mut pairs = rendered.iter().zip(live);
            rendered.len() == live.len() && pairs.all(|(one, other)| contained(one, other))
        }
        (
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_),
            _,
        ) => rendered == live,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn contained_ignores_only_defaults_and_new_certificates() {
        let live = json!({
            "metadata": { "annotations": { "checksum/config": "old" } },
            "spec": { "replicas": 1, "list": [{ "name": "a", "image": "x", "policy": "Always" }] },
            "webhooks": [{ "clientConfig": { "caBundle": "old", "service": { "name": "s" } } }],
        });
        let table = [
            (json!({ "spec": { "replicas": 1 } }), true),
            (
                json!({ "spec": { "list": [{ "name": "a", "image": "x" }] } }),
                true,
            ),
            (
                json!({ "spec": { "hostNetwork": false, "volumes": [], "x": null, "y": {} } }),
                true,
            ),
            (
                json!({ "metadata": { "annotations": { "checksum/config": "new" } } }),
                true,
            ),
            (
                json!({ "webhooks": [{ "clientConfig": { "caBundle": "new" } }] }),
                true,
            ),
            (json!({ "spec": { "replicas": 3 } }), false),
            (json!({ "spec": { "list": [] } }), false),
            (
                json!({ "spec": { "list": [{ "name": "a" }, { "name": "b" }] } }),
                false,
            ),
            (
                json!({ "spec": { "list": [{ "name": "a", "image": "y" }] } }),
                false,
            ),
            (json!({ "spec": { "hostNetwork": true } }), false),
            (json!({ "metadata": { "labels": { "v": "2" } } }), false),
        ];
        for (rendered, expected) in table {
            assert_eq!(contained(&rendered, &live), expected, "{rendered}");
        }
    }
}
