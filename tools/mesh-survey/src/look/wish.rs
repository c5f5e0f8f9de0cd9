//! The options of a survey.

use mesh_cluster::object::label;

/// The options of a survey.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    /// The namespaces to read; all if empty.
    pub(crate) namespaces: Vec<String>,
    /// The label selector of the pods to read; all if absent.
    pub(crate) selector: Option<String>,
    /// Whether to read only pods with Linkerd's control-plane label.
    pub(crate) meshed_only: bool,
    /// A namespace in which to look for a control plane even without labels.
    pub(crate) linkerd_namespace: String,
    /// The keys of the labels that workloads are given.
    pub(crate) label_keys: Vec<String>,
    /// Whether to list each proxy separately.
    pub(crate) list_proxies: bool,
}

impl Wish {
    /// Returns the label selector for the list of pods.
    pub(crate) fn labels(&self) -> Option<String> {
        let meshed = self.meshed_only.then_some(label::CONTROL_PLANE_NS);
        let parts: Vec<&str> = self.selector.as_deref().into_iter().chain(meshed).collect();
        (!parts.is_empty()).then(|| parts.join(","))
    }

    /// Returns true if pods of a control plane may be missing from the lists of pods.
    pub(super) fn is_narrowed(&self) -> bool {
        !self.namespaces.is_empty() || self.selector.is_some()
    }

    /// Returns the namespaces to list one by one; a single `None` means one list of all namespaces.
    pub(super) fn places(&self) -> Vec<Option<&str>> {
        if self.namespaces.is_empty() {
            return vec![None];
        }
        self.namespaces.iter().map(|it| Some(it.as_str())).collect()
    }
}
