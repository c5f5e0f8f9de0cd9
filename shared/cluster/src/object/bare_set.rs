//! Sets of pods that roll nothing out.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::message::{Message, Unreadable, Value, each_field, message};
use super::meta::{Condition, Meta, Numbers, Object, Resource, condition, object};
use super::pod::Template;
use super::selector::Selector;

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
    6: conditions by set_condition,
});

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

fn set_condition(all: &mut Vec<Condition>, value: Value<'_>) -> Result<(), Unreadable> {
    let numbers = Numbers {
        reason: 4,
        message: 5,
        since: 3,
        updated: None,
    };
    condition(all, value, &numbers)
}

object!(ReplicaSet, "apps", "v1", "replicasets");

object!(ReplicationController, "", "v1", "replicationcontrollers");

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
