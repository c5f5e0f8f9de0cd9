//! Compares rendered objects with those in the cluster.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt as _, TryStreamExt as _};
use mesh_cluster::object::{Bare, Meta};
use mesh_cluster::{AT_ONCE, Cluster, Error, Kinds, Target, Why};
use serde_json::{Value, json};

use crate::anew::is_certificate;
use crate::contained::contained;
use crate::render::Manifest;

/// Returns true if a rendered object is missing in the cluster or differs there.
///
/// The webhooks' certificates are not compared, because every render makes new ones; that the webhooks
/// name those in the cluster is another question.
pub(crate) async fn differs(
    cluster: &Cluster,
    manifests: &[Manifest],
    namespace: &str,
) -> Result<bool, Error> {
    let lasting = manifests.iter().filter(|it| !is_certificate(it));
    let all = targets(cluster, lasting, namespace).await?;
    let reading = futures::stream::iter(all).map(|(manifest, target)| async move {
        let Some(target) = target else {
            return Ok(true);
        };
        let live = found(cluster.get_as::<Value>(&target)).await?;
        Ok(live.is_none_or(|live| !contained(&as_stored(&manifest.body), &live)))
    });
    let differing = reading.buffer_unordered(AT_ONCE);
    differing.try_any(std::future::ready).await
}

/// Returns the objects that are not in the cluster. Only their metadata is read.
///
/// What helm wrote is not compared further: where somebody else may change a field, such as an
/// autoscaler, every run would upgrade and restart the control plane again.
pub(crate) async fn missing(
    cluster: &Cluster,
    manifests: impl IntoIterator<Item = &Manifest>,
    namespace: &str,
) -> Result<Vec<Manifest>, Error> {
    let seen = seen(cluster, manifests, namespace).await?;
    let missing = seen.into_iter().filter(|(_, live)| live.is_none());
    Ok(missing.map(|(manifest, _)| manifest.clone()).collect())
}

/// Returns the objects of an installed release that helm would delete because `rendered` lacks them.
/// helm keeps an object in the cluster that is annotated so.
pub(crate) async fn removed(
    cluster: &Cluster,
    installed: &[Manifest],
    rendered: &[Manifest],
    namespace: &str,
) -> Result<Vec<Manifest>, Error> {
    let lacking = lacking(installed, rendered, namespace);
    let seen = seen(cluster, lacking, namespace).await?;
    let is_removed = |live: Option<Bare>| {
        let policy = live.map(|it| it.meta.annotations.get("helm.sh/resource-policy").cloned());
        policy.is_some_and(|policy| policy.as_deref() != Some("keep"))
    };
    let removed = seen
        .into_iter()
        .filter_map(|(manifest, live)| is_removed(live).then_some(manifest));
    Ok(removed.cloned().collect())
}

/// Returns those of the objects that are in the cluster, and that are there what they were.
pub(crate) async fn still(
    cluster: &Cluster,
    manifests: impl IntoIterator<Item = &Manifest>,
    namespace: &str,
    is_same: impl Fn(&Meta) -> bool,
) -> Result<Vec<Manifest>, Error> {
    let seen = seen(cluster, manifests, namespace).await?;
    let is_same = |live: &Option<Bare>| live.as_ref().is_some_and(|it| is_same(&it.meta));
    let still = seen.into_iter().filter(|(_, live)| is_same(live));
    Ok(still.map(|(manifest, _)| manifest.clone()).collect())
}

/// Returns the objects of `some` that `others` lack. A version of a kind is no object of its own.
pub(crate) fn lacking<'a>(
    some: &'a [Manifest],
    others: &[Manifest],
    namespace: &str,
) -> Vec<&'a Manifest> {
    let others: BTreeSet<_> = others.iter().map(|it| it.key(namespace)).collect();
    some.iter()
        .filter(|it| !others.contains(&it.key(namespace)))
        .collect()
}

// Returns each object with its metadata in the cluster, if it is there.
async fn seen<'a>(
    cluster: &Cluster,
    manifests: impl IntoIterator<Item = &'a Manifest>,
    namespace: &str,
) -> Result<Vec<(&'a Manifest, Option<Bare>)>, Error> {
    let all = targets(cluster, manifests, namespace).await?;
    let reading = futures::stream::iter(all).map(|(manifest, target)| async move {
        let Some(target) = target else {
            return Ok((manifest, None));
        };
        let live = found(cluster.metadata::<Bare>(&target)).await?;
        Ok((manifest, live))
    });
    reading.buffered(AT_ONCE).try_collect().await
}

/// Returns each object with its place in the API; without one where the server does not know its kind.
pub(crate) async fn targets<'a>(
    cluster: &Cluster,
    manifests: impl IntoIterator<Item = &'a Manifest>,
    namespace: &str,
) -> Result<Vec<(&'a Manifest, Option<Target>)>, Error> {
    let mut kinds = Kinds::default();
    let mut all = Vec::new();
    for manifest in manifests {
        let (version, kind) = (&manifest.api_version, &manifest.kind);
        let kind = cluster.kind(&mut kinds, version, kind).await?;
        let target = kind.map(|kind| kind.target(&manifest.body, namespace));
        all.push((manifest, target));
    }
    Ok(all)
}

/// Returns what is read, if it is there.
pub(crate) async fn found<T>(
    reading: impl Future<Output = Result<T, Error>>,
) -> Result<Option<T>, Error> {
    match reading.await {
        Ok(live) => Ok(Some(live)),
        Err(error) if error.why() == Why::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

// The API server stores `stringData` in `data`.
fn as_stored(body: &Value) -> Value {
    let mut body = body.clone();
    let Some(fields) = body.as_object_mut() else {
        return body;
    };
    if let Some(Value::Object(texts)) = fields.remove("stringData") {
        let data = fields.entry("data").or_insert_with(|| json!({}));
        for (key, text) in texts {
            let encoded = text.as_str().map(|text| STANDARD.encode(text).into());
            // The API server refuses what is no text, so nothing that is stored equals it.
            data[key] = encoded.unwrap_or(text);
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::manifests;

    #[test]
    fn as_stored_moves_string_data_into_data() {
        let body = json!({ "kind": "Secret", "stringData": { "a": "x", "c": 1 }, "data": { "b": "eQ==" } });
        let stored = json!({ "kind": "Secret", "data": { "a": "eA==", "b": "eQ==", "c": 1 } });
        assert_eq!(as_stored(&body), stored);
    }

    #[test]
    fn an_object_is_the_same_in_another_version_and_in_the_releases_own_namespace() {
        let installed = "
{apiVersion: policy/v1beta1, kind: PodDisruptionBudget, metadata: {name: a}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: b, namespace: linkerd}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: kube-system}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}}
";
        let rendered = "
{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: a, namespace: linkerd}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}
---
{apiVersion: apps.example.test/v1, kind: Deployment, metadata: {name: d}}
";
        let (installed, rendered) = (manifests(installed).unwrap(), manifests(rendered).unwrap());
        let lacking = lacking(&installed, &rendered, "linkerd");
        let names: Vec<&str> = lacking.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["c", "d"]);
    }
}
