//! The control plane's objects in the cluster, found by their label: before it is rendered, nothing
//! else names them.

use mesh_cluster::control_plane::issuer::SECRETS;
use mesh_cluster::object::Resource;
use mesh_cluster::{Cluster, Error, Kinds, Selection, label};
use serde_json::{Map, Value};

/// Where the objects of a kind are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Namespace,
    Cluster,
}

/// The kinds of a control plane's objects.
pub(crate) const KINDS: [(Resource, Place); 14] = [
    (kind("", "namespaces", "Namespace"), Place::Cluster),
    (
        kind("", "serviceaccounts", "ServiceAccount"),
        Place::Namespace,
    ),
    (SECRETS, Place::Namespace),
    (kind("", "configmaps", "ConfigMap"), Place::Namespace),
    (kind("", "services", "Service"), Place::Namespace),
    (kind("apps", "deployments", "Deployment"), Place::Namespace),
    (kind("batch", "cronjobs", "CronJob"), Place::Namespace),
    (
        kind("policy", "poddisruptionbudgets", "PodDisruptionBudget"),
        Place::Namespace,
    ),
    (kind(RBAC, "roles", "Role"), Place::Namespace),
    (kind(RBAC, "rolebindings", "RoleBinding"), Place::Namespace),
    (kind(RBAC, "clusterroles", "ClusterRole"), Place::Cluster),
    (
        kind(RBAC, "clusterrolebindings", "ClusterRoleBinding"),
        Place::Cluster,
    ),
    (
        kind(
            ADMISSION,
            "mutatingwebhookconfigurations",
            "MutatingWebhookConfiguration",
        ),
        Place::Cluster,
    ),
    (
        kind(
            ADMISSION,
            "validatingwebhookconfigurations",
            "ValidatingWebhookConfiguration",
        ),
        Place::Cluster,
    ),
];

const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";

const fn kind(group: &'static str, plural: &'static str, kind: &'static str) -> Resource {
    Resource {
        group,
        version: "v1",
        plural,
        kind,
    }
}

/// Reads the objects of a kind that belong to the control plane in `namespace`.
pub(crate) async fn labelled(
    cluster: &Cluster,
    kinds: &mut Kinds,
    namespace: &str,
    kind: Resource,
    place: Place,
) -> Result<Vec<Value>, Error> {
    let Resource { group, version, .. } = kind;
    let version = format!("{group}/{version}");
    let version = version.trim_start_matches('/');
    // Not every API server has every kind.
    if cluster.kind(kinds, version, kind.kind).await?.is_none() {
        return Ok(Vec::new());
    }
    let labels = format!("{}={namespace}", label::CONTROL_PLANE_NS);
    let selection = Selection {
        namespace: match place {
            Place::Namespace => Some(namespace),
            Place::Cluster => None,
        },
        labels: Some(&labels),
    };
    let items = cluster.pages_as::<Map<String, Value>>(kind, selection);
    let items = items.all().await?;
    // The items of a list do not say their kind.
    let whole = |mut item: Map<String, Value>| {
        item.insert("apiVersion".to_owned(), version.into());
        item.insert("kind".to_owned(), kind.kind.into());
        Value::Object(item)
    };
    Ok(items.into_iter().map(whole).collect())
}
