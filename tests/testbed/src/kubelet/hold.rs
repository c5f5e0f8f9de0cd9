//! Holds pods back, so that a test decides when they become ready.

use std::sync::{Arc, atomic::Ordering};

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Pod;

use super::{Kubelet, Shared, rule::HoldRule};

/// Keeps pods from becoming ready until it is dropped.
#[must_use = "dropping it lets the pods go on"]
pub struct Hold {
    id: u64,
    shared: Arc<Shared>,
}

impl Kubelet {
    /// Keeps pods from becoming ready: pods in `namespace` (empty for all) with all of `labels`
    /// (such as `app=web,tier=front`; empty for all pods). Pods that are already ready stay ready.
    pub fn hold(&self, namespace: &str, labels: &str) -> Hold {
        let labels = labels.split(',').filter(|label| !label.is_empty());
        let labels = labels.map(|label| {
            let (key, value) = label.split_once('=').expect("a label to hold is KEY=VALUE");
            (key.to_owned(), value.to_owned())
        });
        self.hold_back(|id| HoldRule {
            id,
            namespace: namespace.to_owned(),
            labels: labels.collect(),
            node: None,
        })
    }

    /// Stops the kubelet of a node: pods on it neither become ready nor end.
    pub fn lose(&self, node: &str) -> Hold {
        self.hold_back(|id| HoldRule {
            id,
            namespace: String::new(),
            labels: Vec::new(),
            node: Some(node.to_owned()),
        })
    }

    fn hold_back(&self, rule: impl FnOnce(u64) -> HoldRule) -> Hold {
        let id = self.shared.next_hold.fetch_add(1, Ordering::Relaxed);
        let rule = rule(id);
        self.shared.holds.send_modify(|holds| holds.push(rule));
        Hold {
            id,
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Shared {
    /// Waits until no hold covers the pod.
    pub(super) async fn released(&self, pod: &Pod) -> anyhow::Result<()> {
        self.until_no_hold(|hold| hold.covers(pod)).await
    }

    /// Waits until the pod's node is not down.
    pub(super) async fn reachable(&self, pod: &Pod) -> anyhow::Result<()> {
        self.until_no_hold(|hold| hold.node.is_some() && hold.covers(pod))
            .await
    }

    async fn until_no_hold(&self, holds_back: impl Fn(&HoldRule) -> bool) -> anyhow::Result<()> {
        let mut holds = self.holds.subscribe();
        let free = |holds: &Vec<HoldRule>| !holds.iter().any(&holds_back);
        holds
            .wait_for(free)
            .await
            .context("the bed is closing")
            .map(drop)
    }
}

// === impl Hold ===

impl Hold {
    /// Lets the pods become ready.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared
            .holds
            .send_modify(|holds| holds.retain(|hold| hold.id != self.id));
    }
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hold")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
