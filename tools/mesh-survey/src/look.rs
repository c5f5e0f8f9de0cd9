//! Reads what a survey needs: namespaces, owners, control planes, pods, and the owners' owners.

mod ask;
mod parts;
mod patience;
mod planes;
mod pods;
mod probe;
mod wish;

use mesh_cluster::object::{DaemonSet, Deployment, Namespace, NetworkPolicy, StatefulSet};
use mesh_cluster::wire::page::Selection;

use crate::ground::{Ground, Namespaces, Owners, Policies, Shown};
use crate::survey::{Parts, Survey};
use planes::control_planes;
use pods::pods;
use probe::probe;

pub(crate) use ask::{Ask, Blocked};
pub(crate) use wish::Wish;

/// Reads a cluster.
///
/// # Errors
/// Something that every survey needs could not be read.
pub(crate) async fn look(mut ask: Ask<'_>, wish: &Wish) -> Result<Survey, Blocked> {
    ask.kubernetes = ask.kubernetes().await?;
    ask.reading = wish.reading(ask.kubernetes.as_deref());
    let mut ground = Ground {
        namespaces: namespaces(&mut ask, wish).await?,
        fallback: wish.linkerd_namespace.clone(),
        list_proxies: wish.list_proxies,
        is_thinned: wish.labels().is_some(),
        is_scoped: !wish.namespaces.is_empty(),
        label_keys: wish.label_keys.clone(),
        ..Ground::default()
    };
    owners::<Deployment>(&mut ask, wish, &mut ground).await?;
    owners::<StatefulSet>(&mut ask, wish, &mut ground).await?;
    owners::<DaemonSet>(&mut ask, wish, &mut ground).await?;
    ground.policies = policies(&mut ask, wish).await?;
    let mut planes = control_planes(&mut ask, wish, &mut ground).await?;
    let folded = pods(&mut ask, wish, &planes, &mut ground).await?;
    if wish.probe {
        probe(&mut ask, &folded, &ground, &mut planes).await?;
    }
    let cluster = ask.cluster.label();
    let parts = Parts {
        planes,
        folded,
        ground,
        unseen: ask.unseen,
        restarts: ask.restarts,
    };
    Ok(parts.survey(cluster))
}

async fn namespaces(ask: &mut Ask<'_>, wish: &Wish) -> Result<Namespaces, Blocked> {
    if wish.namespaces.is_empty() {
        let add = |all: &mut Namespaces, it: Namespace| all.add(&it.meta, &wish.label_keys);
        return ask.list(Selection::default(), add).await;
    }
    let mut namespaces = Namespaces::default();
    for name in &wish.namespaces {
        let namespace: Namespace = ask.existing(None, name).await?;
        namespaces.add(&namespace.meta, &wish.label_keys);
    }
    Ok(namespaces)
}

async fn owners<K: Shown>(
    ask: &mut Ask<'_>,
    wish: &Wish,
    ground: &mut Ground,
) -> Result<(), Blocked> {
    for namespace in wish.places() {
        let selection = Selection {
            namespace,
            labels: None,
        };
        let add = |owners: &mut Owners, owner: K| owners.add(&owner, &wish.label_keys);
        ground.owners.extend(ask.list(selection, add).await?);
    }
    Ok(())
}

// They matter only to an upgrade note. `None` if reading them is forbidden.
async fn policies(ask: &mut Ask<'_>, wish: &Wish) -> Result<Option<Policies>, Blocked> {
    let mut all = Policies::default();
    for namespace in wish.places() {
        let selection = Selection {
            namespace,
            labels: None,
        };
        let add = |all: &mut Policies, it: NetworkPolicy| all.add(it);
        match ask.optional_list(selection, add).await? {
            Some(policies) => all.extend(policies),
            None => return Ok(None),
        }
    }
    Ok(Some(all))
}
