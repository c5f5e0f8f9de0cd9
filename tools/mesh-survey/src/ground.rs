//! What must be known before pods can be counted: namespaces, owners, control planes.

mod kept;
mod namespaces;
mod owners;
mod part;
mod policies;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use mesh_cluster::control_plane::Trust;
use mesh_cluster::object::label;
use mesh_cluster::object::{Deployment, Meta, Pod, PodSpec};
use mesh_cluster::workload::injection::{Injection, Injector, Rules, injection};
use mesh_cluster::workload::proxy;
use mesh_records::{Extension, ExtensionPart, WorkloadKind};

use crate::plane::{Objects, PlaneInjector, oldest};

pub(crate) use kept::{Kept, Labels, Short};
pub(crate) use namespaces::Namespaces;
pub(crate) use owners::{Owners, Shown};
pub(crate) use policies::Policies;

/// What must be known before pods can be counted: namespaces, owners, control planes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ground {
    pub(crate) namespaces: Namespaces,
    pub(crate) owners: Owners,
    /// The control planes by namespace, each with its trust bundle; `None` if that could not be read.
    pub(crate) bundles: BTreeMap<String, Option<Trust>>,
    /// The control planes' own Deployments, by namespace and name.
    pub(crate) components: BTreeSet<(String, String)>,
    /// The control planes' injectors.
    pub(crate) injectors: Vec<PlaneInjector>,
    /// The NetworkPolicies; `None` if they could not be read.
    pub(crate) policies: Option<Policies>,
    /// The namespace of the control plane for pods that name none.
    pub(crate) fallback: String,
    /// Whether each proxy is also listed separately; memory then grows with pods.
    pub(crate) list_proxies: bool,
    /// The keys of the labels that workloads are given.
    pub(crate) label_keys: Vec<String>,
    /// Whether pods were left out by their labels, so that fewer may be counted than exist.
    pub(crate) is_thinned: bool,
    /// Whether only some namespaces are read.
    pub(crate) is_scoped: bool,
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

    /// Returns true if one of the injectors would give a proxy to a new pod. Without a webhook, the
    /// chart's selectors tell what the pod asks for; without a control plane, the newest injector's
    /// rules.
    pub(crate) fn wants_proxy(&self, namespace: &str, pod: &Meta, spec: &PodSpec) -> bool {
        let rules = self.rules(namespace);
        let gives = |injector| injection(injector, rules, pod, spec) == Injection::On;
        match self.injectors.is_empty() {
            true => gives(&NEWEST),
            false => self
                .injectors
                .iter()
                .any(|it| gives(it.registered.as_ref().unwrap_or(&it.charted))),
        }
    }

    /// Returns the control planes whose mesh the pod is in or, by the charts, should be in; each with
    /// whether a new pod like it would be sent to the injector.
    pub(crate) fn reaches<'a>(&'a self, pod: &'a Pod) -> impl Iterator<Item = (&'a str, bool)> {
        let (meta, spec) = (&pod.meta, &pod.spec);
        let rules = self.rules(&meta.namespace);
        let is_meshed = proxy::sidecar(spec).is_some();
        let labelled = meta.labels.get(label::CONTROL_PLANE_NS);
        let injectors = self.injectors.iter().filter(move |it| match is_meshed {
            true => labelled == Some(&it.control_plane),
            false => injection(&it.charted, rules, meta, spec) == Injection::On,
        });
        injectors.map(move |it| {
            let registered = it.registered.as_ref();
            let is_sent = registered.is_some_and(|it| it.is_sent(rules, meta).is_ok());
            (it.control_plane.as_str(), is_sent)
        })
    }

    /// Returns true if a control plane's webhook takes the pods of a namespace.
    pub(crate) fn takes_pods_of(&self, control_plane: &str, namespace: &str) -> bool {
        let mut injectors = self.injectors.iter();
        let own = injectors.find(|it| it.control_plane == control_plane);
        let registered = own.and_then(|it| it.registered.as_ref());
        let rules = self.rules(namespace);
        registered.is_some_and(|it| it.is_sent(rules, &Meta::default()).is_ok())
    }

    /// Returns true if the webhook of a control plane leaves out a new pod like this one. Where no
    /// webhook or no namespace is known, nothing is said of single pods.
    pub(crate) fn leaves_out(&self, control_plane: &str, pod: &Meta) -> bool {
        let mut injectors = self.injectors.iter();
        let own = injectors.find(|it| it.control_plane == control_plane);
        let registered = own.and_then(|it| it.registered.as_ref());
        let rules = self.namespaces.rules(&pod.namespace);
        let known = registered.zip(rules);
        known.is_some_and(|(it, rules)| it.is_sent(rules, pod).is_err())
    }

    /// Returns true if owners of this kind could not be read.
    pub(crate) fn lacks(&self, kind: &WorkloadKind) -> bool {
        self.lacking.contains(kind.as_str())
    }

    /// Returns true if the cluster has no such control plane. Of a part of a cluster, or of a dump
    /// without the objects of control planes, that cannot be said.
    pub(crate) fn is_gone(&self, control_plane: &str) -> bool {
        let lacks = |kind: &str| self.lacking.contains(kind);
        let knows_all = !self.is_scoped && !lacks("ConfigMap") && !lacks("Deployment");
        knows_all && !self.bundles.contains_key(control_plane)
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
        let components = planes.iter().flat_map(|plane| &plane.components);
        let key = |it: &Deployment| (it.meta.namespace.clone(), it.meta.name.clone());
        self.components = components.map(key).collect();
        let plugins = &self.owners.plugins;
        let rolling = plugins.iter().any(|plugin| !plugin.is_settled);
        for plane in &mut *planes {
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
        let mut parts: BTreeMap<(&str, &str), Vec<ExtensionPart>> = BTreeMap::new();
        for (namespace, name) in &self.namespaces.extensions {
            parts.entry((name, namespace)).or_default();
        }
        let all = self.owners.parts.iter();
        for ((namespace, name), part) in all.filter(|(key, _)| !self.components.contains(key)) {
            let of_namespace = self.namespaces.extensions.get(namespace);
            if let Some(extension) = part.extension.as_ref().or(of_namespace) {
                let all = parts.entry((extension, namespace)).or_default();
                all.push(part.record(name));
            }
        }
        parts.retain(|(name, _), _| *name != "cni");
        for plugin in &self.owners.plugins {
            let all = parts.entry(("cni", &plugin.namespace)).or_default();
            all.push(plugin.record());
        }
        let extensions = parts
            .into_iter()
            .map(|((name, namespace), parts)| Extension {
                cluster: cluster.to_owned(),
                name: name.to_owned(),
                namespace: namespace.to_owned(),
                version: oldest(parts.iter().filter_map(|it| it.version.as_deref()))
                    .map(str::to_owned),
                parts,
            });
        extensions.collect()
    }
}
