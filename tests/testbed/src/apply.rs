//! Applies manifests over the API, as kubectl would.

use anyhow::Context as _;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
};
use serde::Deserialize as _;
use serde_json::Value;

use crate::bed::Bed;

/// The kinds without a namespace.
const CLUSTER_WIDE: [&str; 7] = [
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "ValidatingWebhookConfiguration",
];
const MANAGER: &str = "testbed";

impl Bed {
    /// Applies manifests without kubectl.
    pub(crate) fn apply_over_the_api(&self, manifests: &str) -> anyhow::Result<()> {
        self.block_on(apply(&self.client, manifests))
    }

    pub(crate) fn apply_one(&self, manifest: &Value) -> anyhow::Result<()> {
        self.block_on(apply_one(&self.client, manifest))
    }
}

/// Applies manifests as kubectl does, YAML or JSON.
pub(crate) async fn apply(client: &Client, manifests: &str) -> anyhow::Result<()> {
    for document in serde_norway::Deserializer::from_str(manifests) {
        let manifest = Value::deserialize(document).context("reading a manifest")?;
        match manifest["items"].as_array() {
            Some(items) if manifest["kind"] == "List" => {
                for item in items {
                    apply_one(client, item).await?;
                }
            }
            Some(_) | None if manifest.is_null() => {}
            Some(_) | None => apply_one(client, &manifest).await?,
        }
    }
    Ok(())
}

async fn apply_one(client: &Client, manifest: &Value) -> anyhow::Result<()> {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str);
    let kind = text("/kind").context("the manifest has no kind")?;
    let name = text("/metadata/name").context("the manifest has no name")?;
    let version = text("/apiVersion").context("the manifest has no apiVersion")?;
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> = if CLUSTER_WIDE.contains(&kind) {
        Api::all_with(client.clone(), &resource)
    } else {
        let namespace = text("/metadata/namespace").unwrap_or("default");
        Api::namespaced_with(client.clone(), namespace, &resource)
    };
    let params = PatchParams::apply(MANAGER).force();
    let applied = api.patch(name, &params, &Patch::Apply(manifest)).await;
    applied
        .map(drop)
        .with_context(|| format!("applying the {kind} {name}"))
}
