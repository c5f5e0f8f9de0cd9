//! Lists the pods, and the owners of their owners.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mesh_cluster::object::label;
use mesh_cluster::object::{
    Bare, DaemonSet, Deployment, Object as _, Pod, ReplicaSet, Resource, StatefulSet,
};
use mesh_cluster::wire::page::Selection;
use mesh_cluster::workload::rollout::Restartable;
use mesh_records::{WorkloadKind, WorkloadRef};

use super::ask::{Ask, Blocked};
use super::wish::{CONTROLLERS, JOBS, Wish};
use crate::fold::{Fold, Folded, OPEN, OwnPods, Parents};
use crate::ground::Ground;
use crate::plane::Objects;

/// With more namespaces than this, one list of the whole cluster is cheaper than one list per
/// namespace.
const SEPARATE: usize = 16;

/// Counts all pods by owner.
pub(super) async fn pods(
    ask: &mut Ask<'_>,
    wish: &Wish,
    planes: &[Objects],
    ground: &mut Ground,
) -> Result<Folded, Blocked> {
    let labels = wish.labels();
    let own = if wish.is_narrowed() {
        OwnPods::Ignore
    } else {
        OwnPods::Count
    };
    let mut fold = Fold::default();
    for namespace in wish.places() {
        let selection = Selection {
            namespace,
            labels: labels.as_deref(),
        };
        fold.merge(listed(ask, selection, own, ground).await?);
    }
    if wish.is_narrowed() {
        for plane in planes {
            let selection = Selection {
                namespace: Some(&plane.namespace),
                labels: Some(label::COMPONENT),
            };
            fold.merge(listed(ask, selection, OwnPods::Only, ground).await?);
        }
    }
    for (kind, resource) in OPEN
        .iter()
        .zip([&ReplicaSet::RESOURCE, &JOBS, &CONTROLLERS])
    {
        let parents = parents(ask, wish, &fold.open(kind), resource).await?;
        fold.adopt(kind, &parents, ground);
    }
    strangers(ask, &fold, ground).await?;
    Ok(fold.finish(ground))
}

async fn listed(
    ask: &mut Ask<'_>,
    selection: Selection<'_>,
    own: OwnPods,
    ground: &Ground,
) -> Result<Fold, Blocked> {
    let read = Arc::clone(&ask.pods);
    let add = |fold: &mut Fold, pod: Pod| {
        read.fetch_add(1, Ordering::Relaxed);
        fold.add(&pod, own, ground);
    };
    ask.list(selection, add).await
}

// Only metadata is read: it names an owner's owner, and old ReplicaSets can be larger than all
// pods.
async fn parents(
    ask: &mut Ask<'_>,
    wish: &Wish,
    namespaces: &BTreeSet<String>,
    resource: &Resource,
) -> Result<Parents, Blocked> {
    let everywhere = namespaces.len() > SEPARATE && wish.namespaces.is_empty();
    let places: Vec<Option<&str>> = if everywhere {
        vec![None]
    } else {
        namespaces.iter().map(|it| Some(it.as_str())).collect()
    };
    let mut parents = Parents::new();
    for namespace in places {
        let selection = Selection {
            namespace,
            labels: None,
        };
        let add = |parents: &mut Parents, owner: Bare| {
            let parent = owner.meta.controller().cloned();
            parents.insert(owner.meta.uid, parent);
        };
        parents.extend(ask.metadata(resource, selection, add).await?);
    }
    Ok(parents)
}

// Reads owners that were created after their kind was listed; an owner that does not exist now
// is gone.
async fn strangers(ask: &Ask<'_>, fold: &Fold, ground: &mut Ground) -> Result<(), Blocked> {
    for identity in fold.strangers(&ground.owners) {
        match identity.kind {
            WorkloadKind::Deployment => stranger::<Deployment>(ask, &identity, ground).await?,
            WorkloadKind::StatefulSet => stranger::<StatefulSet>(ask, &identity, ground).await?,
            WorkloadKind::DaemonSet => stranger::<DaemonSet>(ask, &identity, ground).await?,
            WorkloadKind::ReplicaSet
            | WorkloadKind::ReplicationController
            | WorkloadKind::Job
            | WorkloadKind::CronJob
            | WorkloadKind::Rollout
            | WorkloadKind::Pod
            | WorkloadKind::Other(_) => {}
        }
    }
    Ok(())
}

async fn stranger<K: Restartable>(
    ask: &Ask<'_>,
    identity: &WorkloadRef,
    ground: &mut Ground,
) -> Result<(), Blocked> {
    let WorkloadRef {
        namespace, name, ..
    } = identity;
    let owner: Option<K> = ask.object(Some(namespace), name).await?;
    let Ground {
        owners, label_keys, ..
    } = ground;
    owner
        .iter()
        .for_each(|owner| owners.add_late(owner, label_keys));
    Ok(())
}
