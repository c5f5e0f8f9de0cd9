//! The list of pods, and the owners of their owners.

use std::collections::BTreeSet;

use mesh_records::WorkloadKind;

use super::{Look, list_of};
use crate::fold::{Fold, Folded, OPEN, OwnPods, Parents};
use crate::sight::{Asked, Blocked, each, if_any, patient};
use mesh_cluster::control_plane::Objects;
use mesh_cluster::object::label;
use mesh_cluster::object::{
    Bare, DaemonSet, Deployment, Object as _, Pod, ReplicaSet, Resource, StatefulSet,
};
use mesh_cluster::wire::page::{Page, Selection};
use mesh_cluster::workload::owner::{Identity, Templated, keep};

const JOBS: Resource = Resource {
    group: "batch",
    version: "v1",
    plural: "jobs",
    kind: "Job",
};
/// Above this many namespaces, one list of all of them is less than one list of each.
const SEPARATE: usize = 16;

// === impl Look ===

impl Look<'_> {
    pub(super) async fn pods(
        &mut self,
        planes: &[Objects],
        progress: &mut impl FnMut(u64),
    ) -> Result<Folded, Blocked> {
        let labels = self.wish.labels();
        let narrowed = !self.wish.namespaces.is_empty() || self.wish.selector.is_some();
        let mut fold = Fold::default();
        self.ground.own_pods = if narrowed {
            OwnPods::Ignore
        } else {
            OwnPods::Count
        };
        for place in self.wish.places() {
            let selection = Selection {
                namespace: place,
                labels: labels.as_deref(),
            };
            self.pods_of(selection, &mut fold, progress).await?;
        }
        if narrowed {
            self.ground.own_pods = OwnPods::Only;
            for plane in planes {
                let namespace = Some(plane.namespace.as_str());
                let selection = Selection {
                    namespace,
                    labels: Some(label::COMPONENT),
                };
                self.pods_of(selection, &mut fold, progress).await?;
            }
        }
        for (kind, resource) in OPEN.iter().zip([&ReplicaSet::RESOURCE, &JOBS]) {
            let parents = self.parents(&fold.open(kind), resource).await?;
            fold.adopt(kind, &parents, &self.ground);
        }
        self.strangers(&fold).await?;
        Ok(fold.finish(&self.ground))
    }

    async fn pods_of(
        &mut self,
        selection: Selection<'_>,
        fold: &mut Fold,
        progress: &mut impl FnMut(u64),
    ) -> Result<(), Blocked> {
        let before = fold.clone();
        let (ground, restarts) = (&self.ground, &mut self.restarts);
        let listed = each(self.cluster.pages::<Pod>(selection), |page| match page {
            Page::Items(pods) => {
                pods.iter().for_each(|pod| fold.add(pod, ground));
                progress(fold.pods());
            }
            Page::Restarted => {
                *restarts += 1;
                fold.clone_from(&before);
            }
        });
        let listed = listed.await;
        list_of(&Pod::RESOURCE, selection.namespace).required(self.cluster, listed)
    }

    // Metadata is enough to know an owner's owner, and old ReplicaSets can outweigh the pods.
    async fn parents(
        &mut self,
        namespaces: &BTreeSet<String>,
        resource: &Resource,
    ) -> Result<Parents, Blocked> {
        let everywhere = namespaces.len() > SEPARATE && self.wish.namespaces.is_empty();
        let places: Vec<Option<&str>> = if everywhere {
            vec![None]
        } else {
            namespaces
                .iter()
                .map(|namespace| Some(namespace.as_str()))
                .collect()
        };
        let mut parents = Parents::new();
        for place in places {
            let selection = Selection {
                namespace: place,
                labels: None,
            };
            let pages = self.cluster.metadata_pages::<Bare>(*resource, selection);
            let restarts = &mut self.restarts;
            let listed = each(pages, |page| match page {
                Page::Items(owners) => parents.extend(owners.into_iter().map(|owner| {
                    let parent = owner.meta.controller().cloned();
                    (owner.meta.uid, parent)
                })),
                // What is known of an owner's owner stays true.
                Page::Restarted => *restarts += 1,
            });
            let listed = listed.await;
            list_of(resource, place).required(self.cluster, listed)?;
        }
        Ok(parents)
    }

    // Owners that came after their list did; one that is not there now is gone.
    async fn strangers(&mut self, fold: &Fold) -> Result<(), Blocked> {
        for identity in fold.strangers(&self.ground.owners) {
            match identity.kind {
                WorkloadKind::Deployment => self.stranger::<Deployment>(&identity).await?,
                WorkloadKind::StatefulSet => self.stranger::<StatefulSet>(&identity).await?,
                WorkloadKind::DaemonSet => self.stranger::<DaemonSet>(&identity).await?,
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

    async fn stranger<K: Templated>(&mut self, identity: &Identity) -> Result<(), Blocked> {
        let Identity {
            namespace, name, ..
        } = identity;
        let asked = Asked {
            verb: "get",
            resource: &K::RESOURCE,
            name: Some(name),
            namespace: Some(namespace),
        };
        let read = if_any(patient(|| self.cluster.get::<K>(Some(namespace), name))).await;
        if let Some(owner) = asked.required(self.cluster, read)? {
            let (identity, kept) = keep(&owner);
            self.ground.owners.insert(identity, kept);
        }
        Ok(())
    }
}
