//! A world: a cluster with some workloads that are one release behind and some that are not.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use mesh_dice::Dice;
use mesh_testbed::{Bed, READY_DELAY, STOP_DELAY};
use serde_json::{Value, json};

use crate::fleet::{NEW, OLD, is_ready, proxy};

pub(super) const HOMES: [&str; 2] = ["chaos-a", "chaos-b"];
/// The label of all pods, and that of the pods that one budget covers.
const ALL: &str = "part-of=chaos";
const BUDGET: &str = "budget";
/// A DaemonSet has a pod on each node.
const NODES: usize = 3;

/// How a workload is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Make {
    Rolling,
    InPlace,
    Recreated,
    Ordered,
    OnDelete,
    Everywhere,
    Bare,
}

const MAKES: [Make; 7] = [
    Make::Rolling,
    Make::InPlace,
    Make::Recreated,
    Make::Ordered,
    Make::OnDelete,
    Make::Everywhere,
    Make::Bare,
];

/// A workload of the world.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) make: Make,
    pub(super) home: &'static str,
    pub(super) name: String,
    /// How long its pods take to get ready, and to end.
    pace: [&'static str; 2],
    /// How many pods it had at most.
    pub(super) most_pods: usize,
    /// How many pods it is to have; none once it was deleted.
    pub(super) pods: usize,
    /// Whether its pods had the new proxy before any run.
    pub(super) is_current: bool,
    pub(super) has_budget: bool,
    /// Whether somebody else changed it.
    pub(super) is_disturbed: bool,
}

/// A cluster, and what is known of it without looking.
pub(super) struct World {
    pub(super) bed: Bed,
    pub(super) bodies: Vec<Body>,
    /// Whether new pods could come without a proxy at some time.
    pub(super) lacked_proxies: bool,
    /// Whether ready pods were lost with their node at some time.
    pub(super) lost_a_node: bool,
}

impl Make {
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Rolling | Self::InPlace | Self::Recreated => "Deployment",
            Self::Ordered | Self::OnDelete => "StatefulSet",
            Self::Everywhere => "DaemonSet",
            Self::Bare => "ReplicaSet",
        }
    }
}

impl Body {
    fn new(dice: &mut Dice, number: usize, is_current: bool) -> Self {
        let make = *dice.pick(&MAKES);
        let delays = ["20ms", "60ms", "250ms"];
        let pods = if make == Make::Everywhere {
            NODES
        } else {
            1 + dice.roll(3)
        };
        Self {
            make,
            home: *dice.pick(&HOMES),
            name: format!("w{number}"),
            most_pods: pods,
            pods,
            pace: [*dice.pick(&delays), *dice.pick(&delays)],
            is_current,
            has_budget: dice.once_in(3),
            is_disturbed: false,
        }
    }

    pub(super) fn reference(&self) -> String {
        format!("{}/{}/{}", self.home, self.make.kind(), self.name)
    }

    /// Sets how many pods it is to have.
    pub(super) fn resize(&mut self, pods: usize) {
        self.most_pods = self.most_pods.max(pods);
        self.pods = pods;
    }

    pub(super) fn path(&self) -> String {
        let plural = self.make.kind().to_lowercase();
        format!(
            "/apis/apps/v1/namespaces/{}/{plural}s/{}",
            self.home, self.name
        )
    }

    pub(super) fn object(&self) -> Value {
        let mut labels = json!({ "app": self.name, "part-of": "chaos" });
        if self.has_budget {
            labels[BUDGET] = "shared".into();
        }
        let pace = json!({ READY_DELAY: self.pace[0], STOP_DELAY: self.pace[1] });
        let container = json!({ "name": "app", "image": "registry.test/app:1.0.0" });
        let mut object = json!({
            "apiVersion": "apps/v1",
            "kind": self.make.kind(),
            "metadata": { "name": self.name, "namespace": self.home },
            "spec": {
                "selector": { "matchLabels": { "app": self.name } },
                "template": {
                    "metadata": { "labels": labels, "annotations": pace },
                    "spec": { "containers": [container] },
                },
            },
        });
        let spec = &mut object["spec"];
        if self.make != Make::Everywhere {
            spec["replicas"] = self.pods.into();
        }
        match self.make {
            Make::InPlace => {
                let how = json!({ "maxSurge": 0, "maxUnavailable": 1 });
                spec["strategy"] = json!({ "rollingUpdate": how });
            }
            Make::Recreated => spec["strategy"] = json!({ "type": "Recreate" }),
            Make::Ordered => spec["serviceName"] = self.name.as_str().into(),
            Make::OnDelete => {
                spec["serviceName"] = self.name.as_str().into();
                spec["updateStrategy"] = json!({ "type": "OnDelete" });
            }
            Make::Rolling | Make::Everywhere | Make::Bare => {}
        }
        object
    }
}

impl World {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let bed = Bed::lab().unwrap();
        bed.install_linkerd(OLD).unwrap();
        for home in HOMES {
            bed.namespace(home, &[("linkerd.io/inject", "enabled")])
                .unwrap();
        }
        let (old, all) = (3 + dice.roll(4), 7);
        let bodies = (0..all).map(|number| Body::new(dice, number, number >= old));
        let bodies: Vec<Body> = bodies.collect();
        let mut world = Self {
            bed,
            bodies: Vec::new(),
            lacked_proxies: false,
            lost_a_node: false,
        };
        for home in HOMES {
            let selector = json!({ "matchLabels": { BUDGET: "shared" } });
            world.apply(&[json!({
                "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
                "metadata": { "name": "shared", "namespace": home },
                "spec": { "selector": selector, "maxUnavailable": 1 },
            })]);
        }
        let (before, after) = bodies.split_at(old);
        world.add(before);
        world.bed.upgrade_linkerd(NEW).unwrap();
        world.add(after);
        world
    }

    fn add(&mut self, bodies: &[Body]) {
        let objects: Vec<Value> = bodies.iter().map(Body::object).collect();
        self.apply(&objects);
        self.bodies.extend_from_slice(bodies);
        self.until_whole();
    }

    pub(super) fn apply(&self, objects: &[Value]) {
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        self.bed.apply(&list.to_string()).unwrap();
    }

    /// Waits until each workload has all its pods, all ready.
    pub(super) fn until_whole(&self) {
        let wanted: usize = self.bodies.iter().map(|body| body.pods).sum();
        let pods = Api::<Pod>::all(self.bed.client());
        let whole = |seen: &BTreeMap<String, Pod>| {
            seen.len() == wanted && seen.values().all(|pod| is_ready(pod) && !is_going(pod))
        };
        self.bed.until(pods, ALL, "all pods", whole).unwrap();
    }

    /// Returns the pods of a workload that are not about to end.
    pub(super) fn pods(&self, body: &Body) -> Vec<Pod> {
        let pods: Api<Pod> = Api::namespaced(self.bed.client(), body.home);
        let list = ListParams::default().labels(&format!("app={}", body.name));
        let mut pods = self.bed.block_on(pods.list(&list)).unwrap().items;
        pods.retain(|pod| !is_going(pod));
        pods
    }

    pub(super) fn body(&self, reference: &str) -> Option<&Body> {
        let mut bodies = self.bodies.iter();
        bodies.find(|body| body.reference() == reference)
    }
}

/// Says of each pod which proxy it has and whether it is ready.
pub(super) fn told(pods: &[Pod]) -> Vec<String> {
    let tell = |pod: &Pod| {
        let ready = if is_ready(pod) { "ready" } else { "not ready" };
        format!("{} {:?} {ready}", pod.name_any(), proxy(pod))
    };
    pods.iter().map(tell).collect()
}

fn is_going(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}
