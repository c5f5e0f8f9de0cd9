//! Reads the optional objects of control planes: without them some rules cannot be decided.

use mesh_cluster::control_plane::DEFINITIONS;
use mesh_cluster::control_plane::issuer::{CertificateSecret, SECRETS};
use mesh_cluster::control_plane::origin::{OPERATED, Operator};
use mesh_cluster::object::{Resource, label};
use mesh_cluster::wire::page::Selection;
use mesh_versions::Count;
use serde_json::json;

use super::ask::{Ask, Blocked};
use crate::plane::Objects;
use crate::plane::parts::{
    Definition, EXTERNAL, NODES, SPLITS, Served, WEBHOOKS, WebhookConfiguration, is_of_interest,
    operator, served,
};

/// Objects and facts that the control planes of a cluster share.
pub(super) struct SharedParts {
    webhooks: Option<Vec<WebhookConfiguration>>,
    definitions: Option<Vec<Definition>>,
    operator: Operator,
    external_workloads: Option<usize>,
    traffic_splits: Option<usize>,
    arm32_nodes: Option<usize>,
    kubernetes: Option<String>,
}

/// The label of 32-bit ARM nodes: proxies for them are not built since edge-25.8.1.
const ARM32: &str = "kubernetes.io/arch=arm";

/// Reads what the control planes of a cluster share.
pub(super) async fn shared_parts(ask: &mut Ask<'_>) -> Result<SharedParts, Blocked> {
    let webhooks = webhooks(ask).await?;
    let definitions = definitions(ask).await?;
    let operated = count(ask, &OPERATED, definitions.as_deref()).await?;
    let external_workloads = count(ask, &EXTERNAL, definitions.as_deref()).await?;
    let traffic_splits = count(ask, &SPLITS, definitions.as_deref()).await?;
    let selection = Selection {
        namespace: None,
        labels: Some(ARM32),
    };
    let arm32_nodes = ask.optional_count(&NODES, selection).await?;
    Ok(SharedParts {
        webhooks,
        definitions,
        // The operator's definition alone manages nothing: a chart may have brought it.
        operator: operator(operated),
        external_workloads,
        traffic_splits,
        arm32_nodes,
        kubernetes: ask.kubernetes.clone(),
    })
}

/// Reads what belongs to one control plane.
pub(super) async fn own_parts(ask: &mut Ask<'_>, plane: &mut Objects) -> Result<(), Blocked> {
    let namespace = Some(plane.namespace.as_str());
    let issuer = ask
        .optional_object::<CertificateSecret>(&SECRETS, namespace, label::ISSUER)
        .await?;
    let selection = Selection {
        namespace,
        labels: None,
    };
    let slices = ask.optional_list(selection, Vec::push).await?;
    let serving = ask
        .optional_object::<CertificateSecret>(&SECRETS, namespace, label::INJECTOR_TLS)
        .await?;
    plane.serving = serving.flatten();
    plane.issuer = issuer.flatten();
    plane.slices = slices;
    Ok(())
}

// Returns `None` if reading one of them is forbidden.
async fn webhooks(ask: &mut Ask<'_>) -> Result<Option<Vec<WebhookConfiguration>>, Blocked> {
    let mut webhooks = Some(Vec::new());
    for (resource, name) in &WEBHOOKS {
        match ask.optional_object(resource, None, name).await? {
            Some(found) => webhooks
                .iter_mut()
                .for_each(|all| all.extend(found.clone())),
            None => webhooks = None,
        }
    }
    Ok(webhooks)
}

// Definitions contain large schemas, so only those that an upgrade changes are read whole.
async fn definitions(ask: &mut Ask<'_>) -> Result<Option<Vec<Definition>>, Blocked> {
    let all = ask
        .optional_metadata(&DEFINITIONS, Selection::default())
        .await?;
    let Some(all) = all else {
        return Ok(None);
    };
    let names = all.into_iter().map(|definition| definition.meta.name);
    let names = names.filter(|name| is_of_interest(name)).collect();
    ask.optional_objects(&DEFINITIONS, names).await
}

// How many objects of a custom resource there are: none without its definition; `None` if that
// cannot be told.
async fn count(
    ask: &mut Ask<'_>,
    resource: &Resource,
    definitions: Option<&[Definition]>,
) -> Result<Option<usize>, Blocked> {
    match definitions.map(|all| served(all, resource)) {
        Some(Served::No) => Ok(Some(0)),
        Some(Served::Otherwise) => Ok(None),
        Some(Served::Yes) | None => ask.optional_count(resource, Selection::default()).await,
    }
}

// === impl SharedParts ===

impl SharedParts {
    /// Adds the shared objects and facts to a control plane.
    pub(super) fn give(&self, plane: &mut Objects) {
        plane.operator = self.operator;
        plane.webhooks.clone_from(&self.webhooks);
        plane.definitions.clone_from(&self.definitions);
        plane.kubernetes.clone_from(&self.kubernetes);
        let counts = [
            (Count::Arm32Nodes, self.arm32_nodes),
            (Count::ExternalWorkloads, self.external_workloads),
            (Count::TrafficSplits, self.traffic_splits),
        ];
        let known = counts.into_iter();
        let known =
            known.filter_map(|(fact, count)| Some((fact.as_str().to_owned(), json!(count?))));
        plane.facts.extend(known);
    }
}
