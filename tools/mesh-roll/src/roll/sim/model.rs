//! A model of a cluster: workloads whose controllers act step by step, an injector that may break,
//! and an API server that keeps resourceVersions.

use std::collections::BTreeSet;

use jiff::Timestamp;
use mesh_cluster::object::Condition;
use mesh_cluster::object::label::RESTARTED_AT;
use mesh_cluster::object::{
    Container, ContainerState, ContainerStatus, DaemonSet, DaemonSetStatus, Deployment,
    DeploymentStatus, IntOrPercent, Meta, OwnerReference, Pod, PodSpec, PodStatus, Selector,
    StatefulSet, StatefulSetStatus, Template, Waiting,
};
use mesh_cluster::workload::rollout::{Observed, PodSeen};
use mesh_dice::Dice;
use mesh_records::{WorkloadKind, WorkloadRef};

pub(super) const OLD: &str = "stable-2.13.7";
pub(super) const TARGET: &str = "stable-2.14.10";
const OTHER: &str = "stable-2.14.9";
/// A label of some workloads.
pub(super) const RING: &str = "ring";

/// The true state of a workload and its pods.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) key: WorkloadRef,
    pub(super) uid: String,
    pub(super) version: u64,
    pub(super) wanted: usize,
    pub(super) generation: i64,
    pub(super) observed: i64,
    pub(super) restarted_at: Option<String>,
    pub(super) image: u32,
    pub(super) pods: Vec<PodBody>,
    pub(super) budget: bool,
    /// The value of its label `ring`.
    ring: Option<&'static str>,
    /// Whether its controller replaces only pods that are gone (`OnDelete`).
    pub(super) on_delete: bool,
    /// Whether admission adds the budget's label to the pods; else the template has it.
    by_admission: bool,
    /// How many pods a DaemonSet may miss.
    unavailable: usize,
    /// What happens to pods of the newest template.
    pub(super) fate: Fate,
}

/// The true state of a pod.
#[derive(Clone, Debug)]
pub(super) struct PodBody {
    pub(super) name: String,
    /// The node of a pod of a DaemonSet.
    node: Option<String>,
    pub(super) template: (Option<String>, u32),
    pub(super) proxy: Option<&'static str>,
    pub(super) ready: bool,
    /// Whether its node was lost, and it has not been ready since.
    stricken: bool,
    restarts: i32,
}

/// What happens to new pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Ready,
    Crash,
    Unschedulable,
}

/// What the injector does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Injector {
    Gives(&'static str),
    Nothing,
}

#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) bodies: Vec<Body>,
    pub(super) injector: Injector,
    pub(super) version: u64,
    /// The nodes that are not ready.
    pub(super) away: BTreeSet<String>,
    pods: u64,
}

/// What a step changed.
#[derive(Clone, Debug)]
pub(super) enum Changed {
    Workload(Box<Observed>),
    Pod(Box<PodSeen>),
    PodGone(Box<PodSeen>),
}

impl Model {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let mut model = Self {
            bodies: Vec::new(),
            injector: Injector::Gives(TARGET),
            version: 100,
            away: BTreeSet::new(),
            pods: 0,
        };
        for number in 0..2 + dice.roll(4) {
            let kinds = [
                WorkloadKind::Deployment,
                WorkloadKind::Deployment,
                WorkloadKind::StatefulSet,
                WorkloadKind::DaemonSet,
            ];
            let key = WorkloadRef {
                namespace: (*dice.pick(&["a", "b"])).to_owned(),
                kind: dice.pick(&kinds).clone(),
                name: format!("{}{number}", dice.pick(&["w", "w", "w", "ingress"])),
            };
            let mut body = Body {
                uid: format!("uid-{number}"),
                key,
                version: 1,
                wanted: 1 + dice.roll(2),
                generation: 1,
                observed: 1,
                restarted_at: dice.once_in(3).then(|| "2025-01-01T00:00:00Z".to_owned()),
                image: 0,
                pods: Vec::new(),
                on_delete: false,
                budget: dice.once_in(3),
                ring: match number {
                    0 => Some("2"),
                    _ => *dice.pick(&[Some("2"), Some("10"), Some("late"), None]),
                },
                by_admission: dice.once_in(2),
                unavailable: 1,
                fate: Fate::Ready,
            };
            // The budget never lets two pods go.
            if !body.budget {
                body.unavailable += dice.roll(2);
            }
            body.on_delete = body.key.kind == WorkloadKind::StatefulSet && dice.once_in(2);
            let proxy = if dice.once_in(6) { TARGET } else { OLD };
            for _ in 0..body.wanted {
                let pod = model.pod(&body, Some(proxy));
                body.pods.push(PodBody { ready: true, ..pod });
            }
            model.bodies.push(body);
        }
        model
    }

    fn pod(&mut self, body: &Body, proxy: Option<&'static str>) -> PodBody {
        self.pods += 1;
        PodBody {
            name: format!("{}-{}", body.key.name, self.pods),
            node: body.free_node(),
            template: (body.restarted_at.clone(), body.image),
            proxy,
            ready: false,
            stricken: false,
            restarts: 0,
        }
    }

    pub(super) fn place(&self, key: &WorkloadRef) -> usize {
        let mut bodies = self.bodies.iter();
        bodies
            .position(|body| body.key == *key)
            .expect("the model has every workload")
    }

    pub(super) fn body(&self, key: &WorkloadRef) -> &Body {
        &self.bodies[self.place(key)]
    }

    /// Changes an object; every write gives it a new version.
    pub(super) fn touch(&mut self, place: usize) -> Changed {
        self.version += 1;
        self.bodies[place].version = self.version;
        Changed::Workload(Box::new(self.bodies[place].observed()))
    }

    /// Restarts a workload if its version is still `version`.
    pub(super) fn restart(&mut self, place: usize, version: &str, value: &str) -> Option<Changed> {
        let body = &mut self.bodies[place];
        if body.version.to_string() != version {
            return None;
        }
        if body.restarted_at.as_deref() != Some(value) {
            body.restarted_at = Some(value.to_owned());
            body.generation += 1;
        }
        Some(self.touch(place))
    }

    /// Changes the template, as somebody else would.
    pub(super) fn redeploy(&mut self, place: usize) -> Changed {
        let body = &mut self.bodies[place];
        // A change that an owner holds back is not rolled out by anybody.
        if body.on_delete {
            return self.touch(place);
        }
        body.image += 1;
        body.generation += 1;
        self.touch(place)
    }

    /// Makes one step of a controller or a kubelet.
    pub(super) fn step(&mut self, place: usize, dice: &mut Dice) -> Vec<Changed> {
        let body = &self.bodies[place];
        if body.observed < body.generation {
            self.bodies[place].observed = body.generation;
            return vec![self.touch(place)];
        }
        // Nothing stops or starts on a node that is not ready.
        let lives = |pod: &PodBody| !pod.node.as_ref().is_some_and(|it| self.away.contains(it));
        let unready = |pod: &PodBody| !pod.ready && lives(pod);
        if let Some(number) = body.pods.iter().position(unready)
            && dice.once_in(2)
        {
            return self.kubelet(place, number);
        }
        let body = &self.bodies[place];
        let new = body.pods.iter().filter(|pod| body.is_new(pod)).count();
        let old = |pod: &PodBody| !body.is_new(pod) && lives(pod);
        let old = body.pods.iter().position(old);
        let missing = body.pods.iter().filter(|pod| !pod.ready).count();
        let all_ready = missing == 0;
        let is_set = body.key.kind == WorkloadKind::DaemonSet;
        let may_stop = all_ready || (is_set && missing < body.unavailable);
        let surge = usize::from(body.key.kind == WorkloadKind::Deployment);
        let room = body.pods.len() < body.wanted + surge;
        if new < body.wanted && room && (all_ready || body.pods.len() < body.wanted) {
            return self.create(place);
        }
        match old {
            Some(number) if may_stop && body.pods.len() >= body.wanted + surge => {
                self.delete(place, number)
            }
            Some(_) | None => Vec::new(),
        }
    }

    /// Changes whether a node is ready. The pods on a node that is not are not ready either.
    pub(super) fn toggle(&mut self, number: usize) -> Vec<Changed> {
        let node = node(number);
        if self.away.remove(&node) {
            return Vec::new();
        }
        self.away.insert(node.clone());
        let mut changes = Vec::new();
        for place in 0..self.bodies.len() {
            let body = &mut self.bodies[place];
            let on_it = |pod: &PodBody| pod.node.as_ref() == Some(&node);
            let Some(number) = body.pods.iter().position(on_it) else {
                continue;
            };
            body.pods[number].stricken = true;
            if !std::mem::take(&mut body.pods[number].ready) {
                continue;
            }
            let seen = body.seen(&body.pods[number]);
            changes.extend([Changed::Pod(Box::new(seen)), self.touch(place)]);
        }
        changes
    }

    /// Returns true if nothing changes a workload's pods by itself.
    pub(super) fn is_still(&self, body: &Body) -> bool {
        let is_away = |pod: &PodBody| pod.node.as_ref().is_some_and(|it| self.away.contains(it));
        body.is_settled() || body.fate != Fate::Ready || body.pods.iter().any(is_away)
    }

    fn create(&mut self, place: usize) -> Vec<Changed> {
        let proxy = match self.injector {
            Injector::Gives(version) => Some(version),
            Injector::Nothing => None,
        };
        let body = self.bodies[place].clone();
        let pod = self.pod(&body, proxy);
        let seen = body.seen(&pod);
        self.bodies[place].pods.push(pod);
        vec![Changed::Pod(Box::new(seen)), self.touch(place)]
    }

    fn delete(&mut self, place: usize, number: usize) -> Vec<Changed> {
        let pod = self.bodies[place].pods.remove(number);
        let mut seen = self.bodies[place].seen(&pod);
        seen.over = true;
        let going = Changed::Pod(Box::new(seen.clone()));
        vec![going, Changed::PodGone(Box::new(seen)), self.touch(place)]
    }

    fn kubelet(&mut self, place: usize, number: usize) -> Vec<Changed> {
        let body = &mut self.bodies[place];
        match body.fate {
            Fate::Ready => {
                body.pods[number].ready = true;
                body.pods[number].stricken = false;
            }
            Fate::Crash => body.pods[number].restarts += 1,
            Fate::Unschedulable => {}
        }
        let seen = body.seen(&body.pods[number]);
        vec![Changed::Pod(Box::new(seen)), self.touch(place)]
    }

    /// Makes a pod unready for a while.
    pub(super) fn falter(&mut self, place: usize, dice: &mut Dice) -> Vec<Changed> {
        let body = &mut self.bodies[place];
        if body.pods.is_empty() {
            return Vec::new();
        }
        let number = dice.roll(body.pods.len());
        body.pods[number].ready = false;
        let seen = body.seen(&body.pods[number]);
        vec![Changed::Pod(Box::new(seen)), self.touch(place)]
    }

    /// Evicts the pod with this uid, if it is still there.
    pub(super) fn evict(&mut self, place: usize, uid: &str) -> Option<Vec<Changed>> {
        let mut pods = self.bodies[place].pods.iter();
        let number = pods.position(|pod| format!("uid-{}", pod.name) == uid)?;
        Some(self.delete(place, number))
    }

    /// Stops a pod, as a drain of its node does.
    pub(super) fn drain(&mut self, place: usize, dice: &mut Dice) -> Vec<Changed> {
        let body = &self.bodies[place];
        match body.pods.len() {
            0 => Vec::new(),
            // What is on a node that is not ready does not stop.
            _ if !self.away.is_empty() && body.key.kind == WorkloadKind::DaemonSet => Vec::new(),
            pods => self.delete(place, dice.roll(pods)),
        }
    }

    /// Changes what the injector does.
    pub(super) fn meddle(&mut self, dice: &mut Dice) {
        let choices = [
            Injector::Nothing,
            Injector::Gives(OTHER),
            Injector::Gives(TARGET),
        ];
        self.injector = *dice.pick(&choices);
    }
}

impl Body {
    pub(super) fn is_new(&self, pod: &PodBody) -> bool {
        pod.template == (self.restarted_at.clone(), self.image)
    }

    /// Returns true if no rollout is in progress.
    pub(super) fn is_settled(&self) -> bool {
        self.observed == self.generation
            && self.pods.len() == self.wanted
            && self.pods.iter().all(|pod| pod.ready && self.is_new(pod))
    }

    /// Returns true if no rollout is in progress but for pods whose node was lost.
    pub(super) fn may_be_restarted(&self) -> bool {
        let is_done = |pod: &PodBody| pod.stricken || (pod.ready && self.is_new(pod));
        self.observed == self.generation
            && self.pods.len() == self.wanted
            && self.pods.iter().all(is_done)
    }

    /// Returns true if the node of a pod was lost.
    pub(super) fn is_stricken(&self) -> bool {
        self.pods.iter().any(|pod| pod.stricken)
    }

    pub(super) fn is_current(&self) -> bool {
        let mut pods = self.pods.iter();
        !self.pods.is_empty() && pods.all(|pod| pod.proxy == Some(TARGET))
    }

    // A DaemonSet has one pod on each node.
    fn free_node(&self) -> Option<String> {
        if self.key.kind != WorkloadKind::DaemonSet {
            return None;
        }
        let mut all = (1..=self.wanted).map(node);
        all.find(|node| !self.pods.iter().any(|pod| pod.node.as_ref() == Some(node)))
    }

    fn meta(&self) -> Meta {
        Meta {
            name: self.key.name.clone(),
            namespace: self.key.namespace.clone(),
            uid: self.uid.clone(),
            resource_version: self.version.to_string(),
            generation: self.generation,
            labels: self
                .ring
                .map(|ring| (RING.to_owned(), ring.to_owned()))
                .into_iter()
                .collect(),
            ..Meta::default()
        }
    }

    pub(super) fn selector(&self) -> Selector {
        let labels = [("app".to_owned(), self.key.name.clone())];
        Selector {
            match_labels: labels.into(),
            match_expressions: Vec::new(),
        }
    }

    fn template(&self) -> Template {
        let mut template = Template::default();
        template.meta.labels = self.selector().match_labels;
        if self.budget && !self.by_admission {
            template.meta.labels.extend([budget_label()]);
        }
        if let Some(at) = &self.restarted_at {
            let annotations = &mut template.meta.annotations;
            annotations.insert(RESTARTED_AT.to_owned(), at.clone());
        }
        template
    }

    pub(super) fn observed(&self) -> Observed {
        if self.key.kind == WorkloadKind::StatefulSet {
            Observed::of(&self.stateful_set())
        } else if self.key.kind == WorkloadKind::DaemonSet {
            Observed::of(&self.daemon_set())
        } else {
            Observed::of(&self.deployment())
        }
    }

    // Counts the pods as a status does: updated, ready, all, wanted.
    fn counts(&self) -> [i32; 4] {
        let behind = self.observed < self.generation;
        // A status counts the pods for the generation that it was written for.
        let is_new = |pod: &&PodBody| behind || self.is_new(pod);
        let updated = self.pods.iter().filter(is_new).count();
        let ready = self.pods.iter().filter(|pod| pod.ready).count();
        let counts = [updated, ready, self.pods.len(), self.wanted];
        counts.map(|count| i32::try_from(count).unwrap_or(0))
    }

    fn stateful_set(&self) -> StatefulSet {
        let [updated, ready, all, wanted] = self.counts();
        let newest = hash(&(self.restarted_at.clone(), self.image));
        let revision = |new: bool| {
            if new {
                newest.clone()
            } else {
                "old".to_owned()
            }
        };
        let mut set = StatefulSet {
            meta: self.meta(),
            ..StatefulSet::default()
        };
        set.spec.replicas = Some(wanted);
        set.spec.selector = self.selector();
        set.spec.template = self.template();
        if self.on_delete {
            set.spec.update_strategy.kind = "OnDelete".to_owned();
        }
        set.status = StatefulSetStatus {
            observed_generation: self.observed,
            replicas: all,
            updated_replicas: updated,
            ready_replicas: ready,
            available_replicas: ready,
            current_revision: revision(self.on_delete || updated == wanted && ready == wanted),
            update_revision: revision(true),
        };
        set
    }

    fn daemon_set(&self) -> DaemonSet {
        let [updated, ready, _, wanted] = self.counts();
        let mut set = DaemonSet {
            meta: self.meta(),
            ..DaemonSet::default()
        };
        set.spec.selector = self.selector();
        set.spec.template = self.template();
        let unavailable = i32::try_from(self.unavailable).unwrap_or(1);
        let rolling_update = &mut set.spec.update_strategy.rolling_update;
        rolling_update.max_unavailable = Some(IntOrPercent::Int(unavailable));
        set.status = DaemonSetStatus {
            observed_generation: self.observed,
            desired_number_scheduled: wanted,
            updated_number_scheduled: updated,
            number_ready: ready,
            number_available: ready,
        };
        set
    }

    fn deployment(&self) -> Deployment {
        let [updated, ready, all, wanted] = self.counts();
        let mut deployment = Deployment {
            meta: self.meta(),
            ..Deployment::default()
        };
        deployment.spec.replicas = Some(wanted);
        deployment.spec.selector = self.selector();
        deployment.spec.template = self.template();
        let done = updated == wanted && all == wanted && ready == wanted;
        let reason = if done {
            "NewReplicaSetAvailable"
        } else {
            "ReplicaSetUpdated"
        };
        deployment.status = DeploymentStatus {
            observed_generation: self.observed,
            replicas: all,
            updated_replicas: updated,
            ready_replicas: ready,
            available_replicas: ready,
            conditions: vec![condition("Progressing", true, reason)],
        };
        deployment
    }

    pub(super) fn seen(&self, pod: &PodBody) -> PodSeen {
        let mut object = Pod {
            meta: Meta {
                name: pod.name.clone(),
                namespace: self.key.namespace.clone(),
                uid: format!("uid-{}", pod.name),
                labels: self.template().meta.labels,
                owner_references: vec![self.owner(pod)],
                ..Meta::default()
            },
            spec: PodSpec {
                node_name: pod.node.clone(),
                ..PodSpec::default()
            },
            status: PodStatus::default(),
        };
        if self.budget {
            object.meta.labels.extend([budget_label()]);
        }
        let hash = ("pod-template-hash".to_owned(), hash(&pod.template));
        object.meta.labels.extend([hash]);
        let number = pod.name.rsplit('-').next().and_then(|it| it.parse().ok());
        object.meta.creation_timestamp = number.and_then(|it| Timestamp::from_second(it).ok());
        if let Some(at) = &pod.template.0 {
            let annotations = &mut object.meta.annotations;
            annotations.insert(RESTARTED_AT.to_owned(), at.clone());
        }
        self.status(pod, &mut object);
        PodSeen::of(&object)
    }

    fn status(&self, pod: &PodBody, object: &mut Pod) {
        let status = &mut object.status;
        status.conditions.push(condition("Ready", pod.ready, ""));
        if self.fate == Fate::Unschedulable && !pod.ready {
            let unschedulable = condition("PodScheduled", false, "Unschedulable");
            status.conditions.push(unschedulable);
        }
        let waiting = (pod.restarts > 0).then(|| Waiting {
            reason: "CrashLoopBackOff".to_owned(),
            message: String::new(),
        });
        status.container_statuses.push(ContainerStatus {
            name: "linkerd-proxy".to_owned(),
            ready: pod.ready,
            restart_count: pod.restarts,
            state: ContainerState {
                waiting,
                ..ContainerState::default()
            },
        });
        if let Some(version) = pod.proxy {
            object.spec.containers.push(Container {
                name: "linkerd-proxy".to_owned(),
                image: format!("m/proxy:{version}"),
                ..Container::default()
            });
        }
    }

    fn owner(&self, pod: &PodBody) -> OwnerReference {
        let (kind, name) = if self.key.kind == WorkloadKind::Deployment {
            let hash = hash(&pod.template);
            ("ReplicaSet", format!("{}-{hash}", self.key.name))
        } else {
            (self.key.kind.as_str(), self.key.name.clone())
        };
        OwnerReference {
            api_version: "apps/v1".to_owned(),
            kind: kind.to_owned(),
            name,
            uid: self.uid.clone(),
            controller: true,
        }
    }
}

/// Returns the name of a node, counted from one.
fn node(number: usize) -> String {
    format!("n{number}")
}

/// The label of the pods that a budget counts.
pub(super) fn budget_label() -> (String, String) {
    ("budget".to_owned(), "yes".to_owned())
}

fn hash((restarted_at, image): &(Option<String>, u32)) -> String {
    let restarted_at = restarted_at.as_deref().unwrap_or_default();
    let digits: String = restarted_at.chars().filter(char::is_ascii_digit).collect();
    format!("h{image}x{digits}")
}

fn condition(kind: &str, holds: bool, reason: &str) -> Condition {
    Condition {
        kind: kind.to_owned(),
        status: if holds { "True" } else { "False" }.to_owned(),
        reason: reason.to_owned(),
        ..Condition::default()
    }
}
