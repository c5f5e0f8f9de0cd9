//! The cluster-wide objects of a control plane, cut down to what is read of them.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use mesh_records::{Crd, FailurePolicy};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::control_plane::origin::release;
use crate::object::label;
use crate::object::{EndpointSlice, Meta, Resource};

/// A mutating or validating webhook configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the object's own fields")]
pub struct WebhookConfiguration {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub webhooks: Vec<Hook>,
}

/// A webhook of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the API's own fields")]
pub struct Hook {
    pub name: String,
    pub failure_policy: Option<FailurePolicy>,
    pub client_config: ClientConfig,
}

/// Where a webhook is called.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "WebhookClientConfig's own fields")]
pub struct ClientConfig {
    pub service: Option<ServiceReference>,
    pub ca_bundle: Option<ByteString>,
}

/// A Service of a webhook.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "ServiceReference's own fields")]
pub struct ServiceReference {
    pub name: String,
    pub namespace: String,
}

/// A custom resource definition, without its schemas.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "CustomResourceDefinition's own fields")]
pub struct Definition {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: DefinitionSpec,
    pub status: DefinitionStatus,
}

/// A custom resource definition's spec.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "CustomResourceDefinitionSpec's own fields")]
pub struct DefinitionSpec {
    pub group: String,
    pub versions: Vec<DefinitionVersion>,
}

/// A version of a custom resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "CustomResourceDefinitionVersion's own fields")]
pub struct DefinitionVersion {
    pub name: String,
    pub served: bool,
    pub storage: bool,
}

/// A custom resource definition's status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "CustomResourceDefinitionStatus's own fields")]
pub struct DefinitionStatus {
    pub stored_versions: Vec<String>,
}

/// The certificate of an issuer's Secret; its key is never read.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct IssuerSecret {
    data: IssuerData,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct IssuerData {
    #[serde(rename = "crt.pem")]
    own: Option<ByteString>,
    #[serde(rename = "tls.crt")]
    external: Option<ByteString>,
}

/// Secrets, of which one is read by name.
pub const SECRETS: Resource = Resource {
    group: "",
    version: "v1",
    plural: "secrets",
    kind: "Secret",
};
/// Nodes.
pub const NODES: Resource = Resource {
    group: "",
    version: "v1",
    plural: "nodes",
    kind: "Node",
};
/// Custom resource definitions.
pub const DEFINITIONS: Resource = Resource {
    group: "apiextensions.k8s.io",
    version: "v1",
    plural: "customresourcedefinitions",
    kind: "CustomResourceDefinition",
};
/// Mutating webhook configurations.
pub const MUTATING: Resource = Resource {
    group: "admissionregistration.k8s.io",
    version: "v1",
    plural: "mutatingwebhookconfigurations",
    kind: "MutatingWebhookConfiguration",
};
/// Validating webhook configurations.
pub const VALIDATING: Resource = Resource {
    group: "admissionregistration.k8s.io",
    version: "v1",
    plural: "validatingwebhookconfigurations",
    kind: "ValidatingWebhookConfiguration",
};

/// The webhook configurations of a control plane; the first is the injector's.
pub const WEBHOOKS: [(Resource, &str); 3] = [
    (MUTATING, "linkerd-proxy-injector-webhook-config"),
    (VALIDATING, "linkerd-sp-validator-webhook-config"),
    (VALIDATING, "linkerd-policy-validator-webhook-config"),
];

/// Whether a custom resource definition matters to an upgrade, by its name.
#[must_use]
pub fn is_of_interest(name: &str) -> bool {
    const GROUPS: [&str; 4] = [
        "linkerd.io",
        "linkerd.buoyant.io",
        "gateway.networking.k8s.io",
        "split.smi-spec.io",
    ];
    let group = name.split_once('.').map_or("", |(_, group)| group);
    GROUPS.contains(&group) || group.ends_with(".linkerd.io")
}

/// How many endpoints of a Service are ready.
#[must_use]
pub fn ready_endpoints(slices: &[EndpointSlice], service: &str) -> u32 {
    let of_service = slices.iter().filter(|slice| slice.is_of(service));
    let ready: usize = of_service.map(EndpointSlice::ready).sum();
    u32::try_from(ready).unwrap_or(u32::MAX)
}

/// Who brought the Gateway API's definitions, and whether Helm would keep them.
#[must_use]
pub fn gateway_api(definitions: &[Definition]) -> Value {
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

// === impl Hook ===

impl Hook {
    /// Whether it calls this Service of its control plane.
    #[must_use]
    pub fn calls(&self, service: &str) -> bool {
        self.client_config
            .service
            .as_ref()
            .is_some_and(|it| it.name == service)
    }
}

// === impl Definition ===

impl Definition {
    /// Its record.
    #[must_use]
    pub fn crd(&self) -> Crd {
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

// === impl IssuerSecret ===

impl IssuerSecret {
    /// The certificate's PEM text.
    #[must_use]
    pub fn certificate(&self) -> Option<&[u8]> {
        let IssuerData { own, external } = &self.data;
        own.as_ref()
            .or(external.as_ref())
            .map(|bytes| bytes.0.as_slice())
    }
}

impl std::fmt::Debug for IssuerSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuerSecret").finish_non_exhaustive()
    }
}
