//! The kinds that own pods.

use serde::Deserialize;

use super::message::{Message as _, Unreadable, Value, each_field, message};
use super::meta::{Condition, IntOrPercent, Meta, Numbers, Object, Resource, condition, object};
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
    let numbers = Numbers {
        reason: 4,
        message: 5,
        since: 7,
        updated: Some(6),
    };
    condition(all, value, &numbers)
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

object!(StatefulSet, "apps", "v1", "statefulsets");

object!(DaemonSet, "apps", "v1", "daemonsets");
