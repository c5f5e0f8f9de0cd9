//! Reads the optional objects of control planes: without them some rules cannot be decided.

use mesh_cluster::control_plane::DEFINITIONS;
use mesh_cluster::control_plane::issuer::{IssuerSecret, SECRETS};
use mesh_cluster::object::label;
use mesh_cluster::wire::page::Selection;
use serde_json::json;

use super::ask::{Ask, Blocked};
use crate::plane::Objects;
use crate::plane::parts::{
    Definition, NODES, WEBHOOKS, WebhookConfiguration, is_of_interest, ready_endpoints,
};

/// Objects and facts that the control planes of a cluster share.
pub(super) struct SharedParts {
    webhooks: Option<Vec<WebhookConfiguration>>,
    definitions: Option<Vec<Definition>>,
    arm32_nodes: Option<usize>,
    kubernetes: Option<String>,
}

/// The label of 32-bit ARM nodes: proxies for them are not built since edge-25.8.1.
const ARM32: &str = "kubernetes.io/arch=arm";
/// A definition of Buoyant's operator.
const OPERATED: &str = "controlplanes.linkerd.buoyant.io";

/// Reads what the control planes of a cluster share.
pub(super) async fn shared_parts(ask: &mut Ask<'_>) -> Result<SharedParts, Blocked> {
    let webhooks = webhooks(ask).await?;
    let definitions = definitions(ask).await?;
    let selection = Selection {
        namespace: None,
        labels: Some(ARM32),
    };
    let nodes = ask.optional_metadata(&NODES, selection).await?;
    Ok(SharedParts {
        webhooks,
        definitions,
        arm32_nodes: nodes.map(|nodes| nodes.len()),
        kubernetes: ask.kubernetes().await?,
    })
}

/// Reads what belongs to one control plane.
pub(super) async fn own_parts(ask: &mut Ask<'_>, plane: &mut Objects) -> Result<(), Blocked> {
    let namespace = Some(plane.namespace.as_str());
    let issuer = ask
        .optional_object::<IssuerSecret>(&SECRETS, namespace, label::ISSUER)
        .await?;
    let selection = Selection {
        namespace,
        labels: None,
    };
    let slices = ask.optional_list(selection).await?;
    if slices
        .as_deref()
        .is_some_and(|slices| ready_endpoints(slices, label::INJECTOR) > 0)
    {
        plane.answers = ask.answers(&plane.namespace, label::INJECTOR).await?;
    }
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

// === impl SharedParts ===

impl SharedParts {
    /// Adds the shared objects and facts to a control plane.
    pub(super) fn give(&self, plane: &mut Objects) {
        let operates = |it: &Definition| it.meta.name == OPERATED;
        plane.operator |= self.definitions.iter().flatten().any(operates);
        plane.webhooks.clone_from(&self.webhooks);
        plane.definitions.clone_from(&self.definitions);
        plane.kubernetes.clone_from(&self.kubernetes);
        let nodes = self
            .arm32_nodes
            .map(|count| ("arm32_nodes".to_owned(), json!(count)));
        plane.facts.extend(nodes);
    }
}
