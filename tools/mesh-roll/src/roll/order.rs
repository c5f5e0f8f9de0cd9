//! The order in which workloads are rolled.

use mesh_cluster::object::label;
use mesh_cluster::workload::rollout::Observed;
use mesh_records::{WorkloadKind, WorkloadRef};

/// A workload's position in the order: by wave, then by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    pub(crate) wave: Wave,
    namespace: String,
    kind: WorkloadKind,
    name: String,
}

/// Workloads that are rolled together; a wave begins when the one before it is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Wave {
    Deployments,
    DaemonSets,
    StatefulSets,
    /// Ingresses, gateways and the monitoring: everything is reached or watched through them, so
    /// they come last, one at a time.
    Doors,
}

/// Parts of the names of common ingress controllers and gateways.
const DOORS: [&str; 9] = [
    "ingress",
    "gateway",
    "traefik",
    "contour",
    "emissary",
    "ambassador",
    "haproxy",
    "envoy",
    "kong",
];
const NAME_LABEL: &str = "app.kubernetes.io/name";
const VIZ: &str = "linkerd-viz";

// === impl Rank ===

impl Rank {
    pub(crate) fn of(key: &WorkloadRef, observed: Option<&Observed>) -> Self {
        let wave = match &key.kind {
            _ if is_door(key, observed) => Wave::Doors,
            WorkloadKind::DaemonSet => Wave::DaemonSets,
            WorkloadKind::StatefulSet => Wave::StatefulSets,
            WorkloadKind::Deployment
            | WorkloadKind::ReplicaSet
            | WorkloadKind::ReplicationController
            | WorkloadKind::Job
            | WorkloadKind::CronJob
            | WorkloadKind::Rollout
            | WorkloadKind::Pod
            | WorkloadKind::Other(_) => Wave::Deployments,
        };
        Self {
            wave,
            namespace: key.namespace.clone(),
            kind: key.kind.clone(),
            name: key.name.clone(),
        }
    }
}

fn is_door(key: &WorkloadRef, observed: Option<&Observed>) -> bool {
    if key.name == "prometheus" && key.namespace == VIZ {
        return true;
    }
    let meta = observed.map(|observed| &observed.template.meta);
    let ingress = meta.and_then(|meta| meta.annotations.get(label::INJECT));
    if ingress.is_some_and(|word| word == "ingress") {
        return true;
    }
    let chart = meta.and_then(|meta| meta.labels.get(NAME_LABEL));
    let names = [Some(&key.name), chart];
    let like = |name: &String| DOORS.iter().any(|door| name.contains(door));
    names.into_iter().flatten().any(like)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(namespace: &str, kind: WorkloadKind, name: &str) -> WorkloadRef {
        WorkloadRef {
            namespace: namespace.to_owned(),
            kind,
            name: name.to_owned(),
        }
    }

    #[test]
    fn waves_are_deployments_daemon_sets_stateful_sets_then_ingresses() {
        let expected = [
            key("a", WorkloadKind::Deployment, "web"),
            key("b", WorkloadKind::Deployment, "api"),
            key("b", WorkloadKind::Deployment, "web"),
            key("a", WorkloadKind::DaemonSet, "agent"),
            key("a", WorkloadKind::StatefulSet, "db"),
            key("linkerd-viz", WorkloadKind::Deployment, "prometheus"),
            key("web", WorkloadKind::Deployment, "ingress-nginx-controller"),
            key("web", WorkloadKind::DaemonSet, "traefik"),
        ];
        let mut keys = expected.to_vec();
        keys.reverse();
        keys.sort_by_key(|key| Rank::of(key, None));
        assert_eq!(keys, expected);
    }
}
