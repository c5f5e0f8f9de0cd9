//! Every word for what is wrong with a mesh, or for why something was left alone, listed once.
//!
//! A finding's `id`, a workload's `skew.why`, `roll.reason`, and the `reason` of `skipped` and
//! `rolled` take their words from [`Word`], so that one thing has one name wherever it is said.
//! [`Rule`], [`Obstacle`] and [`Trouble`] name the words that may stand in each place; they add none
//! of their own.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares [`Word`]: each word with its spelling in the records.
macro_rules! words {
    ($($(#[$doc:meta])* $word:ident = $text:literal,)*) => {
        /// A word for one thing. Each has one meaning and one spelling.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum Word {
            $($(#[$doc])* #[serde(rename = $text)] $word,)*
        }

        impl Word {
            /// All words, in the order of their declaration.
            pub const ALL: &[Self] = &[$(Self::$word),*];

            /// The spelling in the records.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => $text,)*
                }
            }
        }
    };
}

/// Declares a closed set of words as a type of its own. A variant that is no [`Word`] does not
/// compile.
macro_rules! set {
    ($(#[doc = $doc:literal])* $name:ident: $($word:ident,)*) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "Word", try_from = "Word")]
        pub enum $name {
            $(#[doc = concat!("[`Word::", stringify!($word), "`]")] $word,)*
        }

        // The derived schema would be that of `Word`, with words that may not stand here.
        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(words: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let mut schema = crate::schema::part_of(&Word::json_schema(words), Self::ALL);
                schema.insert("description".to_owned(), concat!($($doc),*).trim().into());
                schema
            }
        }

        impl $name {
            /// All of the set, in the order of their declaration.
            pub const ALL: &[Self] = &[$(Self::$word),*];

            /// The spelling in the records.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                Word::from(self).as_str()
            }
        }

        impl From<$name> for Word {
            fn from(word: $name) -> Self {
                match word {
                    $($name::$word => Self::$word,)*
                }
            }
        }

        impl TryFrom<Word> for $name {
            type Error = Misplaced;

            fn try_from(word: Word) -> Result<Self, Misplaced> {
                $name::ALL
                    .iter()
                    .copied()
                    .find(|it| Word::from(*it) == word)
                    .ok_or(Misplaced(word))
            }
        }
    };
}

words! {
    /// Proxies are more than one minor version behind.
    ProxyTooOld = "proxy-too-old",
    /// Proxies are ahead of what they are compared with.
    ProxyAhead = "proxy-ahead",
    /// The control plane is not, or not wholly, at the target.
    ControlPlaneNotAtTarget = "control-plane-not-at-target",
    /// A value holds a container of the control plane at another release.
    ComponentPinned = "component-pinned",
    /// An older release left objects behind.
    LeftoverComponent = "leftover-component",
    /// Proxies are behind by a patch or one minor version.
    ProxyBehind = "proxy-behind",
    /// No source tells a proxy's version.
    ProxyUnknown = "proxy-unknown",
    /// The target is more than one minor version ahead.
    HopSkipsMinor = "hop-skips-minor",
    /// The target is older than what runs.
    Downgrade = "downgrade",
    /// The releases file does not know the target.
    TargetUnknown = "target-unknown",
    /// A release is newer than the releases file.
    NewerThanKnown = "newer-than-known",
    /// A later patch of the target's minor version is known.
    TargetNotLatestPatch = "target-not-latest-patch",
    /// The target is a candidate, a preview or a private build.
    TargetPrerelease = "target-prerelease",
    /// Kubernetes is older than the target's minimum.
    KubernetesTooOld = "kubernetes-too-old",
    /// Kubernetes is newer than what the target was tested with.
    KubernetesUntested = "kubernetes-untested",
    /// A definition that a release brings is missing, or lacks a version that is read.
    CrdsBehind = "crds-behind",
    /// Objects may be stored in a version that the release's definition no longer has.
    CrdStoredVersion = "crd-stored-version",
    /// Nothing tells what installed the control plane.
    InstallerUnknown = "installer-unknown",
    /// Stable, edge and others run side by side.
    MixedChannels = "mixed-channels",
    /// Upstream advises against a release.
    EdgeNotRecommended = "edge-not-recommended",
    /// A pin holds a proxy's version; a restart cannot change it.
    VersionPinned = "version-pinned",
    /// A pod was started with other trust anchors than the current bundle.
    TrustAnchorStale = "trust-anchor-stale",
    /// Nothing tells which trust anchors a proxy has.
    TrustAnchorUnknown = "trust-anchor-unknown",
    /// A certificate has expired.
    CertificateExpired = "certificate-expired",
    /// A certificate could not be read.
    CertificateUnreadable = "certificate-unreadable",
    /// An anchor of the bundle has expired that the issuer does not stand on.
    AnchorExpired = "anchor-expired",
    /// The certificate of the injector's webhook has expired, so new pods get no proxy.
    WebhookCertificateExpired = "webhook-certificate-expired",
    /// A certificate expires soon.
    CertificateExpiring = "certificate-expiring",
    /// A component of the control plane has not settled, and no upgrade is under way.
    ControlPlaneUnhealthy = "control-plane-unhealthy",
    /// The components are not where the configuration is.
    UpgradeInProgress = "upgrade-in-progress",
    /// Buoyant's operator is in charge of the control plane.
    OperatorManaged = "operator-managed",
    /// Argo CD or Flux is in charge of the control plane.
    GitopsManaged = "gitops-managed",
    /// Pods are created without a proxy while the injector is away.
    InjectorFailsOpen = "injector-fails-open",
    /// The injector has no ready endpoint, or is of another version than the control plane.
    InjectorNotReady = "injector-not-ready",
    /// The API server would send the injector no pod of the mesh.
    InjectorBypassed = "injector-bypassed",
    /// An extension is behind the control plane.
    ExtensionBehind = "extension-behind",
    /// The CNI plugin is behind the control plane.
    CniBehind = "cni-behind",
    /// Injection is on, and pods have no proxy.
    UnmeshedButAnnotated = "unmeshed-but-annotated",
    /// Fewer pods exist than are wanted.
    PodsMissing = "pods-missing",
    /// Pods on their way out still serve with a proxy that is out of parameters.
    ProxyTerminating = "proxy-terminating",
    /// Proxies of the mesh run outside of the cluster, where no survey sees them.
    ProxiesOutside = "proxies-outside",
    /// The workload would be down while it is restarted.
    DowntimeOutage = "downtime-outage",
    /// Only the proxy keeps a pod alive whose work is done.
    JobStuckOnProxy = "job-stuck-on-proxy",
    /// A Job's proxy is too old for the target.
    JobHoldsBack = "job-holds-back",
    /// Not all pods of the workload are ready.
    WorkloadUnhealthy = "workload-unhealthy",
    /// Somebody asks for a proxy where or how the injector does not read it.
    AsksButSkipped = "asks-but-skipped",
    /// The survey does not cover the whole cluster.
    SurveyPartial = "survey-partial",
    /// The survey is as old as the API server's watch cache was.
    SurveyCached = "survey-cached",
    /// Helm would delete definitions of the Gateway API.
    GatewayApiUnprotected = "gateway-api-unprotected",
    /// The Helm chart is two charts since 2.12.
    HelmChartSplit = "helm-chart-split",
    /// An acknowledgement was given for nothing.
    WaiverUnused = "waiver-unused",
    /// A waiver is past its date, so it counts as absent.
    WaiverExpired = "waiver-expired",
    /// The control planes of the input run different releases.
    FleetMixed = "fleet-mixed",

    /// A proxy differs from what new pods get, and which of the two is newer is not known.
    VersionDiffers = "version-differs",
    /// Which proxy new pods get is not known.
    InjectsUnknown = "injects-unknown",

    /// Every pod is as a new one would be.
    Current = "current",
    /// A Job ends by itself.
    Job = "job",
    /// A CronJob; its next run gets the new proxy by itself.
    CronJob = "cron-job",
    /// A bare pod; no controller would create it again.
    BarePod = "bare-pod",
    /// The workload has no replicas.
    ScaledToZero = "scaled-to-zero",
    /// The workload was deleted since the survey.
    Gone = "gone",
    /// Not selected by `-n`, `--kind` or `--exclude`.
    NotSelected = "not-selected",
    /// The workload's rollouts are paused.
    Paused = "paused",
    /// A new pod would get no proxy.
    WouldLoseProxy = "would-lose-proxy",
    /// The API server refuses a new pod: a quota, a policy, a webhook.
    PodRefused = "pod-refused",
    /// More pods would be unavailable at the same time than the user allows.
    UnavailablePods = "unavailable-pods",
    /// Pods are replaced only when they are deleted (`OnDelete`).
    OnDelete = "on-delete",
    /// The partition of the update strategy keeps pods back.
    Partition = "partition",
    /// The owner is of a kind that these tools do not restart.
    ForeignOwner = "foreign-owner",
    /// The kind has no restart; only the eviction of its pods replaces them.
    NoRestart = "no-restart",
    /// Somebody planned a restart of the Argo Rollout for later (`spec.restartAt`).
    RestartPlanned = "restart-planned",

    /// A new pod has no proxy.
    NotInjected = "not-injected",
    /// A new pod has a different proxy from the one that the injector gives.
    StillOld = "still-old",
    /// A container of a new pod keeps crashing.
    CrashLoop = "crash-loop",
    /// An image of a new pod cannot be pulled.
    ImagePull = "image-pull",
    /// A container of a new pod cannot be created.
    CreateContainer = "create-container",
    /// A new pod has failed.
    PodFailed = "pod-failed",
    /// The controller reports that its progress deadline has passed.
    ProgressDeadline = "progress-deadline",
    /// The controller cannot create pods.
    ReplicaFailure = "replica-failure",
    /// No node takes a new pod.
    Unschedulable = "unschedulable",
    /// A node is not ready.
    NodeNotReady = "node-not-ready",
    /// A PodDisruptionBudget does not allow to take pods away.
    Budget = "budget",
    /// No pods are left to prove the workload by.
    NoPods = "no-pods",
    /// A workload that was proven has too few ready pods again.
    ReadinessLost = "readiness-lost",
    /// The time for one workload is over.
    TimedOut = "timed-out",
    /// The API server refused the write.
    Refused = "refused",
    /// The run was told to stop.
    Stopped = "stopped",
    /// The lock was lost.
    LockLost = "lock-lost",
    /// This user has no right to do it.
    Forbidden = "forbidden",
}

set! {
    /// The rules of `mesh-skewcheck`: the `id` of a finding.
    Rule:
    ProxyTooOld,
    ProxyAhead,
    ControlPlaneNotAtTarget,
    ComponentPinned,
    LeftoverComponent,
    ProxyBehind,
    ProxyUnknown,
    HopSkipsMinor,
    Downgrade,
    TargetUnknown,
    NewerThanKnown,
    TargetNotLatestPatch,
    TargetPrerelease,
    KubernetesTooOld,
    KubernetesUntested,
    CrdsBehind,
    CrdStoredVersion,
    InstallerUnknown,
    MixedChannels,
    EdgeNotRecommended,
    VersionPinned,
    TrustAnchorStale,
    TrustAnchorUnknown,
    CertificateExpired,
    CertificateUnreadable,
    AnchorExpired,
    WebhookCertificateExpired,
    CertificateExpiring,
    ControlPlaneUnhealthy,
    UpgradeInProgress,
    OperatorManaged,
    GitopsManaged,
    InjectorFailsOpen,
    InjectorNotReady,
    InjectorBypassed,
    ExtensionBehind,
    CniBehind,
    UnmeshedButAnnotated,
    PodsMissing,
    WouldLoseProxy,
    ProxyTerminating,
    ProxiesOutside,
    DowntimeOutage,
    JobStuckOnProxy,
    JobHoldsBack,
    WorkloadUnhealthy,
    AsksButSkipped,
    SurveyPartial,
    SurveyCached,
    GatewayApiUnprotected,
    HelmChartSplit,
    WaiverUnused,
    WaiverExpired,
    FleetMixed,
}

set! {
    /// What stands in the way of rolling a workload: the `reason` of `skipped` and of `roll`.
    Obstacle:
    Current,
    Job,
    CronJob,
    BarePod,
    ScaledToZero,
    Gone,
    NotSelected,
    VersionPinned,
    Paused,
    WorkloadUnhealthy,
    UnmeshedButAnnotated,
    WouldLoseProxy,
    PodRefused,
    DowntimeOutage,
    UnavailablePods,
    Budget,
    OnDelete,
    Partition,
    ForeignOwner,
    NoRestart,
    RestartPlanned,
    Forbidden,
}

set! {
    /// Why a rolled workload is not proven: the `reason` of `rolled`.
    Trouble:
    NotInjected,
    StillOld,
    CrashLoop,
    ImagePull,
    CreateContainer,
    PodFailed,
    ProgressDeadline,
    ReplicaFailure,
    PodRefused,
    Unschedulable,
    NodeNotReady,
    Paused,
    Partition,
    DowntimeOutage,
    Budget,
    NoPods,
    ReadinessLost,
    TimedOut,
    Refused,
    Stopped,
    LockLost,
    Forbidden,
}

/// A word of the list that does not belong where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a valid value of this field")]
pub struct Misplaced(Word);

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Rule {
    /// The rule of this id.
    #[must_use]
    pub fn named(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.as_str() == id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// Words that stand in `skew.why` alone.
    const WHY_ALONE: [Word; 2] = [Word::VersionDiffers, Word::InjectsUnknown];

    #[test]
    fn no_word_is_spelled_as_another_and_each_is_kebab_case() {
        let mut meanings = BTreeMap::new();
        for word in Word::ALL {
            let text = word.as_str();
            assert_eq!(
                meanings.insert(text, *word),
                None,
                "{text} has two meanings"
            );
            let plain =
                |part: &str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_lowercase());
            assert!(text.split('-').all(plain), "{text}");
        }
    }

    #[test]
    fn every_word_has_a_place_where_it_may_stand() {
        let mut placed: BTreeSet<Word> = WHY_ALONE.into();
        placed.extend(Rule::ALL.iter().copied().map(Word::from));
        placed.extend(Obstacle::ALL.iter().copied().map(Word::from));
        placed.extend(Trouble::ALL.iter().copied().map(Word::from));
        let all: BTreeSet<Word> = Word::ALL.iter().copied().collect();
        assert_eq!(placed, all);
    }

    #[test]
    fn a_set_reads_and_writes_the_spelling_of_the_list_and_refuses_what_is_not_in_it() {
        for rule in Rule::ALL {
            let text = format!("\"{}\"", rule.as_str());
            assert_eq!(serde_json::to_string(rule).unwrap(), text);
            assert_eq!(serde_json::from_str::<Rule>(&text).unwrap(), *rule);
            assert_eq!(Rule::named(rule.as_str()), Some(*rule));
        }
        let error = serde_json::from_str::<Obstacle>("\"lock-lost\"").unwrap_err();
        assert!(error.to_string().contains("lock-lost"), "{error}");
        for former in [
            "pinned",
            "unhealthy",
            "unmeshed",
            "outage",
            "timeout",
            "cron_job",
        ] {
            let text = format!("\"{former}\"");
            assert!(serde_json::from_str::<Word>(&text).is_err(), "{former}");
        }
    }
}
