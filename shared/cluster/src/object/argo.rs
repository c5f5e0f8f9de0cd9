//! Argo Rollouts: a custom resource, which an API server has in JSON alone.

use serde::Deserialize;

use super::message::{Message, Unreadable, Value};
use super::meta::{Meta, Object, Resource, object};
use super::pod::Template;
use super::selector::Selector;
use super::workload::RollingUpdate;

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

object!(Rollout, "argoproj.io", "v1alpha1", "rollouts");

// An API server answers for custom resources in JSON alone.
impl Message for Rollout {
    fn merge(&mut self, _: Value<'_>) -> Result<(), Unreadable> {
        Err(Unreadable::OtherForm)
    }
}
