//! Pods and pod templates.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::label::TRUST_ANCHORS;
use super::message::{Message as _, Unreadable, Value, each_field, message};
use super::meta::{Condition, Meta, Numbers, Object, Resource, condition, object};

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
    pub restart_policy: RestartPolicy,
}

/// When a pod's containers are started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum RestartPolicy {
    /// Whenever they end.
    #[default]
    Always,
    /// When they fail, so that the pod ends by itself.
    OnFailure,
    /// Never, so that the pod ends by itself.
    Never,
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
    /// The trust bundle that a proxy has in its environment.
    #[serde(rename = "env", deserialize_with = "trust_bundle")]
    pub trust_bundle: Option<String>,
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
    pub terminated: Option<Terminated>,
}

/// A container that has ended.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Terminated {
    pub exit_code: i32,
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

message!(Pod {
    1: meta,
    2: spec,
    3: status
});

message!(PodSpec {
    2: containers,
    3: restart_policy by restart_policy,
    10: node_name by set_text,
    11: host_network,
    20: init_containers,
    21: automount_service_account_token,
});

message!(Container {
    1: name,
    2: image,
    3: command,
    4: args,
    7: trust_bundle by variable,
    24: restart_policy,
});

message!(PodStatus {
    1: phase,
    2: conditions by pod_condition,
    4: reason,
    8: container_statuses,
    10: init_container_statuses,
});

message!(ContainerStatus {
    1: name,
    2: state,
    4: ready,
    5: restart_count
});

message!(ContainerState {
    1: waiting,
    3: terminated
});

message!(Terminated { 1: exit_code });

message!(Waiting {
    1: reason,
    2: message
});

message!(Template { 1: meta, 2: spec });

fn pod_condition(all: &mut Vec<Condition>, value: Value<'_>) -> Result<(), Unreadable> {
    let numbers = Numbers {
        reason: 5,
        message: 6,
        since: 4,
        updated: None,
    };
    condition(all, value, &numbers)
}

fn restart_policy(policy: &mut RestartPolicy, value: Value<'_>) -> Result<(), Unreadable> {
    *policy = match value.bytes()? {
        b"" | b"Always" => RestartPolicy::Always,
        b"OnFailure" => RestartPolicy::OnFailure,
        b"Never" => RestartPolicy::Never,
        _ => return Err(Unreadable::OtherForm),
    };
    Ok(())
}

// The API server writes an empty text where nothing is set, which its JSON leaves out.
fn set_text(text: &mut Option<String>, value: Value<'_>) -> Result<(), Unreadable> {
    match value.bytes()?.is_empty() {
        true => Ok(()),
        false => text.merge(value),
    }
}

fn variable(bundle: &mut Option<String>, value: Value<'_>) -> Result<(), Unreadable> {
    let (mut is_bundle, mut text) = (false, Value::Bytes(&[]));
    each_field(value.bytes()?, |field, value| {
        match field {
            1 => is_bundle = value.bytes()? == TRUST_ANCHORS.as_bytes(),
            2 => text = value,
            _ => {}
        }
        Ok(())
    })?;
    if is_bundle && !text.bytes()?.is_empty() {
        bundle.merge(text)?;
    }
    Ok(())
}

object!(Pod, "", "v1", "pods");

// Keeps one variable of the environment only.
fn trust_bundle<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    deserializer.deserialize_any(Environment)
}

#[derive(Deserialize)]
struct Variable<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    /// YAML that a person wrote may have no value after the colon.
    #[serde(default, borrow)]
    value: Option<Text<'a>>,
}

// An `Option` of a `Cow` never borrows.
#[derive(Default, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

struct Environment;

impl<'de> Visitor<'de> for Environment {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of variables")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Self::Value, A::Error> {
        let mut bundle = None;
        while let Some(Variable { name, value }) = all.next_element()? {
            let Text(value) = value.unwrap_or_default();
            if name == TRUST_ANCHORS && !value.is_empty() {
                bundle = Some(value.into_owned());
            }
        }
        Ok(bundle)
    }
}

impl Pod {
    /// Returns the statuses of the containers, init containers first.
    pub fn container_statuses(&self) -> impl Iterator<Item = &ContainerStatus> {
        let init = self.status.init_container_statuses.iter();
        init.chain(&self.status.container_statuses)
    }

    /// Returns true if the pod's Ready condition is true.
    pub fn is_ready(&self) -> bool {
        self.readiness().is_some()
    }

    /// Returns since when the pod is ready, where it is and its condition says so.
    pub fn ready_since(&self) -> Option<Timestamp> {
        self.readiness()?.since
    }

    /// Returns since when the pod is not ready, where its condition says so.
    pub fn unready_since(&self) -> Option<Timestamp> {
        let mut conditions = self.status.conditions.iter();
        conditions
            .find(|c| c.kind == "Ready" && c.status != "True")?
            .since
    }

    fn readiness(&self) -> Option<&Condition> {
        let mut conditions = self.status.conditions.iter();
        conditions.find(|c| c.kind == "Ready" && c.status == "True")
    }

    /// Returns true if the pod has ended.
    pub fn has_ended(&self) -> bool {
        matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }

    /// Returns true if the pod is being deleted; until it ends, it may still serve.
    pub fn is_terminating(&self) -> bool {
        self.meta.deletion_timestamp.is_some()
    }

    /// Returns true if the pod has ended or is being deleted.
    pub fn is_over(&self) -> bool {
        self.is_terminating() || self.has_ended()
    }
}
