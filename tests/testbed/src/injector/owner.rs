//! Finds the owner of a pod for the injector's labels.

use std::{collections::HashMap, sync::Mutex};

use kube::{
    Api, Client,
    api::DynamicObject,
    core::{ApiResource, GroupVersionKind},
};
use serde_json::Value;

use super::inject::Owner;
use crate::lock::lock;

/// Looks up owners and caches them, because an object's owner never changes.
#[derive(Default)]
pub(super) struct Owners {
    known: Mutex<HashMap<String, Option<Owner>>>,
}

impl Owners {
    pub(super) async fn of(
        &self,
        client: &Client,
        namespace: &str,
        pod: &Value,
    ) -> anyhow::Result<Option<Owner>> {
        let Some(reference) = single(&pod["metadata"]["ownerReferences"]) else {
            return Ok(None);
        };
        let uid = reference["uid"].as_str().unwrap_or_default();
        if let Some(known) = lock(&self.known).get(uid) {
            return Ok(known.clone());
        }
        let owner = look_up(client, namespace, reference).await?;
        lock(&self.known).insert(uid.to_owned(), owner.clone());
        Ok(owner)
    }
}

async fn look_up(
    client: &Client,
    namespace: &str,
    reference: &Value,
) -> anyhow::Result<Option<Owner>> {
    let text = |key: &str| reference[key].as_str().unwrap_or_default();
    let (kind, name) = (text("kind"), text("name"));
    if !matches!(kind, "ReplicaSet" | "Job") {
        return Ok(label_kind(kind).map(|kind| Owner {
            kind,
            name: name.to_owned(),
        }));
    }
    let (group, version) = text("apiVersion")
        .split_once('/')
        .unwrap_or(("", text("apiVersion")));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let objects: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let object = objects.get(name).await?;
    let parents = serde_json::to_value(&object.metadata.owner_references)?;
    Ok(labelled(kind, name, single(&parents)))
}

/// Returns the owner to put on the label. If the parent is not a kind with a label, the ReplicaSet
/// itself is the owner; a CronJob gives no label at all.
fn labelled(kind: &str, name: &str, parent: Option<&Value>) -> Option<Owner> {
    let of_parent =
        parent.and_then(|parent| Some((parent["kind"].as_str()?, parent["name"].as_str()?)));
    match of_parent {
        Some(("CronJob", _)) => None,
        Some((parent @ ("Deployment" | "StatefulSet" | "DaemonSet" | "Job"), name)) => {
            label_kind(parent).map(|kind| Owner {
                kind,
                name: name.to_owned(),
            })
        }
        Some(_) | None => label_kind(kind).map(|kind| Owner {
            kind,
            name: name.to_owned(),
        }),
    }
}

fn single(references: &Value) -> Option<&Value> {
    match references.as_array()?.as_slice() {
        [one] => Some(one),
        [] | [_, ..] => None,
    }
}

fn label_kind(kind: &str) -> Option<&'static str> {
    match kind {
        "Deployment" => Some("deployment"),
        "ReplicationController" => Some("replicationcontroller"),
        "ReplicaSet" => Some("replicaset"),
        "Job" => Some("job"),
        "DaemonSet" => Some("daemonset"),
        "StatefulSet" => Some("statefulset"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_parent_that_the_mesh_does_not_know_leaves_the_replica_set() {
        for (kind, parent, wanted) in [
            (
                "ReplicaSet",
                json!({ "kind": "Deployment", "name": "web" }),
                Some(("deployment", "web")),
            ),
            (
                "ReplicaSet",
                json!({ "kind": "Rollout", "name": "web" }),
                Some(("replicaset", "mine")),
            ),
            ("ReplicaSet", Value::Null, Some(("replicaset", "mine"))),
            ("Job", Value::Null, Some(("job", "mine"))),
            ("Job", json!({ "kind": "CronJob", "name": "nightly" }), None),
        ] {
            let got = labelled(kind, "mine", Some(&parent));
            assert_eq!(
                got.as_ref().map(|owner| (owner.kind, owner.name.as_str())),
                wanted,
                "{kind} of {parent}"
            );
        }
    }
}
