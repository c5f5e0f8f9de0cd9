//! The scheduler: a node for each pod, at once.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Plan, Write};
use crate::{
    object::{condition, is_over, items, name, namespace, stamp, text},
    resource::{Key, NODES, PODS},
    selector::Selector,
    store::Store,
};

/// The pods that wait for a node.
pub(super) fn unbound(store: &Store) -> Vec<Key> {
    let waiting = store
        .all(&PODS, "")
        .filter(|(_, pod)| text(pod, "/spec/nodeName").is_empty());
    waiting.map(|(key, _)| key.clone()).collect()
}

pub(super) fn plan(store: &Store, key: &Key, pod: &Value, now: Timestamp) -> Plan {
    if !text(pod, "/spec/nodeName").is_empty() || is_over(pod) {
        return Plan::default();
    }
    let nodes: Vec<&str> = store
        .all(&NODES, "")
        .map(|(_, node)| node)
        .filter(|node| fits(store, pod, node))
        .map(|node| name(node))
        .collect();
    // Versions differ from pod to pod, which spreads them.
    let turn = usize::try_from(store.version()).unwrap_or_default();
    let known = condition(pod, "PodScheduled");
    if nodes.is_empty() && known.is_some() {
        return Plan::default();
    }
    let mut scheduled =
        json!({ "type": "PodScheduled", "status": "True", "lastTransitionTime": stamp(now) });
    let mut patch = json!({});
    if nodes.is_empty() {
        scheduled["status"] = "False".into();
        scheduled["reason"] = "Unschedulable".into();
        scheduled["message"] = "0 nodes are available: none fits the pod.".into();
    } else {
        patch["spec"] = json!({ "nodeName": nodes[turn % nodes.len()] });
    }
    patch["status"] = json!({ "conditions": [scheduled] });
    Plan::of(Write::Merge(key.clone(), patch))
}

/// Whether a pod's own wishes allow a node.
pub(super) fn wants(spec: &Value, node: &Value) -> bool {
    Selector::equal(&spec["nodeSelector"]).matches(node)
}

fn fits(store: &Store, pod: &Value, node: &Value) -> bool {
    let terms = "/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution";
    let full = |term: &Value| {
        let selector = Selector::of(&term["labelSelector"]);
        let mut beside = store.all(&PODS, namespace(pod));
        beside.any(|(_, other)| {
            text(other, "/spec/nodeName") == name(node)
                && !is_over(other)
                && selector.matches(other)
        })
    };
    wants(&pod["spec"], node) && !items(pod, terms).iter().any(full)
}
