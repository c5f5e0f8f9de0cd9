//! The kinds that own pods.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::message::{Message, Unreadable, Value, each_field, message};
use super::meta::{Condition, IntOrPercent, Meta, Object, Resource, condition, object};
use super::pod::Template;
use super::selector::Selector;

/// The parameters of a rolling update, of any of the three kinds.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RollingUpdate {
    pub max_surge: Option<IntOrPercent>,
    pub max_unavailable: Option<IntOrPercent>,
    pub partition: Option<i32>,
}

/// A Deployment's `strategy`, or another kind's `updateStrategy`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UpdateStrategy {
    #[serde(rename = "type")]
    pub kind: String,
    pub rolling_update: RollingUpdate,
}

/// A Deployment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Deployment {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: DeploymentSpec,
    pub status: DeploymentStatus,
}

/// A Deployment's spec.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeploymentSpec {
    pub replicas: Option<i32>,
    pub paused: bool,
    pub min_ready_seconds: i32,
    pub progress_deadline_seconds: Option<i32>,
    pub selector: Selector,
    pub strategy: UpdateStrategy,
    pub template: Template,
}

/// A Deployment's status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeploymentStatus {
    pub observed_generation: i64,
    pub replicas: i32,
    pub updated_replicas: i32,
    pub ready_replicas: i32,
    pub available_replicas: i32,
    pub conditions: Vec<Condition>,
}

/// A ReplicaSet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ReplicaSet {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: Box<BareSetSpec>,
    pub status: BareSetStatus,
}

/// A ReplicationController.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ReplicationController {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: Box<BareSetSpec>,
    pub status: BareSetStatus,
}

/// The spec of a set of pods that rolls nothing out: of a ReplicaSet or a ReplicationController.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BareSetSpec {
    pub replicas: Option<i32>,
    #[serde(deserialize_with = "of_either_form")]
    pub selector: Selector,
    pub template: Template,
}

/// The status of a set of pods that rolls nothing out.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BareSetStatus {
    pub observed_generation: i64,
    pub replicas: i32,
    pub ready_replicas: i32,
    pub available_replicas: i32,
    pub conditions: Vec<Condition>,
}

/// An Argo Rollout.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Rollout {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: RolloutSpec,
    pub status: RolloutStatus,
}

/// An Argo Rollout's spec.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RolloutSpec {
    pub replicas: Option<i32>,
    pub selector: Selector,
    /// Empty where `workloadRef` names a Deployment that has it.
    pub template: Template,
    pub strategy: RolloutStrategy,
    /// Its controller evicts the pods that are older than this.
    pub restart_at: Option<String>,
}

/// An Argo Rollout's strategy. A blue-green one has no bound of its own.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct RolloutStrategy {
    pub canary: RollingUpdate,
}

/// An Argo Rollout's status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RolloutStatus {
    /// A number as text; other versions write a hash.
    pub observed_generation: String,
    pub phase: String,
    pub message: String,
    pub updated_replicas: i32,
    pub ready_replicas: i32,
    pub available_replicas: i32,
    /// The `restartAt` that its controller has carried out.
    pub restarted_at: Option<String>,
}

/// A StatefulSet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct StatefulSet {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: StatefulSetSpec,
    pub status: StatefulSetStatus,
}

/// A StatefulSet's spec.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StatefulSetSpec {
    pub replicas: Option<i32>,
    pub pod_management_policy: String,
    pub min_ready_seconds: i32,
    pub selector: Selector,
    pub update_strategy: UpdateStrategy,
    pub template: Template,
}

/// A StatefulSet's status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StatefulSetStatus {
    pub observed_generation: i64,
    pub replicas: i32,
    pub updated_replicas: i32,
    pub ready_replicas: i32,
    pub available_replicas: i32,
    pub current_revision: String,
    pub update_revision: String,
}

/// A DaemonSet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct DaemonSet {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: DaemonSetSpec,
    pub status: DaemonSetStatus,
}

/// A DaemonSet's spec.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DaemonSetSpec {
    pub min_ready_seconds: i32,
    pub selector: Selector,
    pub update_strategy: UpdateStrategy,
    pub template: Template,
}

/// A DaemonSet's status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DaemonSetStatus {
    pub observed_generation: i64,
    pub desired_number_scheduled: i32,
    pub updated_number_scheduled: i32,
    pub number_ready: i32,
    pub number_available: i32,
}

message!(Deployment {
    1: meta,
    2: spec,
    3: status
});

message!(DeploymentSpec {
    1: replicas,
    2: selector,
    3: template,
    4: strategy,
    5: min_ready_seconds,
    7: paused,
    9: progress_deadline_seconds,
});

message!(DeploymentStatus {
    1: observed_generation,
    2: replicas,
    3: updated_replicas,
    4: available_replicas,
    6: conditions by deployment_condition,
    7: ready_replicas,
});

// As those of a Deployment and a DaemonSet.
message!(UpdateStrategy {
    1: kind,
    2: rolling_update
});

message!(RollingUpdate {
    1: max_unavailable,
    2: max_surge
});

message!(ReplicaSet {
    1: meta,
    2: spec by set_spec,
    3: status
});

message!(ReplicationController {
    1: meta,
    2: spec by controller_spec,
    3: status
});

// As that of a ReplicationController.
message!(BareSetStatus {
    1: replicas,
    3: observed_generation,
    4: ready_replicas,
    5: available_replicas,
    6: conditions by deployment_condition,
});

message!(StatefulSet {
    1: meta,
    2: spec,
    3: status
});

message!(StatefulSetSpec {
    1: replicas,
    2: selector,
    3: template,
    6: pod_management_policy,
    7: update_strategy by stateful_set_strategy,
    9: min_ready_seconds,
});

message!(StatefulSetStatus {
    1: observed_generation,
    2: replicas,
    3: ready_replicas,
    5: updated_replicas,
    6: current_revision,
    7: update_revision,
    11: available_replicas,
});

message!(DaemonSet {
    1: meta,
    2: spec,
    3: status
});

message!(DaemonSetSpec {
    1: selector,
    2: template,
    3: update_strategy,
    4: min_ready_seconds
});

message!(DaemonSetStatus {
    3: desired_number_scheduled,
    4: number_ready,
    5: observed_generation,
    6: updated_number_scheduled,
    7: number_available,
});

fn deployment_condition(all: &mut Vec<Condition>, value: Value<'_>) -> Result<(), Unreadable> {
    condition(all, value, [4, 5])
}

fn set_spec(spec: &mut Box<BareSetSpec>, value: Value<'_>) -> Result<(), Unreadable> {
    each_field(value.bytes()?, |field, value| match field {
        1 => spec.replicas.merge(value),
        2 => spec.selector.merge(value),
        3 => spec.template.merge(value),
        _ => Ok(()),
    })
}

// Its selector is a plain map of labels.
fn controller_spec(spec: &mut Box<BareSetSpec>, value: Value<'_>) -> Result<(), Unreadable> {
    each_field(value.bytes()?, |field, value| match field {
        1 => spec.replicas.merge(value),
        2 => Message::merge(&mut spec.selector.match_labels, value),
        3 => spec.template.merge(value),
        _ => Ok(()),
    })
}

fn stateful_set_strategy(all: &mut UpdateStrategy, value: Value<'_>) -> Result<(), Unreadable> {
    let UpdateStrategy {
        kind,
        rolling_update,
    } = all;
    each_field(value.bytes()?, |field, value| match field {
        1 => kind.merge(value),
        2 => each_field(value.bytes()?, |field, value| match field {
            1 => rolling_update.partition.merge(value),
            2 => rolling_update.max_unavailable.merge(value),
            _ => Ok(()),
        }),
        _ => Ok(()),
    })
}

object!(Deployment, "apps", "v1", "deployments");

object!(ReplicaSet, "apps", "v1", "replicasets");

object!(ReplicationController, "", "v1", "replicationcontrollers");

object!(Rollout, "argoproj.io", "v1alpha1", "rollouts");

// An API server answers for custom resources in JSON alone.
impl Message for Rollout {
    fn merge(&mut self, _: Value<'_>) -> Result<(), Unreadable> {
        Err(Unreadable::OtherForm)
    }
}

object!(StatefulSet, "apps", "v1", "statefulsets");

object!(DaemonSet, "apps", "v1", "daemonsets");

// A ReplicationController's selector is a plain map of labels.
fn of_either_form<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Selector, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Plain(BTreeMap<String, String>),
        Full(Selector),
    }
    Ok(match Option::<Form>::deserialize(deserializer)? {
        Some(Form::Plain(match_labels)) => Selector {
            match_labels,
            ..Selector::default()
        },
        Some(Form::Full(selector)) => selector,
        None => Selector::default(),
    })
}
