//! What lists of namespaces and owners show of Linkerd itself.

use std::collections::{BTreeMap, BTreeSet};

use mesh_records::{Extension, WorkloadKind};

use mesh_cluster::control_plane::{is_component, stated_version};
use mesh_cluster::object::label;
use mesh_cluster::object::{Deployment, Meta};
use mesh_cluster::workload::how::Owner;
use mesh_cluster::workload::rollout::{self, Rolling as _};

/// What the lists of namespaces and owners show of Linkerd itself.
#[derive(Debug, Default)]
pub(super) struct Finds {
    pub(super) labelled: BTreeSet<String>,
    pub(super) components: Vec<Deployment>,
    pub(super) operator: bool,
    /// Extension by namespace.
    extensions: BTreeMap<String, String>,
    /// The versions that objects of a namespace state, by their names.
    stated: BTreeMap<(String, String), String>,
    /// The CNI plugin's `DaemonSet`: namespace, version, settled.
    plugins: Vec<Plugin>,
}

#[derive(Debug)]
struct Plugin {
    namespace: String,
    version: Option<String>,
    settled: bool,
}

const OPERATOR: &str = "linkerd-control-plane-operator";

// === impl Finds ===

impl Finds {
    pub(super) fn namespace(&mut self, meta: &Meta) {
        if meta
            .labels
            .get(label::IS_CONTROL_PLANE)
            .is_some_and(|word| word == "true")
        {
            self.labelled.insert(meta.name.clone());
        }
        if let Some(extension) = meta.labels.get(label::EXTENSION) {
            self.extensions.insert(meta.name.clone(), extension.clone());
        }
    }

    pub(super) fn owner(&mut self, owner: Owner<'_>) {
        match owner {
            Owner::Deployment(deployment) => self.deployment(deployment),
            Owner::DaemonSet(set) => {
                if set.meta.labels.contains_key(label::CNI) {
                    let settled = match set.standing() {
                        rollout::State::Settled => true,
                        rollout::State::Progressing(_)
                        | rollout::State::Ailing(_)
                        | rollout::State::Failed(_)
                        | rollout::State::Blocked(_)
                        | rollout::State::Superseded => false,
                    };
                    let version = stated_version(&set.meta);
                    let namespace = set.meta.namespace.clone();
                    self.plugins.push(Plugin {
                        namespace,
                        version,
                        settled,
                    });
                }
            }
            Owner::StatefulSet(_) | Owner::Other { .. } => {}
        }
    }

    pub(super) fn deployment(&mut self, deployment: &Deployment) {
        let meta = &deployment.meta;
        self.operator |= meta.name == OPERATOR;
        if is_component(meta) {
            self.components.push(deployment.clone());
        }
        if self.extensions.contains_key(&meta.namespace) {
            let key = (meta.namespace.clone(), meta.name.clone());
            self.stated
                .extend(stated_version(meta).map(|version| (key, version)));
        }
    }

    /// Forgets what a list showed that begins again.
    pub(super) fn forget(&mut self, kind: &WorkloadKind, place: Option<&str>) {
        let is_here = |namespace: &str| place.is_none_or(|place| place == namespace);
        match kind {
            WorkloadKind::Deployment => {
                self.components
                    .retain(|component| !is_here(&component.meta.namespace));
                self.stated.retain(|(namespace, _), _| !is_here(namespace));
            }
            WorkloadKind::DaemonSet => self.plugins.retain(|plugin| !is_here(&plugin.namespace)),
            WorkloadKind::StatefulSet
            | WorkloadKind::ReplicaSet
            | WorkloadKind::ReplicationController
            | WorkloadKind::Job
            | WorkloadKind::CronJob
            | WorkloadKind::Rollout
            | WorkloadKind::Pod
            | WorkloadKind::Other(_) => {}
        }
    }

    /// Whether some CNI plugin is on its way; none where there is no plugin.
    pub(super) fn is_cni_rolling(&self) -> Option<bool> {
        (!self.plugins.is_empty()).then(|| self.plugins.iter().any(|plugin| !plugin.settled))
    }

    pub(super) fn extensions(&self, cluster: &str) -> Vec<Extension> {
        let version = |namespace: &str| {
            let mut stated = self
                .stated
                .iter()
                .filter(|((place, _), _)| place == namespace);
            stated.next().map(|(_, version)| version.clone())
        };
        let labelled = self.extensions.iter().map(|(namespace, name)| Extension {
            cluster: cluster.to_owned(),
            name: name.clone(),
            namespace: namespace.clone(),
            version: version(namespace),
        });
        let plugins = self.plugins.iter().map(|plugin| Extension {
            cluster: cluster.to_owned(),
            name: "cni".to_owned(),
            namespace: plugin.namespace.clone(),
            version: plugin.version.clone(),
        });
        let mut extensions: Vec<Extension> = labelled
            .filter(|extension| extension.name != "cni")
            .chain(plugins)
            .collect();
        extensions.sort_by(|one, other| {
            (&one.name, &one.namespace).cmp(&(&other.name, &other.namespace))
        });
        extensions
    }
}
