//! The kinds that the lab keeps, and where they are.

/// A kind of object.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Resource {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) kind: &'static str,
    traits: u8,
}

/// Where an object is. The order is that of a list: by namespace and name as one text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) resource: &'static Resource,
    path: String,
}

const NAMESPACED: u8 = 1;
const STATUS: u8 = 2;
const GENERATION: u8 = 4;
const WORKLOAD: u8 = NAMESPACED | STATUS | GENERATION;

macro_rules! resources {
    ($($name:ident: $group:literal $plural:literal $kind:literal $traits:expr;)*) => {
        $(pub(crate) static $name: Resource = Resource {
            group: $group, version: "v1", plural: $plural, kind: $kind, traits: $traits,
        };)*
        static ALL: &[&Resource] = &[$(&$name),*];
    };
}

resources! {
    CONFIG_MAPS: "" "configmaps" "ConfigMap" NAMESPACED;
    NAMESPACES: "" "namespaces" "Namespace" STATUS;
    NODES: "" "nodes" "Node" STATUS;
    PODS: "" "pods" "Pod" WORKLOAD;
    SECRETS: "" "secrets" "Secret" NAMESPACED;
    SERVICES: "" "services" "Service" NAMESPACED | STATUS;
    SERVICE_ACCOUNTS: "" "serviceaccounts" "ServiceAccount" NAMESPACED;
    MUTATING_WEBHOOKS: "admissionregistration.k8s.io" "mutatingwebhookconfigurations"
        "MutatingWebhookConfiguration" GENERATION;
    VALIDATING_WEBHOOKS: "admissionregistration.k8s.io" "validatingwebhookconfigurations"
        "ValidatingWebhookConfiguration" GENERATION;
    DEFINITIONS: "apiextensions.k8s.io" "customresourcedefinitions"
        "CustomResourceDefinition" STATUS | GENERATION;
    CONTROLLER_REVISIONS: "apps" "controllerrevisions" "ControllerRevision" NAMESPACED;
    DAEMON_SETS: "apps" "daemonsets" "DaemonSet" WORKLOAD;
    DEPLOYMENTS: "apps" "deployments" "Deployment" WORKLOAD;
    REPLICA_SETS: "apps" "replicasets" "ReplicaSet" WORKLOAD;
    STATEFUL_SETS: "apps" "statefulsets" "StatefulSet" WORKLOAD;
    CRON_JOBS: "batch" "cronjobs" "CronJob" WORKLOAD;
    JOBS: "batch" "jobs" "Job" WORKLOAD;
    LEASES: "coordination.k8s.io" "leases" "Lease" NAMESPACED;
    ENDPOINT_SLICES: "discovery.k8s.io" "endpointslices" "EndpointSlice" NAMESPACED;
    BUDGETS: "policy" "poddisruptionbudgets" "PodDisruptionBudget" WORKLOAD;
    CLUSTER_ROLES: "rbac.authorization.k8s.io" "clusterroles" "ClusterRole" 0;
    CLUSTER_ROLE_BINDINGS: "rbac.authorization.k8s.io" "clusterrolebindings" "ClusterRoleBinding" 0;
}

// === impl Resource ===

impl Resource {
    pub(crate) fn find(group: &str, version: &str, plural: &str) -> Option<&'static Self> {
        let same = |one: &&&Self| (one.group, one.version, one.plural) == (group, version, plural);
        ALL.iter().find(same).copied()
    }

    pub(crate) fn of_group(group: &str, version: &str) -> impl Iterator<Item = &'static Self> {
        ALL.iter()
            .copied()
            .filter(move |one| one.group == group && one.version == version)
    }

    /// The kind of an owner reference.
    pub(crate) fn of_kind(api_version: &str, kind: &str) -> Option<&'static Self> {
        let same = |one: &&&Self| one.kind == kind && one.api_version() == api_version;
        ALL.iter().find(same).copied()
    }

    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    pub(crate) fn is_namespaced(&self) -> bool {
        self.traits & NAMESPACED != 0
    }

    pub(crate) fn has_status(&self) -> bool {
        self.traits & STATUS != 0
    }

    pub(crate) fn has_generation(&self) -> bool {
        self.traits & GENERATION != 0
    }

    /// As messages name it: `deployments.apps`.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }
}

// === impl Key ===

impl Key {
    pub(crate) fn new(resource: &'static Resource, namespace: &str, name: &str) -> Self {
        let path = if resource.is_namespaced() {
            format!("{namespace}/{name}")
        } else {
            name.to_owned()
        };
        Self { resource, path }
    }

    /// Before every key of a kind, in one namespace or, without one, in all.
    pub(crate) fn first(resource: &'static Resource, namespace: &str) -> Self {
        let mut path = namespace.to_owned();
        if !namespace.is_empty() {
            path.push('/');
        }
        Self { resource, path }
    }

    pub(crate) fn namespace(&self) -> &str {
        self.path
            .split_once('/')
            .map_or("", |(namespace, _)| namespace)
    }

    pub(crate) fn name(&self) -> &str {
        self.path
            .split_once('/')
            .map_or(&self.path, |(_, name)| name)
    }
}
