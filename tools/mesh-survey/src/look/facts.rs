//! The optional objects of control planes: without them some rules cannot tell.

use futures::stream::{StreamExt as _, TryStreamExt as _};
use mesh_records::Unseen;
use serde_json::{Value, json};

use crate::sight::{Asked, Blocked, gather, if_any, kubernetes, patient};
use mesh_cluster::control_plane::Objects;
use mesh_cluster::control_plane::parts::{
    DEFINITIONS, Definition, IssuerSecret, NODES, SECRETS, WEBHOOKS, WebhookConfiguration,
    is_of_interest, ready_endpoints,
};
use mesh_cluster::object::label;
use mesh_cluster::object::{Bare, EndpointSlice, Object as _};
use mesh_cluster::wire::connect::Cluster;
use mesh_cluster::wire::page::Selection;
use mesh_cluster::wire::request::SERVICE_PROXY;
use mesh_cluster::wire::target::Target;

/// What every control plane of a cluster shares.
#[derive(Debug, Default)]
pub(super) struct SharedObjects {
    webhooks: Option<Vec<WebhookConfiguration>>,
    definitions: Option<Vec<Definition>>,
    arm32_nodes: Option<usize>,
    kubernetes: Option<String>,
}

/// How many definitions are read at a time.
const AT_A_TIME: usize = 4;
/// The port of the injector's Service.
const HTTPS: u16 = 443;
/// Proxies for 32-bit ARM are not built since edge-25.8.1.
const ARM32: &str = "kubernetes.io/arch=arm";

/// Reads what every control plane of a cluster shares.
pub(super) async fn shared(
    cluster: &Cluster,
    unseen: &mut Vec<Unseen>,
) -> Result<SharedObjects, Blocked> {
    let webhooks = webhooks(cluster, unseen).await?;
    let definitions = definitions(cluster, unseen).await?;
    let selection = Selection {
        namespace: None,
        labels: Some(ARM32),
    };
    let nodes = gather(cluster.metadata_pages::<Bare>(NODES, selection)).await;
    let asked = Asked {
        verb: "list",
        resource: &NODES,
        name: None,
        namespace: None,
    };
    let nodes = asked.optional(cluster, unseen, nodes)?;
    Ok(SharedObjects {
        webhooks,
        definitions,
        arm32_nodes: nodes.map(|nodes| nodes.len()),
        kubernetes: kubernetes(cluster, unseen).await?,
    })
}

/// Reads what only one control plane has.
pub(super) async fn with_own(
    cluster: &Cluster,
    unseen: &mut Vec<Unseen>,
    plane: &mut Objects,
) -> Result<(), Blocked> {
    let namespace = Some(plane.namespace.as_str());
    let asked = Asked {
        verb: "get",
        resource: &SECRETS,
        name: Some(label::ISSUER),
        namespace,
    };
    let target = Target::one(SECRETS, namespace, label::ISSUER);
    let issuer = if_any(patient(|| cluster.get_as::<IssuerSecret>(&target))).await;
    let issuer = asked.optional(cluster, unseen, issuer)?.flatten();
    let selection = Selection {
        namespace,
        labels: None,
    };
    let asked = Asked {
        verb: "list",
        resource: &EndpointSlice::RESOURCE,
        name: None,
        namespace,
    };
    let slices = gather(cluster.pages::<EndpointSlice>(selection)).await;
    let slices = asked.optional(cluster, unseen, slices)?;
    if slices
        .as_deref()
        .is_some_and(|slices| ready_endpoints(slices, label::INJECTOR) > 0)
    {
        let asked = Asked {
            verb: "get",
            resource: &SERVICE_PROXY,
            name: None,
            namespace,
        };
        let answers = patient(|| cluster.answers(&plane.namespace, label::INJECTOR, HTTPS)).await;
        plane.answers = asked.optional(cluster, unseen, answers)?;
    }
    plane.issuer = issuer;
    plane.slices = slices;
    Ok(())
}

async fn webhooks(
    cluster: &Cluster,
    unseen: &mut Vec<Unseen>,
) -> Result<Option<Vec<WebhookConfiguration>>, Blocked> {
    let mut webhooks = Some(Vec::new());
    for (resource, name) in &WEBHOOKS {
        let asked = Asked {
            verb: "get",
            resource,
            name: Some(name),
            namespace: None,
        };
        let target = Target::one(*resource, None, name);
        let read = if_any(patient(|| cluster.get_as::<WebhookConfiguration>(&target))).await;
        match asked.optional(cluster, unseen, read)? {
            Some(found) => webhooks
                .iter_mut()
                .for_each(|all| all.extend(found.clone())),
            None => webhooks = None,
        }
    }
    Ok(webhooks)
}

// Definitions bear their schemas, so only those that matter are read whole.
async fn definitions(
    cluster: &Cluster,
    unseen: &mut Vec<Unseen>,
) -> Result<Option<Vec<Definition>>, Blocked> {
    let names = gather(cluster.metadata_pages::<Bare>(DEFINITIONS, Selection::default())).await;
    let asked = Asked {
        verb: "list",
        resource: &DEFINITIONS,
        name: None,
        namespace: None,
    };
    let Some(names) = asked.optional(cluster, unseen, names)? else {
        return Ok(None);
    };
    let names = names.into_iter().map(|definition| definition.meta.name);
    let reads = names
        .filter(|name| is_of_interest(name))
        .map(|name| async move {
            let target = Target::one(DEFINITIONS, None, &name);
            if_any(patient(|| cluster.get_as::<Definition>(&target))).await
        });
    let read = futures::stream::iter(reads)
        .buffered(AT_A_TIME)
        .try_collect()
        .await;
    let asked = Asked {
        verb: "get",
        ..asked
    };
    let read: Option<Vec<Option<Definition>>> = asked.optional(cluster, unseen, read)?;
    Ok(read.map(|read| read.into_iter().flatten().collect()))
}

// === impl SharedObjects ===

impl SharedObjects {
    /// Gives a control plane what it shares with others.
    pub(super) fn give(&self, plane: &mut Objects) {
        let operates = |it: &Definition| it.meta.name == "controlplanes.linkerd.buoyant.io";
        plane.operator |= self.definitions.iter().flatten().any(operates);
        plane.webhooks.clone_from(&self.webhooks);
        plane.definitions.clone_from(&self.definitions);
        plane.kubernetes.clone_from(&self.kubernetes);
        let nodes = self
            .arm32_nodes
            .map(|count| ("arm32_nodes".to_owned(), json!(count)));
        plane.facts.extend(nodes as Option<(String, Value)>);
    }
}
