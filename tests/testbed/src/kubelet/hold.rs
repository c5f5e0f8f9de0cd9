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
        let id = self.shared.next_hold.fetch_add(1, Ordering::Relaxed);
        let labels = labels.split(',').filter(|label| !label.is_empty());
        let labels = labels.map(|label| {
            let (key, value) = label.split_once('=').expect("a label to hold is KEY=VALUE");
            (key.to_owned(), value.to_owned())
        });
        let rule = HoldRule {
            id,
            namespace: namespace.to_owned(),
            labels: labels.collect(),
        };
        self.shared.holds.send_modify(|holds| holds.push(rule));
        Hold {
            id,
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Shared {
    pub(super) async fn released(&self, pod: &Pod) -> anyhow::Result<()> {
        let mut holds = self.holds.subscribe();
        let free = |holds: &Vec<HoldRule>| !holds.iter().any(|hold| hold.covers(pod));
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
