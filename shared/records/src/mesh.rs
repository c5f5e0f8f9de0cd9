//! The records of `mesh-survey`: control planes, extensions, workloads, and what it could not read.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ProxyCount, WorkloadRef};

/// A Linkerd control plane. Its own pods are counted here, not as workloads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ControlPlane {
    /// The cluster's label.
    pub cluster: String,
    /// The control plane's namespace, which names it within the cluster.
    pub namespace: String,
    /// `linkerdVersion` of the `linkerd-config` ConfigMap. It changes as soon as the configuration
    /// is applied, before the components have rolled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The proxy version that the injector gives to a new pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub injects: Option<String>,
    /// The control plane's Deployments.
    pub components: Vec<Component>,
    /// Whether all components have settled.
    pub state: State,
    /// What installed the control plane; the same tool must upgrade it.
    pub installed_by: InstalledBy,
    /// The Helm release that owns the control plane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
    /// Signs that contradict `installed_by`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<String>,
    /// Whether the control plane is highly available: `highAvailability` in its configuration.
    pub ha: bool,
    /// The API server's gitVersion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<String>,
    /// The resourceVersion of `linkerd-config`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_resource_version: Option<String>,
    /// The certificates that the survey may look for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Certificate>,
    /// SHA-256 of the trust bundle, as in the annotation that the injector puts on pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_anchors_sha256: Option<String>,
    /// The admission webhooks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub webhooks: Vec<Webhook>,
    /// The custom resource definitions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crds: Vec<Crd>,
    /// Facts that rules from the upgrade notes need. A fact that could not be read is absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, serde_json::Value>,
}

/// One Deployment of a control plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Component {
    /// The Deployment's name.
    pub name: String,
    /// The component's Linkerd version; the oldest where its containers differ, absent where one of
    /// them is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The version of each container, where they differ or one of them is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<ContainerVersion>,
    /// Replicas that the specification asks for.
    pub wanted: u32,
    /// Replicas that are available.
    pub ready: u32,
    /// Replicas of the newest template.
    pub updated: u32,
    /// The proxies in the component's pods.
    pub proxies: Vec<ProxyCount>,
}

/// The version of one container of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ContainerVersion {
    /// The container's name.
    pub container: String,
    /// Its Linkerd version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Whether a control plane has settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Every component runs its newest template with all replicas available.
    Settled,
    /// A component is rolling out.
    Rolling,
    /// A component has stopped making progress.
    Failed,
}

/// What installed a control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum InstalledBy {
    /// Helm; [`ControlPlane::release`] names the release.
    Helm,
    /// The `linkerd` CLI.
    Cli,
    /// Argo CD or Flux.
    Gitops,
    /// Buoyant's operator.
    Operator,
    /// Unknown: nothing left a sign.
    Unknown,
}

/// A Helm release, from the `meta.helm.sh` annotations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Release {
    /// The workload's name.
    pub name: String,
    /// The namespace that holds the release's Secrets.
    pub namespace: String,
}

/// A certificate of the control plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Certificate {
    /// What the certificate is for.
    pub role: CertificateRole,
    /// The object that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The start of the validity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The end of the validity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
    /// Whether the certificate could be read.
    pub readable: bool,
    /// Whether the issuer's certificate stands on this anchor; absent where that cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signs_issuer: Option<bool>,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CertificateRole {
    /// A trust anchor.
    Anchor,
    /// The issuer of proxies' certificates.
    Issuer,
    /// A webhook's serving certificate.
    Webhook,
}

/// An admission webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Webhook {
    /// The webhook's name within its configuration.
    pub name: String,
    /// What the API server does when the webhook does not answer.
    pub failure_policy: FailurePolicy,
    /// Ready endpoints of the webhook's Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_endpoints: Option<u32>,
    /// Whether dry-run pods came back with a proxy (`mesh-survey --probe`). Ready pods alone do not
    /// prove that the webhook answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<bool>,
    /// Whether the webhook's serving certificate stands on the CA by which the API server calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted: Option<bool>,
    /// What the API server sends to the webhook.
    #[serde(default)]
    pub selects: Selects,
}

/// What the API server sends to a webhook. An absent selector selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Selects {
    /// The label selector of namespaces, as kubectl takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<String>,
    /// The label selector of objects, as kubectl takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<String>,
    /// The names of the match conditions. The survey does not evaluate them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<String>,
}

/// Kubernetes' `failurePolicy`, with Kubernetes' spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum FailurePolicy {
    /// The API server creates pods without calling the webhook.
    Ignore,
    /// The API server refuses pods.
    Fail,
}

/// A custom resource definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Crd {
    /// `plural.group`.
    pub name: String,
    /// The versions that the API server serves.
    pub served: Vec<String>,
    /// The version that new objects are stored in.
    pub storage: String,
    /// Versions that stored objects may have.
    pub stored: Vec<String>,
}

/// A Linkerd extension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Extension {
    /// The cluster's label.
    pub cluster: String,
    /// `viz`, `multicluster`, `jaeger`, `cni`, …: the value of `linkerd.io/extension`.
    pub name: String,
    /// The namespace that the extension runs in.
    pub namespace: String,
    /// The extension's version: that of its oldest part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The extension's Deployments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<ExtensionPart>,
}

/// A Deployment of an extension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExtensionPart {
    /// The Deployment's name.
    pub name: String,
    /// The Linkerd version that it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The version of a program with its own numbers, such as Prometheus or the CNI plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_version: Option<String>,
}

impl Component {
    /// Returns what runs in it, each part by its name with its version.
    pub fn parts(&self) -> impl Iterator<Item = (String, Option<&str>)> {
        let whole = self.versions.is_empty();
        let whole = whole.then(|| (self.name.clone(), self.version.as_deref()));
        let containers = self.versions.iter().map(|it| {
            let name = format!("{}/{}", self.name, it.container);
            (name, it.version.as_deref())
        });
        whole.into_iter().chain(containers)
    }
}

/// Something unusual about a workload that no rule describes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Anomaly {
    /// The cluster's label.
    pub cluster: String,
    /// The kind of anomaly, such as `proxy-without-label`.
    pub id: String,
    /// Which workload.
    #[serde(flatten)]
    pub identity: WorkloadRef,
    /// One sentence for people.
    pub message: String,
}

/// A request that the survey could not make or that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Unseen {
    /// The cluster's label.
    pub cluster: String,
    /// The request's verb.
    pub verb: String,
    /// The resource, with the name that an RBAC rule uses.
    pub resource: String,
    /// The namespace, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Whether the survey is complete without the answer.
    pub needed: Need,
    /// The API server's message.
    pub reason: String,
    /// The RBAC rule that would allow the request.
    pub rule: String,
}

/// Whether a survey is complete without something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// Required: without it the survey is not complete.
    Required,
    /// Optional: the survey is complete, but some rules cannot be decided.
    Optional,
}
