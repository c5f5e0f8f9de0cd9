//! What `mesh-survey` sees: control planes, extensions, workloads, and what it could not see.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ProxyCount, WorkloadRef};

/// A Linkerd control plane. Its pods are counted here and are no workloads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControlPlane {
    /// The cluster's label.
    pub cluster: String,
    /// The control plane's namespace, which names it within the cluster.
    pub namespace: String,
    /// `linkerdVersion` of the `linkerd-config` ConfigMap. It changes the moment that the
    /// configuration is applied, before the components have rolled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The proxy version that a new pod gets now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub injects: Option<String>,
    /// Its Deployments.
    pub components: Vec<Component>,
    /// Whether all of it has settled.
    pub state: State,
    /// What installed it, and so must upgrade it.
    pub installed_by: InstalledBy,
    /// The Helm release that owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
    /// Signs that contradict `installed_by`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<String>,
    /// Highly available: `highAvailability` of its configuration.
    pub ha: bool,
    /// The API server's gitVersion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<String>,
    /// The resourceVersion of `linkerd-config`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_resource_version: Option<String>,
    /// The certificates that could be looked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Certificate>,
    /// SHA-256 of the trust bundle, as the injector stamps it on pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_anchors_sha256: Option<String>,
    /// The admission webhooks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub webhooks: Vec<Webhook>,
    /// The custom resource definitions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crds: Vec<Crd>,
    /// What the upgrade notes need to know. A fact that could not be read is absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, serde_json::Value>,
}

/// One Deployment of a control plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// The Deployment's name.
    pub name: String,
    /// Its Linkerd version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Replicas asked for.
    pub wanted: u32,
    /// Replicas that are available.
    pub ready: u32,
    /// Replicas of the newest template.
    pub updated: u32,
    /// The proxies beside it.
    pub proxies: Vec<ProxyCount>,
}

/// Whether a control plane has settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Every component runs its newest template with all replicas available.
    Settled,
    /// A component is on its way.
    Rolling,
    /// A component has stopped making progress.
    Failed,
}

/// What installed a control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Nothing that left a sign.
    Unknown,
}

/// A Helm release, from the `meta.helm.sh` annotations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its name.
    pub name: String,
    /// The namespace that keeps its Secrets.
    pub namespace: String,
}

/// A certificate of the control plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// What it is for.
    pub role: CertificateRole,
    /// The object that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Valid from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Valid until.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
    /// Whether it could be read at all.
    pub readable: bool,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
pub struct Webhook {
    /// The webhook's name within its configuration.
    pub name: String,
    /// What happens when it does not answer.
    pub failure_policy: FailurePolicy,
    /// Ready endpoints behind its Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_endpoints: Option<u32>,
    /// Whether it answers the API server. Ready pods do not prove that it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<bool>,
}

/// Kubernetes' `failurePolicy`, in its own spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailurePolicy {
    /// Pods are created without it.
    Ignore,
    /// Pods are refused.
    Fail,
}

/// A custom resource definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crd {
    /// `plural.group`.
    pub name: String,
    /// Versions that are served.
    pub served: Vec<String>,
    /// The version that new objects are stored in.
    pub storage: String,
    /// Versions that stored objects may have.
    pub stored: Vec<String>,
}

/// A Linkerd extension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// The cluster's label.
    pub cluster: String,
    /// `viz`, `multicluster`, `jaeger`, `cni`, …: the value of `linkerd.io/extension`.
    pub name: String,
    /// Where it runs.
    pub namespace: String,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Something odd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anomaly {
    /// The cluster's label.
    pub cluster: String,
    /// What kind of oddity, such as `proxy-without-label`.
    pub id: String,
    /// Which workload.
    #[serde(flatten)]
    pub identity: WorkloadRef,
    /// One sentence.
    pub message: String,
}

/// Something that could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unseen {
    /// The cluster's label.
    pub cluster: String,
    /// The request's verb.
    pub verb: String,
    /// The resource, as an RBAC rule names it.
    pub resource: String,
    /// The namespace, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Whether the survey is complete without it.
    pub needed: Need,
    /// What the API server said.
    pub reason: String,
    /// The RBAC rule that would allow it.
    pub rule: String,
}

/// Whether a survey is complete without something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// It is not.
    Required,
    /// It is, but some rules cannot tell.
    Optional,
}
