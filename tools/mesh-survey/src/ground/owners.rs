//! Owners of pods that have a template, and what they show of Linkerd itself.

use std::collections::{BTreeMap, HashMap};

use mesh_cluster::control_plane::{is_component, stated_version};
use mesh_cluster::object::label;
use mesh_cluster::object::{DaemonSet, Deployment};
use mesh_cluster::workload::how::Owner;
use mesh_cluster::workload::owner::{Identity, Kept, Templated, keep};
use mesh_cluster::workload::rollout::{self, Rolling as _};

/// The owners that were read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owners {
    kept: HashMap<Identity, Kept>,
    /// The Deployments of control planes.
    pub(super) components: Vec<Deployment>,
    /// Whether Buoyant's operator is among them.
    pub(super) operator: bool,
    /// The versions that Deployments state, by namespace and name.
    pub(super) stated: BTreeMap<(String, String), String>,
    pub(super) plugins: Vec<Plugin>,
}

/// A CNI plugin's `DaemonSet`.
#[derive(Clone, Debug)]
pub(super) struct Plugin {
    pub(super) namespace: String,
    pub(super) version: Option<String>,
    pub(super) is_settled: bool,
}

const OPERATOR: &str = "linkerd-control-plane-operator";

// === impl Owners ===

impl Owners {
    pub(crate) fn add<K: Templated>(&mut self, owner: &K) {
        self.add_late(owner);
        match owner.owner() {
            Owner::Deployment(deployment) => self.add_deployment(deployment),
            Owner::DaemonSet(set) if set.meta.labels.contains_key(label::CNI) => {
                self.plugins.push(Plugin::of(set));
            }
            Owner::DaemonSet(_) | Owner::StatefulSet(_) | Owner::Other { .. } => {}
        }
    }

    /// Adds an owner that came after the control planes were looked for.
    pub(crate) fn add_late<K: Templated>(&mut self, owner: &K) {
        let (identity, kept) = keep(owner);
        self.kept.insert(identity, kept);
    }

    /// Adds the owners of another list.
    pub(crate) fn extend(&mut self, other: Self) {
        let Self {
            kept,
            components,
            operator,
            stated,
            plugins,
        } = other;
        self.kept.extend(kept);
        self.components.extend(components);
        self.operator |= operator;
        self.stated.extend(stated);
        self.plugins.extend(plugins);
    }

    pub(crate) fn get(&self, identity: &Identity) -> Option<&Kept> {
        self.kept.get(identity)
    }

    /// The owner of that name, if it is still the one of that uid.
    pub(crate) fn same(&self, identity: &Identity, uid: &str) -> Option<&Kept> {
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
        let version = stated_version(meta);
        let key = || (meta.namespace.clone(), meta.name.clone());
        self.stated.extend(version.map(|version| (key(), version)));
    }
}

// === impl Plugin ===

impl Plugin {
    fn of(set: &DaemonSet) -> Self {
        let is_settled = match set.standing() {
            rollout::State::Settled => true,
            rollout::State::Progressing(_)
            | rollout::State::Ailing(_)
            | rollout::State::Failed(_)
            | rollout::State::Blocked(_)
            | rollout::State::Superseded => false,
        };
        Self {
            namespace: set.meta.namespace.clone(),
            version: stated_version(&set.meta),
            is_settled,
        }
    }
}
