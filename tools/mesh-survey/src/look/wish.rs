//! The options of a survey.

use mesh_cluster::object::label;
use mesh_cluster::object::{
    ConfigMap, DaemonSet, Deployment, Namespace, Object as _, Pod, ReplicaSet, Resource,
    StatefulSet,
};
use mesh_cluster::{Reading, Right};
use mesh_records::Consistency;
use mesh_versions::KubernetesVersion;

/// Jobs.
pub(super) const JOBS: Resource = Resource {
    group: "batch",
    version: "v1",
    plural: "jobs",
    kind: "Job",
};

/// Replication controllers: OpenShift makes them for a DeploymentConfig.
pub(super) const CONTROLLERS: Resource = Resource {
    group: "",
    version: "v1",
    plural: "replicationcontrollers",
    kind: "ReplicationController",
};

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
    /// Whether to send a dry-run pod to each namespace with workloads.
    pub(crate) probe: bool,
    /// How current the lists must be.
    pub(crate) consistency: Consistency,
}

/// The first minor version of Kubernetes that encodes a long list object by object. An older one
/// holds all of it in its memory, more than once.
const STREAMS: (u64, u64) = (1, 33);

impl Wish {
    /// Chooses how an API server of this version reads a list.
    pub(super) fn reading(&self, kubernetes: Option<&str>) -> Reading {
        let version = kubernetes.and_then(KubernetesVersion::of);
        match self.consistency {
            Consistency::Cached => Reading::Cached,
            Consistency::Current if version.is_some_and(|it| it.line() >= STREAMS) => {
                Reading::Whole
            }
            Consistency::Current => Reading::Paged,
        }
    }

    /// Returns the label selector for the list of pods.
    pub(crate) fn labels(&self) -> Option<String> {
        let meshed = self.meshed_only.then_some(label::CONTROL_PLANE_NS);
        let parts: Vec<&str> = self.selector.as_deref().into_iter().chain(meshed).collect();
        (!parts.is_empty()).then(|| parts.join(","))
    }

    /// Returns the rights without which there is no survey.
    pub(super) fn required(&self) -> Vec<Right> {
        let right =
            |verb, resource: &Resource, namespace: Option<&str>, name: Option<&str>| Right {
                verb,
                resource: (*resource).into(),
                namespace: namespace.map(str::to_owned),
                name: name.map(str::to_owned),
            };
        let lists: [&Resource; 7] = [
            &Pod::RESOURCE,
            &Deployment::RESOURCE,
            &StatefulSet::RESOURCE,
            &DaemonSet::RESOURCE,
            &ReplicaSet::RESOURCE,
            &JOBS,
            &CONTROLLERS,
        ];
        let places = self.places();
        let lists = lists.into_iter();
        let lists = lists.flat_map(|it| {
            places
                .iter()
                .map(move |place| right("list", it, *place, None))
        });
        let namespaces = match self.namespaces.is_empty() {
            true => vec![right("list", &Namespace::RESOURCE, None, None)],
            false => Vec::new(),
        };
        let read = self
            .namespaces
            .iter()
            .map(String::as_str)
            .chain(["kube-system"]);
        let read = read.map(|name| right("get", &Namespace::RESOURCE, None, Some(name)));
        let own = Some(self.linkerd_namespace.as_str());
        let config = [label::CONFIG, label::TRUST_ROOTS];
        let config = config.map(|name| right("get", &ConfigMap::RESOURCE, own, Some(name)));
        let all = namespaces.into_iter().chain(read).chain(lists);
        all.chain(config).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_that_streams_lists_is_asked_for_whole_ones() {
        let wish = |consistency| Wish {
            consistency,
            ..Wish::default()
        };
        let table = [
            (Some("v1.34.2"), Reading::Whole),
            (Some("v1.33.0-eks-1"), Reading::Whole),
            (Some("v2.0.0"), Reading::Whole),
            (Some("v1.32.9"), Reading::Paged),
            (Some("nightly"), Reading::Paged),
            (None, Reading::Paged),
        ];
        for (version, expected) in table {
            let current = wish(Consistency::Current).reading(version);
            assert_eq!(current, expected, "{version:?}");
            let cached = wish(Consistency::Cached).reading(version);
            assert_eq!(cached, Reading::Cached, "{version:?}");
        }
    }
}
