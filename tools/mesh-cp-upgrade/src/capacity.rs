//! Whether a node can take a pod. Pure.
//!
//! Only what rules a node out for certain is looked at. What the scheduler weighs besides, such as
//! affinities and the spread of pods, shows in the rollout.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use mesh_cluster::object::{Meta, Node, Selector, Taint};
use serde::Deserialize;

use crate::quantity::Amounts;

/// A pod, and what of it takes up room on a node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct PodAsked {
    #[serde(rename = "metadata")]
    meta: Meta,
    spec: Asked,
    status: Phase,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Asked {
    containers: Vec<AskedContainer>,
    init_containers: Vec<AskedContainer>,
    /// What all containers share; since Kubernetes 1.34 without a gate.
    resources: Resources,
    scheduler_name: String,
    overhead: Amounts,
    node_selector: BTreeMap<String, String>,
    tolerations: Vec<Toleration>,
    priority: i32,
    preemption_policy: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AskedContainer {
    resources: Resources,
    restart_policy: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Resources {
    requests: Amounts,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Toleration {
    key: String,
    operator: String,
    value: String,
    effect: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Phase {
    phase: String,
}

/// A pod that is going to be created.
#[derive(Clone, Debug)]
pub(crate) struct Coming {
    /// The component that it is of.
    pub(crate) component: String,
    /// The pod as admission makes it.
    pub(crate) pod: PodAsked,
    /// Selects the pods that may stop before it starts, in its namespace.
    pub(crate) leaving: Option<Selector>,
    /// The control plane's namespace.
    pub(crate) namespace: String,
}

/// Why a node does not take a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hindrance {
    NotReady,
    Cordoned,
    /// The node has a taint with this key, which the pod does not tolerate.
    Tainted(String),
    NotSelected,
    /// The node has too little left of this resource.
    Full(String),
}

/// The taint that the scheduler sees on a cordoned node.
const CORDON: &str = "node.kubernetes.io/unschedulable";

/// The resource of which each pod takes one.
const PODS: &str = "pods";

/// The parts of the reasons why nodes do not take a pod, as a sentence says them.
pub(crate) fn reasons(hindrances: &[Hindrance]) -> String {
    let kinds: BTreeSet<&Hindrance> = hindrances.iter().collect();
    let count = |kind: &Hindrance| hindrances.iter().filter(|it| *it == kind).count();
    let said = kinds.iter().map(|kind| format!("{} {kind}", count(kind)));
    match hindrances.len() {
        0 => "there is no node".to_owned(),
        all => format!(
            "none of {all} nodes takes it: {}",
            said.collect::<Vec<_>>().join(", ")
        ),
    }
}

// === impl PodAsked ===

impl PodAsked {
    /// Returns true if Kubernetes' own scheduler places it.
    pub(crate) fn is_for_usual_scheduler(&self) -> bool {
        ["", "default-scheduler"].contains(&self.spec.scheduler_name.as_str())
    }

    // What the scheduler reserves: an init container that ends shares with the containers, one that
    // goes on does not.
    fn amounts(&self) -> Amounts {
        let goes_on = |it: &&AskedContainer| it.restart_policy == "Always";
        let mut all = Amounts::default();
        for container in &self.spec.containers {
            all.add(&container.resources.requests);
        }
        for sidecar in self.spec.init_containers.iter().filter(goes_on) {
            all.add(&sidecar.resources.requests);
        }
        let mut sidecars = Amounts::default();
        for init in &self.spec.init_containers {
            let mut beside = sidecars.clone();
            beside.add(&init.resources.requests);
            all.raise(&beside);
            if goes_on(&init) {
                sidecars = beside;
            }
        }
        all.replace(&self.spec.resources.requests);
        all.add(&self.spec.overhead);
        all.count(PODS);
        all
    }

    fn takes_room(&self) -> bool {
        let is_over = ["Succeeded", "Failed"].contains(&self.status.phase.as_str());
        !is_over && self.meta.deletion_timestamp.is_none()
    }

    fn tolerates(&self, taint: &Taint) -> bool {
        self.spec.tolerations.iter().any(|it| it.covers(taint))
    }
}

// === impl Coming ===

impl Coming {
    /// Returns why a node takes no such pod, however many pods it has.
    pub(crate) fn kept_off(&self, node: &Node) -> Option<Hindrance> {
        if !node.is_ready() {
            return Some(Hindrance::NotReady);
        }
        let labels = &node.meta.labels;
        let mut selected = self.pod.spec.node_selector.iter();
        if !selected.all(|(key, value)| labels.get(key) == Some(value)) {
            return Some(Hindrance::NotSelected);
        }
        let cordon = node.spec.unschedulable.then(|| Taint {
            key: CORDON.to_owned(),
            effect: "NoSchedule".to_owned(),
            ..Taint::default()
        });
        let mut taints = cordon.iter().chain(&node.spec.taints);
        let taint = taints.find(|taint| {
            ["NoSchedule", "NoExecute"].contains(&taint.effect.as_str())
                && !self.pod.tolerates(taint)
        })?;
        Some(match taint.key.as_str() {
            CORDON => Hindrance::Cordoned,
            key => Hindrance::Tainted(key.to_owned()),
        })
    }

    /// Returns why a node with these pods has no room for this one. A node that does not say how much
    /// it has is taken to have enough.
    pub(crate) fn crowded_out(&self, node: &Node, pods: &[PodAsked]) -> Option<Hindrance> {
        let all: Amounts = node.status.allocatable.clone().into_iter().collect();
        if all.is_empty() {
            return None;
        }
        let mut taken = Amounts::default();
        for pod in pods
            .iter()
            .filter(|pod| pod.takes_room() && !self.displaces(pod))
        {
            taken.add(&pod.amounts());
        }
        let asked = self.pod.amounts();
        let lacking = asked.lacking_in(&all, &taken)?;
        Some(Hindrance::Full(lacking.to_owned()))
    }

    // The rollout may stop an older pod first, and the scheduler one of lower priority.
    fn displaces(&self, other: &PodAsked) -> bool {
        let is_leaving = self.leaving.as_ref().is_some_and(|selector| {
            other.meta.namespace == self.namespace && selector.selects(&other.meta.labels)
        });
        let preempts = self.pod.spec.preemption_policy != "Never";
        is_leaving || (preempts && other.spec.priority < self.pod.spec.priority)
    }
}

// === impl Toleration ===

impl Toleration {
    // An operator that is not known here may tolerate the taint.
    fn covers(&self, taint: &Taint) -> bool {
        let effect = self.effect.is_empty() || self.effect == taint.effect;
        let key = self.key == taint.key || (self.key.is_empty() && self.operator == "Exists");
        let value = match self.operator.as_str() {
            "" | "Equal" => self.value == taint.value,
            _ => true,
        };
        effect && key && value
    }
}

// === impl Hindrance ===

impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReady => f.write_str("not ready"),
            Self::Cordoned => f.write_str("cordoned"),
            Self::Tainted(key) => write!(f, "with the taint {key}, which it does not tolerate"),
            Self::NotSelected => f.write_str("without the labels of its nodeSelector"),
            Self::Full(resource) if resource == PODS => f.write_str("with no room for another pod"),
            Self::Full(resource) => write!(f, "with too little {resource} left"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(change: &Value) -> Node {
        let mut node = json!({
            "metadata": { "name": "n", "labels": { "zone": "a" } },
            "spec": {},
            "status": {
                "conditions": [{ "type": "Ready", "status": "True" }],
                "allocatable": { "cpu": "1", "memory": "1Gi", "pods": "3" },
            },
        });
        for (pointer, value) in change.as_object().unwrap() {
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            node.pointer_mut(parent).unwrap()[field] = value.clone();
        }
        serde_json::from_value(node).unwrap()
    }

    fn container(cpu: &str) -> Value {
        json!({ "resources": { "requests": { "cpu": cpu } } })
    }

    fn pod(spec: &Value) -> PodAsked {
        let meta = json!({ "namespace": "linkerd", "labels": { "component": "c" } });
        serde_json::from_value(json!({ "metadata": meta, "spec": spec })).unwrap()
    }

    fn coming(spec: &Value) -> Coming {
        Coming {
            component: "Deployment c".to_owned(),
            pod: pod(spec),
            leaving: None,
            namespace: "linkerd".to_owned(),
        }
    }

    #[test]
    fn a_node_keeps_a_pod_off_by_its_state_its_labels_and_its_taints() {
        let taint = |effect: &str| json!({ "/spec/taints": [{ "key": "k", "value": "v", "effect": effect }] });
        let tolerating = |toleration: Value| json!({ "tolerations": [toleration] });
        let cordoned = json!({ "/spec/unschedulable": true });
        let tainted = || Some(Hindrance::Tainted("k".to_owned()));
        let unready = json!({ "/status/conditions": [{ "type": "Ready", "status": "Unknown" }] });
        // the node, the pod's spec, what keeps it off
        let table = [
            (json!({}), json!({}), None),
            (
                unready,
                tolerating(json!({ "operator": "Exists" })),
                Some(Hindrance::NotReady),
            ),
            (cordoned.clone(), json!({}), Some(Hindrance::Cordoned)),
            (cordoned, tolerating(json!({ "operator": "Exists" })), None),
            (json!({}), json!({ "nodeSelector": { "zone": "a" } }), None),
            (
                json!({}),
                json!({ "nodeSelector": { "zone": "b" } }),
                Some(Hindrance::NotSelected),
            ),
            (taint("PreferNoSchedule"), json!({}), None),
            (taint("NoExecute"), json!({}), tainted()),
            (
                taint("NoSchedule"),
                tolerating(json!({ "key": "k", "value": "v" })),
                None,
            ),
            (
                taint("NoSchedule"),
                tolerating(json!({ "key": "k", "value": "w" })),
                tainted(),
            ),
            (
                taint("NoSchedule"),
                tolerating(json!({ "key": "k", "operator": "Exists" })),
                None,
            ),
            (
                taint("NoSchedule"),
                tolerating(json!({ "key": "k", "operator": "Exists", "effect": "NoExecute" })),
                tainted(),
            ),
        ];
        for (change, spec, expected) in table {
            let kept = coming(&spec).kept_off(&node(&change));
            assert_eq!(kept, expected, "{change} {spec}");
        }
    }

    #[test]
    fn a_node_is_full_by_what_its_pods_ask_for_unless_they_go() {
        let asking = |cpu: &str| json!({ "containers": [container(cpu)] });
        let with_priority = |priority: i32, policy: &str| {
            let mut spec = asking("600m");
            spec["priority"] = priority.into();
            spec["preemptionPolicy"] = policy.into();
            spec
        };
        let sidecar = |restart: &str| {
            let mut init = container("500m");
            init["restartPolicy"] = restart.into();
            json!({ "containers": [container("300m")], "initContainers": [init] })
        };
        let full = |resource: &str| Some(Hindrance::Full(resource.to_owned()));
        // the new pod, the pods there, what is said
        let table = [
            (asking("600m"), vec![asking("400m")], None),
            (asking("600m"), vec![asking("401m")], full("cpu")),
            (json!({}), vec![json!({}), json!({})], None),
            (
                json!({}),
                vec![json!({}), json!({}), json!({})],
                full("pods"),
            ),
            (with_priority(1, ""), vec![asking("900m")], None),
            (with_priority(1, "Never"), vec![asking("900m")], full("cpu")),
            (sidecar(""), vec![asking("500m")], None),
            (
                asking("600m"),
                vec![json!({ "resources": { "requests": { "cpu": "900m" } } })],
                full("cpu"),
            ),
            (sidecar("Always"), vec![asking("500m")], full("cpu")),
            (
                json!({ "containers": [container("300m")], "overhead": { "cpu": "300m" } }),
                vec![asking("500m")],
                full("cpu"),
            ),
        ];
        for (spec, there, expected) in table {
            let pods: Vec<PodAsked> = there.iter().map(pod).collect();
            let said = coming(&spec).crowded_out(&node(&json!({})), &pods);
            assert_eq!(said, expected, "{spec} {there:?}");
            let mut coming = coming(&spec);
            let labels = [("component".to_owned(), "c".to_owned())].into();
            coming.leaving = Some(Selector {
                match_labels: labels,
                ..Selector::default()
            });
            assert_eq!(
                coming.crowded_out(&node(&json!({})), &pods),
                None,
                "they leave"
            );
        }
        let silent = node(&json!({ "/status/allocatable": {} }));
        let mut over = pod(&asking("1"));
        assert_eq!(coming(&asking("2")).crowded_out(&silent, &[]), None);
        over.status.phase = "Succeeded".to_owned();
        assert_eq!(
            coming(&asking("1")).crowded_out(&node(&json!({})), &[over]),
            None
        );
    }

    #[test]
    fn reasons_are_counted() {
        let full = || Hindrance::Full("cpu".to_owned());
        let said = reasons(&[full(), Hindrance::Cordoned, full()]);
        let expected = "none of 3 nodes takes it: 1 cordoned, 2 with too little cpu left";
        assert_eq!(said, expected);
        assert_eq!(reasons(&[]), "there is no node");
    }
}
