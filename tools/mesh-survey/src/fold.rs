//! Pods folded into their owners while pages arrive: memory grows with workloads, not with pods.

mod group;
mod oddity;
mod usage;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mesh_cluster::object::label;
use mesh_cluster::object::{Meta, OwnerReference, Pod};
use mesh_cluster::workload::owner::{deployment_name, kind_of, owner_of};
use mesh_cluster::workload::proxy;
use mesh_records::{ProxyCount, WorkloadKind, WorkloadRef};

use crate::ground::{Ground, Owners};
use group::{Group, add_count, count, settle_counts};

pub(crate) use usage::Use;

/// What becomes of a control plane's own pods.
#[derive(Clone, Copy)]
pub(crate) enum OwnPods {
    /// They are counted with all others.
    Count,
    /// They are counted in a list of their own, and this is another one.
    Ignore,
    /// They are all that counts.
    Only,
}

/// The pods of a cluster, folded.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fold {
    groups: HashMap<Key, Group>,
    components: HashMap<Component, Vec<ProxyCount>>,
}

/// The fold when all is known: sorted, and without what nothing is to be said of.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Folded {
    /// Owners of pods.
    pub(crate) groups: Vec<(WorkloadRef, String, Group)>,
    /// The proxies beside each component of a control plane.
    pub(crate) components: BTreeMap<Component, Vec<ProxyCount>>,
}

/// A control plane's namespace and a Deployment of it.
pub(crate) type Component = (String, String);

/// Who owns the owners that were found open, by the uid of the owned; nobody, where none does.
pub(crate) type Parents = HashMap<String, Option<OwnerReference>>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    identity: WorkloadRef,
    uid: String,
}

/// Kinds whose own owner is not known from a pod.
pub(crate) const OPEN: [WorkloadKind; 2] = [WorkloadKind::ReplicaSet, WorkloadKind::Job];

// === impl Fold ===

impl Fold {
    /// Counts a pod. One that has ended, or is about to, counts for nothing.
    pub(crate) fn add(&mut self, pod: &Pod, own_pods: OwnPods, ground: &Ground) {
        if pod.is_over() {
            return;
        }
        let is_own = pod.meta.labels.contains_key(label::COMPONENT)
            && ground.bundles.contains_key(&pod.meta.namespace);
        match (is_own, own_pods) {
            (true, OwnPods::Count | OwnPods::Only) => self.add_own(pod),
            (false, OwnPods::Count | OwnPods::Ignore) => {
                let group = self.groups.entry(key_of(&pod.meta, ground)).or_default();
                group.add(pod, ground);
            }
            (true, OwnPods::Ignore) | (false, OwnPods::Only) => {}
        }
    }

    /// Adds the pods of another list.
    pub(crate) fn merge(&mut self, other: Self) {
        for (key, group) in other.groups {
            self.groups.entry(key).or_default().merge(group);
        }
        for (component, counts) in other.components {
            let known = self.components.entry(component).or_default();
            counts.into_iter().for_each(|count| add_count(known, count));
        }
    }

    // A component's ReplicaSet bears its Deployment's name.
    fn add_own(&mut self, pod: &Pod) {
        let Some(sidecar) = proxy::sidecar(&pod.spec) else {
            return;
        };
        let name = owner_of(&pod.meta).map_or(pod.meta.name.clone(), |owner| owner.name);
        let component = (pod.meta.namespace.clone(), name);
        let version = proxy::version(&sidecar.container.image, &pod.meta.annotations);
        let counts = self.components.entry(component).or_default();
        add_count(counts, count(version, sidecar.native));
    }

    /// The namespaces where owners of this kind are whose own owner is not known yet.
    pub(crate) fn open(&self, kind: &WorkloadKind) -> BTreeSet<String> {
        let open = self
            .groups
            .iter()
            .filter(|(key, group)| key.identity.kind == *kind && group.is_notable());
        open.map(|(key, _)| key.identity.namespace.clone())
            .collect()
    }

    /// Hands the pods of owners of a kind on to the owners' own owners.
    pub(crate) fn adopt(&mut self, kind: &WorkloadKind, parents: &Parents, ground: &Ground) {
        let keys: Vec<Key> = self
            .groups
            .keys()
            .filter(|key| key.identity.kind == *kind)
            .cloned()
            .collect();
        for key in keys {
            match parents.get(&key.uid) {
                Some(Some(parent)) => {
                    let identity = WorkloadRef {
                        namespace: key.identity.namespace.clone(),
                        kind: kind_of(parent),
                        name: parent.name.clone(),
                    };
                    let group = self.groups.remove(&key).unwrap_or_default();
                    let uid = parent.uid.clone();
                    self.groups
                        .entry(Key { identity, uid })
                        .or_default()
                        .merge(group);
                }
                Some(None) => {}
                None if ground.lacks(kind) => {}
                None => {
                    let group = self.groups.get_mut(&key).filter(|group| group.is_notable());
                    group.into_iter().for_each(Group::orphan);
                }
            }
        }
    }

    /// Owners with a template that pods name and no list showed.
    pub(crate) fn strangers(&self, owners: &Owners) -> Vec<WorkloadRef> {
        let strange = self
            .groups
            .iter()
            .filter(|(key, group)| group.is_notable() && key.is_strange(owners));
        strange.map(|(key, _)| key.identity.clone()).collect()
    }

    /// Ends the fold: what is still strange is gone.
    pub(crate) fn finish(mut self, ground: &Ground) -> Folded {
        for (key, group) in &mut self.groups {
            let gone = key.is_strange(&ground.owners) && !ground.lacks(&key.identity.kind);
            if gone && group.is_notable() {
                group.orphan();
            }
            group.settle();
        }
        let notable = self
            .groups
            .into_iter()
            .filter(|(_, group)| group.is_notable());
        let mut groups: Vec<_> = notable
            .map(|(key, group)| (key.identity, key.uid, group))
            .collect();
        groups.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
        let mut components: BTreeMap<_, _> = self.components.into_iter().collect();
        for counts in components.values_mut() {
            settle_counts(counts);
        }
        Folded { groups, components }
    }
}

// === impl Folded ===

impl Folded {
    /// What upgrade notes are about, with the workloads of a control plane that it concerns.
    pub(crate) fn uses(
        &self,
        control_plane: &str,
        ground: &Ground,
    ) -> BTreeMap<Use, Vec<&WorkloadRef>> {
        let mut uses: BTreeMap<Use, Vec<&WorkloadRef>> = BTreeMap::new();
        for (identity, _, group) in &self.groups {
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
        let templated = match self.identity.kind {
            WorkloadKind::Deployment | WorkloadKind::StatefulSet | WorkloadKind::DaemonSet => true,
            WorkloadKind::ReplicaSet
            | WorkloadKind::ReplicationController
            | WorkloadKind::Job
            | WorkloadKind::CronJob
            | WorkloadKind::Rollout
            | WorkloadKind::Pod
            | WorkloadKind::Other(_) => false,
        };
        templated && owners.same(&self.identity, &self.uid).is_none()
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
        if let Some(kept) = ground.owners.get(&identity) {
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
