//! Which pods a test holds back.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

#[derive(Clone, Debug)]
pub(super) struct HoldRule {
    pub(super) id: u64,
    pub(super) namespace: String,
    pub(super) labels: Vec<(String, String)>,
}

impl HoldRule {
    pub(super) fn covers(&self, pod: &Pod) -> bool {
        let place = self.namespace.is_empty()
            || pod.namespace().as_deref() == Some(self.namespace.as_str());
        place
            && self
                .labels
                .iter()
                .all(|(key, value)| pod.labels().get(key) == Some(value))
    }
}
