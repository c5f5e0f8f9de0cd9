//! Nodes.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::meta::{Condition, Meta, Resource};

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Node {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: NodeSpec,
    pub status: NodeStatus,
}

/// A node's spec.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    /// Whether the node is cordoned.
    pub unschedulable: bool,
    pub taints: Vec<Taint>,
}

/// What keeps pods away from a node unless they tolerate it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Taint {
    pub key: String,
    pub value: String,
    pub effect: String,
}

/// A node's status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    pub conditions: Vec<Condition>,
    /// How much of each resource the node has for pods, in Kubernetes' notation.
    pub allocatable: BTreeMap<String, String>,
}

// === impl Node ===

impl Node {
    /// The kind's place in the API. It is listed in JSON.
    pub const RESOURCE: Resource = Resource {
        group: "",
        version: "v1",
        plural: "nodes",
        kind: "Node",
    };

    /// Returns true if the node says that it is ready.
    pub fn is_ready(&self) -> bool {
        let mut conditions = self.status.conditions.iter();
        conditions.any(|condition| condition.kind == "Ready" && condition.status == "True")
    }
}
