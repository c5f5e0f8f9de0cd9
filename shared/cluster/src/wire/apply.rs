//! Objects of any kind, written by server-side apply.
//!
//! Server-side apply removes only what its manager owns. What `kubectl apply` wrote belongs to
//! kubectl's managers, and a container that a new version no longer has would stay. So an object
//! that kubectl applied is handed over first: kubectl's entries in `managedFields` become ours.
//! What others added, such as an autoscaler's replicas or an injected CA bundle, stays theirs, which
//! replacing the whole object would throw away.

use std::collections::BTreeMap;

use http::Method;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use crate::wire::connect::Cluster;
use crate::wire::error::{Error, Why};
use crate::wire::kinds::{Address, Kind, METADATA, Opinion};
use crate::wire::request::{JSON, MERGE};
use crate::wire::target::encode;

#[derive(Deserialize)]
struct Existing {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    resource_version: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    managed_fields: Vec<Value>,
}

const APPLY: &str = "application/apply-patch+yaml";

/// Whose fields an applied manifest's are: the managers of `kubectl apply` in both its ways, of
/// `kubectl create` and `replace`, and of whoever wrote before managers were kept.
const PREDECESSORS: [(&str, &str); 5] = [
    ("kubectl-client-side-apply", "Update"),
    ("kubectl-create", "Update"),
    ("kubectl-replace", "Update"),
    ("kubectl", "Apply"),
    ("before-first-apply", "Update"),
];

/// What a later `kubectl apply` takes for the last manifest.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// All annotations of an object together may have 256 KiB.
const LONGEST_ANNOTATION: usize = 200 * 1024;
/// A controller may write the object between our look and our word.
const ATTEMPTS: usize = 5;

impl Cluster {
    /// Reads what is there under an object's name; none if there is nothing.
    pub async fn counterpart(
        &self,
        kind: &Kind,
        object: &Value,
        default_namespace: &str,
    ) -> Result<Option<Value>, Error> {
        let address = Address::of(kind, object, default_namespace);
        self.look_at(&address, JSON).await
    }

    /// Writes `object`, so that it is what the manifest says and what others added.
    ///
    /// # Errors
    /// [`Why`] tells them apart; after one that is no answer the write may have happened. It may be
    /// repeated.
    pub async fn apply(
        &self,
        kind: &Kind,
        object: &Value,
        default_namespace: &str,
        manager: &str,
    ) -> Result<(), Error> {
        let address = Address::of(kind, object, default_namespace);
        let was_applied = self.hand_over(&address, object, manager).await?;
        let mut object = object.clone();
        if was_applied {
            remember(&mut object);
        }
        self.send_apply(&address, &object, manager, "")
            .await
            .map_err(|error| address.kept_back(error))
    }

    /// Whether the API server would let [`Cluster::apply`] through.
    ///
    /// What kubectl owns is still beside what is applied, so that the two together may not be
    /// valid; whether the object is, [`Cluster::rehearse`] says.
    pub async fn rehearse_apply(
        &self,
        kind: &Kind,
        object: &Value,
        default_namespace: &str,
        manager: &str,
    ) -> Result<Opinion, Error> {
        let address = Address::of(kind, object, default_namespace);
        match self
            .send_apply(&address, object, manager, "&dryRun=All")
            .await
        {
            Ok(()) => Ok(Opinion::Accepted),
            Err(error) if error.is_invalid() => Ok(Opinion::Accepted),
            Err(error) => address.opinion(&error).ok_or(error),
        }
    }

    // Whether it was kubectl that applied it; its next apply is to know what there is.
    async fn hand_over(
        &self,
        address: &Address<'_>,
        object: &Value,
        manager: &str,
    ) -> Result<bool, Error> {
        let version = object.get("apiVersion").and_then(Value::as_str);
        let what = format!("taking over {}", address.said());
        let mut attempt = 1;
        loop {
            let existing: Option<Existing> = self.look_at(address, METADATA).await?;
            let Some(Existing { metadata }) = existing else {
                return Ok(false);
            };
            let was_applied = metadata.annotations.contains_key(LAST_APPLIED);
            let managers = metadata.managed_fields;
            let Some(managers) = handed_over(managers, manager, version.unwrap_or_default()) else {
                return Ok(was_applied);
            };
            let version = metadata.resource_version;
            let body =
                json!({ "metadata": { "resourceVersion": version, "managedFields": managers } });
            let path = format!("{}?fieldManager={}", address.one(), encode(manager));
            let (rule, body) = (Some(address.rule("patch")), body.to_string().into_bytes());
            let sent =
                self.send::<IgnoredAny>(&what, rule, Method::PATCH, &path, MERGE, Some(body));
            match sent.await {
                Ok(_) => return Ok(was_applied),
                Err(error) if error.why() == Why::Conflict && attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(address.kept_back(error)),
            }
        }
    }

    async fn look_at<T: serde::de::DeserializeOwned>(
        &self,
        address: &Address<'_>,
        form: &str,
    ) -> Result<Option<T>, Error> {
        let what = format!("reading {}", address.said());
        let rule = Some(address.rule("get"));
        match self
            .send(&what, rule, Method::GET, &address.one(), form, None)
            .await
        {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.why() == Why::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn send_apply(
        &self,
        address: &Address<'_>,
        object: &Value,
        manager: &str,
        more: &str,
    ) -> Result<(), Error> {
        let what = format!("writing {}", address.said());
        let manager = encode(manager);
        // The manifest is what the installation is to be: whoever else set one of its fields, such
        // as somebody's `kubectl edit`, yields, as with `kubectl apply`.
        let path = format!("{}?fieldManager={manager}&force=true{more}", address.one());
        let (rule, body) = (Some(address.rule("patch")), address.body(object, None));
        self.send::<IgnoredAny>(&what, rule, Method::PATCH, &path, APPLY, Some(body))
            .await
            .map(drop)
    }
}

/// The managers of an object once `manager` has what its predecessors own; none if they own nothing.
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

// Fields are a tree of names whose leaves are empty.
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

// Without it, what this version brings and the next one drops would outlive a `kubectl apply`.
fn remember(object: &mut Value) {
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

// === impl Address ===

impl Address<'_> {
    // What the server says of a Secret may quote it.
    fn kept_back(&self, error: Error) -> Error {
        if self.kind.plural == "secrets" && matches!(error.why(), Why::Refused | Why::Broken) {
            return Error::new(error.what(), error.why(), "the API server refuses it", "");
        }
        error
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
    fn what_kubectl_applied_becomes_ours_and_what_others_set_stays_theirs() {
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
    fn what_is_ours_already_is_not_handed_over_again() {
        let ours = entry("mesh", "Apply", &json!({ "f:spec": {} }));
        let edited = entry("kubectl-edit", "Update", &json!({ "f:spec": {} }));
        let patched = entry("kubectl", "Update", &json!({ "f:spec": {} }));
        assert_eq!(handed_over(vec![ours, edited, patched], "mesh", "v1"), None);
        assert_eq!(handed_over(Vec::new(), "mesh", "v1"), None);
    }

    #[test]
    fn a_manifest_is_remembered_without_itself() {
        let manifest = json!({ "kind": "K", "metadata": { "name": "n" } });
        let mut object = manifest.clone();
        remember(&mut object);
        let said = object["metadata"]["annotations"][LAST_APPLIED]
            .as_str()
            .unwrap();
        assert_eq!(serde_json::from_str::<Value>(said).unwrap(), manifest);
    }
}
