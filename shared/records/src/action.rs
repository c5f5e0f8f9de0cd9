//! What the two actions say: the intent, steps and progress, what became of each workload.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{DryRun, Obstacle, Trouble, WorkloadRef};

/// What an action will do, in order, said before anything is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The cluster's label.
    pub cluster: String,
    /// The run that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// When it was said.
    pub time: Timestamp,
    /// One sentence.
    pub message: String,
    /// How nothing is written; absent where it acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<DryRun>,
    /// The deeds, in order.
    pub deeds: Vec<Deed>,
    /// Of SHA-256 of all of it but the time, and of which cluster it is about, the beginning:
    /// consent to exactly this (`--yes=DIGEST`).
    pub digest: String,
}

/// One thing that will be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// What is done, such as `restart` or `helm upgrade`.
    pub verb: String,
    /// What it is done to, such as `shop/Deployment/web`.
    pub object: String,
}

/// A step of a control-plane upgrade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The cluster's label.
    pub cluster: String,
    /// The run that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// When.
    pub time: Timestamp,
    /// One sentence.
    pub message: String,
    /// Which step.
    pub step: StepName,
    /// How it stands.
    pub state: StepState,
    /// Why it failed or was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The command that it runs, secrets taken out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// How long it took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
}

/// The steps of a control-plane upgrade, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepName {
    /// The verdict is checked.
    Gate,
    /// The lock is taken, and the control plane compared with what the verdict saw.
    Lock,
    /// Both charts are rendered.
    Render,
    /// No identity value changes unasked.
    Identity,
    /// Every rendered object passes a dry run on the server.
    Preflight,
    /// What is needed to go back is kept.
    Backup,
    /// The custom resource definitions are upgraded.
    Crds,
    /// The control plane is upgraded.
    ControlPlane,
    /// Its components are watched until they have settled.
    Watch,
    /// A dry-run pod shows what the injector gives.
    Prove,
    /// What is left to do by hand.
    Afterwards,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// It begins; written before anything is.
    Started,
    /// It is done.
    Done,
    /// It failed.
    Failed,
    /// It was not needed.
    Skipped,
}

/// How far something in flight is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The cluster's label.
    pub cluster: String,
    /// The run that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// When.
    pub time: Timestamp,
    /// One sentence.
    pub message: String,
    /// What is in flight, where it is one thing.
    #[serde(flatten)]
    pub of: Option<InFlight>,
    /// Its pods.
    pub pods: ProgressPods,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A workload or a component that is in flight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum InFlight {
    /// A workload that is rolled.
    Workload {
        /// Which.
        #[serde(flatten)]
        identity: WorkloadRef,
        /// Its uid.
        uid: String,
    },
    /// A Deployment of the control plane.
    Component {
        /// The control plane's namespace.
        namespace: String,
        /// The Deployment's name.
        component: String,
    },
}

/// Pods of something in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressPods {
    /// Asked for.
    pub wanted: u32,
    /// Of the newest template.
    pub updated: u32,
    /// Ready.
    pub ready: u32,
}

/// What became of a workload that was rolled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rolled {
    /// The cluster's label.
    pub cluster: String,
    /// The run that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// When.
    pub time: Timestamp,
    /// One sentence.
    pub message: String,
    /// Which workload.
    #[serde(flatten)]
    pub identity: WorkloadRef,
    /// Its uid.
    pub uid: String,
    /// How it was rolled.
    pub strategy: Strategy,
    /// The proxy versions before.
    pub from: Vec<String>,
    /// The proxy version that every new pod was seen with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was not proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Trouble>,
    /// The pod that shows why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The container of that pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Its pods.
    pub pods: RolledPods,
    /// From the write to the outcome, in milliseconds.
    pub duration_ms: u64,
}

/// How a workload was rolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// By a restart annotation on its pod template.
    Restart,
    /// By eviction, pod by pod.
    Evict,
}

/// What became of a rolled workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every new pod was seen with the target proxy, ready.
    Proven,
    /// It went wrong.
    Failed,
    /// Something outside holds it up; it may go on by itself.
    Blocked,
    /// The run ended before it was decided.
    Interrupted,
    /// It was deleted, or replaced by another of its name.
    Gone,
    /// Somebody else changed its template meanwhile.
    Superseded,
}

/// Pods of a rolled workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledPods {
    /// Asked for.
    pub wanted: u32,
    /// Created by the roll.
    pub new: u32,
    /// Seen with the target proxy, ready.
    pub proven: u32,
}

/// A workload that was left alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The cluster's label.
    pub cluster: String,
    /// The run that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// When.
    pub time: Timestamp,
    /// One sentence.
    pub message: String,
    /// Which workload.
    #[serde(flatten)]
    pub identity: WorkloadRef,
    /// Its uid.
    pub uid: String,
    /// Whether somebody should look.
    pub class: SkipClass,
    /// Why.
    pub reason: Obstacle,
}

/// Whether somebody should look at a skipped workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkipClass {
    /// In the nature of things.
    Expected,
    /// Somebody should.
    Attention,
}

// === impl Intent ===

impl Intent {
    /// The intent on the cluster of that uid, which people call `cluster`.
    #[must_use]
    pub fn new(
        cluster: &str,
        cluster_uid: &str,
        time: Timestamp,
        message: String,
        deeds: Vec<Deed>,
    ) -> Self {
        let mut parts = vec![cluster_uid, &message];
        parts.extend(deeds.iter().flat_map(|it| [&*it.verb, &*it.object]));
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
            hash.update([0]);
        }
        Self {
            cluster: cluster.to_owned(),
            run: None,
            time,
            dry_run: None,
            digest: format!("{:.16x}", hash.finalize()),
            message,
            deeds,
        }
    }
}

// === impl Obstacle ===

impl Obstacle {
    /// Whether somebody should look at a workload skipped for this.
    #[must_use]
    pub fn class(self) -> SkipClass {
        match self {
            Self::Current
            | Self::Job
            | Self::CronJob
            | Self::BarePod
            | Self::ScaledToZero
            | Self::Gone
            | Self::NotSelected => SkipClass::Expected,
            Self::VersionPinned
            | Self::Paused
            | Self::WorkloadUnhealthy
            | Self::UnmeshedButAnnotated
            | Self::WouldLoseProxy
            | Self::DowntimeOutage
            | Self::OnDelete
            | Self::Partition
            | Self::ForeignOwner => SkipClass::Attention,
        }
    }

    /// The rest of a sentence that begins with a workload's name.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Current => "is as new pods would be",
            Self::Job => "is a Job and ends by itself",
            Self::CronJob => "is a CronJob; its next run is new by itself",
            Self::BarePod => "is a bare pod; nothing would bring it back",
            Self::ScaledToZero => "has no replicas; new ones get the new proxy",
            Self::Gone => "was deleted since the survey",
            Self::NotSelected => "was not selected",
            Self::VersionPinned => "has its proxy pinned; a restart cannot change it",
            Self::Paused => "is paused; resume it first",
            Self::WorkloadUnhealthy => "is not healthy; not all of its pods are ready",
            Self::UnmeshedButAnnotated => "has no proxy at all though injection is on",
            Self::WouldLoseProxy => "would lose its proxy; injection is off for new pods",
            Self::DowntimeOutage => "would go down while it rolls; allow it with --allow-outage",
            Self::OnDelete => "replaces pods only when they are deleted (OnDelete)",
            Self::Partition => "keeps pods back by its partition",
            Self::ForeignOwner => "is owned by a kind that is not restarted here",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_one_plan_for_one_cluster() {
        let digest = |cluster: &str, uid: &str, time: i64, message: &str, verbs: &[&str]| {
            let time = Timestamp::from_second(time).unwrap();
            let deed = |verb: &&str| Deed {
                verb: (*verb).to_owned(),
                object: "shop/Deployment/web".to_owned(),
            };
            let deeds = verbs.iter().map(deed).collect();
            Intent::new(cluster, uid, time, message.to_owned(), deeds).digest
        };
        let one = digest("eu", "u1", 0, "to 2.14", &["restart"]);
        assert_eq!(one.len(), 16);
        assert_eq!(digest("a label", "u1", 9, "to 2.14", &["restart"]), one);
        for other in [
            digest("eu", "u2", 0, "to 2.14", &["restart"]),
            digest("eu", "u1", 0, "to 2.15", &["restart"]),
            digest("eu", "u1", 0, "to 2.14", &["adopt"]),
            digest("eu", "u1", 0, "to 2.14", &["restart", "restart"]),
        ] {
            assert_ne!(other, one);
        }
    }
}
