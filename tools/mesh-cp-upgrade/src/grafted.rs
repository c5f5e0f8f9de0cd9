//! An object as it is after it was applied: what others set beside it stays. Pure.

use serde_json::{Value, json};

use crate::by_hand::{Managed, Step};

/// Returns `wanted` with what the `foreign` managers own of the object in the cluster and `wanted`
/// lacks.
pub(crate) fn grafted(wanted: &Value, live: &Value, foreign: &[Managed]) -> Value {
    let mut whole = wanted.clone();
    for entry in foreign {
        graft(entry.fields(), live, &mut whole);
    }
    whole
}

fn graft(fields: &Value, live: &Value, into: &mut Value) {
    for (key, inner) in fields.as_object().into_iter().flatten() {
        let Some((step, _)) = Step::of(key) else {
            continue;
        };
        let Some(there) = step.down(live) else {
            continue;
        };
        let is_leaf = inner
            .as_object()
            .is_none_or(|inner| inner.keys().all(|it| it == "."));
        let new = match (is_leaf, there) {
            (false, Value::Object(_)) => json!({}),
            (false, Value::Array(_)) => json!([]),
            (true, _) | (_, Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
                there.clone()
            }
        };
        if let Some(place) = open(&step, into, new) {
            graft(inner, there, place);
        }
    }
}

// Returns the place one step down, and makes it if it is not there.
fn open<'a>(step: &Step, into: &'a mut Value, new: Value) -> Option<&'a mut Value> {
    match step {
        Step::Field(name) => {
            let place = into.as_object_mut()?.entry(name).or_insert(Value::Null);
            if place.is_null() {
                *place = new;
            }
            Some(place)
        }
        Step::Item(keys) => {
            let position = step.position(into);
            let items = into.as_array_mut()?;
            let position = position.unwrap_or_else(|| {
                items.push(Value::Object(keys.clone()));
                items.len().saturating_sub(1)
            });
            items.get_mut(position)
        }
        Step::Member(_) => {
            let position = step.position(into);
            let items = into.as_array_mut()?;
            let position = position.unwrap_or_else(|| {
                items.push(new);
                items.len().saturating_sub(1)
            });
            items.get_mut(position)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_own_stays_beside_and_what_is_wanted_counts_over_it() {
        let wanted = json!({ "spec": { "replicas": 1, "containers": [
            { "name": "a", "image": "i:2", "env": [{ "name": "LOG", "value": "warn" }] },
        ] } });
        let from = json!({ "fieldRef": { "fieldPath": "status.podIP" } });
        let live = json!({
            "metadata": { "annotations": { "mine": "x", "theirs": "y" }, "finalizers": ["f", "g"] },
            "spec": { "replicas": 3, "paused": true, "containers": [
                { "name": "a", "image": "i:hot", "env": [{ "name": "LOG", "valueFrom": from }] },
                { "name": "b", "image": "i:b", "args": ["-v"] },
            ] },
        });
        let added = json!({ ".": {}, "f:name": {}, "f:image": {}, "f:args": {} });
        let fields = json!({
            "f:metadata": {
                "f:annotations": { ".": {}, "f:mine": {} },
                "f:finalizers": { ".": {}, "v:\"g\"": {} },
            },
            "f:spec": {
                "f:replicas": {},
                "f:gone": {},
                "f:containers": {
                    "k:{\"name\":\"a\"}": {
                        "f:image": {},
                        "f:env": { "k:{\"name\":\"LOG\"}": { "f:valueFrom": {} } },
                    },
                    "k:{\"name\":\"b\"}": added,
                },
            },
        });
        let foreign: Managed =
            serde_json::from_value(json!({ "manager": "kubectl-edit", "fieldsV1": fields }))
                .unwrap();
        let expected = json!({
            "metadata": { "annotations": { "mine": "x" }, "finalizers": ["g"] },
            "spec": { "replicas": 1, "containers": [
                { "name": "a", "image": "i:2", "env": [
                    { "name": "LOG", "value": "warn", "valueFrom": from },
                ] },
                { "name": "b", "image": "i:b", "args": ["-v"] },
            ] },
        });
        assert_eq!(grafted(&wanted, &live, &[foreign]), expected);
        assert_eq!(grafted(&wanted, &live, &[]), wanted);
    }
}
