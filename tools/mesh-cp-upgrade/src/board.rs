//! How the components stand, and whether the upgrade is over: pure, from what the watches saw.

use std::collections::BTreeSet;

use mesh_cluster::object::{Condition, Deployment, EndpointSlice, Meta, Pod, ReplicaSet};
use mesh_cluster::workload::proxy;
use mesh_cluster::{Change, label};
use mesh_records::ProgressPods;

use crate::followed::Followed;
use crate::render::Expected;

/// What the watches saw of a control plane that is being upgraded.
#[derive(Debug, Default)]
pub(crate) struct Board {
    expected: Vec<Expected>,
    services: BTreeSet<String>,
    deployments: Followed<Deployment>,
    replica_sets: Followed<ReplicaSet>,
    pods: Followed<Pod>,
    slices: Followed<EndpointSlice>,
}

/// A change that a watch saw.
#[derive(Debug)]
pub(crate) enum Sight {
    Deployment(Box<Change<Deployment>>),
    ReplicaSet(Change<ReplicaSet>),
    Pod(Change<Pod>),
    Slice(Change<EndpointSlice>),
}

/// How one component stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) pods: ProgressPods,
    pub(crate) state: State,
}

/// Whether a component is where it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// All of it runs what was rendered, ready.
    Settled,
    /// On its way; what it waits for.
    Moving(String),
    /// It will not get there.
    Failed(String),
}

/// Waiting reasons that do not go away by themselves soon enough to wait for.
const HOPELESS: [&str; 6] = [
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];
/// A component may crash once or twice until the others are there.
const CRASHES: i32 = 3;
const SERVICE: &str = "kubernetes.io/service-name";

impl Board {
    /// Nothing seen yet of these components, and of the Services behind the webhooks.
    pub(crate) fn new(expected: Vec<Expected>, services: BTreeSet<String>) -> Self {
        Self {
            expected,
            services,
            ..Self::default()
        }
    }

    pub(crate) fn see(&mut self, sight: Sight) {
        match sight {
            Sight::Deployment(change) => self.deployments.apply(*change),
            Sight::ReplicaSet(change) => self.replica_sets.apply(change),
            Sight::Pod(change) => self.pods.apply(change),
            Sight::Slice(change) => self.slices.apply(change),
        }
    }

    /// Each component; none before everything was listed once.
    pub(crate) fn components(&self) -> Option<Vec<Component>> {
        let owners = self.deployments.is_known() && self.replica_sets.is_known();
        let known = owners && self.pods.is_known() && self.slices.is_known();
        known.then(|| {
            self.expected
                .iter()
                .map(|expected| self.component(expected))
                .collect()
        })
    }

    /// The Services behind webhooks that have no ready endpoint.
    pub(crate) fn silent_services(&self) -> Vec<&str> {
        let ready = |service: &&String| {
            let mut slices = self.slices.iter();
            slices.any(|slice| {
                slice.meta.labels.get(SERVICE) == Some(*service)
                    && slice
                        .endpoints
                        .iter()
                        .any(|one| one.conditions.ready != Some(false))
            })
        };
        self.services
            .iter()
            .filter(|service| !ready(service))
            .map(String::as_str)
            .collect()
    }

    fn component(&self, expected: &Expected) -> Component {
        let name = expected.name.clone();
        let Some(deployment) = self.deployments.named(&name) else {
            let state = State::Moving("it does not exist".to_owned());
            return Component {
                name,
                pods: ProgressPods::default(),
                state,
            };
        };
        let pods: Vec<&Pod> = self
            .pods
            .iter()
            .filter(|pod| !pod.is_over() && is_of(&pod.meta, deployment))
            .filter(|pod| expected.runs(&pod.spec))
            .collect();
        let ready = pods.iter().filter(|pod| is_up(pod, expected)).count();
        let status = &deployment.status;
        let count = |number: i32| u32::try_from(number).unwrap_or(0);
        let wanted = count(deployment.spec.replicas.unwrap_or(1));
        let ready = u32::try_from(ready).unwrap_or(u32::MAX);
        let newest = self.newest(deployment);
        let state = state(deployment, newest, expected, &pods, wanted, ready);
        let updated = count(status.updated_replicas);
        let pods = ProgressPods {
            wanted,
            updated,
            ready,
        };
        Component { name, pods, state }
    }

    /// What has the pods of a Deployment's template, once the watches agree on that.
    fn newest(&self, deployment: &Deployment) -> Option<&Meta> {
        let revision = |meta: &Meta| meta.annotations.get(label::REVISION).cloned();
        let number = revision(&deployment.meta)?;
        let mut sets = self.replica_sets.iter().map(|set| &set.meta);
        sets.find(|set| {
            let owner = set.controller();
            owner.is_some_and(|owner| owner.uid == deployment.meta.uid)
                && revision(set).as_ref() == Some(&number)
        })
    }
}

fn state(
    deployment: &Deployment,
    newest: Option<&Meta>,
    expected: &Expected,
    pods: &[&Pod],
    wanted: u32,
    ready: u32,
) -> State {
    let Deployment { meta, spec, status } = deployment;
    let moving = |text: &str| State::Moving(text.to_owned());
    if !expected.runs(&spec.template.spec) {
        return moving("its template is not the rendered one");
    }
    if expected.version.as_ref() != meta.labels.get(label::APP_VERSION) {
        return moving("its label says another version");
    }
    if status.observed_generation < meta.generation {
        return moving("its controller has not seen the change");
    }
    if spec.paused {
        return State::Failed("it is paused".to_owned());
    }
    // Pods of a template that was given up may have the same images, and are on their way out.
    let mut current = pods
        .iter()
        .filter(|pod| newest.is_some_and(|set| is_owned(&pod.meta, set)));
    if let Some(reason) = current.find_map(|pod| hopeless(pod)) {
        return State::Failed(reason);
    }
    let counts = [
        status.updated_replicas,
        status.replicas,
        status.available_replicas,
    ];
    let all = i32::try_from(wanted).unwrap_or(i32::MAX);
    if counts == [all; 3] && ready >= wanted {
        return State::Settled;
    }
    if let Some(reason) = status.conditions.iter().find_map(given_up) {
        return State::Failed(reason);
    }
    State::Moving(waiting(deployment, pods, wanted, ready))
}

// What a Deployment says of itself when it will not go on.
fn given_up(condition: &Condition) -> Option<String> {
    let Condition {
        kind,
        status,
        reason,
        message,
    } = condition;
    let over = matches!(
        (kind.as_str(), status.as_str(), reason.as_str()),
        ("Progressing", "False", "ProgressDeadlineExceeded") | ("ReplicaFailure", "True", _)
    );
    over.then(|| format!("{reason}: {message}"))
}

// Why a pod of the newest template will not get ready.
fn hopeless(pod: &Pod) -> Option<String> {
    if pod.status.phase == "Failed" {
        return Some(format!("pod {}: {}", pod.meta.name, pod.status.reason));
    }
    let statuses = pod
        .status
        .init_container_statuses
        .iter()
        .chain(&pod.status.container_statuses);
    statuses.into_iter().find_map(|container| {
        let waiting = container.state.waiting.as_ref()?;
        let crashes = waiting.reason == "CrashLoopBackOff" && container.restart_count >= CRASHES;
        let over = crashes || HOPELESS.contains(&waiting.reason.as_str());
        over.then(|| {
            let (name, pod) = (&container.name, &pod.meta.name);
            let said = if waiting.message.is_empty() {
                String::new()
            } else {
                format!(": {}", waiting.message)
            };
            format!("pod {pod}: container {name}: {}{said}", waiting.reason)
        })
    })
}

fn waiting(deployment: &Deployment, pods: &[&Pod], wanted: u32, ready: u32) -> String {
    let unscheduled = pods.iter().find_map(|pod| {
        let conditions = &pod.status.conditions;
        let no = conditions
            .iter()
            .find(|c| c.kind == "PodScheduled" && c.status == "False")?;
        Some(format!("pod {}: {}", pod.meta.name, no.message))
    });
    if let Some(text) = unscheduled {
        return text;
    }
    if let Some(pod) = pods.iter().find(|pod| !pod.is_ready()) {
        let statuses = pod.status.init_container_statuses.iter();
        let mut statuses = statuses.chain(&pod.status.container_statuses);
        let reason = statuses.find_map(|container| Some(&container.state.waiting.as_ref()?.reason));
        let reason = reason
            .map(|reason| format!(" ({reason})"))
            .unwrap_or_default();
        return format!("pod {} is not ready{reason}", pod.meta.name);
    }
    if ready < wanted {
        return "it waits for its pods".to_owned();
    }
    let old = deployment.status.replicas - deployment.status.updated_replicas;
    if old > 0 {
        return format!("{old} old pods are still there");
    }
    "its pods are not available long enough".to_owned()
}

fn is_up(pod: &Pod, expected: &Expected) -> bool {
    pod.is_ready() && (!expected.has_proxy() || proxy::is_ready(pod))
}

fn is_owned(pod: &Meta, set: &Meta) -> bool {
    pod.controller().is_some_and(|owner| owner.uid == set.uid)
}

fn is_of(pod: &Meta, deployment: &Deployment) -> bool {
    let wanted = &deployment.spec.selector.match_labels;
    !wanted.is_empty()
        && wanted
            .iter()
            .all(|(key, value)| pod.labels.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NEW: &str = "m/proxy:stable-2.14.10";

    fn deployment() -> Value {
        json!({
            "metadata": {
                "name": "linkerd-identity", "uid": "d", "generation": 2,
                "labels": { "app.kubernetes.io/version": "stable-2.14.10" },
                "annotations": { "deployment.kubernetes.io/revision": "2" },
            },
            "spec": {
                "replicas": 1,
                "selector": { "matchLabels": { "c": "identity" } },
                "template": { "spec": { "containers": [{ "name": "linkerd-proxy", "image": NEW }] } },
            },
            "status": {
                "observedGeneration": 2, "replicas": 1, "updatedReplicas": 1,
                "readyReplicas": 1, "availableReplicas": 1,
            },
        })
    }

    fn replica_set(uid: &str, revision: &str) -> Value {
        json!({
            "metadata": {
                "name": uid, "uid": uid,
                "annotations": { "deployment.kubernetes.io/revision": revision },
                "ownerReferences": [{ "kind": "Deployment", "uid": "d", "controller": true }],
            },
        })
    }

    fn pod() -> Value {
        json!({
            "metadata": {
                "name": "p", "uid": "p", "labels": { "c": "identity" },
                "ownerReferences": [{ "kind": "ReplicaSet", "uid": "second", "controller": true }],
            },
            "spec": { "containers": [{ "name": "linkerd-proxy", "image": NEW }] },
            "status": {
                "phase": "Running",
                "conditions": [{ "type": "Ready", "status": "True" }],
                "containerStatuses": [{ "name": "linkerd-proxy", "ready": true }],
            },
        })
    }

    fn list<K: mesh_cluster::object::Object>(objects: &[Value]) -> Vec<Change<K>> {
        let seen = objects
            .iter()
            .map(|o| Change::Seen(serde_json::from_value(o.clone()).unwrap()));
        let end = Change::Listed {
            resource_version: "1".into(),
        };
        std::iter::once(Change::Began)
            .chain(seen)
            .chain([end])
            .collect()
    }

    fn board(deployments: &[Value], pods: &[Value]) -> Board {
        let expected = Expected {
            name: "linkerd-identity".into(),
            version: Some("stable-2.14.10".into()),
            images: [("linkerd-proxy".to_owned(), NEW.to_owned())].into(),
        };
        let mut board = Board::new(vec![expected], BTreeSet::from(["injector".to_owned()]));
        list(deployments)
            .into_iter()
            .for_each(|change| board.see(Sight::Deployment(Box::new(change))));
        list(&[replica_set("first", "1"), replica_set("second", "2")])
            .into_iter()
            .for_each(|change| board.see(Sight::ReplicaSet(change)));
        list(pods)
            .into_iter()
            .for_each(|change| board.see(Sight::Pod(change)));
        list(&[])
            .into_iter()
            .for_each(|change| board.see(Sight::Slice(change)));
        board
    }

    fn answer(deployment: Value, pods: &[Value]) -> State {
        board(&[deployment], pods)
            .components()
            .unwrap()
            .remove(0)
            .state
    }

    fn with(mut value: Value, pointer: &str, new: Value) -> Value {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        value.pointer_mut(parent).unwrap()[key] = new;
        value
    }

    #[test]
    fn a_component_is_settled_only_when_every_sign_agrees() {
        assert_eq!(answer(deployment(), &[pod()]), State::Settled);
        let d = |pointer: &str, new: Value| (with(deployment(), pointer, new), pod());
        let p = |pointer: &str, new: Value| (deployment(), with(pod(), pointer, new));
        let table = [
            d("/metadata/generation", json!(3)),
            d(
                "/metadata/labels/app.kubernetes.io~1version",
                json!("stable-2.13.7"),
            ),
            d("/status/updatedReplicas", json!(0)),
            d("/status/replicas", json!(2)),
            d("/status/availableReplicas", json!(0)),
            d("/spec/replicas", json!(3)),
            (
                with(
                    deployment(),
                    "/spec/template/spec/containers",
                    json!([{ "name": "linkerd-proxy", "image": "old" }]),
                ),
                pod(),
            ),
            p("/status/conditions", json!([])),
            p(
                "/status/containerStatuses",
                json!([{ "name": "linkerd-proxy", "ready": false }]),
            ),
            p("/metadata/labels", json!({})),
            p(
                "/spec/containers",
                json!([{ "name": "linkerd-proxy", "image": "old" }]),
            ),
            p("/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z")),
        ];
        for (number, (deployment, pod)) in table.into_iter().enumerate() {
            // The label's key has a slash of its own.
            let deployment =
                match deployment["metadata"]["labels"].get("app.kubernetes.io~1version") {
                    Some(version) => with(
                        deployment.clone(),
                        "/metadata/labels",
                        json!({ "app.kubernetes.io/version": version }),
                    ),
                    None => deployment,
                };
            let state = answer(deployment, &[pod]);
            assert!(matches!(state, State::Moving(_)), "row {number}: {state:?}");
        }
    }

    #[test]
    fn a_native_sidecars_readiness_is_found_among_the_init_containers() {
        let ready = json!([{ "name": "linkerd-proxy", "ready": true }]);
        let native = with(pod(), "/status/containerStatuses", json!([]));
        let native = with(native, "/status/initContainerStatuses", ready);
        let native = with(
            native,
            "/spec/initContainers",
            json!([{ "name": "linkerd-proxy", "image": NEW }]),
        );
        let native = with(native, "/spec/containers", json!([]));
        assert_eq!(answer(deployment(), &[native]), State::Settled);
    }

    #[test]
    fn what_will_not_get_ready_fails_at_once_with_its_reason() {
        let waiting = |reason: &str, restarts: i32| {
            let status = json!([{
                "name": "linkerd-proxy", "ready": false, "restartCount": restarts,
                "state": { "waiting": { "reason": reason, "message": "said" } },
            }]);
            with(pod(), "/status/containerStatuses", status)
        };
        let condition = |kind: &str, status: &str, reason: &str| {
            let condition =
                json!([{ "type": kind, "status": status, "reason": reason, "message": "m" }]);
            with(
                with(deployment(), "/status/conditions", condition),
                "/status/availableReplicas",
                json!(0),
            )
        };
        let failed = [
            (
                deployment(),
                waiting("ImagePullBackOff", 0),
                "ImagePullBackOff",
            ),
            (
                deployment(),
                waiting("CreateContainerConfigError", 0),
                "CreateContainerConfigError",
            ),
            (
                deployment(),
                waiting("CrashLoopBackOff", 3),
                "CrashLoopBackOff",
            ),
            (
                condition("Progressing", "False", "ProgressDeadlineExceeded"),
                pod(),
                "ProgressDeadlineExceeded",
            ),
            (
                condition("ReplicaFailure", "True", "FailedCreate"),
                pod(),
                "FailedCreate",
            ),
            (
                with(deployment(), "/spec/paused", json!(true)),
                pod(),
                "paused",
            ),
        ];
        for (deployment, pod, reason) in failed {
            match answer(deployment, &[pod]) {
                State::Failed(text) => assert!(text.contains(reason), "{text}"),
                State::Settled | State::Moving(_) => panic!("{reason}"),
            }
        }
        let moving = [
            waiting("CrashLoopBackOff", 1),
            waiting("ErrImagePull", 0),
            waiting("ContainerCreating", 0),
        ];
        for pod in moving {
            let pod = with(pod, "/status/conditions", json!([]));
            assert!(matches!(answer(deployment(), &[pod]), State::Moving(_)));
        }
    }

    #[test]
    fn troubles_of_an_old_pod_or_of_an_older_generation_do_not_count() {
        let old = with(
            pod(),
            "/spec/containers",
            json!([{ "name": "linkerd-proxy", "image": "old" }]),
        );
        let old = with(old, "/metadata/uid", json!("old"));
        let crash = json!([{ "name": "linkerd-proxy", "restartCount": 9, "state": { "waiting": { "reason": "CrashLoopBackOff" } } }]);
        let old = with(old, "/status/containerStatuses", crash);
        assert_eq!(answer(deployment(), &[old, pod()]), State::Settled);
        let stale = json!([{ "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded" }]);
        let stale = with(deployment(), "/status/conditions", stale);
        let stale = with(stale, "/metadata/generation", json!(3));
        assert!(matches!(answer(stale, &[pod()]), State::Moving(_)));
    }

    #[test]
    fn a_pod_of_a_template_that_was_given_up_is_not_held_against_the_next_one() {
        let crash = json!([{ "name": "linkerd-proxy", "state": { "waiting": { "reason": "ImagePullBackOff" } } }]);
        let crash = with(pod(), "/status/containerStatuses", crash);
        let of = |set: &str| {
            let owner = json!([{ "kind": "ReplicaSet", "uid": set, "controller": true }]);
            with(crash.clone(), "/metadata/ownerReferences", owner)
        };
        let going = with(deployment(), "/status/updatedReplicas", json!(0));
        let state = |pod: Value| answer(going.clone(), &[pod]);
        assert!(matches!(state(of("second")), State::Failed(_)));
        assert!(matches!(state(of("first")), State::Moving(_)));
        // Its ReplicaSet has not been seen yet.
        let ahead = json!({ "deployment.kubernetes.io/revision": "3" });
        let ahead = with(going.clone(), "/metadata/annotations", ahead);
        assert!(matches!(answer(ahead, &[of("second")]), State::Moving(_)));
    }

    #[test]
    fn nothing_is_said_before_everything_was_listed_once() {
        let mut board = Board::new(vec![Expected::default()], BTreeSet::new());
        assert_eq!(board.components(), None);
        list(&[deployment()])
            .into_iter()
            .for_each(|c| board.see(Sight::Deployment(Box::new(c))));
        list(&[pod()])
            .into_iter()
            .for_each(|c| board.see(Sight::Pod(c)));
        assert_eq!(board.components(), None);
    }

    #[test]
    fn a_list_that_is_not_whole_replaces_nothing() {
        let mut board = board(&[deployment()], &[pod()]);
        board.see(Sight::Deployment(Box::new(Change::Began)));
        assert_eq!(board.components().unwrap()[0].state, State::Settled);
        board.see(Sight::Deployment(Box::new(Change::Listed {
            resource_version: "2".into(),
        })));
        assert!(matches!(
            board.components().unwrap()[0].state,
            State::Moving(_)
        ));
    }

    #[test]
    fn a_webhooks_service_without_a_ready_endpoint_is_silent() {
        let mut board = board(&[deployment()], &[pod()]);
        assert_eq!(board.silent_services(), ["injector"]);
        let slice = |ready: bool| {
            let slice = json!({
                "metadata": { "name": "s", "uid": "s", "labels": { SERVICE: "injector" } },
                "endpoints": [{ "conditions": { "ready": ready } }],
            });
            Sight::Slice(Change::Applied(serde_json::from_value(slice).unwrap()))
        };
        board.see(slice(false));
        assert_eq!(board.silent_services(), ["injector"]);
        board.see(slice(true));
        assert!(board.silent_services().is_empty());
    }
}
