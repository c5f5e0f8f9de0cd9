//! Which pods are held back, by a test or with their node.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

#[derive(Clone, Debug)]
pub(super) struct HoldRule {
    pub(super) id: u64,
    pub(super) namespace: String,
    pub(super) labels: Vec<(String, String)>,
    /// The node that is down, so that its pods neither begin nor end.
    pub(super) node: Option<String>,
}

impl HoldRule {
    pub(super) fn covers(&self, pod: &Pod) -> bool {
        let place = self.namespace.is_empty()
            || pod.namespace().as_deref() == Some(self.namespace.as_str());
        let on_it = self.node.is_none() || self.node.as_deref() == node_of(pod);
        place
            && on_it
            && self
                .labels
                .iter()
                .all(|(key, value)| pod.labels().get(key) == Some(value))
    }
}

pub(super) fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}
