//! Reads a control plane's record from its objects: version, components, identity, webhooks,
//! origin.

mod certificate;
pub(crate) mod parts;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use mesh_cluster::control_plane::Config;
use mesh_cluster::control_plane::issuer::IssuerSecret;
use mesh_cluster::control_plane::origin::{Origin, origin};
use mesh_cluster::control_plane::{bundle, bundle_sha256};
use mesh_cluster::object::label;
use mesh_cluster::object::{ConfigMap, Deployment, EndpointSlice, Meta};
use mesh_cluster::workload::injection::Injector;
use mesh_cluster::workload::proxy::{created_by, image_tag, linkerd_version};
use mesh_cluster::workload::rollout::{self, Restartable as _};
use mesh_records::{
    Certificate, CertificateRole, Component, ControlPlane, FailurePolicy, State, Trouble, Webhook,
};
use mesh_versions::{Minor, Releases, Version};
use serde_json::Value as Fact;

use certificate::{certificates, unreadable};
use parts::{Definition, WebhookConfiguration};

/// The objects of a control plane. An object that could not be read is absent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects {
    /// The control plane's namespace.
    pub(crate) namespace: String,
    /// `linkerd-config`.
    pub(crate) config: Option<ConfigMap>,
    /// `linkerd-identity-trust-roots`.
    pub(crate) trust_roots: Option<ConfigMap>,
    /// The control plane's Deployments.
    pub(crate) components: Vec<Deployment>,
    /// The issuer's Secret.
    pub(crate) issuer: Option<IssuerSecret>,
    /// The control plane's webhook configurations.
    pub(crate) webhooks: Option<Vec<WebhookConfiguration>>,
    /// The `EndpointSlice`s in the namespace.
    pub(crate) slices: Option<Vec<EndpointSlice>>,
    /// Whether the injector answered the API server.
    pub(crate) answers: Option<bool>,
    /// The custom resource definitions that an upgrade changes.
    pub(crate) definitions: Option<Vec<Definition>>,
    /// Whether Buoyant's operator is in the cluster.
    pub(crate) operator: bool,
    /// The API server's version.
    pub(crate) kubernetes: Option<String>,
    /// Facts about the cluster.
    pub(crate) facts: BTreeMap<String, Fact>,
}

/// A control plane's injector.
#[derive(Clone, Debug)]
pub(crate) struct PlaneInjector {
    /// The control plane's namespace.
    pub(crate) control_plane: String,
    /// With the selectors of the release's chart.
    pub(crate) charted: Injector,
    /// With the selectors of its webhook, where they could be read; `None` if its webhook takes no
    /// pods.
    pub(crate) registered: Option<Injector>,
}

/// Returns the state of a control plane's Deployments. Without any Deployment it is not settled.
fn state(components: &[Deployment]) -> State {
    let mut state = if components.is_empty() {
        State::Failed
    } else {
        State::Settled
    };
    for component in components {
        match component.standing() {
            rollout::State::Settled => {}
            rollout::State::Failed(_) => return State::Failed,
            // Nobody waits for this rollout any more.
            rollout::State::HeldUp(problem) if problem.trouble == Trouble::ProgressDeadline => {
                return State::Failed;
            }
            rollout::State::Progressing(_)
            | rollout::State::HeldUp(_)
            | rollout::State::Superseded => state = State::Rolling,
        }
    }
    state
}

/// The Deployments of every release since 2.11.
const COMPONENTS: [&str; 3] = [
    "linkerd-destination",
    "linkerd-identity",
    "linkerd-proxy-injector",
];
/// Deployments that only older releases have. They stay after an upgrade without a prune.
const OLDER: [&str; 6] = [
    "linkerd-controller",
    "linkerd-grafana",
    "linkerd-prometheus",
    "linkerd-sp-validator",
    "linkerd-tap",
    "linkerd-web",
];
/// The last line that has them.
const LAST_OLDER: Minor = Minor::new(10);

/// Returns true if a Deployment may be a component of the control plane in its namespace. The label
/// alone does not tell: extensions up to 2.11 have it too.
pub(crate) fn is_component(meta: &Meta) -> bool {
    let name = meta.name.as_str();
    meta.labels.contains_key(label::COMPONENT)
        && (COMPONENTS.contains(&name) || OLDER.contains(&name))
}

// Whether a control plane of this version has Deployments that later releases do not have.
fn has_older(version: Option<&str>) -> bool {
    static RELEASES: LazyLock<Releases> = LazyLock::new(Releases::embedded);
    let minor = version.and_then(|version| RELEASES.minor_of(&Version::of_tag(version)));
    minor.is_some_and(|minor| minor.minor <= LAST_OLDER)
}

/// Returns the version that a Linkerd Deployment runs: from its images, or else from its labels and
/// annotations.
pub(crate) fn component_version(deployment: &Deployment) -> Option<String> {
    let containers = &deployment.spec.template.spec.containers;
    let own = containers
        .iter()
        .filter(|container| container.name != label::PROXY);
    let mut tags = own.filter_map(|container| linkerd_version(image_tag(&container.image)?));
    tags.next()
        .map(str::to_owned)
        .or_else(|| stated_version(&deployment.meta))
}

/// Returns the Linkerd version in an object's annotations or labels.
pub(crate) fn stated_version(meta: &Meta) -> Option<String> {
    let created_by = created_by(&meta.annotations);
    let stated = created_by.and_then(linkerd_version);
    let label = || meta.labels.get(label::APP_VERSION).map(String::as_str);
    stated
        .or_else(|| label().and_then(linkerd_version))
        .map(str::to_owned)
}

// === impl Objects ===

impl Objects {
    /// Sorts a control plane's Deployments from those that an older release left behind.
    pub(crate) fn new(
        namespace: String,
        config: Option<ConfigMap>,
        trust_roots: Option<ConfigMap>,
        deployments: Vec<Deployment>,
    ) -> Self {
        let values = config.as_ref().and_then(Config::of);
        let is_old = has_older(values.as_ref().and_then(Config::version));
        let (components, leftovers): (Vec<_>, Vec<_>) = deployments
            .into_iter()
            .partition(|it| is_old || COMPONENTS.contains(&it.meta.name.as_str()));
        let mut facts = BTreeMap::new();
        if !leftovers.is_empty() {
            let names = leftovers.into_iter().map(|it| it.meta.name);
            facts.insert("leftovers".to_owned(), names.collect());
        }
        Self {
            namespace,
            config,
            trust_roots,
            components,
            facts,
            ..Self::default()
        }
    }

    /// Makes the record, without the facts that need the pods.
    pub(crate) fn record(&self, cluster: &str) -> ControlPlane {
        let config = self.config.as_ref().and_then(Config::of);
        let Origin {
            installed_by,
            release,
            conflicts,
        } = self.origin();
        ControlPlane {
            cluster: cluster.to_owned(),
            namespace: self.namespace.clone(),
            version: config.as_ref().and_then(Config::version).map(str::to_owned),
            injects: config.as_ref().and_then(Config::injects).map(str::to_owned),
            components: self.components(),
            state: state(&self.components),
            installed_by,
            release,
            conflicts,
            ha: config.as_ref().is_some_and(Config::is_highly_available),
            kubernetes: self.kubernetes.clone(),
            config_resource_version: self
                .config
                .as_ref()
                .map(|config| config.meta.resource_version.clone())
                .filter(|version| !version.is_empty()),
            certificates: self.certificates(),
            trust_anchors_sha256: self.trust_roots.as_ref().and_then(bundle_sha256),
            webhooks: self.webhooks(),
            crds: self
                .definitions
                .iter()
                .flatten()
                .map(Definition::crd)
                .collect(),
            facts: self.facts(config.as_ref()),
        }
    }

    /// Returns true if `linkerd-config` exists but cannot be parsed.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.config
            .as_ref()
            .is_some_and(|config| Config::of(config).is_none())
    }

    fn origin(&self) -> Origin {
        let components = self.components.iter().map(|component| &component.meta);
        let objects: Vec<&Meta> = components
            .chain(self.config.as_ref().map(|config| &config.meta))
            .collect();
        origin(&objects, self.operator)
    }

    fn components(&self) -> Vec<Component> {
        let mut components: Vec<Component> = self.components.iter().map(component).collect();
        components.sort_by(|one, other| one.name.cmp(&other.name));
        components
    }

    fn certificates(&self) -> Vec<Certificate> {
        let anchors = self.trust_roots.as_ref().and_then(bundle).map_or_else(
            || vec![unreadable(CertificateRole::Anchor)],
            |bundle| certificates(CertificateRole::Anchor, bundle.as_bytes()),
        );
        let issuer = self.issuer.as_ref().and_then(IssuerSecret::certificate);
        // The first certificate is the issuer's; the others are its chain.
        let issuer = issuer
            .and_then(|pem| {
                certificates(CertificateRole::Issuer, pem)
                    .into_iter()
                    .next()
            })
            .unwrap_or_else(|| unreadable(CertificateRole::Issuer));
        let named = |name: &str, it| Certificate {
            name: Some(name.to_owned()),
            ..it
        };
        let anchors = anchors.into_iter().map(|it| named(label::TRUST_ROOTS, it));
        let webhooks = self.own_hooks().flat_map(|hook| {
            let bundle = hook.client_config.ca_bundle.iter();
            let found = bundle.flat_map(|it| certificates(CertificateRole::Webhook, &it.0));
            found.map(|it| named(&hook.name, it)).collect::<Vec<_>>()
        });
        anchors
            .chain([named(label::ISSUER, issuer)])
            .chain(webhooks)
            .collect()
    }

    fn webhooks(&self) -> Vec<Webhook> {
        let webhook = |hook: &parts::Hook| Webhook {
            name: hook.name.clone(),
            // The API server's default.
            failure_policy: hook.failure_policy.unwrap_or(FailurePolicy::Fail),
            answers: self.answers.filter(|_| hook.calls(label::INJECTOR)),
            ready_endpoints: self.slices.as_deref().and_then(|slices| {
                let service = hook.client_config.service.as_ref()?;
                Some(parts::ready_endpoints(slices, &service.name))
            }),
            selects: hook.selects(),
        };
        self.own_hooks().map(webhook).collect()
    }

    /// The injector, and which pods its webhook sends to it.
    pub(crate) fn injector(&self) -> PlaneInjector {
        let config = self.config.as_ref().and_then(Config::of);
        let injector = Injector::of_release(config.as_ref().and_then(Config::version));
        let charted = match config.as_ref().is_some_and(Config::mounts_tokens) {
            true => injector.without_projected_tokens(),
            false => injector,
        };
        let registered = match self.own_hooks().find(|hook| hook.calls(label::INJECTOR)) {
            Some(hook) if !hook.takes_pods() => None,
            Some(hook) => Some(charted.clone().with_selectors(
                hook.namespace_selector.clone(),
                hook.object_selector.clone(),
            )),
            None => Some(charted.clone()),
        };
        PlaneInjector {
            control_plane: self.namespace.clone(),
            charted,
            registered,
        }
    }

    // All control planes of a cluster use the same names of webhook configurations, so a webhook is
    // ours if its Service is in our namespace.
    fn own_hooks(&self) -> impl Iterator<Item = &parts::Hook> {
        let hooks = self.webhooks.iter().flatten().flat_map(|it| &it.webhooks);
        hooks.filter(|hook| {
            let service = hook.client_config.service.as_ref();
            service.is_none_or(|service| service.namespace == self.namespace)
        })
    }

    fn facts(&self, config: Option<&Config>) -> BTreeMap<String, Fact> {
        let mut facts = config.map(Config::facts).unwrap_or_default();
        facts.extend(self.facts.clone());
        if let Some(definitions) = &self.definitions {
            facts.insert("operator".to_owned(), Fact::from(self.operator));
            facts.insert(
                "gateway_api_crds".to_owned(),
                parts::gateway_api(definitions),
            );
        }
        if self.webhooks.is_some() {
            let (_, injector) = parts::WEBHOOKS[0];
            let mut configurations = self.webhooks.iter().flatten();
            let registered = configurations.any(|it| it.meta.name == injector);
            facts.insert("injector_registered".to_owned(), Fact::from(registered));
        }
        facts
    }
}

fn component(deployment: &Deployment) -> Component {
    let count = |count: i32| u32::try_from(count).unwrap_or(0);
    let status = &deployment.status;
    // A status for an older generation does not describe the newest template.
    let observed = status.observed_generation >= deployment.meta.generation;
    Component {
        name: deployment.meta.name.clone(),
        version: component_version(deployment),
        wanted: count(deployment.spec.replicas.unwrap_or(1)),
        ready: count(status.available_replicas),
        updated: if observed {
            count(status.updated_replicas)
        } else {
            0
        },
        proxies: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
