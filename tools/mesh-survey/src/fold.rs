//! Counts pods by owner while the pages of the list arrive, so that memory grows with workloads
//! instead of pods.

mod counts;
mod group;
mod oddity;
mod usage;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mesh_cluster::act::restartable;
use mesh_cluster::object::label;
use mesh_cluster::object::{Meta, OwnerReference, Pod, Template};
use mesh_cluster::workload::injection::Asks;
use mesh_cluster::workload::owner::{deployment_name, kind_of, owner_of};
use mesh_cluster::workload::proxy::{self, Sidecar};
use mesh_records::{ProxyCount, WorkloadKind, WorkloadRef};
use mesh_versions::Use;

use crate::ground::{Ground, Owners};
use counts::{Common, Counts};
use group::Group;

/// What to do with a control plane's own pods.
#[derive(Clone, Copy)]
pub(crate) enum OwnPods {
    /// Count all pods, these too.
    Count,
    /// Ignore these pods: another list counts them.
    Ignore,
    /// Count only these pods.
    Only,
}

/// The pods of a cluster, counted by owner.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fold {
    /// Each in a box, because a table that grows has as much room again.
    groups: HashMap<Key, Box<Group>>,
    /// Objects with the owner that they name, which is not among those that were read: it was created
    /// later, or is gone.
    doubtful: Vec<(Key, Key)>,
    reach: Reach,
    components: HashMap<Component, Counts>,
    common: Common,
    census: Census,
}

/// The pods that are in no workload, component or anomaly, and all that were listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// All.
    pub(crate) listed: u32,
    /// Those that have ended.
    pub(crate) ended: u32,
    /// Those of components that are on their way out.
    pub(crate) leaving: u32,
    /// Those that are not meshed and should not be.
    pub(crate) outside: u32,
}

/// For each control plane whose mesh has pods, whether its webhook is called for any pod like them.
pub(crate) type Reach = BTreeMap<String, bool>;

/// The finished counts, sorted, without owners that have nothing to report.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Folded {
    /// The owners, each with its uid and the counts of its pods.
    pub(crate) groups: Vec<(WorkloadRef, String, Box<Group>)>,
    /// The owners that are no workloads of the mesh, although somebody asked for that.
    pub(crate) skipped: Vec<(WorkloadRef, Box<Group>)>,
    /// The proxies in each component's pods.
    pub(crate) components: BTreeMap<Component, Vec<ProxyCount>>,
    /// Which control planes' webhooks are called for the pods of their mesh.
    pub(crate) reach: Reach,
    /// What became of the pods that are nowhere else.
    pub(crate) census: Census,
}

/// A component of a control plane: its namespace and the name of its Deployment.
pub(crate) type Component = (String, String);

/// The owners of owners, by the uid of the owned object; `None` for an object without an owner.
pub(crate) type Parents = HashMap<String, Option<OwnerReference>>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    identity: WorkloadRef,
    uid: String,
}

/// Kinds that may have an owner themselves, which a pod does not show.
pub(crate) const OPEN: [WorkloadKind; 3] = [
    WorkloadKind::ReplicaSet,
    WorkloadKind::Job,
    WorkloadKind::ReplicationController,
];

// === impl Fold ===

impl Fold {
    /// Counts a pod. A pod that has ended only counts as that.
    pub(crate) fn add(&mut self, pod: &Pod, own_pods: OwnPods, ground: &Ground) {
        let component = |name: &str| (pod.meta.namespace.clone(), name.to_owned());
        let is_own = pod.meta.labels.contains_key(label::COMPONENT)
            && deployment_name(&pod.meta)
                .is_some_and(|name| ground.components.contains(&component(name)));
        match (is_own, own_pods) {
            (true, OwnPods::Ignore) | (false, OwnPods::Only) => return,
            (true, OwnPods::Count | OwnPods::Only) | (false, OwnPods::Count | OwnPods::Ignore) => {}
        }
        self.census.listed += 1;
        if pod.has_ended() {
            self.census.ended += 1;
        } else if is_own && pod.is_terminating() {
            self.census.leaving += 1;
        } else if let (true, Some(sidecar)) = (is_own, proxy::sidecar(&pod.spec)) {
            self.add_own(pod, sidecar);
        } else {
            let group = self.groups.entry(key_of(&pod.meta, ground)).or_default();
            group.add(pod, ground, &mut self.common);
            for (control_plane, is_sent) in ground.reaches(pod) {
                self.reach(control_plane.to_owned(), is_sent);
            }
        }
    }

    fn reach(&mut self, control_plane: String, is_sent: bool) {
        *self.reach.entry(control_plane).or_default() |= is_sent;
    }

    /// Adds the pods of another list.
    pub(crate) fn merge(&mut self, other: Self) {
        self.census.listed += other.census.listed;
        self.census.ended += other.census.ended;
        self.census.leaving += other.census.leaving;
        self.common.merge(other.common);
        for (control_plane, is_sent) in other.reach {
            self.reach(control_plane, is_sent);
        }
        self.doubtful.extend(other.doubtful);
        for (key, group) in other.groups {
            self.groups.entry(key).or_default().merge(*group);
        }
        for (component, counts) in other.components {
            self.components.entry(component).or_default().merge(counts);
        }
    }

    // The name of a component's ReplicaSet begins with the name of its Deployment.
    fn add_own(&mut self, pod: &Pod, sidecar: Sidecar<'_>) {
        let name = owner_of(&pod.meta).map_or(pod.meta.name.clone(), |owner| owner.name);
        let component = (pod.meta.namespace.clone(), name);
        let version = proxy::version(&sidecar.container.image, &pod.meta.annotations);
        let proxy = self.common.proxy(version, sidecar.native);
        self.components.entry(component).or_default().add(proxy, 1);
    }

    /// Returns the namespaces with owners of this kind whose own owner must still be looked up.
    pub(crate) fn open(&self, kind: &WorkloadKind) -> BTreeSet<String> {
        let open = self
            .groups
            .iter()
            .filter(|(key, group)| key.identity.kind == *kind && group.is_notable());
        open.map(|(key, _)| key.identity.namespace.clone())
            .collect()
    }

    /// Moves the pods of owners of this kind to the owners' owners, as far as those are there.
    pub(crate) fn adopt(&mut self, kind: &WorkloadKind, parents: &Parents, ground: &Ground) {
        let keys: Vec<Key> = self
            .groups
            .keys()
            .filter(|key| key.identity.kind == *kind)
            .cloned()
            .collect();
        for key in keys {
            match parents.get(&key.uid) {
                // These tools know no way to roll a DeploymentConfig, but the pods of its controller
                // can be evicted.
                Some(Some(_)) if *kind == WorkloadKind::ReplicationController => {}
                Some(Some(parent)) => {
                    let identity = WorkloadRef {
                        namespace: key.identity.namespace.clone(),
                        kind: kind_of(parent),
                        name: parent.name.clone(),
                    };
                    let uid = parent.uid.clone();
                    let owner = Key { identity, uid };
                    if owner.is_gone(ground) {
                        self.doubtful.push((key, owner));
                    } else {
                        self.hand_over(&key, owner);
                    }
                }
                Some(None) => {}
                None if ground.lacks(kind) => {}
                None => {
                    let group = self.groups.get_mut(&key).filter(|group| group.is_notable());
                    group.into_iter().for_each(|group| group.orphan());
                }
            }
        }
    }

    fn hand_over(&mut self, key: &Key, owner: Key) {
        let group = self.groups.remove(key).unwrap_or_default();
        self.groups.entry(owner).or_default().merge(*group);
    }

    /// Returns owners that pods, or their sets, name but no list contained, of the kinds with a pod
    /// template.
    pub(crate) fn strangers(&self, owners: &Owners) -> BTreeSet<WorkloadRef> {
        let strange = self
            .groups
            .iter()
            .filter(|(key, group)| group.is_notable() && key.is_strange(owners));
        let strange = strange.map(|(key, _)| key);
        let doubtful = self.doubtful.iter().filter(|(key, _)| {
            let group = self.groups.get(key);
            group.is_some_and(|group| group.is_notable())
        });
        let strange = strange.chain(doubtful.map(|(_, owner)| owner));
        strange.map(|key| key.identity.clone()).collect()
    }

    // Counts pods that owners ask for and that do not exist.
    fn miss(&mut self, ground: &Ground) {
        for (identity, kept, short) in ground.owners.short() {
            let Template { meta, spec, .. } = &short.template;
            let is_meshed = proxy::sidecar(spec).is_some()
                || ground.wants_proxy(&identity.namespace, meta, spec);
            let key = Key {
                identity: identity.clone(),
                uid: kept.uid.clone(),
            };
            let group = self.groups.entry(key).or_default();
            group.miss(kept.wanted, short, is_meshed);
        }
    }

    /// Finishes the counts. An owner that is still not found counts as gone.
    pub(crate) fn finish(mut self, ground: &Ground) -> Folded {
        for (key, owner) in std::mem::take(&mut self.doubtful) {
            if !owner.is_gone(ground) {
                self.hand_over(&key, owner);
            } else if let Some(group) = self.groups.get_mut(&key).filter(|it| it.is_notable()) {
                // The garbage collector removes a set that still names an owner that is gone.
                group.orphan();
            }
        }
        if !ground.is_thinned {
            self.miss(ground);
        }
        for (key, group) in &mut self.groups {
            if key.is_gone(ground) && group.is_notable() {
                group.orphan();
            }
            let owner = ground.owners.get(&key.identity);
            if owner.is_some_and(|it| it.asks_aside && it.asks == Asks::default()) {
                group.ask_aside();
            }
            group.settle();
        }
        let (notable, others): (Vec<_>, Vec<_>) = self
            .groups
            .into_iter()
            .partition(|(_, group)| group.is_notable());
        let outside = others.iter().map(|(_, group)| group.size()).sum();
        let skipped = others
            .into_iter()
            .filter(|(_, group)| !group.uses().is_empty());
        let mut skipped: Vec<_> = skipped.map(|(key, group)| (key.identity, group)).collect();
        skipped.sort_by(|one, other| one.0.cmp(&other.0));
        let notable = notable.into_iter();
        let mut groups: Vec<_> = notable
            .map(|(key, group)| (key.identity, key.uid, group))
            .collect();
        groups.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
        let components = self.components.into_iter().map(|(component, mut counts)| {
            counts.settle();
            (component, counts.records())
        });
        Folded {
            groups,
            skipped,
            components: components.collect(),
            reach: self.reach,
            census: Census {
                outside,
                ..self.census
            },
        }
    }
}

// === impl Folded ===

impl Folded {
    /// Returns the uses that upgrade notes are about, each with the workloads of this control
    /// plane.
    pub(crate) fn uses(
        &self,
        control_plane: &str,
        ground: &Ground,
    ) -> BTreeMap<Use, Vec<&WorkloadRef>> {
        let mut uses: BTreeMap<Use, Vec<&WorkloadRef>> = BTreeMap::new();
        let groups = self
            .groups
            .iter()
            .map(|(identity, _, group)| (identity, group));
        let skipped = self
            .skipped
            .iter()
            .map(|(identity, group)| (identity, group));
        for (identity, group) in groups.chain(skipped) {
            if group.control_plane(ground) == control_plane {
                for one in group.uses() {
                    uses.entry(*one).or_default().push(identity);
                }
            }
        }
        uses
    }
}

// === impl Key ===

impl Key {
    fn is_strange(&self, owners: &Owners) -> bool {
        restartable(&self.identity.kind).is_some()
            && owners.same(&self.identity, &self.uid).is_none()
    }

    fn is_gone(&self, ground: &Ground) -> bool {
        self.is_strange(&ground.owners) && !ground.lacks(&self.identity.kind)
    }
}

fn key_of(meta: &Meta, ground: &Ground) -> Key {
    let identity = |kind, name: &str| WorkloadRef {
        namespace: meta.namespace.clone(),
        kind,
        name: name.to_owned(),
    };
    let Some(owner) = meta.controller() else {
        return Key {
            identity: identity(WorkloadKind::Pod, &meta.name),
            uid: meta.uid.clone(),
        };
    };
    let kind = kind_of(owner);
    if let Some(name) = deployment_name(meta) {
        let identity = identity(WorkloadKind::Deployment, name);
        let sets_are_seen = !ground.lacks(&WorkloadKind::ReplicaSet);
        let owner = ground.owners.get(&identity);
        if let Some(kept) = owner.filter(|it| it.has(meta, sets_are_seen)) {
            return Key {
                uid: kept.uid.clone(),
                identity,
            };
        }
    }
    Key {
        identity: identity(kind, &owner.name),
        uid: owner.uid.clone(),
    }
}

#[cfg(test)]
mod tests;
