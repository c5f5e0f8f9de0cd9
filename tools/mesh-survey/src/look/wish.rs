//! What a survey is to look at.

use mesh_cluster::object::label;

/// What a survey is to look at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    /// Only these namespaces; all of them where none is named.
    pub(crate) namespaces: Vec<String>,
    /// Only pods that this label selector matches.
    pub(crate) selector: Option<String>,
    /// Only pods that carry the mesh's label.
    pub(crate) meshed_only: bool,
    /// Where a control plane is looked for, whatever the labels say.
    pub(crate) linkerd_namespace: String,
    /// The keys of the labels that workloads are given.
    pub(crate) label_keys: Vec<String>,
    /// Whether each proxy is to be listed by itself.
    pub(crate) list_proxies: bool,
}

impl Wish {
    /// The label selector of the pods, with all that narrows it.
    pub(crate) fn labels(&self) -> Option<String> {
        let meshed = self.meshed_only.then_some(label::CONTROL_PLANE_NS);
        let parts: Vec<&str> = self.selector.as_deref().into_iter().chain(meshed).collect();
        (!parts.is_empty()).then(|| parts.join(","))
    }

    /// Whether pods of a control plane may be missing from the lists of pods.
    pub(super) fn is_narrowed(&self) -> bool {
        !self.namespaces.is_empty() || self.selector.is_some()
    }

    /// The namespaces to list one by one; a single `None` stands for one list of them all.
    pub(super) fn places(&self) -> Vec<Option<&str>> {
        if self.namespaces.is_empty() {
            return vec![None];
        }
        self.namespaces.iter().map(|it| Some(it.as_str())).collect()
    }
}
