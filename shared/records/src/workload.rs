//! Workloads and their proxies: the counts, the versions, and the ways to new pods.

use std::collections::BTreeMap;

use mesh_versions::same_release;
use serde::{Deserialize, Serialize};

use crate::{Obstacle, Word, WorkloadRef};

/// The owner of pods that are meshed or should be meshed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// The labels that were asked for: the owner's, else the namespace's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Counts of the workload's pods.
    pub pods: PodCounts,
    /// The proxies of the workload's pods, counted by version.
    pub proxies: Vec<ProxyCount>,
    /// The proxies of pods that are on their way out and still serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub terminating_proxies: Vec<ProxyCount>,
    /// Whether the workload's proxies trust the current bundle.
    pub trust_anchors: TrustAnchors,
    /// What holds the proxies at one version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<Pin>,
    /// How the workload gets new pods.
    pub roll: Roll,
    /// How much of the workload is down during a roll.
    pub downtime: Downtime,
    /// The operator or GitOps tool that owns the workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,
    /// The judgement of `mesh-skewcheck`, absent in a survey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skew: Option<Skew>,
}

/// Counts of a workload's pods. Pods that have ended do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PodCounts {
    /// Asked for, where the owner says how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<u32>,
    /// All pods but those that are on their way out.
    pub total: u32,
    /// Pods whose Ready condition is true.
    pub ready: u32,
    /// Pods with a `linkerd-proxy` container.
    pub meshed: u32,
    /// Pods that are on their way out, in addition to `total`.
    #[serde(default, skip_serializing_if = "is_none")]
    pub terminating: u32,
    /// Pods that only their proxy keeps alive.
    #[serde(default, skip_serializing_if = "is_none")]
    pub held_by_proxy: u32,
    /// Whether the owner says that new pods of it are refused (`ReplicaFailure`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
}

fn is_none(count: &u32) -> bool {
    *count == 0
}

/// The number of pods that run one proxy version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProxyCount {
    /// The Linkerd version, from the best available source ([`VersionSource`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its minor version, such as `2.13`, where the releases file knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// The image's tag, if it is not a Linkerd version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Where the version was read.
    pub source: VersionSource,
    /// Whether the proxy runs as a native sidecar (an init container that restarts).
    pub native: bool,
    /// How many pods.
    pub count: u32,
}

/// Where a proxy's version was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum VersionSource {
    /// The image's tag is a Linkerd version.
    Image,
    /// The annotation `linkerd.io/proxy-version`.
    Annotation,
    /// None of these sources had a version.
    None,
}

/// Whether a workload's pods were started with the current trust anchors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TrustAnchors {
    /// All pods.
    Current,
    /// Some pods have other anchors.
    Stale,
    /// Unknown for some pods.
    Unknown,
}

/// A setting that holds a proxy at one version, whatever the control plane's version is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pin {
    /// Where the setting is.
    #[serde(rename = "where")]
    pub place: PinPlace,
    /// The version that the setting names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Returns true if `pins` prevent new pods from getting the proxy version `injects`.
///
/// A pin on the pod template overrides the namespace's. A pin to the release that the injector gives
/// anyway changes nothing.
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
    pinned.is_some_and(|version| !same_release(version, injects))
}

/// Where a pin is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PinPlace {
    /// `config.linkerd.io/proxy-version` on the pod template.
    Template,
    /// The same annotation on the namespace.
    Namespace,
    /// The proxy is part of the pod template (injected by hand).
    BakedIn,
}

/// How a workload gets new pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Roll {
    /// The way to get new pods.
    pub by: RollBy,
    /// Why a better way is not possible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Obstacle>,
}

impl Roll {
    /// Returns what keeps `mesh-roll` from rolling the workload, unless the user asks for another way
    /// (`--strategy`). The judge's `action` and the plan of `mesh-roll` both come from it.
    #[must_use]
    pub fn hindrance(&self) -> Option<Obstacle> {
        match (self.by, self.reason) {
            (_, Some(reason @ (Obstacle::Paused | Obstacle::ScaledToZero))) => Some(reason),
            (RollBy::Restart | RollBy::RestartAt | RollBy::Evict, _) => None,
            (RollBy::Itself | RollBy::None, Some(reason)) => Some(reason),
            (RollBy::Itself, None) => Some(Obstacle::Job),
            (RollBy::None, None) => Some(Obstacle::ForeignOwner),
        }
    }
}

/// The ways to new pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RollBy {
    /// A restart annotation on its pod template.
    Restart,
    /// The field `restartAt` of an Argo Rollout, whose own controller then evicts the pods.
    RestartAt,
    /// Eviction, pod by pod.
    Evict,
    /// The workload ends or renews itself (Job, CronJob).
    Itself,
    /// The workload cannot get new pods safely.
    None,
}

/// How much of a workload is down while it rolls, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Downtime {
    /// How much is down.
    pub grade: DowntimeGrade,
    /// The reasons, as sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
}

/// How much of a workload is down while it rolls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DowntimeGrade {
    /// Nothing: new pods are ready before old ones stop.
    None,
    /// Some replicas.
    Reduced,
    /// All of it.
    Outage,
}

/// The judgement of `mesh-skewcheck`, added to a workload's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Skew {
    /// The state of the workload's worst proxy, compared with the control plane in question.
    pub state: SkewState,
    /// The distance in minor versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minors: Option<u32>,
    /// What a roll should do with the workload.
    pub action: SkewAction,
    /// The id of each finding that concerns it, and what the action rests on; in the order of
    /// [`Word`], none twice.
    pub why: Vec<Word>,
}

/// How a proxy's version compares with the control plane's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SkewState {
    /// The same version.
    Same,
    /// Older.
    Behind,
    /// Newer.
    Ahead,
    /// The versions cannot be compared.
    Unknown,
}

/// What a roll should do with a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SkewAction {
    /// Roll it.
    Roll,
    /// Leave it: it already has the proxy that new pods would get.
    Leave,
    /// Skip it: it should be rolled but cannot be.
    Skip,
}

/// One proxy (`mesh-survey --pods`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// Where the version was read.
    pub source: VersionSource,
    /// Whether the proxy runs as a native sidecar.
    pub native: bool,
    /// Whether the proxy container is ready.
    pub ready: bool,
    /// The node that the pod is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}
