//! Workloads and their proxies: the counts, the versions, and the ways to new pods.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Obstacle, Word, WorkloadRef};

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
    /// The labels that were asked for: the owner's, else the namespace's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
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

/// Counts of a workload's pods, those that have finished or are terminating not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodCounts {
    /// Asked for, where the owner says how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<u32>,
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
