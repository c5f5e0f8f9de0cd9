//! Slim Kubernetes objects: only the fields that these tools read.
//!
//! A meshed pod is 24 KB of JSON, half of it `managedFields`. Fields that are not declared here are
//! not kept in memory.

mod argo;
mod bare_set;
pub mod label;
mod managed;
pub mod message;
mod meta;
mod network_policy;
mod node;
mod other;
mod pod;
mod selector;
mod workload;

pub use argo::{Rollout, RolloutSpec, RolloutStatus, RolloutStrategy};
pub use bare_set::{BareSetSpec, BareSetStatus, ReplicaSet, ReplicationController};
pub use k8s_openapi::ByteString;
pub use managed::Managers;
pub(crate) use meta::or_none_at_all;
pub use meta::{Condition, IntOrPercent, Meta, Object, OwnerReference, Resource};
pub use network_policy::{IngressPort, IngressRule, NetworkPolicy, NetworkPolicySpec};
pub use node::{Node, NodeSpec, NodeStatus, Taint};
pub use other::{
    Bare, ConfigMap, DisruptionBudget, DisruptionBudgetSpec, Endpoint, EndpointConditions,
    EndpointSlice, Event, Involved, Namespace,
};
pub use pod::{
    Container, ContainerState, ContainerStatus, Pod, PodSpec, PodStatus, RestartPolicy, Template,
    Waiting,
};
pub use selector::{Selector, SelectorExpression};
pub use workload::{
    DaemonSet, DaemonSetSpec, DaemonSetStatus, Deployment, DeploymentSpec, DeploymentStatus,
    RollingUpdate, StatefulSet, StatefulSetSpec, StatefulSetStatus, UpdateStrategy,
};
