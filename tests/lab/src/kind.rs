//! The kinds that the lab keeps, and their paths.

use std::fmt;

use serde::Deserialize;

const HOOKS: &str = "admissionregistration.k8s.io";
const CRDS: &str = "apiextensions.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";

macro_rules! kinds {
    ($($kind:ident $group:tt $plural:tt)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        pub(crate) enum Kind { $($kind),* }

        /// The kinds with their groups and plurals; every version is `v1`.
        static ALL: &[(Kind, &str, &str)] = &[$((Kind::$kind, $group, $plural)),*];
    };
}

kinds! {
    ClusterRole RBAC "clusterroles"
    ClusterRoleBinding RBAC "clusterrolebindings"
    ConfigMap "" "configmaps"
    CronJob "batch" "cronjobs"
    CustomResourceDefinition CRDS "customresourcedefinitions"
    DaemonSet "apps" "daemonsets"
    Deployment "apps" "deployments"
    EndpointSlice "discovery.k8s.io" "endpointslices"
    Event "" "events"
    Job "batch" "jobs"
    Lease "coordination.k8s.io" "leases"
    MutatingWebhookConfiguration HOOKS "mutatingwebhookconfigurations"
    Namespace "" "namespaces"
    NetworkPolicy "networking.k8s.io" "networkpolicies"
    Node "" "nodes"
    Pod "" "pods"
    PodDisruptionBudget "policy" "poddisruptionbudgets"
    ReplicaSet "apps" "replicasets"
    Secret "" "secrets"
    Service "" "services"
    ServiceAccount "" "serviceaccounts"
    StatefulSet "apps" "statefulsets"
    ValidatingWebhookConfiguration HOOKS "validatingwebhookconfigurations"
}

/// The identity of an object. The order is the order of a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

// === impl Kind ===

impl Kind {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        ALL.iter().map(|row| row.0)
    }

    fn row(self) -> &'static (Self, &'static str, &'static str) {
        &ALL[self as usize]
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
