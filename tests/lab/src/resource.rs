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
const SPEC_AND_STATUS: u8 = STATUS | GENERATION;
const WORKLOAD: u8 = NAMESPACED | SPEC_AND_STATUS;

pub(crate) static CONFIG_MAPS: Resource = core("configmaps", "ConfigMap", NAMESPACED);
pub(crate) static NAMESPACES: Resource = core("namespaces", "Namespace", STATUS);
pub(crate) static NODES: Resource = core("nodes", "Node", STATUS);
pub(crate) static PODS: Resource = core("pods", "Pod", WORKLOAD);
pub(crate) static SECRETS: Resource = core("secrets", "Secret", NAMESPACED);
pub(crate) static SERVICES: Resource = core("services", "Service", NAMESPACED | STATUS);
pub(crate) static SERVICE_ACCOUNTS: Resource = core("serviceaccounts", "ServiceAccount", 1);
pub(crate) static CONTROLLER_REVISIONS: Resource =
    of("apps", "controllerrevisions", "ControllerRevision", 1);
pub(crate) static DAEMON_SETS: Resource = of("apps", "daemonsets", "DaemonSet", WORKLOAD);
pub(crate) static DEPLOYMENTS: Resource = of("apps", "deployments", "Deployment", WORKLOAD);
pub(crate) static REPLICA_SETS: Resource = of("apps", "replicasets", "ReplicaSet", WORKLOAD);
pub(crate) static STATEFUL_SETS: Resource = of("apps", "statefulsets", "StatefulSet", WORKLOAD);
pub(crate) static CRON_JOBS: Resource = of("batch", "cronjobs", "CronJob", WORKLOAD);
pub(crate) static JOBS: Resource = of("batch", "jobs", "Job", WORKLOAD);
pub(crate) static LEASES: Resource = of("coordination.k8s.io", "leases", "Lease", NAMESPACED);
pub(crate) static ENDPOINT_SLICES: Resource =
    of("discovery.k8s.io", "endpointslices", "EndpointSlice", 1);
pub(crate) static BUDGETS: Resource = of(
    "policy",
    "poddisruptionbudgets",
    "PodDisruptionBudget",
    WORKLOAD,
);
pub(crate) static CLUSTER_ROLES: Resource = of(
    "rbac.authorization.k8s.io",
    "clusterroles",
    "ClusterRole",
    0,
);
pub(crate) static CLUSTER_ROLE_BINDINGS: Resource = of(
    "rbac.authorization.k8s.io",
    "clusterrolebindings",
    "ClusterRoleBinding",
    0,
);
pub(crate) static DEFINITIONS: Resource = of(
    "apiextensions.k8s.io",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    SPEC_AND_STATUS,
);
pub(crate) static MUTATING_WEBHOOKS: Resource = of(
    "admissionregistration.k8s.io",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    GENERATION,
);
pub(crate) static VALIDATING_WEBHOOKS: Resource = of(
    "admissionregistration.k8s.io",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    GENERATION,
);

static ALL: [&Resource; 22] = [
    &CONFIG_MAPS,
    &NAMESPACES,
    &NODES,
    &PODS,
    &SECRETS,
    &SERVICES,
    &SERVICE_ACCOUNTS,
    &CONTROLLER_REVISIONS,
    &DAEMON_SETS,
    &DEPLOYMENTS,
    &REPLICA_SETS,
    &STATEFUL_SETS,
    &CRON_JOBS,
    &JOBS,
    &LEASES,
    &ENDPOINT_SLICES,
    &BUDGETS,
    &CLUSTER_ROLES,
    &CLUSTER_ROLE_BINDINGS,
    &DEFINITIONS,
    &MUTATING_WEBHOOKS,
    &VALIDATING_WEBHOOKS,
];

const fn core(plural: &'static str, kind: &'static str, traits: u8) -> Resource {
    of("", plural, kind, traits)
}

const fn of(group: &'static str, plural: &'static str, kind: &'static str, traits: u8) -> Resource {
    Resource {
        group,
        version: "v1",
        plural,
        kind,
        traits,
    }
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
