//! What others do to the cluster while a run goes on, and what breaks in it.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use mesh_dice::Dice;
use mesh_testbed::{BEHAVIOUR, Hold, Match};
use mesh_tests::{Signal, signal};
use serde_json::{Value, json};

use super::world::{Body, HOMES, Make, World};
use crate::harm::Harm;

/// What happens at a moment of a run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// Something is broken until so many records later, or until the run ends.
    Break(Break, usize),
    /// Somebody else changes a workload.
    Change(Change, usize),
    /// Somebody changes the control plane's configuration, to this mark.
    Configure(usize),
    /// The API server forgets its history.
    Compact,
    Signal(Signal),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Break {
    Controllers,
    Kubelets,
    Injector,
    Node,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// With this mark in its template.
    Restart(usize),
    /// With a template whose pods behave so, and never get ready.
    Spoil(&'static str),
    Pause,
    Scale(usize),
    Delete,
    Recreate,
}

/// What is broken now; it is mended by [`World::mend`].
pub(super) enum Broken {
    Controllers,
    Kubelets(Hold),
    Injector,
    Node(Hold, Vec<String>),
}

const BREAKS: [Break; 4] = [
    Break::Controllers,
    Break::Kubelets,
    Break::Injector,
    Break::Node,
];
const SPOILS: [&str; 3] = ["image-pull", "crash-loop", "never-ready"];
const NODE: &str = "node-2";

impl Act {
    /// Makes the acts of a run, each with the number of the record after which it happens.
    pub(super) fn some(dice: &mut Dice, bodies: usize) -> Vec<(usize, Self)> {
        let number = 2 + dice.roll(6);
        let mut acts: Vec<(usize, Self)> = (0..number)
            .map(|_| (1 + dice.roll(20), Self::one(dice, bodies)))
            .collect();
        acts.sort_by_key(|(at, _)| *at);
        // The second of two signals ends a run at once.
        let is_signal = |(_, act): &(usize, Self)| matches!(act, Self::Signal(_));
        let first = acts.iter().position(is_signal);
        let mut place = 0..;
        acts.retain(|act| place.next() == first || !is_signal(act));
        acts
    }

    fn one(dice: &mut Dice, bodies: usize) -> Self {
        match dice.roll(12) {
            0..4 => Self::Break(*dice.pick(&BREAKS), 1 + dice.roll(20)),
            4..9 => {
                let change = match dice.roll(6) {
                    0 => Change::Restart(dice.roll(1000)),
                    1 => Change::Pause,
                    2 => Change::Scale(dice.roll(4)),
                    3 => Change::Delete,
                    4 => Change::Spoil(SPOILS[dice.roll(SPOILS.len())]),
                    _ => Change::Recreate,
                };
                Self::Change(change, dice.roll(bodies))
            }
            9 => Self::Compact,
            10 => Self::Configure(dice.roll(1000)),
            _ => Self::Signal(*dice.pick(&[Signal::TERM, Signal::KILL])),
        }
    }

    /// Returns for how many records it lasts.
    pub(super) fn lasts(self) -> usize {
        if let Self::Break(_, records) = self {
            records
        } else {
            0
        }
    }

    /// Returns what kind of act it is.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Break(Break::Controllers, _) => "Controllers",
            Self::Break(Break::Kubelets, _) => "Kubelets",
            Self::Break(Break::Injector, _) => "Injector",
            Self::Break(Break::Node, _) => "Node",
            Self::Change(Change::Restart(_), _) => "Restart",
            Self::Change(Change::Spoil(_), _) => "Spoil",
            Self::Change(Change::Pause, _) => "Pause",
            Self::Change(Change::Scale(_), _) => "Scale",
            Self::Change(Change::Delete, _) => "Delete",
            Self::Change(Change::Recreate, _) => "Recreate",
            Self::Configure(_) => "Configure",
            Self::Compact => "Compact",
            Self::Signal(Signal::KILL) => "Kill",
            Self::Signal(_) => "Terminate",
        }
    }

    pub(super) fn kills(self) -> bool {
        matches!(self, Self::Signal(Signal::KILL))
    }
}

/// Makes the faults of a run: which request each is for, and what happens to it.
pub(super) fn faults(dice: &mut Dice) -> Vec<(Match, Harm)> {
    let fault = |dice: &mut Dice| {
        let request = match dice.roll(4) {
            0 => Match::writes().nth(1 + dice.roll(12)),
            1 => Match::watches("/pods").nth(1 + dice.roll(3)),
            2 => Match::watches("/apis/apps/").nth(1 + dice.roll(5)),
            _ => Match::any().nth(1 + dice.roll(80)),
        };
        (request, *dice.pick(&Harm::ALL))
    };
    (0..dice.roll(4)).map(|_| fault(dice)).collect()
}

impl World {
    /// Carries out an act on the run `pid`; returns what is broken by it.
    pub(super) fn perform(&mut self, act: Act, pid: u32) -> Option<Broken> {
        match act {
            Act::Break(what, _) => return Some(self.disrupt(what)),
            Act::Change(change, place) => self.change(change, place),
            Act::Configure(mark) => {
                let path = "/api/v1/namespaces/linkerd/configmaps/linkerd-config";
                let mark = json!({ "changed": mark.to_string() });
                let patch = json!({ "metadata": { "annotations": mark } });
                self.bed.merge(path, &patch).unwrap();
            }
            Act::Compact => self.bed.as_lab().unwrap().compact(),
            Act::Signal(what) => signal(pid, what),
        }
        None
    }

    fn disrupt(&mut self, what: Break) -> Broken {
        let lab = self.bed.as_lab().unwrap();
        match what {
            Break::Controllers => {
                lab.stall_controllers(true);
                Broken::Controllers
            }
            Break::Kubelets => Broken::Kubelets(self.bed.kubelet().hold(HOMES[0], "")),
            Break::Injector => {
                self.lacked_proxies = true;
                self.bed.injector().close();
                Broken::Injector
            }
            Break::Node => {
                let hold = self.bed.kubelet().lose(NODE);
                self.set_node("Unknown");
                let lost = self.pods_of_node();
                for pod in &lost {
                    self.set_ready(pod, "False");
                }
                self.lost_a_node = true;
                Broken::Node(hold, lost)
            }
        }
    }

    /// Mends what is broken.
    pub(super) fn mend(&self, broken: Broken) {
        match broken {
            Broken::Controllers => self.bed.as_lab().unwrap().stall_controllers(false),
            Broken::Kubelets(hold) => hold.release(),
            Broken::Injector => {
                self.bed.injector().open();
                self.bed.injector().await_open().unwrap();
            }
            Broken::Node(hold, lost) => {
                self.set_node("True");
                for pod in &lost {
                    self.set_ready(pod, "True");
                }
                hold.release();
            }
        }
    }

    fn set_node(&self, ready: &str) {
        let condition = json!({ "type": "Ready", "status": ready });
        let status = json!({ "status": { "conditions": [condition] } });
        let path = format!("/api/v1/nodes/{NODE}/status");
        self.bed.merge(&path, &status).unwrap();
    }

    /// Returns the paths of the ready pods of the node.
    fn pods_of_node(&self) -> Vec<String> {
        let list = self.bed.get("/api/v1/pods?labelSelector=part-of%3Dchaos");
        let list = list.unwrap();
        let pods = list["items"].as_array().unwrap().iter();
        let pods = pods.filter(|pod| pod["spec"]["nodeName"] == NODE && is_ready(pod));
        let path = |pod: &Value| {
            let text = |field: &str| pod["metadata"][field].as_str().unwrap().to_owned();
            let (home, name) = (text("namespace"), text("name"));
            format!("/api/v1/namespaces/{home}/pods/{name}")
        };
        pods.map(path).collect()
    }

    /// Sets whether a pod is ready, unless it is gone.
    fn set_ready(&self, pod: &str, ready: &str) {
        let Ok(found) = self.bed.get(pod) else { return };
        let mut conditions = found["status"]["conditions"].clone();
        for condition in conditions.as_array_mut().into_iter().flatten() {
            if ["Ready", "ContainersReady"].contains(&condition["type"].as_str().unwrap()) {
                condition["status"] = ready.into();
            }
        }
        let status = json!({ "status": { "conditions": conditions } });
        // It may have ended since.
        drop(self.bed.merge(&format!("{pod}/status"), &status));
    }

    fn change(&mut self, change: Change, place: usize) {
        let body = self.bodies[place].clone();
        if body.pods == 0 && !matches!(change, Change::Scale(_)) || is_gone(self, &body) {
            return;
        }
        let patch = |spec: Value| {
            self.bed
                .merge(&body.path(), &json!({ "spec": spec }))
                .unwrap();
        };
        let mut pods = body.pods;
        match (change, body.make) {
            (Change::Scale(_), Make::Everywhere)
            | (Change::Pause, Make::Ordered | Make::OnDelete | Make::Everywhere | Make::Bare) => {
                return;
            }
            (Change::Restart(mark), _) => {
                let mark = json!({ "example.com/restart": mark.to_string() });
                patch(json!({ "template": { "metadata": { "annotations": mark } } }));
            }
            (Change::Spoil(behaviour), _) => patch(labelled(behaviour.into())),
            (Change::Pause, _) => patch(json!({ "paused": true })),
            (Change::Scale(to), _) => {
                pods = to;
                patch(json!({ "replicas": to }));
            }
            (Change::Delete, _) => {
                pods = 0;
                self.bed.delete(&body.path()).unwrap();
            }
            (Change::Recreate, _) => {
                self.bed.delete(&body.path()).unwrap();
                self.apply(&[body.object()]);
            }
        }
        let body = &mut self.bodies[place];
        body.resize(pods);
        body.is_disturbed = true;
    }

    /// Takes back what somebody did to workloads: rollouts that were paused go on, and those of spoiled
    /// templates get good ones.
    pub(super) fn take_back_changes(&self) {
        for body in &self.bodies {
            let Ok(found) = self.bed.get(&body.path()) else {
                continue;
            };
            let spec = &found["spec"];
            let merge = |spec: Value| {
                let patch = json!({ "spec": spec });
                self.bed.merge(&body.path(), &patch).unwrap();
            };
            if spec["paused"] == true {
                merge(json!({ "paused": false }));
            }
            if !spec["template"]["metadata"]["labels"][BEHAVIOUR].is_null() {
                merge(labelled(Value::Null));
            }
            // Nobody replaces these: a StatefulSet waits for its pod, and others have no rollouts.
            let pods = self.pods(body).into_iter();
            let pods = pods.filter(|pod| pod.labels().contains_key(BEHAVIOUR));
            self.delete(body, pods);
        }
    }

    /// Deletes the pods of a workload, so that it gets new ones.
    pub(super) fn delete_pods(&self, reference: &str) {
        let body = self.body(reference).unwrap();
        self.delete(body, self.pods(body).into_iter());
    }

    fn delete(&self, body: &Body, pods: impl Iterator<Item = Pod>) {
        for pod in pods {
            let path = format!("/api/v1/namespaces/{}/pods/{}", body.home, pod.name_any());
            // Its controller may have deleted it since.
            drop(self.bed.delete(&path));
        }
    }
}

/// Returns the part of a workload that lets its pods behave so.
fn labelled(behaviour: Value) -> Value {
    json!({ "template": { "metadata": { "labels": { BEHAVIOUR: behaviour } } } })
}

fn is_gone(world: &World, body: &Body) -> bool {
    world.bed.get(&body.path()).is_err()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions
        .into_iter()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}
