//! Namespaces, ConfigMaps, budgets and endpoints.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::label;
use super::message::message;
use super::meta::{IntOrPercent, Meta, Object, Resource, object, or_none_at_all};
use super::selector::Selector;

/// Any object of which only the metadata is read, such as a Job.
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
    pub status: DisruptionBudgetStatus,
}

/// A PodDisruptionBudget's spec.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DisruptionBudgetSpec {
    /// Without a selector the budget selects no pod; an empty selector selects every pod of the
    /// namespace.
    pub selector: Option<Selector>,
    pub min_available: Option<IntOrPercent>,
    pub max_unavailable: Option<IntOrPercent>,
}

/// A PodDisruptionBudget's status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DisruptionBudgetStatus {
    pub observed_generation: i64,
    pub disruptions_allowed: u32,
    pub desired_healthy: u32,
    pub expected_pods: u32,
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

/// An event: what a controller or a kubelet says of an object.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Event {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    /// What it is said of.
    pub involved_object: Involved,
    pub reason: String,
    pub message: String,
    pub last_timestamp: Option<Timestamp>,
}

/// The object that an event is about.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Involved {
    pub uid: String,
}

message!(Event {
    1: meta,
    2: involved_object,
    3: reason,
    4: message,
    7: last_timestamp
});

message!(Involved { 4: uid });

object!(Event, "", "v1", "events");

impl Event {
    /// Returns when it was last seen. Who writes it in the newer form sets no such date.
    pub fn seen(&self) -> Option<Timestamp> {
        self.last_timestamp.or(self.meta.creation_timestamp)
    }
}

message!(Bare { 1: meta });

message!(Namespace { 1: meta });

message!(ConfigMap { 1: meta, 2: data });

message!(DisruptionBudget {
    1: meta,
    2: spec,
    3: status
});

message!(DisruptionBudgetSpec {
    1: min_available,
    2: selector,
    3: max_unavailable
});

message!(DisruptionBudgetStatus {
    1: observed_generation,
    3: disruptions_allowed,
    5: desired_healthy,
    6: expected_pods,
});

message!(EndpointSlice {
    1: meta,
    2: endpoints
});

message!(Endpoint { 2: conditions });

message!(EndpointConditions { 1: ready });

object!(Namespace, "", "v1", "namespaces");

object!(ConfigMap, "", "v1", "configmaps");

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

impl DisruptionBudget {
    /// Returns true if the budget counts pods of its namespace that have these labels.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        let selector = self.spec.selector.as_ref();
        selector.is_some_and(|selector| selector.selects(labels))
    }
}

impl EndpointSlice {
    /// Returns the number of ready endpoints. An endpoint without a `ready` condition counts as
    /// ready.
    pub fn ready(&self) -> usize {
        let endpoints = self.endpoints.iter();
        endpoints
            .filter(|endpoint| endpoint.conditions.ready != Some(false))
            .count()
    }

    /// Returns true if the slice belongs to this Service.
    pub fn is_of(&self, service: &str) -> bool {
        let named = self.meta.labels.get(label::SERVICE);
        named.is_some_and(|name| name == service)
    }
}
