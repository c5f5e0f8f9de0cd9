//! What must be known before pods can be counted: namespaces, owners, control planes.

mod kept;
mod namespaces;
mod owners;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use mesh_cluster::object::{Meta, PodSpec};
use mesh_cluster::workload::injection::{Injection, Injector, Rules, injection};
use mesh_records::{Extension, WorkloadKind};

use crate::plane::Objects;

pub(crate) use kept::{Kept, Labels};
pub(crate) use namespaces::Namespaces;
pub(crate) use owners::{Owners, Shown};

/// What must be known before pods can be counted: namespaces, owners, control planes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ground {
    pub(crate) namespaces: Namespaces,
    pub(crate) owners: Owners,
    /// The control planes by namespace, each with the hash of its trust bundle.
    pub(crate) bundles: BTreeMap<String, Option<String>>,
    /// The control planes' injectors.
    pub(crate) injectors: Vec<Injector>,
    /// The namespace of the control plane for pods that name none.
    pub(crate) fallback: String,
    /// Whether each proxy is also listed separately; memory then grows with pods.
    pub(crate) list_proxies: bool,
    /// The keys of the labels that workloads are given.
    pub(crate) label_keys: Vec<String>,
    /// Kinds that a dump does not have. An owner of such a kind that is not found does not count as
    /// gone.
    pub(crate) lacking: BTreeSet<String>,
}

static NO_RULES: LazyLock<Rules> = LazyLock::new(Rules::default);
static NEWEST: LazyLock<Injector> = LazyLock::new(Injector::default);

impl Ground {
    /// Returns a namespace's injection settings; empty settings for an unknown namespace.
    pub(crate) fn rules(&self, namespace: &str) -> &Rules {
        self.namespaces.rules(namespace).unwrap_or(&NO_RULES)
    }

    /// Returns true if one of the injectors would give a proxy to a new pod. Without a control plane
    /// the newest injector's rules tell what the pod asks for.
    pub(crate) fn wants_proxy(&self, pod: &Meta, spec: &PodSpec) -> bool {
        let rules = self.rules(&pod.namespace);
        let gives = |injector| injection(injector, rules, pod, spec) == Injection::On;
        match self.injectors.is_empty() {
            true => gives(&NEWEST),
            false => self.injectors.iter().any(gives),
        }
    }

    /// Returns true if owners of this kind could not be read.
    pub(crate) fn lacks(&self, kind: &WorkloadKind) -> bool {
        self.lacking.contains(kind.as_str())
    }

    /// Returns true if every control plane is known.
    pub(crate) fn knows_control_planes(&self) -> bool {
        !["ConfigMap", "Deployment"]
            .iter()
            .any(|kind| self.lacking.contains(*kind))
    }

    /// Returns the namespaces whose labels, or whose Deployments' labels, show a control plane.
    pub(crate) fn control_plane_namespaces(&self) -> BTreeSet<String> {
        let components = self.owners.components.iter();
        let mut namespaces = self.namespaces.labelled.clone();
        namespaces.extend(components.map(|it| it.meta.namespace.clone()));
        namespaces
    }

    /// Adds to the control planes what the owners show, and chooses the control plane for pods that
    /// name none.
    pub(crate) fn settle(&mut self, planes: &mut [Objects]) {
        self.injectors = planes.iter().map(Objects::injector).collect();
        let plugins = &self.owners.plugins;
        let rolling = plugins.iter().any(|plugin| !plugin.is_settled);
        for plane in &mut *planes {
            plane.operator |= self.owners.operator;
            if !plugins.is_empty() {
                plane.facts.insert("cni_rolling".to_owned(), rolling.into());
            }
        }
        let is_told = planes.iter().any(|it| it.namespace == self.fallback);
        if let (false, Some(first)) = (is_told, planes.first()) {
            self.fallback.clone_from(&first.namespace);
        }
    }

    /// The records of the extensions, by name and namespace.
    pub(crate) fn extensions(&self, cluster: &str) -> Vec<Extension> {
        let version = |namespace: &str| {
            let mut stated = self.owners.stated.iter();
            let stated = stated.find(|((place, _), _)| place == namespace);
            stated.map(|(_, version)| version.clone())
        };
        let extension = |name: &str, namespace: &str, version| Extension {
            cluster: cluster.to_owned(),
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            version,
        };
        let labelled = self.namespaces.extensions.iter();
        let labelled = labelled.filter(|(_, name)| *name != "cni");
        let labelled =
            labelled.map(|(namespace, name)| extension(name, namespace, version(namespace)));
        let plugins = self.owners.plugins.iter();
        let plugins = plugins.map(|it| extension("cni", &it.namespace, it.version.clone()));
        let mut extensions: Vec<Extension> = labelled.chain(plugins).collect();
        extensions.sort_by(|one, other| {
            (&one.name, &one.namespace).cmp(&(&other.name, &other.namespace))
        });
        extensions
    }
}
