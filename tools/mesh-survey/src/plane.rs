//! Reads a control plane's record from its objects: version, components, identity, webhooks,
//! origin.

mod component;
pub(crate) mod parts;

use std::collections::BTreeMap;

use mesh_cluster::control_plane::Config;
use mesh_cluster::control_plane::certificate::{anchors, certificates, stands_on, unreadable};
use mesh_cluster::control_plane::issuer::CertificateSecret;
use mesh_cluster::control_plane::origin::{Operator, Origin, origin};
use mesh_cluster::control_plane::{bundle, bundle_sha256};
use mesh_cluster::object::label;
use mesh_cluster::object::{ConfigMap, Deployment, EndpointSlice, Meta};
use mesh_cluster::workload::injection::Injector;
use mesh_records::{Certificate, CertificateRole, Component, ControlPlane, FailurePolicy, Webhook};
use serde_json::Value as Fact;

use component::{belongs_to, component, state};
use parts::{Definition, WebhookConfiguration};

pub(crate) use component::{is_component, oldest, part_version, stated_version};

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
    /// The Deployments that an older release left behind.
    pub(crate) left: Vec<String>,
    /// The issuer's Secret.
    pub(crate) issuer: Option<CertificateSecret>,
    /// The Secret with the certificate that the injector serves.
    pub(crate) serving: Option<CertificateSecret>,
    /// The control plane's webhook configurations.
    pub(crate) webhooks: Option<Vec<WebhookConfiguration>>,
    /// The `EndpointSlice`s in the namespace.
    pub(crate) slices: Option<Vec<EndpointSlice>>,
    /// Whether dry-run pods came back with a proxy.
    pub(crate) answers: Option<bool>,
    /// The custom resource definitions that an upgrade changes.
    pub(crate) definitions: Option<Vec<Definition>>,
    /// Whether a resource of Buoyant's operator names the control plane.
    pub(crate) operator: Operator,
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
    /// With the selectors of its webhook, where they could be read; `None` if no webhook sends it
    /// pods.
    pub(crate) registered: Option<Injector>,
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
        let version = values.as_ref().and_then(Config::version);
        let (components, leftovers): (Vec<_>, Vec<_>) = deployments
            .into_iter()
            .partition(|it| belongs_to(version, &it.meta.name));
        let left = leftovers.into_iter().map(|it| it.meta.name).collect();
        Self {
            namespace,
            config,
            trust_roots,
            components,
            left,
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
        let issuer = self
            .issuer
            .as_ref()
            .and_then(CertificateSecret::certificate);
        let anchors = self.trust_roots.as_ref().and_then(bundle).map_or_else(
            || vec![unreadable(CertificateRole::Anchor)],
            |bundle| anchors(bundle.as_bytes(), issuer),
        );
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
        // The first is the one that the injector serves; the others are its chain.
        let serving = self
            .serving
            .as_ref()
            .and_then(CertificateSecret::certificate);
        let serving = serving.map(|pem| certificates(CertificateRole::Webhook, pem));
        let serving = serving.into_iter().flat_map(|it| it.into_iter().next());
        anchors
            .chain([named(label::ISSUER, issuer)])
            .chain(webhooks)
            .chain(serving.map(|it| named(label::INJECTOR_TLS, it)))
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
            trusted: self.trusted(hook),
            selects: hook.selects(),
        };
        self.own_hooks().map(webhook).collect()
    }

    // Only the injector's certificate is read. Without a bundle the API server trusts the authorities
    // of its machine, and none of them signs for the name of a Service.
    fn trusted(&self, hook: &parts::Hook) -> Option<bool> {
        let serving = self
            .serving
            .as_ref()
            .and_then(CertificateSecret::certificate);
        let serving = serving.filter(|_| hook.calls(label::INJECTOR))?;
        match &hook.client_config.ca_bundle {
            Some(authority) if !authority.0.is_empty() => stands_on(&authority.0, serving),
            Some(_) | None => Some(false),
        }
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
            None if self.webhooks.is_some() => None,
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

    // The Deployments that only older releases have, and the webhooks whose Service is gone. A
    // Service with a selector has an EndpointSlice, even if no pod is ready.
    fn leftovers(&self) -> Vec<String> {
        let deployments = self.left.iter().map(|name| format!("Deployment/{name}"));
        let slices = self.slices.as_deref().unwrap_or_default();
        let is_gone = |hook: &parts::Hook| {
            let service = hook.client_config.service.as_ref();
            let service = service.filter(|it| it.namespace == self.namespace);
            service.is_some_and(|it| !slices.iter().any(|slice| slice.is_of(&it.name)))
        };
        let webhooks = self.webhooks.iter().flatten().filter(|it| {
            let calls_nobody = !it.webhooks.is_empty() && it.webhooks.iter().all(is_gone);
            calls_nobody && !slices.is_empty() && it.meta.name != parts::WEBHOOKS[0].1
        });
        let webhooks = webhooks.map(|it| format!("{}/{}", it.kind(), it.meta.name));
        deployments.chain(webhooks).collect()
    }

    fn facts(&self, config: Option<&Config>) -> BTreeMap<String, Fact> {
        let mut facts = config.map(Config::facts).unwrap_or_default();
        facts.extend(self.facts.clone());
        let leftovers = self.leftovers();
        if !leftovers.is_empty() {
            facts.insert("leftovers".to_owned(), leftovers.into());
        }
        let operated = match self.operator {
            Operator::Manages => Some(true),
            Operator::Absent => Some(false),
            Operator::Unknown => None,
        };
        facts.extend(operated.map(|it| ("operator".to_owned(), Fact::from(it))));
        if let Some(definitions) = &self.definitions {
            facts.insert(
                "gateway_api_crds".to_owned(),
                parts::gateway_api(definitions),
            );
        }
        if self.webhooks.is_some() {
            let registered = self.own_hooks().any(|hook| hook.calls(label::INJECTOR));
            facts.insert("injector_registered".to_owned(), Fact::from(registered));
        }
        facts
    }
}

#[cfg(test)]
mod tests;
