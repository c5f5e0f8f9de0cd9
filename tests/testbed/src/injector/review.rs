//! Answers one admission review.

use std::sync::Arc;

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use serde_json::{Map, Value, json};

use super::{
    inject::{self, Mesh},
    owner::Owners,
};

/// The answer to an `AdmissionReview` of version 1.
pub(super) async fn review(
    client: &Client,
    owners: &Owners,
    mesh: Option<Arc<Mesh>>,
    body: &[u8],
) -> anyhow::Result<Vec<u8>> {
    let review: Value = serde_json::from_slice(body).context("reading the admission review")?;
    let request = &review["request"];
    let mut response = match decide(client, owners, mesh, request).await {
        Ok(Some(patch)) => {
            json!({ "allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(patch.to_string()) })
        }
        Ok(None) => json!({ "allowed": true }),
        // If the injector fails, the pod is refused, whatever the failure policy.
        Err(error) => json!({ "allowed": false, "status": { "message": format!("{error:#}") } }),
    };
    response["uid"] = request["uid"].clone();
    let answer =
        json!({ "apiVersion": review["apiVersion"], "kind": review["kind"], "response": response });
    Ok(answer.to_string().into_bytes())
}

async fn decide(
    client: &Client,
    owners: &Owners,
    mesh: Option<Arc<Mesh>>,
    request: &Value,
) -> anyhow::Result<Option<Value>> {
    if request["kind"]["kind"] != "Pod" {
        return Ok(None);
    }
    let mesh = mesh.context("the control plane has no configuration")?;
    let (pod, namespace) = (
        &request["object"],
        request["namespace"].as_str().unwrap_or_default(),
    );
    let annotations = namespace_annotations(client, namespace).await?;
    let owner = owners
        .of(client, namespace, pod)
        .await
        .context("looking up the pod's owner")?;
    let asked = inject::Request {
        pod,
        namespace,
        namespace_annotations: &annotations,
        owner: owner.as_ref(),
    };
    Ok(inject::inject(&asked, &mesh).ok())
}

async fn namespace_annotations(client: &Client, name: &str) -> anyhow::Result<Map<String, Value>> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = namespaces
        .get(name)
        .await
        .with_context(|| format!("reading namespace {name}"))?;
    let annotations = namespace.metadata.annotations.unwrap_or_default();
    Ok(annotations
        .into_iter()
        .map(|(key, value)| (key, value.into()))
        .collect())
}
