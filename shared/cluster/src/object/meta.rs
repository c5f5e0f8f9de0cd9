//! What every kind has: where the API server keeps it, and its metadata.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use super::managed::Managers;
use super::message::{Message, Unreadable, Value, each_field, message};

/// An object kind that can be listed and watched.
pub trait Object: for<'de> Deserialize<'de> + Message + Clone + Send + Sync + 'static {
    /// The kind's place in the API.
    const RESOURCE: Resource;
    /// Returns the object's metadata.
    fn meta(&self) -> &Meta;
}

/// Where the API server keeps a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource<S = &'static str> {
    /// The API group; empty for the core group.
    pub group: S,
    /// The API version.
    pub version: S,
    /// The plural name, as in API paths and RBAC rules.
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
    /// What must happen before the object goes away when it is deleted.
    pub finalizers: Vec<String>,
    #[serde(rename = "managedFields")]
    pub managers: Managers,
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

/// A condition of a status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    pub reason: String,
    pub message: String,
    #[serde(rename = "lastTransitionTime")]
    pub since: Option<Timestamp>,
    /// When it was written last; only a Deployment has that.
    #[serde(rename = "lastUpdateTime")]
    pub updated: Option<Timestamp>,
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

message!(Meta {
    1: name,
    3: namespace,
    5: uid,
    6: resource_version,
    7: generation,
    8: creation_timestamp,
    9: deletion_timestamp,
    11: labels,
    12: annotations,
    13: owner_references,
    14: finalizers,
    17: managers,
});

message!(OwnerReference {
    1: kind,
    3: name,
    4: uid,
    5: api_version,
    6: controller
});

/// The numbers of those fields of a condition that have others in other kinds.
pub(super) struct Numbers {
    pub(super) reason: u64,
    pub(super) message: u64,
    pub(super) since: u64,
    pub(super) updated: Option<u64>,
}

/// Reads a condition.
pub(super) fn condition(
    all: &mut Vec<Condition>,
    value: Value<'_>,
    numbers: &Numbers,
) -> Result<(), Unreadable> {
    let mut one = Condition::default();
    each_field(value.bytes()?, |field, value| match field {
        1 => one.kind.merge(value),
        2 => one.status.merge(value),
        _ if field == numbers.reason => one.reason.merge(value),
        _ if field == numbers.message => one.message.merge(value),
        _ if field == numbers.since => one.since.merge(value),
        _ if Some(field) == numbers.updated => one.updated.merge(value),
        _ => Ok(()),
    })?;
    all.push(one);
    Ok(())
}

impl Message for IntOrPercent {
    fn merge(&mut self, value: Value<'_>) -> Result<(), Unreadable> {
        let (mut is_text, mut number, mut text) = (0_i64, 0_i32, String::new());
        each_field(value.bytes()?, |field, value| match field {
            1 => is_text.merge(value),
            2 => number.merge(value),
            3 => text.merge(value),
            _ => Ok(()),
        })?;
        *self = match is_text {
            0 => Self::Int(number),
            _ => Self::Percent(text),
        };
        Ok(())
    }
}

impl Default for IntOrPercent {
    fn default() -> Self {
        Self::Int(0)
    }
}

impl fmt::Display for IntOrPercent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => write!(f, "{number}"),
            Self::Percent(text) => f.write_str(text),
        }
    }
}

// The API server writes some empty lists as `null`.
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

pub(super) use object;

impl Meta {
    /// Returns the owner that controls the object.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|owner| owner.controller)
    }
}

impl<S: AsRef<str>> Resource<S> {
    /// Returns the API path of this kind's objects, in one namespace or in the whole cluster.
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

    /// The RBAC rule that allows `verbs`, in one namespace or in all of them.
    pub(crate) fn rule_in(&self, verbs: &str, namespace: Option<&str>) -> String {
        let place = namespace.map(|name| format!(" in namespace {name}"));
        format!("{}{}", self.rule(verbs), place.unwrap_or_default())
    }

    /// Returns the RBAC rule that allows `verbs` on this kind.
    pub fn rule(&self, verbs: &str) -> String {
        format!(
            "apiGroups: [\"{}\"], resources: [\"{}\"], verbs: [{verbs}]",
            self.group.as_ref(),
            self.plural.as_ref()
        )
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
