//! Slim Kubernetes objects: only the fields that these tools read.
//!
//! A meshed pod is 24 KB of JSON, half of it managedFields; what is not named here is never kept.

pub mod label;
mod selector;

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
pub use k8s_openapi::ByteString;
use serde::{Deserialize, Deserializer, Serialize};

/// An object kind that can be listed and watched.
pub trait Object: for<'de> Deserialize<'de> + Clone + Send + Sync + 'static {
    /// Where the API server keeps it.
    const RESOURCE: Resource;
    /// Its metadata.
    fn meta(&self) -> &Meta;
}

/// Where the API server keeps a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource<S = &'static str> {
    /// The API group; empty for the core group.
    pub group: S,
    /// The API version.
    pub version: S,
    /// The plural that stands in paths and RBAC rules.
    pub plural: S,
    /// The kind.
    pub kind: S,
}

/// Metadata of an object or a pod template.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Meta {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub resource_version: String,
    pub generation: i64,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub owner_references: Vec<OwnerReference>,
    pub creation_timestamp: Option<Timestamp>,
    pub deletion_timestamp: Option<Timestamp>,
}

/// An object that owns another.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OwnerReference {
    pub api_version: String,
    pub kind: String,
    pub name: String,
    pub uid: String,
    pub controller: bool,
}

/// A label selector of an object's spec.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Selector {
    pub match_labels: BTreeMap<String, String>,
    pub match_expressions: Vec<SelectorExpression>,
}

/// A term of a label selector.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct SelectorExpression {
    pub key: String,
    pub operator: String,
    pub values: Vec<String>,
}

/// A condition of a status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    pub reason: String,
    pub message: String,
}

/// A number or a percentage, as in `maxUnavailable`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntOrPercent {
    /// A number of pods.
    Int(i32),
    /// A percentage such as `25%`.
    Percent(String),
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Pod {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: PodSpec,
    pub status: PodStatus,
}

/// A pod's or template's spec.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec {
    pub containers: Vec<Container>,
    pub init_containers: Vec<Container>,
    pub node_name: Option<String>,
    pub host_network: bool,
    pub automount_service_account_token: Option<bool>,
}

/// A container of a spec.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Container {
    pub name: String,
    pub image: String,
    pub command: Vec<String>,
    pub args: Vec<String>,
    pub restart_policy: Option<String>,
}

/// A pod's status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodStatus {
    pub phase: String,
    pub reason: String,
    pub conditions: Vec<Condition>,
    pub container_statuses: Vec<ContainerStatus>,
    pub init_container_statuses: Vec<ContainerStatus>,
}

/// A container's status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerStatus {
    pub name: String,
    pub ready: bool,
    pub restart_count: i32,
    pub state: ContainerState,
}

/// What a container is doing.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    pub waiting: Option<Waiting>,
}

/// Why a container waits.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Waiting {
    pub reason: String,
    pub message: String,
}

/// A pod template.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Template {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: PodSpec,
}

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

/// A namespace, ConfigMap, Job or any other object of which nothing but metadata is read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Bare {
    #[serde(rename = "metadata")]
    pub meta: Meta,
}

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Namespace {
    #[serde(rename = "metadata")]
    pub meta: Meta,
}

/// A ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ConfigMap {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub data: BTreeMap<String, String>,
}

/// A PodDisruptionBudget.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct DisruptionBudget {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: DisruptionBudgetSpec,
}

/// A PodDisruptionBudget's spec.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct DisruptionBudgetSpec {
    pub selector: Selector,
}

/// An EndpointSlice.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct EndpointSlice {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    #[serde(deserialize_with = "or_none_at_all")]
    pub endpoints: Vec<Endpoint>,
}

/// An endpoint of a slice.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    pub conditions: EndpointConditions,
}

/// An endpoint's conditions.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct EndpointConditions {
    pub ready: Option<bool>,
}

// The API server writes some lists that are empty as `null`.
pub(crate) fn or_none_at_all<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

macro_rules! object {
    ($type:ident, $group:literal, $version:literal, $plural:literal) => {
        impl Object for $type {
            const RESOURCE: Resource = Resource {
                group: $group,
                version: $version,
                plural: $plural,
                kind: stringify!($type),
            };

            fn meta(&self) -> &Meta {
                &self.meta
            }
        }
    };
}

object!(Pod, "", "v1", "pods");
object!(Namespace, "", "v1", "namespaces");
object!(ConfigMap, "", "v1", "configmaps");
object!(Deployment, "apps", "v1", "deployments");
object!(ReplicaSet, "apps", "v1", "replicasets");
object!(StatefulSet, "apps", "v1", "statefulsets");
object!(DaemonSet, "apps", "v1", "daemonsets");
object!(EndpointSlice, "discovery.k8s.io", "v1", "endpointslices");

impl Object for DisruptionBudget {
    const RESOURCE: Resource = Resource {
        group: "policy",
        version: "v1",
        plural: "poddisruptionbudgets",
        kind: "PodDisruptionBudget",
    };

    fn meta(&self) -> &Meta {
        &self.meta
    }
}

// === impl Meta ===

impl Meta {
    /// The owner that controls it.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|owner| owner.controller)
    }
}

// === impl Resource ===

impl<S: AsRef<str>> Resource<S> {
    /// Where objects of this kind are, in one namespace or in all of them.
    pub fn path(&self, namespace: Option<&str>) -> String {
        let (group, version) = (self.group.as_ref(), self.version.as_ref());
        let plural = self.plural.as_ref();
        let root = if group.is_empty() {
            "/api".to_owned()
        } else {
            format!("/apis/{group}")
        };
        match namespace {
            Some(namespace) => format!("{root}/{version}/namespaces/{namespace}/{plural}"),
            None => format!("{root}/{version}/{plural}"),
        }
    }

    /// The RBAC rule that allows `verbs`.
    pub fn rule(&self, verbs: &str) -> String {
        format!(
            "apiGroups: [\"{}\"], resources: [\"{}\"], verbs: [{verbs}]",
            self.group.as_ref(),
            self.plural.as_ref()
        )
    }
}

// === impl EndpointSlice ===

impl EndpointSlice {
    /// How many endpoints are ready. An endpoint that does not say is ready.
    pub fn ready(&self) -> usize {
        let endpoints = self.endpoints.iter();
        endpoints
            .filter(|endpoint| endpoint.conditions.ready != Some(false))
            .count()
    }

    /// Whether it belongs to a Service of its namespace.
    pub fn is_of(&self, service: &str) -> bool {
        let named = self.meta.labels.get(label::SERVICE);
        named.is_some_and(|name| name == service)
    }
}

impl From<Resource> for Resource<Cow<'static, str>> {
    fn from(resource: Resource) -> Self {
        let Resource {
            group,
            version,
            plural,
            kind,
        } = resource;
        Self {
            group: group.into(),
            version: version.into(),
            plural: plural.into(),
            kind: kind.into(),
        }
    }
}

// === impl Pod ===

impl Pod {
    /// The statuses of its containers, those of init containers first.
    pub fn container_statuses(&self) -> impl Iterator<Item = &ContainerStatus> {
        let init = self.status.init_container_statuses.iter();
        init.chain(&self.status.container_statuses)
    }

    /// Whether its Ready condition is true.
    pub fn is_ready(&self) -> bool {
        self.status
            .conditions
            .iter()
            .any(|c| c.kind == "Ready" && c.status == "True")
    }

    /// Whether it has ended or is about to: it counts for nothing.
    pub fn is_over(&self) -> bool {
        self.meta.deletion_timestamp.is_some()
            || matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }
}
