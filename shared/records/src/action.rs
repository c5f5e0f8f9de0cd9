//! The records of the two actions (`mesh-cp-upgrade`, `mesh-roll`): the intent, steps, progress,
//! and the result for each workload.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{DryRun, Forecast, Obstacle, Patch, Trouble, WorkloadRef};

/// All that an action will do, in order. It is written before the first change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Intent {
    /// The cluster's label.
    pub cluster: String,
    /// The run that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// When the intent was written.
    pub time: Timestamp,
    /// One sentence for people.
    pub message: String,
    /// How nothing is written; absent where it acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<DryRun>,
    /// The changes, in order.
    pub deeds: Vec<Deed>,
    /// The names of the waves, in order; a wave begins when the one before it is finished.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<String>,
    /// What the verdict warns of: the id and the message of each finding that does not block.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// How long all of it takes, as far as the rollouts and pods that are seen tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
    /// The first 16 hex digits of a SHA-256 over the cluster's uid, the message, and the verbs, objects
    /// and waves of the deeds; no time and no duration is in it. `--yes=DIGEST` agrees to exactly this
    /// intent.
    pub digest: String,
}

/// One change that the action will make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Deed {
    /// The change, such as `restart` or `helm upgrade`.
    pub verb: String,
    /// The object that is changed, such as `shop/Deployment/web`.
    pub object: String,
    /// The number of its wave in `waves`, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<u32>,
    /// How long it takes, in seconds, as far as the last rollout or the pods that are seen tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_seconds: Option<u64>,
    /// What is written (`mesh-roll --diff`); absent where pods are evicted, or only waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<Patch>,
}

/// A step of a control-plane upgrade, or the gate between two waves of a roll.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Step {
    /// The cluster's label.
    pub cluster: String,
    /// The run that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// When the record was written.
    pub time: Timestamp,
    /// One sentence for people.
    pub message: String,
    /// Which step.
    pub step: StepName,
    /// The state of the step.
    pub state: StepState,
    /// Why the step failed or was skipped. A step before the first write has a record for each thing
    /// that stands in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What to do about the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The command that the step runs, without secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// How long the step took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
}

/// The steps of a control-plane upgrade, in order. Where the definitions must be written before the
/// control plane can be rendered, those from rendering to backup come a second time after them. A roll
/// has only the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum StepName {
    /// Check the verdict.
    Gate,
    /// Take the lock, and compare the control plane with what the verdict saw.
    Lock,
    /// Render both charts.
    Render,
    /// Refuse a change of an identity value that nobody asked for.
    Identity,
    /// Send every rendered object to the API server as a dry run.
    Preflight,
    /// Save what a rollback needs.
    Backup,
    /// Upgrade the custom resource definitions.
    Crds,
    /// Upgrade the control plane.
    ControlPlane,
    /// Watch the control plane's components until they have settled.
    Watch,
    /// Create a pod as a dry run, to see which proxy the injector gives.
    Prove,
    /// Say what is left to do by hand.
    Afterwards,
    /// Ask the command of `mesh-roll --gate` whether the next wave may begin.
    WaveGate,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// The step begins; the record is written before the step changes anything.
    Started,
    /// The step is done.
    Done,
    /// The step failed.
    Failed,
    /// The step was not needed.
    Skipped,
}

/// How far something in flight is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Progress {
    /// The cluster's label.
    pub cluster: String,
    /// The run that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// When the record was written.
    pub time: Timestamp,
    /// One sentence for people.
    pub message: String,
    /// What is in flight, where it is one thing.
    #[serde(flatten)]
    pub of: Option<InFlight>,
    /// The pods of the workload or component.
    pub pods: ProgressPods,
    /// What the rollout waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A workload or a component that is in flight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

/// Counts of pods during a rollout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProgressPods {
    /// Replicas that the specification asks for.
    pub wanted: u32,
    /// Pods of the newest template; where pods are evicted, those from after the first eviction.
    pub updated: u32,
    /// Pods that are ready.
    pub ready: u32,
}

/// The result for a workload that was rolled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Rolled {
    /// The cluster's label.
    pub cluster: String,
    /// The run that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// When the record was written.
    pub time: Timestamp,
    /// One sentence for people.
    pub message: String,
    /// Which workload.
    #[serde(flatten)]
    pub identity: WorkloadRef,
    /// The workload's uid.
    pub uid: String,
    /// How the workload was rolled.
    pub strategy: Strategy,
    /// Why it was rolled in this way and not by a restart, as in the survey's `roll`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy_reason: Option<Obstacle>,
    /// The proxy versions before the roll.
    pub from: Vec<String>,
    /// The proxy version that every new pod was seen with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The result.
    pub outcome: Outcome,
    /// Why the workload is not proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Trouble>,
    /// The pod that shows why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The container of that pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The workload's pods.
    pub pods: RolledPods,
    /// The time from the write to the result, in milliseconds.
    pub duration_ms: u64,
}

/// How a workload was rolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// By a restart annotation on its pod template.
    Restart,
    /// By the field `restartAt` of an Argo Rollout.
    RestartAt,
    /// By eviction, pod by pod.
    Evict,
}

/// What became of a rolled workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every new pod was seen ready, with the target proxy.
    Proven,
    /// The roll failed.
    Failed,
    /// Something outside the workload delays the roll, which may still finish by itself.
    Blocked,
    /// The run ended before the result was known.
    Interrupted,
    /// The workload was deleted, or replaced by another with the same name.
    Gone,
    /// Somebody else changed the workload's pod template during the roll.
    Superseded,
}

/// Counts of a rolled workload's pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RolledPods {
    /// Replicas that the specification asks for.
    pub wanted: u32,
    /// Pods that the roll created.
    pub new: u32,
    /// Pods that were seen ready, with the target proxy.
    pub proven: u32,
}

/// A workload that was not rolled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Skipped {
    /// The cluster's label.
    pub cluster: String,
    /// The run that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// When the record was written.
    pub time: Timestamp,
    /// One sentence for people.
    pub message: String,
    /// Which workload.
    #[serde(flatten)]
    pub identity: WorkloadRef,
    /// The workload's uid.
    pub uid: String,
    /// Whether somebody should look at the workload.
    pub class: SkipClass,
    /// Why the workload was not rolled.
    pub reason: Obstacle,
}

/// Whether somebody should look at a skipped workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SkipClass {
    /// Nobody needs to look.
    Expected,
    /// Somebody should look.
    Attention,
}

// === impl Intent ===

impl Intent {
    /// Makes an intent and its digest. `cluster` is the label for people; the digest uses
    /// `cluster_uid`.
    #[must_use]
    pub fn new(
        cluster: &str,
        cluster_uid: &str,
        time: Timestamp,
        message: String,
        deeds: Vec<Deed>,
    ) -> Self {
        let waves = deeds.iter().map(|it| it.wave.map(|wave| wave.to_string()));
        let waves: Vec<Option<String>> = waves.collect();
        let mut parts = vec![cluster_uid, &message];
        for (deed, wave) in deeds.iter().zip(&waves) {
            parts.extend([&*deed.verb, &*deed.object]);
            parts.extend(wave.as_deref());
        }
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
            waves: Vec::new(),
            warnings: Vec::new(),
            forecast: None,
        }
    }

    /// Adds the names of the waves, which the digest covers too: what comes first is part of what is
    /// agreed to.
    #[must_use]
    pub fn with_waves(self, waves: Vec<String>) -> Self {
        let mut hash = Sha256::new();
        for part in [&self.digest].into_iter().chain(&waves) {
            hash.update(part);
            hash.update([0]);
        }
        let digest = format!("{:.16x}", hash.finalize());
        Self {
            digest,
            waves,
            ..self
        }
    }

    /// Returns a line for each wave with the number of its changes; none where all is one wave.
    #[must_use]
    pub fn waves(&self) -> Vec<String> {
        let of = self.waves.len();
        let waves = (1..).zip(&self.waves).filter(|_| of > 1);
        let waves = waves.map(|(number, title)| {
            let mine = self.deeds.iter().filter(|deed| deed.wave == Some(number));
            match mine.count() {
                1 => format!("wave {number} of {of}: {title}: 1 workload"),
                many => format!("wave {number} of {of}: {title}: {many} workloads"),
            }
        });
        waves.collect()
    }

    /// Adds what the verdict warns of. The digest does not cover it, because it changes nothing that
    /// is written.
    #[must_use]
    pub fn with_warnings(self, warnings: Vec<String>) -> Self {
        Self { warnings, ..self }
    }

    /// Adds how long it takes. The digest does not cover it: it differs from one look to the next.
    #[must_use]
    pub fn with_forecast(self, forecast: Option<Forecast>) -> Self {
        Self { forecast, ..self }
    }
}

// === impl Deed ===

impl Deed {
    /// Makes a change of one object, which belongs to no wave.
    pub fn new(verb: impl Into<String>, object: impl Into<String>) -> Self {
        Self {
            verb: verb.into(),
            object: object.into(),
            wave: None,
            expected_seconds: None,
            patch: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_changes_with_the_cluster_uid_the_message_and_the_deeds() {
        let digest = |cluster: &str, uid: &str, time: i64, message: &str, verbs: &[&str]| {
            let time = Timestamp::from_second(time).unwrap();
            let deed = |verb: &&str| Deed::new(*verb, "shop/Deployment/web");
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
