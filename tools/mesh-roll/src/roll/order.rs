//! The order in which workloads are rolled.

use mesh_cluster::object::label;
use mesh_cluster::workload::rollout::Observed;
use mesh_records::{WorkloadKind, WorkloadRef};

/// A workload's position in the order: by wave, then by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    pub(crate) wave: Wave,
    /// Whether it is rolled alone, after the others of its wave.
    pub(crate) is_door: bool,
    namespace: String,
    kind: WorkloadKind,
    name: String,
}

/// Workloads that are rolled together; a wave begins when the one before it is finished.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wave {
    /// `--canary`: nothing else begins before each of them is proven and has settled.
    Canary,
    Tier(Group, Tier),
    /// Ingresses, gateways and the monitoring: everything is reached or watched through them, so
    /// they come after all groups, one at a time.
    Doors,
}

/// Workloads with the same value of the label of `--group-by`; without the flag, all of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    /// A value that is a number, so that 10 comes after 9.
    Number(u64, String),
    Word(String),
    /// Those without the label.
    Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tier {
    Stateless,
    DaemonSets,
    StatefulSets,
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
    /// Ranks a workload, given the label of `--group-by`.
    pub(crate) fn of(
        key: &WorkloadRef,
        observed: Option<&Observed>,
        group_by: Option<&str>,
    ) -> Self {
        let is_door = is_door(key, observed);
        let value = group_by.and_then(|label| observed?.labels.get(label));
        let wave = match is_door {
            true => Wave::Doors,
            false => Wave::Tier(Group::of(value), Tier::of(&key.kind)),
        };
        Self {
            wave,
            is_door,
            namespace: key.namespace.clone(),
            kind: key.kind.clone(),
            name: key.name.clone(),
        }
    }
}

// === impl Wave ===

impl Wave {
    /// Returns true if the other wave is a later one that begins only when this one is finished for
    /// good. Otherwise a workload that something outside of it holds up for now does not hold up the
    /// later wave.
    pub(crate) fn holds_up(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Canary, Self::Tier(..) | Self::Doors) => true,
            (Self::Tier(group, _), Self::Tier(later, _)) => group < later,
            (Self::Tier(group, _), Self::Doors) => *group != Group::Rest,
            (_, Self::Canary) | (Self::Doors, _) => false,
        }
    }

    /// Returns the name of the wave for people, given the label of `--group-by`.
    pub(crate) fn title(&self, group_by: Option<&str>) -> String {
        let (group, tier) = match self {
            Self::Canary => return "canary".to_owned(),
            Self::Doors => return "ingresses and gateways, one at a time".to_owned(),
            Self::Tier(group, tier) => (group, tier),
        };
        let tier = match tier {
            Tier::Stateless => "Deployments and the like",
            Tier::DaemonSets => "DaemonSets",
            Tier::StatefulSets => "StatefulSets",
        };
        match (group_by, group) {
            (None, _) => tier.to_owned(),
            (Some(label), Group::Number(_, value) | Group::Word(value)) => {
                format!("{tier} with {label}={value}")
            }
            (Some(label), Group::Rest) => format!("{tier} without the label {label}"),
        }
    }
}

// === impl Group ===

impl Group {
    fn of(value: Option<&String>) -> Self {
        match value {
            None => Self::Rest,
            Some(value) => match value.parse() {
                Ok(number) => Self::Number(number, value.clone()),
                Err(_) => Self::Word(value.clone()),
            },
        }
    }
}

// === impl Tier ===

impl Tier {
    fn of(kind: &WorkloadKind) -> Self {
        match kind {
            WorkloadKind::DaemonSet => Self::DaemonSets,
            WorkloadKind::StatefulSet => Self::StatefulSets,
            WorkloadKind::Deployment
            | WorkloadKind::ReplicaSet
            | WorkloadKind::ReplicationController
            | WorkloadKind::Job
            | WorkloadKind::CronJob
            | WorkloadKind::Rollout
            | WorkloadKind::Pod
            | WorkloadKind::Other(_) => Self::Stateless,
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
    use mesh_cluster::object::Deployment;

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
        keys.sort_by_key(|key| Rank::of(key, None, None));
        assert_eq!(keys, expected);
    }

    #[test]
    fn groups_come_one_after_the_other_each_by_tiers_then_the_rest_and_the_doors() {
        let rank = |kind, name: &str, labels: &str| {
            let json = format!(
                r#"{{"metadata": {{"namespace": "a", "name": "{name}", "labels": {{{labels}}}}}}}"#
            );
            let observed: Deployment = serde_json::from_str(&json).unwrap();
            let observed = Observed::of(&observed);
            Rank::of(&key("a", kind, name), Some(&observed), Some("ring"))
        };
        use WorkloadKind::{Deployment as Web, StatefulSet as Db};
        let expected = [
            rank(Web, "z", r#""ring": "2""#),
            rank(Db, "a", r#""ring": "2""#),
            rank(Web, "y", r#""ring": "10""#),
            rank(Web, "x", r#""ring": "late""#),
            rank(Db, "b", r#""ring": "late""#),
            rank(Web, "a", ""),
            rank(Web, "ingress", r#""ring": "2""#),
        ];
        let mut ranks = expected.to_vec();
        ranks.reverse();
        ranks.sort();
        assert_eq!(ranks, expected);
        let wave = |at: usize| &expected[at].wave;
        assert!(wave(1).holds_up(wave(2)), "a group is finished for good");
        assert!(wave(4).holds_up(wave(5)) && wave(4).holds_up(wave(6)));
        assert!(!wave(0).holds_up(wave(1)), "within a group others go on");
        assert!(!wave(5).holds_up(wave(6)) && !wave(2).holds_up(wave(1)));
        assert!(Wave::Canary.holds_up(wave(0)));
        let title = wave(2).title(Some("ring"));
        assert_eq!(title, "Deployments and the like with ring=10");
    }
}
