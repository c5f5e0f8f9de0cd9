//! Owners with a pod template, and what they tell about Linkerd itself.

use std::collections::{BTreeMap, HashMap};

use mesh_cluster::object::label;
use mesh_cluster::object::{DaemonSet, Deployment, StatefulSet};
use mesh_cluster::workload::rollout::Restartable;
use mesh_records::WorkloadRef;

use super::kept::{Kept, Short, keep};
use super::part::{Part, Plugin};
use crate::plane::is_component;

/// The owners that were read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owners {
    kept: HashMap<WorkloadRef, Box<Kept>>,
    /// The Deployments of control planes.
    pub(super) components: Vec<Deployment>,
    /// The Deployments that may be an extension's, by namespace and name.
    pub(super) parts: BTreeMap<(String, String), Part>,
    pub(super) plugins: Vec<Plugin>,
}

/// An owner of pods that may tell something about Linkerd itself.
pub(crate) trait Shown: Restartable {
    /// Records what this owner tells about Linkerd.
    fn show(&self, owners: &mut Owners);
}

impl Shown for Deployment {
    fn show(&self, owners: &mut Owners) {
        owners.add_deployment(self);
    }
}

impl Shown for DaemonSet {
    fn show(&self, owners: &mut Owners) {
        if self.meta.labels.contains_key(label::CNI) {
            owners.plugins.push(Plugin::of(self));
        }
    }
}

impl Shown for StatefulSet {
    fn show(&self, _: &mut Owners) {}
}

// === impl Owners ===

impl Owners {
    /// Adds an owner, with those of its labels that have one of the `keys`.
    pub(crate) fn add<K: Shown>(&mut self, owner: &K, keys: &[String]) {
        self.add_late(owner, keys);
        owner.show(self);
    }

    /// Adds an owner that was created after the control planes were read.
    pub(crate) fn add_late<K: Restartable>(&mut self, owner: &K, keys: &[String]) {
        let (identity, kept) = keep(owner, keys);
        self.kept.insert(identity, Box::new(kept));
    }

    /// Adds the owners of another list.
    pub(crate) fn extend(&mut self, other: Self) {
        let Self {
            kept,
            components,
            parts,
            plugins,
        } = other;
        self.kept.extend(kept);
        self.components.extend(components);
        self.parts.extend(parts);
        self.plugins.extend(plugins);
    }

    pub(crate) fn get(&self, identity: &WorkloadRef) -> Option<&Kept> {
        self.kept.get(identity).map(|kept| &**kept)
    }

    /// The owners that have fewer ready pods than they ask for.
    pub(crate) fn short(&self) -> impl Iterator<Item = (&WorkloadRef, &Kept, &Short)> {
        let all = self.kept.iter();
        all.filter_map(|(identity, kept)| Some((identity, &**kept, kept.short.as_deref()?)))
    }

    /// Returns the owner with this name if it still has this uid.
    pub(crate) fn same(&self, identity: &WorkloadRef, uid: &str) -> Option<&Kept> {
        self.get(identity).filter(|kept| kept.uid == uid)
    }

    /// The Deployments of the control plane in a namespace.
    pub(crate) fn components_of(&self, namespace: &str) -> Vec<Deployment> {
        let components = self.components.iter();
        components
            .filter(|it| it.meta.namespace == namespace)
            .cloned()
            .collect()
    }

    fn add_deployment(&mut self, deployment: &Deployment) {
        let meta = &deployment.meta;
        if is_component(meta) {
            self.components.push(deployment.clone());
        }
        let key = || (meta.namespace.clone(), meta.name.clone());
        let part = Part::of(deployment).map(|part| (key(), part));
        self.parts.extend(part);
    }
}
