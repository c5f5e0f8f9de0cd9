//! The patch that helm sends for an object that it does not apply on the server. Pure.
//!
//! helm changes what its new manifest says and removes what its old one said and the new one does not.
//! All else stays as it is in the cluster. The items of lists are merged too, but not those of custom
//! resources: their type is not known to helm.

use mesh_cluster::object::Resource;
use serde_json::{Map, Value, json};

/// A patch of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Patch {
    /// Merges the items of lists, too.
    Lists(Value),
    /// A JSON merge patch (RFC 7386).
    Merge(Value),
}

/// The API groups whose types helm knows, besides those that have no dot in their name.
const KNOWN: [&str; 15] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

/// Its schemas name fields of other kinds.
const SCHEMAS: &str = "CustomResourceDefinition";

impl Patch {
    /// Returns what helm sends to change an object of this kind that was installed as `old` into `new`.
    pub(crate) fn new<S: AsRef<str>>(of: &Resource<S>, old: &Value, new: &Value) -> Self {
        let (group, kind) = (of.group.as_ref(), of.kind.as_ref());
        let field = "";
        match !group.contains('.') || KNOWN.contains(&group) {
            true => Self::Lists(lists(old, new, Place { kind, field })),
            false => Self::Merge(difference(old, new)),
        }
    }
}

// What helm knows of a type's fields.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// The kind of the whole object.
    kind: &'a str,
    /// The name of the field, or of the list whose item this is.
    field: &'a str,
}

impl Place<'_> {
    /// Returns the field that tells the items of a list apart; `None` for a list that is replaced.
    fn key(self) -> Option<&'static str> {
        match (self.kind, self.field) {
            (SCHEMAS, _) => None,
            ("Service", "ports") => Some("port"),
            (_, "ports") => Some("containerPort"),
            (_, "volumeMounts") => Some("mountPath"),
            (_, "volumeDevices") => Some("devicePath"),
            (_, "hostAliases") => Some("ip"),
            (_, "topologySpreadConstraints") => Some("topologyKey"),
            (_, "ownerReferences") => Some("uid"),
            ("ServiceAccount", "imagePullSecrets") => None,
            ("ServiceAccount", "secrets") => Some("name"),
            (
                _,
                "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets"
                | "resourceClaims" | "webhooks" | "matchConditions",
            ) => Some("name"),
            _ => None,
        }
    }

    /// Returns true for a map of which only what is sent stays: it says one of several ways.
    fn is_one_of(self) -> bool {
        match (self.kind, self.field) {
            (SCHEMAS, _) => false,
            (_, "volumes") | ("Deployment", "strategy") => true,
            _ => false,
        }
    }
}

const RETAINED: &str = "$retainKeys";

// Returns `new`, with what `old` has besides as removed.
fn lists<'a>(old: &'a Value, new: &'a Value, place: Place<'a>) -> Value {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => maps(old, new, place).into(),
        (_, Value::Object(new)) => maps(&Map::new(), new, place).into(),
        (old, Value::Array(new)) => match place.key() {
            Some(key) => items(old, new, key, place).into(),
            None => Value::Array(new.clone()),
        },
        (_, new) => new.clone(),
    }
}

fn maps<'a>(
    old: &'a Map<String, Value>,
    new: &'a Map<String, Value>,
    place: Place<'a>,
) -> Map<String, Value> {
    let mut patch = Map::new();
    for (field, value) in new {
        let inner = Place {
            field: field.as_str(),
            ..place
        };
        let before = old.get(field).unwrap_or(&Value::Null);
        patch.insert(field.clone(), lists(before, value, inner));
    }
    if place.is_one_of() {
        let kept = new.iter().filter(|(_, value)| !value.is_null());
        let kept: Vec<&String> = kept.map(|(field, _)| field).collect();
        patch.insert(RETAINED.to_owned(), json!(kept));
        return patch;
    }
    let dropped = old.keys().filter(|field| !new.contains_key(*field));
    patch.extend(dropped.map(|field| (field.clone(), Value::Null)));
    patch
}

fn items<'a>(old: &'a Value, new: &'a [Value], key: &str, place: Place<'a>) -> Vec<Value> {
    let old = old.as_array().map_or(&[][..], Vec::as_slice);
    let find = |all: &'a [Value], item: &Value| {
        let mut all = all.iter();
        all.find(|it| it.get(key).is_some() && it.get(key) == item.get(key))
    };
    let changed = new.iter().map(|item| {
        let before = find(old, item).unwrap_or(&Value::Null);
        lists(before, item, place)
    });
    let dropped = old.iter().filter(|item| find(new, item).is_none());
    let dropped =
        dropped.filter_map(|item| Some(json!({ "$patch": "delete", key: item.get(key)? })));
    changed.chain(dropped).collect()
}

// The JSON merge patch from one to the other.
fn difference(old: &Value, new: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        return new.clone();
    };
    let mut patch = Map::new();
    for (field, value) in new {
        match old.get(field) {
            Some(before) if before == value => {}
            Some(before) => {
                patch.insert(field.clone(), difference(before, value));
            }
            None => {
                patch.insert(field.clone(), value.clone());
            }
        }
    }
    let dropped = old.keys().filter(|field| !new.contains_key(*field));
    patch.extend(dropped.map(|field| (field.clone(), Value::Null)));
    patch.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(group: &'static str, kind: &'static str) -> Resource {
        let (version, plural) = ("v1", "");
        Resource {
            group,
            version,
            plural,
            kind,
        }
    }

    fn lists_of(kind: &'static str, [old, new]: [&Value; 2]) -> Value {
        match Patch::new(&of("", kind), old, new) {
            Patch::Lists(patch) => patch,
            Patch::Merge(patch) => panic!("{patch}"),
        }
    }

    #[test]
    fn what_the_new_manifest_lacks_is_removed_and_all_that_it_has_is_sent() {
        let from = json!({ "fieldRef": { "fieldPath": "status.podIP" } });
        let old = json!({ "a": 1, "gone": { "x": 1 }, "args": ["-v"], "containers": [
            { "name": "a", "env": [{ "name": "LOG", "value": "info" }, { "name": "OLD", "value": "1" }],
              "ports": [{ "containerPort": 80, "name": "http" }, { "containerPort": 81 }] },
            { "name": "b" },
        ] });
        let new = json!({ "a": 2, "args": ["-q"], "containers": [
            { "name": "a", "env": [{ "name": "LOG", "valueFrom": from }],
              "ports": [{ "containerPort": 80 }] },
        ] });
        let expected = json!({ "a": 2, "gone": null, "args": ["-q"], "containers": [
            { "name": "a",
              "env": [
                { "name": "LOG", "valueFrom": from, "value": null },
                { "$patch": "delete", "name": "OLD" },
              ],
              "ports": [
                { "containerPort": 80, "name": null },
                { "$patch": "delete", "containerPort": 81 },
              ] },
            { "$patch": "delete", "name": "b" },
        ] });
        assert_eq!(lists_of("Deployment", [&old, &new]), expected);
    }

    #[test]
    fn a_map_that_says_one_of_several_ways_keeps_only_what_is_sent() {
        let old = json!({ "strategy": { "type": "Recreate" },
            "volumes": [{ "name": "v", "secret": {} }] });
        let new = json!({ "strategy": { "rollingUpdate": { "maxSurge": 1 } },
            "volumes": [{ "name": "v", "emptyDir": {} }] });
        let expected = json!({
            "strategy": { "$retainKeys": ["rollingUpdate"], "rollingUpdate": { "maxSurge": 1 } },
            "volumes": [{ "$retainKeys": ["name", "emptyDir"], "name": "v", "emptyDir": {} }],
        });
        let patch = lists_of("Deployment", [&old, &new]);
        let sorted = |mut patch: Value| {
            let keys = patch["volumes"][0]["$retainKeys"].as_array_mut().unwrap();
            keys.sort_by_key(Value::to_string);
            patch
        };
        assert_eq!(sorted(patch), sorted(expected));
    }

    #[test]
    fn the_ports_of_a_service_are_told_apart_by_their_own_key() {
        let old = json!({ "ports": [{ "port": 80 }, { "port": 81 }] });
        let new = json!({ "ports": [{ "port": 80 }] });
        let expected = json!({ "ports": [{ "port": 80 }, { "$patch": "delete", "port": 81 }] });
        assert_eq!(lists_of("Service", [&old, &new]), expected);
    }

    #[test]
    fn the_fields_that_a_definition_describes_are_none_of_its_own() {
        let volumes = json!({ "volumes": { "type": "array" } });
        assert_eq!(lists_of(SCHEMAS, [&json!({}), &volumes]), volumes);
    }

    #[test]
    fn of_a_custom_resource_only_what_differs_between_the_manifests_is_sent() {
        let (old, new) = (
            json!({ "a": 1, "b": [1, 2], "c": { "d": 1, "e": 2 } }),
            json!({ "a": 1, "b": [1], "c": { "d": 2 } }),
        );
        let expected = json!({ "b": [1], "c": { "d": 2, "e": null } });
        for group in ["policy.linkerd.io", "apiregistration.k8s.io"] {
            let patch = Patch::new(&of(group, "Server"), &old, &new);
            assert_eq!(patch, Patch::Merge(expected.clone()), "{group}");
        }
    }
}
