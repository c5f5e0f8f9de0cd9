//! A survey's lists: namespaces, owners, control planes, pods, and the owners' owners.

pub(crate) mod dump;
mod facts;
mod finds;
mod planes;
mod pods;
mod survey;

use mesh_records::Unseen;

use crate::fold::Ground;
use crate::sight::{Asked, Blocked, each, patient};
use finds::Finds;
use mesh_cluster::object::label;
use mesh_cluster::object::{DaemonSet, Deployment, Namespace, Object as _, Resource, StatefulSet};
use mesh_cluster::wire::connect::Cluster;
use mesh_cluster::wire::page::{Page, Selection};
use mesh_cluster::workload::injection::Rules;
use mesh_cluster::workload::owner::{Identity, Templated, keep};
use survey::Parts;

pub(crate) use survey::Survey;

/// What a survey is to look at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    /// Only these namespaces; all of them where there is none.
    pub(crate) namespaces: Vec<String>,
    /// Only pods that this label selector matches.
    pub(crate) selector: Option<String>,
    /// Only pods that bear the mesh's label.
    pub(crate) meshed_only: bool,
    /// Where a control plane is looked for, whatever the labels say.
    pub(crate) linkerd_namespace: String,
    /// Whether each proxy is to be listed by itself.
    pub(crate) list_proxies: bool,
}

struct Look<'a> {
    cluster: &'a Cluster,
    wish: &'a Wish,
    ground: Ground,
    finds: Finds,
    unseen: Vec<Unseen>,
    restarts: u32,
}

/// Looks at a cluster; `progress` hears of every page of pods how many there were so far.
///
/// # Errors
/// Something that is needed could not be read: then there is no survey.
pub(crate) async fn look(
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
    let Look {
        ground,
        finds,
        unseen,
        restarts,
        ..
    } = look;
    let parts = Parts {
        planes,
        finds,
        folded,
        ground,
        unseen,
        restarts,
    };
    Ok(parts.survey(cluster.label()))
}

// === impl Wish ===

impl Wish {
    /// The label selector of the pods, with all that narrows it.
    pub(crate) fn labels(&self) -> Option<String> {
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
            let read = patient(|| self.cluster.get::<Namespace>(None, name)).await;
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
}

fn list_of<'a>(resource: &'a Resource, namespace: Option<&'a str>) -> Asked<'a> {
    Asked {
        verb: "list",
        resource,
        name: None,
        namespace,
    }
}
