//! Takes the fields of an object over from kubectl before it is applied.
//!
//! Server-side apply removes only what its manager owns. What `kubectl apply` wrote belongs to
//! kubectl's managers, and a container that a new version no longer has would stay. So kubectl's
//! entries in `managedFields` become those of mesh-cp-upgrade. What others added, such as an
//! autoscaler's replicas or an injected CA bundle, stays theirs, which replacing the whole object
//! would throw away.

use std::collections::BTreeMap;

use mesh_cluster::{Cluster, Error, Options, Target, Why};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use crate::by_hand::Managed;

/// The metadata of an object that is there.
#[derive(Deserialize)]
pub(crate) struct Existing {
    pub(crate) metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    pub(crate) resource_version: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    managed_fields: Vec<Value>,
}

/// The field managers whose fields become ours: those of client-side and server-side
/// `kubectl apply`, of `kubectl create` and `kubectl replace`, and of writes from before Kubernetes
/// recorded managers.
pub(crate) const PREDECESSORS: [(&str, &str); 5] = [
    ("kubectl-client-side-apply", "Update"),
    ("kubectl-create", "Update"),
    ("kubectl-replace", "Update"),
    ("kubectl", "Apply"),
    ("before-first-apply", "Update"),
];

/// The annotation that a later `kubectl apply` reads as the last applied manifest.
pub(crate) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The annotations of an object may have 256 KiB in total, so this leaves room for others.
const LONGEST_ANNOTATION: usize = 200 * 1024;
/// A controller may write the object between the read and the write.
const ATTEMPTS: usize = 5;

impl Existing {
    /// Returns who set which fields.
    pub(crate) fn managed(self) -> Vec<Managed> {
        let entries = self.metadata.managed_fields.into_iter();
        entries
            .filter_map(|entry| serde_json::from_value(entry).ok())
            .collect()
    }
}

/// Gives `manager` what kubectl owns of the object at `target`, and returns whether kubectl applied
/// it: its next apply is to know what there is.
pub(crate) async fn take_over(
    cluster: &Cluster,
    target: &Target,
    api_version: &str,
    manager: &'static str,
) -> Result<bool, Error> {
    let options = Options {
        dry_run: false,
        field_manager: Some(manager),
    };
    let mut attempt = 1;
    loop {
        let metadata = match cluster.metadata::<Existing>(target).await {
            Ok(existing) => existing.metadata,
            Err(error) if error.why() == Why::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let was_applied = metadata.annotations.contains_key(LAST_APPLIED);
        let managers = handed_over(metadata.managed_fields, manager, api_version);
        let Some(managers) = managers else {
            return Ok(was_applied);
        };
        let version = metadata.resource_version;
        let body = json!({ "metadata": { "resourceVersion": version, "managedFields": managers } });
        match cluster.patch::<IgnoredAny>(target, &body, options).await {
            Ok(_) => return Ok(was_applied),
            Err(error) if error.why() == Why::Conflict && attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Returns the managers of an object after `manager` has taken the predecessors' fields, or `None`
/// if the predecessors own no fields.
fn handed_over(entries: Vec<Value>, manager: &str, api_version: &str) -> Option<Vec<Value>> {
    let is = |entry: &Value, name: &str, operation: &str| {
        entry["manager"] == name && entry["operation"] == operation
    };
    let old = |entry: &Value| {
        entry.get("subresource").is_none()
            && PREDECESSORS
                .iter()
                .any(|(name, operation)| is(entry, name, operation))
    };
    if !entries.iter().any(old) {
        return None;
    }
    let ours = |entry: &Value| old(entry) || is(entry, manager, "Apply");
    let (ours, mut rest): (Vec<Value>, Vec<Value>) = entries.into_iter().partition(ours);
    let mut fields = Map::new();
    for mut entry in ours {
        if let Value::Object(more) = entry["fieldsV1"].take() {
            unite(&mut fields, more);
        }
    }
    rest.push(json!({
        "manager": manager,
        "operation": "Apply",
        "apiVersion": api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }));
    Some(rest)
}

// `fieldsV1` is a tree of names; a leaf is an empty object.
fn unite(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (name, fields) in from {
        match (into.get_mut(&name), fields) {
            (Some(Value::Object(into)), Value::Object(from)) => unite(into, from),
            (_, fields) => {
                into.insert(name, fields);
            }
        }
    }
}

/// Writes the manifest into the annotation that `kubectl apply` reads. Without it, what this version
/// brings and the next one drops would outlive a `kubectl apply`.
pub(crate) fn remember(object: &mut Value) {
    let manifest = format!("{object}\n");
    if manifest.len() > LONGEST_ANNOTATION {
        return;
    }
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.insert(LAST_APPLIED.to_owned(), manifest.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(manager: &str, operation: &str, fields: &Value) -> Value {
        json!({ "manager": manager, "operation": operation, "apiVersion": "apps/v1",
                "fieldsType": "FieldsV1", "fieldsV1": fields })
    }

    #[test]
    fn kubectls_managed_fields_become_ours_and_those_of_others_stay() {
        let scaler = entry(
            "autoscaler",
            "Update",
            &json!({ "f:spec": { "f:replicas": {} } }),
        );
        let mut status = entry("kubectl-replace", "Update", &json!({ "f:status": {} }));
        status["subresource"] = "status".into();
        let entries = vec![
            entry(
                "kubectl-client-side-apply",
                "Update",
                &json!({ "f:spec": { "f:a": {} } }),
            ),
            scaler.clone(),
            entry(
                "mesh",
                "Apply",
                &json!({ "f:spec": { "f:b": { "f:c": {} } } }),
            ),
            entry(
                "kubectl",
                "Apply",
                &json!({ "f:spec": { "f:b": { "f:d": {} } } }),
            ),
            status.clone(),
        ];
        let all = json!({ "f:spec": { "f:a": {}, "f:b": { "f:c": {}, "f:d": {} } } });
        let after = handed_over(entries, "mesh", "apps/v1").unwrap();
        assert_eq!(after, [scaler, status, entry("mesh", "Apply", &all)]);
    }

    #[test]
    fn handed_over_returns_none_if_kubectl_owns_nothing() {
        let ours = entry("mesh", "Apply", &json!({ "f:spec": {} }));
        let edited = entry("kubectl-edit", "Update", &json!({ "f:spec": {} }));
        let patched = entry("kubectl", "Update", &json!({ "f:spec": {} }));
        assert_eq!(handed_over(vec![ours, edited, patched], "mesh", "v1"), None);
        assert_eq!(handed_over(Vec::new(), "mesh", "v1"), None);
    }

    #[test]
    fn the_last_applied_annotation_does_not_contain_itself() {
        let manifest = json!({ "kind": "K", "metadata": { "name": "n" } });
        let mut object = manifest.clone();
        remember(&mut object);
        let said = object["metadata"]["annotations"][LAST_APPLIED]
            .as_str()
            .unwrap();
        assert_eq!(serde_json::from_str::<Value>(said).unwrap(), manifest);
    }
}
