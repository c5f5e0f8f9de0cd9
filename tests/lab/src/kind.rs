//! The kinds that the lab keeps, and where their objects are.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    ClusterRole,
    ClusterRoleBinding,
    ConfigMap,
    CronJob,
    CustomResourceDefinition,
    DaemonSet,
    Deployment,
    EndpointSlice,
    Job,
    Lease,
    MutatingWebhookConfiguration,
    Namespace,
    Node,
    Pod,
    PodDisruptionBudget,
    ReplicaSet,
    Secret,
    Service,
    ServiceAccount,
    StatefulSet,
    ValidatingWebhookConfiguration,
}

/// Where an object is. The order is that of a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

const HOOKS: &str = "admissionregistration.k8s.io";
const CRDS: &str = "apiextensions.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";

/// Kinds with their groups and plurals; every version is `v1`.
const ALL: [(Kind, &str, &str); 21] = [
    (Kind::ClusterRole, RBAC, "clusterroles"),
    (Kind::ClusterRoleBinding, RBAC, "clusterrolebindings"),
    (Kind::ConfigMap, "", "configmaps"),
    (Kind::CronJob, "batch", "cronjobs"),
    (
        Kind::CustomResourceDefinition,
        CRDS,
        "customresourcedefinitions",
    ),
    (Kind::DaemonSet, "apps", "daemonsets"),
    (Kind::Deployment, "apps", "deployments"),
    (Kind::EndpointSlice, "discovery.k8s.io", "endpointslices"),
    (Kind::Job, "batch", "jobs"),
    (Kind::Lease, "coordination.k8s.io", "leases"),
    (
        Kind::MutatingWebhookConfiguration,
        HOOKS,
        "mutatingwebhookconfigurations",
    ),
    (Kind::Namespace, "", "namespaces"),
    (Kind::Node, "", "nodes"),
    (Kind::Pod, "", "pods"),
    (Kind::PodDisruptionBudget, "policy", "poddisruptionbudgets"),
    (Kind::ReplicaSet, "apps", "replicasets"),
    (Kind::Secret, "", "secrets"),
    (Kind::Service, "", "services"),
    (Kind::ServiceAccount, "", "serviceaccounts"),
    (Kind::StatefulSet, "apps", "statefulsets"),
    (
        Kind::ValidatingWebhookConfiguration,
        HOOKS,
        "validatingwebhookconfigurations",
    ),
];

// === impl Kind ===

impl Kind {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        ALL.into_iter().map(|(kind, ..)| kind)
    }

    fn row(self) -> (Self, &'static str, &'static str) {
        let mut rows = ALL.into_iter();
        rows.find(|row| row.0 == self)
            .expect("every kind has its row")
    }

    pub(crate) fn name(self) -> String {
        format!("{self:?}")
    }

    pub(crate) fn group(self) -> &'static str {
        self.row().1
    }

    pub(crate) fn plural(self) -> &'static str {
        self.row().2
    }

    pub(crate) fn api_version(self) -> String {
        format!("{}/v1", self.group())
            .trim_start_matches('/')
            .to_owned()
    }

    pub(crate) fn is_namespaced(self) -> bool {
        let in_none = matches!(self, Self::Namespace | Self::Node);
        !in_none && !matches!(self.group(), HOOKS | CRDS | RBAC)
    }

    pub(crate) fn has_generation(self) -> bool {
        matches!(self.group(), "apps" | "batch" | "policy" | HOOKS | CRDS)
    }
}

// === impl Key ===

impl Key {
    pub(crate) fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        let namespace = if kind.is_namespaced() { namespace } else { "" };
        Self {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.kind.plural(), self.name)
    }
}
