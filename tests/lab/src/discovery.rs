//! Discovery: the groups and the kinds of the lab, in the form that every client reads.

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use http::request::Parts;
use serde_json::{Value, json};

use crate::{kind::Kind, refusal::Refusal, request::unknown};

/// The short names of kinds that kubectl accepts.
const SHORT_NAMES: [(&str, &str); 14] = [
    ("configmaps", "cm"),
    ("cronjobs", "cj"),
    ("customresourcedefinitions", "crd"),
    ("daemonsets", "ds"),
    ("deployments", "deploy"),
    ("namespaces", "ns"),
    ("networkpolicies", "netpol"),
    ("nodes", "no"),
    ("pods", "po"),
    ("poddisruptionbudgets", "pdb"),
    ("replicasets", "rs"),
    ("serviceaccounts", "sa"),
    ("services", "svc"),
    ("statefulsets", "sts"),
];

/// The versions of the group without a name.
pub(crate) fn versions() -> Response {
    Json(json!({ "kind": "APIVersions", "versions": ["v1"] })).into_response()
}

/// The groups that have a name.
pub(crate) fn groups() -> Response {
    let mut names: Vec<&str> = Kind::all().map(Kind::group).collect();
    names.sort_unstable();
    names.dedup();
    let named = names.into_iter().filter(|name| !name.is_empty());
    let groups = named.map(|name| {
        let version = json!({ "groupVersion": format!("{name}/v1"), "version": "v1" });
        json!({ "name": name, "versions": [version], "preferredVersion": version })
    });
    let groups: Vec<Value> = groups.collect();
    Json(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })).into_response()
}

/// The kinds of a group.
pub(crate) fn kinds(parts: &Parts, group: &str, version: &str) -> Result<Response, Refusal> {
    let mut known = Kind::all().filter(|kind| kind.group() == group && version == "v1");
    let Some(first) = known.next() else {
        return Err(unknown(parts, group));
    };
    let group_version = first.api_version();
    let kinds: Vec<Value> = [first].into_iter().chain(known).map(kind).collect();
    let list = json!({
        "kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": group_version, "resources": kinds,
    });
    Ok(Json(list).into_response())
}

fn kind(kind: Kind) -> Value {
    let plural = kind.plural();
    let short = SHORT_NAMES.iter().filter(|(name, _)| *name == plural);
    let short: Vec<&str> = short.map(|(_, short)| *short).collect();
    json!({
        "name": plural,
        "singularName": kind.name().to_lowercase(),
        "kind": kind.name(),
        "namespaced": kind.is_namespaced(),
        "shortNames": short,
        "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
    })
}
