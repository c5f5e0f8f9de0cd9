//! Patterns that select workloads.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use mesh_records::{WorkloadKind, WorkloadRef};

use crate::labels::LabelSelector;

/// A flag's pattern: `namespace`, `namespace/name` or `namespace/Kind/name`, each part with `*` for
/// any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    namespace: String,
    kind: Option<WorkloadKind>,
    name: String,
}

/// The workloads that the flags select.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) namespaces: Vec<String>,
    pub(crate) kinds: Vec<WorkloadKind>,
    pub(crate) exclude: Vec<Selector>,
    pub(crate) labels: Option<LabelSelector>,
}

// === impl Selector ===

impl Selector {
    /// Returns true if the pattern matches this workload.
    pub(crate) fn selects(&self, key: &WorkloadRef) -> bool {
        is_like(&self.namespace, &key.namespace)
            && self.kind.as_ref().is_none_or(|kind| *kind == key.kind)
            && is_like(&self.name, &key.name)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            namespace,
            kind,
            name,
        } = self;
        match kind {
            Some(kind) => write!(f, "{namespace}/{kind}/{name}"),
            None => write!(f, "{namespace}/{name}"),
        }
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let (namespace, kind, name) = match parts[..] {
            [namespace] => (namespace, None, "*"),
            [namespace, name] => (namespace, None, name),
            [namespace, kind, name] => (namespace, Some(parse_kind(kind)?), name),
            _ => ("", None, ""),
        };
        if namespace.is_empty() || name.is_empty() {
            let usage = "write it as NAMESPACE, NAMESPACE/NAME or NAMESPACE/KIND/NAME";
            return Err(format!("{usage}; `*` matches any text"));
        }
        Ok(Self {
            namespace: namespace.to_owned(),
            kind,
            name: name.to_owned(),
        })
    }
}

// === impl Choice ===

impl Choice {
    /// Returns true if this workload is selected, as far as its name tells.
    pub(crate) fn takes(&self, key: &WorkloadRef) -> bool {
        let Self {
            namespaces,
            kinds,
            exclude,
            labels: _,
        } = self;
        (namespaces.is_empty() || namespaces.contains(&key.namespace))
            && (kinds.is_empty() || kinds.contains(&key.kind))
            && !exclude.iter().any(|selector| selector.selects(key))
    }

    /// Returns true if a workload with these labels is selected, as far as they tell.
    pub(crate) fn takes_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        let selector = self.labels.as_ref();
        selector.is_none_or(|selector| selector.selects(labels))
    }
}

/// Parses a kind that can be rolled, in any form that kubectl accepts.
pub(crate) fn parse_kind(text: &str) -> Result<WorkloadKind, String> {
    match text.to_ascii_lowercase().as_str() {
        "deployment" | "deployments" | "deploy" => Ok(WorkloadKind::Deployment),
        "statefulset" | "statefulsets" | "sts" => Ok(WorkloadKind::StatefulSet),
        "daemonset" | "daemonsets" | "ds" => Ok(WorkloadKind::DaemonSet),
        "replicaset" | "replicasets" | "rs" => Ok(WorkloadKind::ReplicaSet),
        "replicationcontroller" | "replicationcontrollers" | "rc" => {
            Ok(WorkloadKind::ReplicationController)
        }
        "rollout" | "rollouts" | "ro" => Ok(WorkloadKind::Rollout),
        _ => Err(
            "use Deployment, StatefulSet, DaemonSet, ReplicaSet, ReplicationController or Rollout"
                .to_owned(),
        ),
    }
}

fn is_like(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(start) else {
        return false;
    };
    let mut ends = (0..=text.len()).filter(|end| text.is_char_boundary(*end));
    ends.any(|end| is_like(rest, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_matches_namespace_kind_and_name_with_wildcards() {
        let key = WorkloadRef {
            namespace: "shop".to_owned(),
            kind: WorkloadKind::StatefulSet,
            name: "cart-db".to_owned(),
        };
        let table = [
            ("shop", true),
            ("sho", false),
            ("*", true),
            ("shop/cart-db", true),
            ("shop/cart", false),
            ("shop/*-db", true),
            ("*/c*t*", true),
            ("s*p/sts/cart-db", true),
            ("shop/Deployment/cart-db", false),
        ];
        for (text, expected) in table {
            let selector: Selector = text.parse().unwrap();
            assert_eq!(selector.selects(&key), expected, "{text}");
        }
        for text in ["", "/", "a/", "/a", "a/b/c", "a/sts/", "a/sts/b/c"] {
            assert!(text.parse::<Selector>().is_err(), "{text}");
        }
    }
}
