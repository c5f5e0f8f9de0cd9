//! Owners with a pod template, and what they tell about Linkerd itself.

use std::collections::{BTreeMap, HashMap};

use mesh_cluster::object::label;
use mesh_cluster::object::{DaemonSet, Deployment, StatefulSet};
use mesh_cluster::workload::rollout::{self, Restartable};
use mesh_records::WorkloadRef;

use super::kept::{Kept, Short, keep};
use crate::plane::{component_version, is_component, stated_version};

/// The owners that were read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owners {
    kept: HashMap<WorkloadRef, Kept>,
    /// The Deployments of control planes.
    pub(super) components: Vec<Deployment>,
    /// Whether Buoyant's operator is among the owners.
    pub(super) operator: bool,
    /// The Deployments that may be an extension's, by namespace and name.
    pub(super) parts: BTreeMap<(String, String), Part>,
    pub(super) plugins: Vec<Plugin>,
}

/// A Deployment that may be an extension's.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// The extension's name, if the Deployment is labelled with one.
    pub(super) extension: Option<String>,
    pub(super) version: Option<String>,
}

/// A CNI plugin's `DaemonSet`.
#[derive(Clone, Debug)]
pub(super) struct Plugin {
    pub(super) namespace: String,
    pub(super) version: Option<String>,
    pub(super) is_settled: bool,
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

const OPERATOR: &str = "linkerd-control-plane-operator";

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
        self.kept.insert(identity, kept);
    }

    /// Adds the owners of another list.
    pub(crate) fn extend(&mut self, other: Self) {
        let Self {
            kept,
            components,
            operator,
            parts,
            plugins,
        } = other;
        self.kept.extend(kept);
        self.components.extend(components);
        self.operator |= operator;
        self.parts.extend(parts);
        self.plugins.extend(plugins);
    }

    pub(crate) fn get(&self, identity: &WorkloadRef) -> Option<&Kept> {
        self.kept.get(identity)
    }

    /// The owners that have fewer ready pods than they ask for.
    pub(crate) fn short(&self) -> impl Iterator<Item = (&WorkloadRef, &Kept, &Short)> {
        let all = self.kept.iter();
        all.filter_map(|(identity, kept)| Some((identity, kept, kept.short.as_deref()?)))
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
        self.operator |= meta.name == OPERATOR;
        if is_component(meta) {
            self.components.push(deployment.clone());
        }
        let extension = meta.labels.get(label::EXTENSION).cloned();
        let version = component_version(deployment);
        if extension.is_some() || version.is_some() {
            let key = (meta.namespace.clone(), meta.name.clone());
            self.parts.insert(key, Part { extension, version });
        }
    }
}

// === impl Plugin ===

impl Plugin {
    fn of(set: &DaemonSet) -> Self {
        Self {
            namespace: set.meta.namespace.clone(),
            version: stated_version(&set.meta),
            is_settled: set.standing() == rollout::State::Settled,
        }
    }
}
