//! Slim Kubernetes objects: only the fields that these tools read.
//!
//! A meshed pod is 24 KB of JSON, half of it `managedFields`. Fields that are not declared here are
//! not kept in memory.

pub mod label;
pub mod message;
mod meta;
mod other;
mod pod;
mod selector;
mod workload;

pub use k8s_openapi::ByteString;
pub(crate) use meta::or_none_at_all;
pub use meta::{Condition, IntOrPercent, Meta, Object, OwnerReference, Resource};
pub use other::{
    Bare, ConfigMap, DisruptionBudget, DisruptionBudgetSpec, Endpoint, EndpointConditions,
    EndpointSlice, Namespace,
};
pub use pod::{
    Container, ContainerState, ContainerStatus, Pod, PodSpec, PodStatus, RestartPolicy, Template,
    Waiting,
};
pub use selector::{Selector, SelectorExpression};
pub use workload::{
    BareSetSpec, BareSetStatus, DaemonSet, DaemonSetSpec, DaemonSetStatus, Deployment,
    DeploymentSpec, DeploymentStatus, ReplicaSet, ReplicationController, RollingUpdate, Rollout,
    RolloutSpec, RolloutStatus, RolloutStrategy, StatefulSet, StatefulSetSpec, StatefulSetStatus,
    UpdateStrategy,
};
