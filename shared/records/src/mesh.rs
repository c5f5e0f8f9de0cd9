//! What `mesh-survey` sees: control planes, extensions, workloads, and what it could not see.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Obstacle, Word, WorkloadRef};

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

/// An owner of meshed pods, or of pods that should be meshed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// The cluster's label.
    pub cluster: String,
    /// Which workload.
    #[serde(flatten)]
    pub identity: WorkloadRef,
    /// The owner's uid.
    pub uid: String,
    /// The namespace of the control plane that its proxies belong to.
    pub control_plane: String,
    /// Its pods, finished ones not counted.
    pub pods: PodCounts,
    /// The proxies of its pods.
    pub proxies: Vec<ProxyCount>,
    /// Whether its proxies trust the current bundle.
    pub trust_anchors: TrustAnchors,
    /// What holds its proxies at a version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<Pin>,
    /// How it gets new pods.
    pub roll: Roll,
    /// What rolling it costs.
    pub downtime: Downtime,
    /// The operator or GitOps tool that owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,
    /// `mesh-skewcheck`'s judgement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skew: Option<Skew>,
}

/// The kind of an owner, in Kubernetes' spelling.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum WorkloadKind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `apps/v1` DaemonSet.
    DaemonSet,
    /// `apps/v1` ReplicaSet without a Deployment.
    ReplicaSet,
    /// `v1` ReplicationController.
    ReplicationController,
    /// `batch/v1` Job without a CronJob.
    Job,
    /// `batch/v1` CronJob.
    CronJob,
    /// Argo's Rollout.
    Rollout,
    /// A pod that nothing owns.
    Pod,
    /// Any other owner.
    Other(String),
}

/// Counts of a workload's pods, those that have finished or are terminating not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodCounts {
    /// All.
    pub total: u32,
    /// Those whose Ready condition is true.
    pub ready: u32,
    /// Those that have a `linkerd-proxy` container.
    pub meshed: u32,
}

/// How many pods run one proxy version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProxyCount {
    /// The Linkerd version, from the best source there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its minor version, such as `2.13`, where the releases file knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// The image's tag, where it is no Linkerd version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Where the version comes from.
    pub source: VersionSource,
    /// Runs as a native sidecar (an init container that restarts).
    pub native: bool,
    /// How many pods.
    pub count: u32,
}

/// Where a proxy's version was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VersionSource {
    /// The image's tag is a Linkerd version.
    Image,
    /// The annotation `linkerd.io/proxy-version`.
    Annotation,
    /// None of them.
    None,
}

/// Whether the anchors that pods were started with are the current bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrustAnchors {
    /// All of them.
    Current,
    /// Some are not.
    Stale,
    /// Not known for some.
    Unknown,
}

/// Something that holds a proxy at a version, whatever the control plane says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Where it is written.
    #[serde(rename = "where")]
    pub place: PinPlace,
    /// The version it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Whether `pins` keep new pods from the proxy version `injects`.
///
/// A pin of the template beats its namespace's. A pin without a version changes only the image's
/// name; a pin that names what is injected anyway holds nothing back.
#[must_use]
pub fn hold_back(pins: &[Pin], injects: &str) -> bool {
    if pins.iter().any(|pin| pin.place == PinPlace::BakedIn) {
        return true;
    }
    let version = |place| {
        let mut pins = pins.iter().filter(move |pin| pin.place == place);
        pins.find_map(|pin| pin.version.as_deref())
    };
    let pinned = version(PinPlace::Template).or_else(|| version(PinPlace::Namespace));
    pinned.is_some_and(|version| version != injects)
}

/// Where a pin is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PinPlace {
    /// `config.linkerd.io/proxy-version` or `-image` on the pod template.
    Template,
    /// The same on the namespace.
    Namespace,
    /// The proxy is part of the pod template (injected by hand).
    BakedIn,
}

/// How a workload gets new pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roll {
    /// The way.
    pub by: RollBy,
    /// What stands in the way of a better one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Obstacle>,
}

/// The ways to new pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RollBy {
    /// A restart annotation on its pod template.
    Restart,
    /// Eviction, pod by pod.
    Evict,
    /// It ends or renews itself (Job, CronJob).
    Itself,
    /// No way.
    None,
}

/// What rolling a workload costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downtime {
    /// How bad.
    pub grade: DowntimeGrade,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
}

/// How much of a workload is away while it rolls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DowntimeGrade {
    /// Nothing: new pods come before old ones go.
    None,
    /// Some replicas.
    Reduced,
    /// All of it.
    Outage,
}

/// `mesh-skewcheck`'s judgement of a workload, spliced into its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skew {
    /// Of its worst proxy, against the control plane that the question is about.
    pub state: SkewState,
    /// How many 2.x apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minors: Option<u32>,
    /// What a roll should do with it.
    pub action: SkewAction,
    /// The id of each finding that concerns it, and what the action rests on; in the order of
    /// [`Word`], none twice.
    pub why: Vec<Word>,
}

/// How a proxy relates to a control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkewState {
    /// The same version.
    Same,
    /// Older.
    Behind,
    /// Newer.
    Ahead,
    /// It cannot be said.
    Unknown,
}

/// What a roll should do with a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkewAction {
    /// Roll it.
    Roll,
    /// It is as new pods would be.
    Leave,
    /// It should be rolled and cannot be.
    Skip,
}

/// One proxy (`mesh-survey --pods`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxy {
    /// The cluster's label.
    pub cluster: String,
    /// Which workload.
    #[serde(flatten)]
    pub identity: WorkloadRef,
    /// The owner's uid.
    pub uid: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's uid.
    pub pod_uid: String,
    /// The proxy's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where the version comes from.
    pub source: VersionSource,
    /// Runs as a native sidecar.
    pub native: bool,
    /// The proxy container is ready.
    pub ready: bool,
    /// The node that the pod is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
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

// === impl WorkloadKind ===

impl WorkloadKind {
    /// Kubernetes' spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::ReplicaSet => "ReplicaSet",
            Self::ReplicationController => "ReplicationController",
            Self::Job => "Job",
            Self::CronJob => "CronJob",
            Self::Rollout => "Rollout",
            Self::Pod => "Pod",
            Self::Other(kind) => kind,
        }
    }
}

impl std::convert::From<String> for WorkloadKind {
    fn from(kind: String) -> Self {
        match kind.as_str() {
            "Deployment" => Self::Deployment,
            "StatefulSet" => Self::StatefulSet,
            "DaemonSet" => Self::DaemonSet,
            "ReplicaSet" => Self::ReplicaSet,
            "ReplicationController" => Self::ReplicationController,
            "Job" => Self::Job,
            "CronJob" => Self::CronJob,
            "Rollout" => Self::Rollout,
            "Pod" => Self::Pod,
            _ => Self::Other(kind),
        }
    }
}

impl std::convert::From<WorkloadKind> for String {
    fn from(kind: WorkloadKind) -> Self {
        kind.as_str().to_owned()
    }
}

impl fmt::Display for WorkloadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
