//! What watches show.

use mesh_cluster::object::Selector;
use mesh_cluster::workload::injection::Rules;
use mesh_cluster::workload::rollout::{Observed, PodSeen};
use mesh_records::{WorkloadKind, WorkloadRef};

/// One thing that a watch shows.
#[derive(Clone, Debug)]
pub(crate) enum Sight {
    Workload(Box<Observed>),
    WorkloadGone(WorkloadRef),
    Pod(Box<PodSeen>),
    PodGone(Box<PodSeen>),
    Namespace(String, Rules),
    Budget(Budget),
    BudgetGone(Budget),
    /// The control plane, put together from its configuration and its injector's endpoints.
    Mesh(Mesh),
    /// A list begins: what is known is old until it is whole.
    Began(Watched),
    Listed(Watched),
}

/// The kinds that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Watched {
    Pods,
    Deployments,
    StatefulSets,
    DaemonSets,
    Namespaces,
    Budgets,
    Config,
    Endpoints,
}

/// The control plane as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mesh {
    pub(crate) version: Option<String>,
    pub(crate) config_resource_version: Option<String>,
    /// The proxy version that a new pod gets.
    pub(crate) injects: Option<String>,
    pub(crate) anchors: Option<String>,
    /// Ready endpoints of the injector.
    pub(crate) endpoints: usize,
}

/// A PodDisruptionBudget.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Budget {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) selector: Selector,
}

// === impl Watched ===

impl Watched {
    pub(crate) const ALL: [Self; 8] = [
        Self::Pods,
        Self::Deployments,
        Self::StatefulSets,
        Self::DaemonSets,
        Self::Namespaces,
        Self::Budgets,
        Self::Config,
        Self::Endpoints,
    ];

    /// The workloads that it shows, if it shows any.
    pub(super) fn workloads(self) -> Option<WorkloadKind> {
        match self {
            Self::Deployments => Some(WorkloadKind::Deployment),
            Self::StatefulSets => Some(WorkloadKind::StatefulSet),
            Self::DaemonSets => Some(WorkloadKind::DaemonSet),
            Self::Pods | Self::Namespaces | Self::Budgets | Self::Config | Self::Endpoints => None,
        }
    }
}
