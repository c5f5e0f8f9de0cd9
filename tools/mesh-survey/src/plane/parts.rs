//! The cluster-wide objects of a control plane, with only the fields that are read.

use std::collections::BTreeMap;

use mesh_cluster::control_plane::origin::{Operator, release};
use mesh_cluster::object::label;
use mesh_cluster::object::{ByteString, EndpointSlice, Meta, Resource, Selector};
use mesh_records::{Crd, FailurePolicy, Selects};
use mesh_versions::INJECTOR_WEBHOOK;
use serde::Deserialize;
use serde_json::{Value, json};

/// A mutating or validating webhook configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct WebhookConfiguration {
    #[serde(rename = "metadata")]
    pub(crate) meta: Meta,
    pub(crate) webhooks: Vec<Hook>,
}

/// A webhook of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Hook {
    pub(crate) name: String,
    pub(crate) failure_policy: Option<FailurePolicy>,
    pub(crate) client_config: ClientConfig,
    pub(crate) namespace_selector: Selector,
    pub(crate) object_selector: Selector,
    pub(crate) match_conditions: Vec<MatchCondition>,
    pub(crate) rules: Vec<HookRule>,
}

/// The requests that a webhook is called for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct HookRule {
    pub(crate) operations: Vec<String>,
    pub(crate) resources: Vec<String>,
}

/// A condition in CEL on what a webhook is called for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct MatchCondition {
    pub(crate) name: String,
}

/// The address at which the API server calls a webhook.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ClientConfig {
    pub(crate) service: Option<ServiceReference>,
    pub(crate) ca_bundle: Option<ByteString>,
}

/// The Service that a webhook runs behind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct ServiceReference {
    pub(crate) name: String,
    pub(crate) namespace: String,
}

/// A custom resource definition, without its schemas.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Definition {
    #[serde(rename = "metadata")]
    pub(crate) meta: Meta,
    pub(crate) spec: DefinitionSpec,
    pub(crate) status: DefinitionStatus,
}

/// A custom resource definition's spec.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct DefinitionSpec {
    pub(crate) group: String,
    pub(crate) versions: Vec<DefinitionVersion>,
}

/// A version of a custom resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct DefinitionVersion {
    pub(crate) name: String,
    pub(crate) served: bool,
    pub(crate) storage: bool,
}

/// A custom resource definition's status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct DefinitionStatus {
    pub(crate) stored_versions: Vec<String>,
}

/// Nodes.
pub(crate) const NODES: Resource = Resource {
    group: "",
    version: "v1",
    plural: "nodes",
    kind: "Node",
};
/// Proxies outside the cluster.
pub(crate) const EXTERNAL: Resource = Resource {
    group: "workload.linkerd.io",
    version: "v1beta1",
    plural: "externalworkloads",
    kind: "ExternalWorkload",
};
/// How a Service's traffic is split, in the version that Linkerd served until 2.11.
pub(crate) const SPLITS: Resource = Resource {
    group: "split.smi-spec.io",
    version: "v1alpha2",
    plural: "trafficsplits",
    kind: "TrafficSplit",
};
/// Mutating webhook configurations.
pub(crate) const MUTATING: Resource = Resource {
    group: "admissionregistration.k8s.io",
    version: "v1",
    plural: "mutatingwebhookconfigurations",
    kind: "MutatingWebhookConfiguration",
};
/// Validating webhook configurations.
pub(crate) const VALIDATING: Resource = Resource {
    group: "admissionregistration.k8s.io",
    version: "v1",
    plural: "validatingwebhookconfigurations",
    kind: "ValidatingWebhookConfiguration",
};

/// The webhook configurations of a control plane; the first is the injector's.
pub(crate) const WEBHOOKS: [(Resource, &str); 3] = [
    (MUTATING, INJECTOR_WEBHOOK),
    (VALIDATING, "linkerd-sp-validator-webhook-config"),
    (VALIDATING, "linkerd-policy-validator-webhook-config"),
];

/// Returns true if an upgrade changes the custom resource definition with this name.
pub(crate) fn is_of_interest(name: &str) -> bool {
    const GROUPS: [&str; 4] = [
        "linkerd.io",
        "linkerd.buoyant.io",
        "gateway.networking.k8s.io",
        "split.smi-spec.io",
    ];
    let group = name.split_once('.').map_or("", |(_, group)| group);
    GROUPS.contains(&group) || group.ends_with(".linkerd.io")
}

/// Whether the API server serves a custom resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// In the version that is read.
    Yes,
    /// Only in others.
    Otherwise,
    /// It has no definition, so there is none.
    No,
}

/// Tells by all definitions whether the API server serves a custom resource.
pub(crate) fn served(definitions: &[Definition], resource: &Resource) -> Served {
    let name = format!("{}.{}", resource.plural, resource.group);
    match definitions.iter().find(|it| it.meta.name == name) {
        Some(definition) if definition.serves(resource.version) => Served::Yes,
        Some(_) => Served::Otherwise,
        None => Served::No,
    }
}

/// Whether Buoyant's operator manages control planes, by the number of its resources.
pub(crate) fn operator(resources: Option<usize>) -> Operator {
    match resources {
        Some(0) => Operator::Absent,
        Some(_) => Operator::Manages,
        None => Operator::Unknown,
    }
}

/// How many endpoints of a Service are ready.
pub(crate) fn ready_endpoints(slices: &[EndpointSlice], service: &str) -> u32 {
    let of_service = slices.iter().filter(|slice| slice.is_of(service));
    let ready: usize = of_service.map(EndpointSlice::ready).sum();
    u32::try_from(ready).unwrap_or(u32::MAX)
}

/// Lists the Gateway API's definitions, each with what installed it and whether it tells Helm to
/// keep it (`helm.sh/resource-policy`).
pub(crate) fn gateway_api(definitions: &[Definition]) -> Value {
    let gateway = definitions
        .iter()
        .filter(|it| it.spec.group == "gateway.networking.k8s.io");
    let facts = gateway.map(|definition| {
        let value = |key: &str| definition.meta.annotations.get(key);
        let mut fact = BTreeMap::from([("name", json!(definition.meta.name))]);
        fact.insert(
            "keep",
            json!(value("helm.sh/resource-policy").is_some_and(|it| it == "keep")),
        );
        fact.extend(value(label::CREATED_BY).map(|by| ("created_by", json!(by))));
        let version = value("gateway.networking.k8s.io/bundle-version");
        fact.extend(version.map(|version| ("bundle_version", json!(version))));
        fact.extend(release(&definition.meta).map(|it| ("release", json!(it.name))));
        json!(fact)
    });
    facts.collect()
}

// === impl WebhookConfiguration ===

impl WebhookConfiguration {
    /// Returns the kind, by the names of the charts.
    pub(crate) fn kind(&self) -> &'static str {
        let mut known = WEBHOOKS.iter();
        let known = known.find(|(_, name)| *name == self.meta.name);
        known.map_or(VALIDATING.kind, |(resource, _)| resource.kind)
    }
}

// === impl Hook ===

impl Hook {
    /// Returns true if the webhook calls this Service. A webhook with a URL is told by its name.
    pub(crate) fn calls(&self, service: &str) -> bool {
        match &self.client_config.service {
            Some(called) => called.name == service,
            None => self.name.split('.').next() == Some(service),
        }
    }

    /// Returns true if the webhook is called for new pods. The API server stores no webhook without
    /// rules.
    pub(crate) fn takes_pods(&self) -> bool {
        let one_of = |all: &[String], word: &str| all.iter().any(|it| it == word || it == "*");
        let takes =
            |rule: &HookRule| one_of(&rule.operations, "CREATE") && one_of(&rule.resources, "pods");
        self.rules.is_empty() || self.rules.iter().any(takes)
    }

    /// What the API server sends to the webhook.
    pub(crate) fn selects(&self) -> Selects {
        let query = |selector: &Selector| Some(selector.query()).filter(|it| !it.is_empty());
        let conditions = self.match_conditions.iter();
        Selects {
            namespaces: query(&self.namespace_selector),
            objects: query(&self.object_selector),
            conditions: conditions.map(|it| it.name.clone()).collect(),
        }
    }
}

// === impl Definition ===

impl Definition {
    fn serves(&self, version: &str) -> bool {
        let mut versions = self.spec.versions.iter();
        versions.any(|it| it.served && it.name == version)
    }

    /// Makes the definition's record.
    pub(crate) fn crd(&self) -> Crd {
        let versions = &self.spec.versions;
        let storage = versions.iter().find(|version| version.storage);
        Crd {
            name: self.meta.name.clone(),
            served: versions
                .iter()
                .filter(|it| it.served)
                .map(|it| it.name.clone())
                .collect(),
            storage: storage
                .map(|version| version.name.clone())
                .unwrap_or_default(),
            stored: self.status.stored_versions.clone(),
        }
    }
}
