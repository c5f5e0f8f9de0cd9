//! Finds the control planes and reads their objects.

use mesh_cluster::control_plane::Trust;
use mesh_cluster::object::label;
use mesh_cluster::object::{ConfigMap, Deployment, Namespace};
use mesh_cluster::wire::page::Selection;

use super::ask::{Ask, Blocked};
use super::parts::{own_parts, shared_parts};
use super::wish::Wish;
use crate::ground::{Ground, Owners};
use crate::plane::Objects;

/// Reads every control plane: in labelled namespaces, in namespaces with labelled Deployments, and
/// in `--linkerd-namespace`.
pub(super) async fn control_planes(
    ask: &mut Ask<'_>,
    wish: &Wish,
    ground: &mut Ground,
) -> Result<Vec<Objects>, Blocked> {
    let told = &wish.linkerd_namespace;
    if !wish.namespaces.is_empty() && !wish.namespaces.contains(told) {
        outside(ask, told, ground).await?;
    }
    let mut places = ground.control_plane_namespaces();
    if ground.namespaces.contains(told) {
        places.insert(told.clone());
    }
    let mut planes = Vec::new();
    for namespace in places {
        planes.extend(control_plane(ask, namespace, ground).await?);
    }
    if planes.is_empty() {
        return Ok(planes);
    }
    let shared = shared_parts(ask).await?;
    for plane in &mut planes {
        own_parts(ask, plane).await?;
        shared.give(plane);
    }
    ground.settle(&mut planes);
    Ok(planes)
}

// Reads a control plane outside the survey's namespaces.
async fn outside(ask: &mut Ask<'_>, namespace: &str, ground: &mut Ground) -> Result<(), Blocked> {
    let Some(found) = ask.object::<Namespace>(None, namespace).await? else {
        return Ok(());
    };
    ground.namespaces.add_rules(&found.meta);
    let selection = Selection {
        namespace: Some(namespace),
        labels: Some(label::COMPONENT),
    };
    let keys = ground.label_keys.clone();
    let add = |owners: &mut Owners, owner: Deployment| owners.add(&owner, &keys);
    ground.owners.extend(ask.list(selection, add).await?);
    Ok(())
}

async fn control_plane(
    ask: &Ask<'_>,
    namespace: String,
    ground: &mut Ground,
) -> Result<Option<Objects>, Blocked> {
    let place = Some(namespace.as_str());
    let config: Option<ConfigMap> = ask.object(place, label::CONFIG).await?;
    let components = ground.owners.components_of(&namespace);
    if config.is_none() && components.is_empty() {
        return Ok(None);
    }
    let trust_roots: Option<ConfigMap> = ask.object(place, label::TRUST_ROOTS).await?;
    let trust = trust_roots.as_ref().and_then(Trust::of);
    ground.bundles.insert(namespace.clone(), trust);
    let plane = Objects::new(namespace, config, trust_roots, components);
    Ok(Some(plane))
}
