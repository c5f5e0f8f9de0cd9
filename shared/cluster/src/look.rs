//! A survey's lists: namespaces, owners, control planes, pods, and the owners' owners.

mod facts;
mod planes;

use std::collections::BTreeSet;

use mesh_records::{Anomaly, ControlPlane, Extension, Unseen, WorkloadKind};
use serde_json::{Value, json};

use crate::connect::Cluster;
use crate::control_plane::Objects;
use crate::fold::{Fold, Folded, Ground, OPEN, OwnPods, Parents};
use crate::injection::Rules;
use crate::label;
use crate::object::{
    Bare, DaemonSet, Deployment, Namespace, Object as _, Pod, Resource, StatefulSet,
};
use crate::owner::{Identity, Templated, keep};
use crate::page::{Page, Selection};
use crate::sight::{Asked, Blocked, each, if_any};
use crate::usage::Use;
use planes::Finds;

/// What a survey is to look at.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Only these namespaces; all of them where there is none.
    pub namespaces: Vec<String>,
    /// Only pods that this label selector matches.
    pub selector: Option<String>,
    /// Only pods that bear the mesh's label.
    pub meshed_only: bool,
    /// Where a control plane is looked for, whatever the labels say.
    pub linkerd_namespace: String,
    /// Whether each proxy is to be listed by itself.
    pub list_proxies: bool,
}

/// What was seen.
#[derive(Debug)]
pub struct Survey {
    /// The control planes, by namespace.
    pub control_planes: Vec<ControlPlane>,
    /// The extensions, by name.
    pub extensions: Vec<Extension>,
    /// The workloads.
    pub folded: Folded,
    /// What the pods were read against.
    pub ground: Ground,
    /// What is odd about the control planes.
    pub anomalies: Vec<Anomaly>,
    /// What could not be looked at, though not needed.
    pub unseen: Vec<Unseen>,
    /// How often a list expired and began again.
    pub restarts: u32,
}

struct Look<'a> {
    cluster: &'a Cluster,
    wish: &'a Wish,
    ground: Ground,
    finds: Finds,
    unseen: Vec<Unseen>,
    restarts: u32,
}

const REPLICA_SETS: Resource = Resource {
    group: "apps",
    version: "v1",
    plural: "replicasets",
    kind: "ReplicaSet",
};
const JOBS: Resource = Resource {
    group: "batch",
    version: "v1",
    plural: "jobs",
    kind: "Job",
};
/// Above this many namespaces, one list of all of them is less than one list of each.
const SEPARATE: usize = 16;
/// The most workloads that a fact names.
const NAMED: usize = 20;

/// Looks at a cluster; `progress` hears of every page of pods how many there were so far.
///
/// # Errors
/// Something that is needed could not be read: then there is no survey.
pub async fn look(
    cluster: &Cluster,
    wish: &Wish,
    mut progress: impl FnMut(u64),
) -> Result<Survey, Blocked> {
    let ground = Ground {
        fallback: wish.linkerd_namespace.clone(),
        list_proxies: wish.list_proxies,
        ..Ground::default()
    };
    let (finds, unseen) = (Finds::default(), Vec::new());
    let mut look = Look {
        cluster,
        wish,
        ground,
        finds,
        unseen,
        restarts: 0,
    };
    look.namespaces().await?;
    look.owners::<Deployment>().await?;
    look.owners::<StatefulSet>().await?;
    look.owners::<DaemonSet>().await?;
    let planes = look.control_planes().await?;
    let folded = look.pods(&planes, &mut progress).await?;
    Ok(look.finish(&planes, folded))
}

// === impl Wish ===

impl Wish {
    /// The label selector of the pods, with all that narrows it.
    #[must_use]
    pub fn labels(&self) -> Option<String> {
        let meshed = self.meshed_only.then_some(label::CONTROL_PLANE_NS);
        let parts: Vec<&str> = self.selector.as_deref().into_iter().chain(meshed).collect();
        (!parts.is_empty()).then(|| parts.join(","))
    }

    fn places(&self) -> Vec<Option<&str>> {
        if self.namespaces.is_empty() {
            return vec![None];
        }
        self.namespaces
            .iter()
            .map(|namespace| Some(namespace.as_str()))
            .collect()
    }
}

// === impl Look ===

impl Look<'_> {
    async fn namespaces(&mut self) -> Result<(), Blocked> {
        let asked = |verb, name| Asked {
            verb,
            resource: &Namespace::RESOURCE,
            name,
            namespace: None,
        };
        if self.wish.namespaces.is_empty() {
            let pages = self.cluster.pages::<Namespace>(Selection::default());
            let (ground, finds, restarts) = (&mut self.ground, &mut self.finds, &mut self.restarts);
            let listed = each(pages, |page| match page {
                Page::Items(namespaces) => {
                    for namespace in namespaces {
                        finds.namespace(&namespace.meta);
                        let rules = Rules::of(&namespace.meta);
                        ground.namespaces.insert(namespace.meta.name, rules);
                    }
                }
                Page::Restarted => {
                    *restarts += 1;
                    ground.namespaces.clear();
                    *finds = Finds::default();
                }
            });
            return asked("list", None).required(self.cluster, listed.await);
        }
        for name in &self.wish.namespaces {
            let read = self.cluster.get::<Namespace>(None, name).await;
            let namespace = asked("get", Some(name)).required(self.cluster, read)?;
            self.finds.namespace(&namespace.meta);
            self.ground
                .namespaces
                .insert(name.clone(), Rules::of(&namespace.meta));
        }
        Ok(())
    }

    async fn owners<K: Templated>(&mut self) -> Result<(), Blocked> {
        for place in self.wish.places() {
            let selection = Selection {
                namespace: place,
                labels: None,
            };
            let pages = self.cluster.pages::<K>(selection);
            let (ground, finds, restarts) = (&mut self.ground, &mut self.finds, &mut self.restarts);
            let listed = each(pages, |page| match page {
                Page::Items(owners) => {
                    for owner in owners {
                        let (identity, kept) = keep(&owner);
                        ground.owners.insert(identity, kept);
                        finds.owner(owner.owner());
                    }
                }
                Page::Restarted => {
                    *restarts += 1;
                    let is_here = |identity: &Identity| {
                        identity.kind == K::KIND
                            && place.is_none_or(|namespace| identity.namespace == namespace)
                    };
                    ground.owners.retain(|identity, _| !is_here(identity));
                    finds.forget(&K::KIND, place);
                }
            });
            let listed = listed.await;
            list_of(&K::RESOURCE, place).required(self.cluster, listed)?;
        }
        Ok(())
    }

    async fn pods(
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
        for (kind, resource) in OPEN.iter().zip([&REPLICA_SETS, &JOBS]) {
            let parents = self.parents(&fold.open(kind), resource).await?;
            fold.adopt(kind, &parents);
        }
        self.strangers(&fold).await?;
        Ok(fold.finish(&self.ground.owners))
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
        let read = if_any(self.cluster.get::<K>(Some(namespace), name)).await;
        if let Some(owner) = asked.required(self.cluster, read)? {
            let (identity, kept) = keep(&owner);
            self.ground.owners.insert(identity, kept);
        }
        Ok(())
    }

    fn finish(self, planes: &[Objects], mut folded: Folded) -> Survey {
        let Self {
            cluster,
            ground,
            finds,
            unseen,
            restarts,
            ..
        } = self;
        let label = cluster.label();
        let mut control_planes: Vec<ControlPlane> =
            planes.iter().map(|plane| plane.record(label)).collect();
        for plane in &mut control_planes {
            for component in &mut plane.components {
                let key = (plane.namespace.clone(), component.name.clone());
                component.proxies = folded.components.remove(&key).unwrap_or_default();
            }
            for (what, concerned) in folded.uses(&plane.namespace, &ground) {
                plane
                    .facts
                    .insert(fact_of(what).to_owned(), named(&concerned));
            }
        }
        let unreadable = planes.iter().filter(|plane| plane.is_unreadable());
        let anomalies = unreadable.map(|plane| planes::unreadable(label, &plane.namespace));
        Survey {
            anomalies: anomalies.collect(),
            extensions: finds.extensions(label),
            control_planes,
            folded,
            ground,
            unseen,
            restarts,
        }
    }
}

fn list_of<'a>(resource: &'a Resource, namespace: Option<&'a str>) -> Asked<'a> {
    Asked {
        verb: "list",
        resource,
        name: None,
        namespace,
    }
}

fn fact_of(what: Use) -> &'static str {
    match what {
        Use::ShutdownEndpoint => "shutdown_endpoint_users",
        Use::IngressMode => "ingress_mode",
        Use::WaitBeforeExit => "wait_before_exit_annotations",
        Use::NativeSidecarPreview => "native_sidecar_annotations",
        Use::LeftOutNamespace => "meshed_in_left_out_namespaces",
    }
}

fn named(concerned: &[&Identity]) -> Value {
    let names = concerned.iter().take(NAMED);
    let names: Vec<String> = names
        .map(|it| format!("{}/{}/{}", it.namespace, it.kind, it.name))
        .collect();
    json!({ "count": concerned.len(), "workloads": names })
}
