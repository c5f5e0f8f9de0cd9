//! Decides from the watches how far each component is and whether the upgrade is finished. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use mesh_cluster::object::{Deployment, EndpointSlice, Event, Meta, Pod, ReplicaSet};
use mesh_cluster::workload::owner::{is_newest_set, owner_of};
use mesh_cluster::workload::proxy;
use mesh_cluster::workload::rollout::{self, Observed, Passes, PodSeen, Problem, with_pods};
use mesh_cluster::{Change, Store, label};
use mesh_records::ProgressPods;
use mesh_versions::same_release;

use crate::expected::{Expected, Images};

/// The watched objects of a control plane that is being upgraded.
#[derive(Debug, Default)]
pub(crate) struct Board {
    expected: Vec<Expected>,
    services: BTreeSet<String>,
    deployments: Store<Deployment>,
    replica_sets: Store<ReplicaSet>,
    pods: Store<Pod>,
    slices: Store<EndpointSlice>,
    /// What is said of pods and ReplicaSets; none without the right to watch events.
    events: Store<Event>,
}

/// An event of a watch.
#[derive(Debug)]
pub(crate) enum Sight {
    Deployment(Box<Change<Deployment>>),
    ReplicaSet(Change<ReplicaSet>),
    Pod(Change<Pod>),
    Slice(Change<EndpointSlice>),
    Event(Change<Event>),
    /// This user may not watch events.
    NoEvents,
}

/// The state of one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) pods: ProgressPods,
    pub(crate) state: State,
}

/// How far a component is: the state of its rollout, and whether it is the rollout of this upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// All pods run the rendered template and are ready.
    Settled,
    /// The component is rolling out; the field is what it waits for.
    Moving(String),
    /// Something is wrong that may resolve itself.
    HeldUp(Problem),
    /// Something is wrong that waiting does not fix.
    Failed(Problem),
}

impl Board {
    /// Makes a board that has seen nothing yet. `services` are the Services behind the webhooks.
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
            Sight::Event(change) => self.events.apply(change),
            Sight::NoEvents => {}
        }
    }

    /// Returns the state of each component, or `None` until every kind has been listed once.
    pub(crate) fn components(&self, now: Timestamp) -> Option<Vec<Component>> {
        let owners = self.deployments.is_known() && self.replica_sets.is_known();
        let known = owners && self.pods.is_known() && self.slices.is_known();
        let components = self.expected.iter();
        known.then(|| components.map(|it| self.component(it, now)).collect())
    }

    /// Returns the webhooks' Services without a ready endpoint.
    pub(crate) fn silent_services(&self) -> Vec<&str> {
        let ready = |service: &str| {
            let mut slices = self.slices.iter();
            slices.any(|slice| slice.is_of(service) && slice.ready() > 0)
        };
        let services = self.services.iter().map(String::as_str);
        services.filter(|service| !ready(service)).collect()
    }

    fn component(&self, expected: &Expected, now: Timestamp) -> Component {
        let name = expected.name.clone();
        let mut deployments = self.deployments.iter();
        let Some(deployment) = deployments.find(|it| it.meta.name == name) else {
            let state = State::Moving("the Deployment does not exist".to_owned());
            return Component {
                name,
                pods: ProgressPods::default(),
                state,
            };
        };
        let observed = Observed::of(deployment);
        let pods = self.pods.iter();
        let pods = pods.filter(|pod| owner_of(&pod.meta).as_ref() == Some(&observed.key));
        let up = pods.clone().filter(|pod| is_up(pod, expected)).count();
        let pods = ProgressPods {
            ready: u32::try_from(up).unwrap_or(u32::MAX),
            wanted: observed.pods.wanted.max(expected.replicas),
            ..observed.pods
        };
        let lack = || scaled_down(observed.pods.wanted, expected);
        let state = other_rollout(deployment, expected).or_else(lack);
        let state = state.map(State::Moving);
        let state = state.unwrap_or_else(|| self.rollout(deployment, &observed, pods, now));
        Component { name, pods, state }
    }

    // Returns how far the rollout of the rendered template is.
    fn rollout(
        &self,
        deployment: &Deployment,
        observed: &Observed,
        counts: ProgressPods,
        now: Timestamp,
    ) -> State {
        let newest: Vec<PodSeen> = self.newest_pods(deployment).map(PodSeen::of).collect();
        let moving = |wait: &str| {
            let lack = newest.iter().find_map(|pod| Some((pod, pod.lack()?)));
            let (of, waits) = match lack {
                Some((pod, lack)) => (Some(pod.uid.as_str()), lack.to_string()),
                None => (self.newest_set(deployment), format!("waits for {wait}")),
            };
            // Where Kubernetes puts a reason into the status of an object, its event says it again.
            let event = of.and_then(|uid| self.last_event(uid));
            State::Moving(event.map_or_else(|| waits.clone(), |event| format!("{waits}: {event}")))
        };
        match with_pods(observed.standing.clone(), newest.iter(), now) {
            rollout::State::Settled if counts.ready >= counts.wanted => State::Settled,
            rollout::State::Settled => moving("its pods"),
            rollout::State::Progressing(wait) => moving(wait.as_str()),
            rollout::State::Superseded => moving("the newest rollout"),
            rollout::State::HeldUp(problem) => State::HeldUp(problem),
            rollout::State::Failed(problem) => State::Failed(problem),
        }
    }

    fn newest_set(&self, deployment: &Deployment) -> Option<&str> {
        let mut sets = self.replica_sets.iter();
        let newest = sets.find(|set| is_newest_set(&set.meta, &deployment.meta));
        newest.map(|set| set.meta.uid.as_str())
    }

    // Returns what was said last of an object, on one line.
    fn last_event(&self, uid: &str) -> Option<String> {
        let events = self.events.iter();
        let of = events.filter(|event| event.involved_object.uid == uid);
        let last = of.max_by_key(|event| event.seen())?;
        let words: Vec<&str> = last.message.split_whitespace().collect();
        Some(format!("{}: {}", last.reason, words.join(" ")))
    }

    // Returns the pods of the newest template, once the watches agree which that is. Pods of a
    // replaced template may have the same images and are being deleted.
    fn newest_pods(&self, deployment: &Deployment) -> impl Iterator<Item = &Pod> {
        let newest = self.newest_set(deployment);
        let pods = self.pods.iter();
        pods.filter(move |pod| newest.is_some_and(|set| is_owned(&pod.meta, set)))
    }
}

// === impl Component ===

impl Component {
    /// Returns what the component waits for, or what is wrong.
    pub(crate) fn reason(&self) -> Option<String> {
        match &self.state {
            State::Settled => None,
            State::Moving(reason) => Some(reason.clone()),
            State::HeldUp(problem) | State::Failed(problem) => Some(problem.to_string()),
        }
    }

    /// Returns when the component's problem becomes a failure, if nothing changes before.
    pub(crate) fn fails_at(&self) -> Option<Timestamp> {
        match &self.state {
            State::HeldUp(Problem {
                passes: Passes::Until(at),
                ..
            }) => Some(*at),
            State::HeldUp(_) | State::Settled | State::Moving(_) | State::Failed(_) => None,
        }
    }
}

// Why the Deployment is not the one of this upgrade yet.
fn other_rollout(deployment: &Deployment, expected: &Expected) -> Option<String> {
    if !expected.runs(&deployment.spec.template.spec) {
        return Some("its pod template does not have the images of the target yet".to_owned());
    }
    let version = deployment.meta.labels.get(label::APP_VERSION);
    match (&expected.images, version) {
        // A release that was not rendered here may have no such label.
        (Images::Of(release), None) => (!names(deployment, release)).then(|| {
            "nobody can tell its release: no tag of its images, no label app.kubernetes.io/version \
             and no annotation linkerd.io/created-by names it"
                .to_owned()
        }),
        _ => (expected.version.as_ref() != version)
            .then(|| "its label app.kubernetes.io/version has another version".to_owned()),
    }
}

// Whether an image or the annotation of the chart names the release.
fn names(deployment: &Deployment, release: &str) -> bool {
    let spec = &deployment.spec.template.spec;
    let images = spec.init_containers.iter().chain(&spec.containers);
    let mut tags = images.filter_map(|it| proxy::image_tag(&it.image));
    let by = deployment.meta.annotations.get(label::CREATED_BY);
    let by = by.and_then(|by| by.split_once(' '));
    tags.any(|tag| proxy::linkerd_version(tag).is_some_and(|it| same_release(it, release)))
        || by.is_some_and(|(_, by)| by == release)
}

// Why the Deployment cannot have the pods that were agreed to. Its own number of pods proves nothing:
// with 0 all of them are ready.
fn scaled_down(wanted: u32, expected: &Expected) -> Option<String> {
    let agreed = expected.replicas;
    (wanted < agreed).then(|| format!("it is scaled to {wanted} pods, but {agreed} were agreed to"))
}

fn is_up(pod: &Pod, expected: &Expected) -> bool {
    let proxied = !expected.has_proxy() || proxy::is_ready(pod);
    !pod.is_over() && expected.runs(&pod.spec) && pod.is_ready() && proxied
}

fn is_owned(pod: &Meta, set: &str) -> bool {
    pod.controller().is_some_and(|owner| owner.uid == set)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NEW: &str = "m/proxy:stable-2.14.10";

    fn now() -> Timestamp {
        "2026-01-02T03:04:35Z".parse().unwrap()
    }

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
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "Deployment", "uid": "d", "controller": true }],
            },
        })
    }

    fn pod() -> Value {
        json!({
            "metadata": {
                "name": "p", "uid": "p", "labels": { "pod-template-hash": "h" },
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "linkerd-identity-h", "uid": "second", "controller": true }],
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
            replicas: 1,
            images: Images::Exactly([("linkerd-proxy".to_owned(), NEW.to_owned())].into()),
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
            .components(now())
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
            // In a JSON pointer the slash of the label's key is written `~1`.
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
    fn a_component_with_fewer_pods_than_were_agreed_to_is_not_settled() {
        let none = with(deployment(), "/spec/replicas", json!(0));
        let status = json!({ "observedGeneration": 2 });
        let none = with(none, "/status", status);
        let component = board(&[none], &[]).components(now()).unwrap().remove(0);
        assert_eq!((component.pods.ready, component.pods.wanted), (0, 1));
        let said = "it is scaled to 0 pods, but 1 were agreed to";
        assert_eq!(component.reason().as_deref(), Some(said));
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
    fn what_can_pass_holds_a_component_up_and_what_cannot_fails_it_with_its_reason() {
        let waiting = |reason: &str, restarts: i32| {
            let status = json!([{
                "name": "linkerd-proxy", "ready": false, "restartCount": restarts,
                "state": { "waiting": { "reason": reason, "message": "said" } },
            }]);
            let pod = with(pod(), "/status/containerStatuses", status);
            let pod = with(pod, "/status/conditions", json!([]));
            with(
                pod,
                "/metadata/creationTimestamp",
                json!("2026-01-02T03:04:05Z"),
            )
        };
        let going = with(deployment(), "/status/availableReplicas", json!(0));
        let condition = |kind: &str, status: &str, reason: &str| {
            let condition =
                json!([{ "type": kind, "status": status, "reason": reason, "message": "m" }]);
            with(going.clone(), "/status/conditions", condition)
        };
        let young = with(
            waiting("CrashLoopBackOff", 3),
            "/metadata/creationTimestamp",
            json!("2026-01-02T03:04:06Z"),
        );
        let paused = with(going.clone(), "/spec/paused", json!(true));
        let late = condition("Progressing", "False", "ProgressDeadlineExceeded");
        let full = condition("ReplicaFailure", "True", "FailedCreate");
        // Deployment, pod, message, whether it is a failure
        let table = [
            (
                &going,
                waiting("ImagePullBackOff", 0),
                "ImagePullBackOff",
                false,
            ),
            (
                &going,
                waiting("CreateContainerConfigError", 0),
                "CreateContainerConfigError",
                false,
            ),
            (
                &going,
                waiting("CrashLoopBackOff", 1),
                "CrashLoopBackOff",
                false,
            ),
            (&going, young, "CrashLoopBackOff", false),
            (&late, pod(), "ProgressDeadlineExceeded", false),
            (&full, pod(), "FailedCreate", false),
            (&paused, pod(), "paused", false),
            (
                &going,
                waiting("CrashLoopBackOff", 3),
                "CrashLoopBackOff",
                true,
            ),
            (
                &going,
                waiting("InvalidImageName", 0),
                "InvalidImageName",
                true,
            ),
        ];
        for (deployment, pod, reason, is_failure) in table {
            let (said, failed) = match answer(deployment.clone(), &[pod]) {
                State::HeldUp(problem) => (problem.to_string(), false),
                State::Failed(problem) => (problem.to_string(), true),
                other @ (State::Settled | State::Moving(_)) => panic!("{reason}: {other:?}"),
            };
            assert!(said.contains(reason), "{said}");
            assert_eq!(failed, is_failure, "{said}");
        }
        let moving = answer(going, &[waiting("ContainerCreating", 0)]);
        let said = "pod p: container linkerd-proxy: not ready".to_owned();
        assert_eq!(moving, State::Moving(said));
    }

    #[test]
    fn an_event_says_why_a_pod_is_not_ready_where_its_status_does_not() {
        let going = with(deployment(), "/status/availableReplicas", json!(0));
        let unready = with(pod(), "/status/conditions", json!([]));
        let starting = json!([{ "name": "linkerd-proxy", "ready": false }]);
        let unready = with(unready, "/status/containerStatuses", starting);
        let event = |name: &str, of: &str, at: &str, message: &str| {
            json!({
                "metadata": { "name": name }, "involvedObject": { "uid": of },
                "reason": "FailedMount", "message": message, "lastTimestamp": at,
            })
        };
        let said = |pod: Value, events: &[Value]| {
            let mut board = board(std::slice::from_ref(&going), &[pod]);
            list(events)
                .into_iter()
                .for_each(|change| board.see(Sight::Event(change)));
            board.components(now()).unwrap()[0].reason().unwrap()
        };
        let waits = "pod p: container linkerd-proxy: not ready";
        let (early, late) = ("2026-01-02T03:04:05Z", "2026-01-02T03:04:15Z");
        let events = [
            event("a", "p", early, "first"),
            event("b", "p", late, "no such\nSecret"),
            event("c", "other", late, "of another pod"),
        ];
        let expected = format!("{waits}: FailedMount: no such Secret");
        assert_eq!(said(unready.clone(), &events), expected);
        assert_eq!(said(unready.clone(), &events[2..]), waits);
        // The pod's own status says more.
        let pull = json!([{ "name": "linkerd-proxy", "state": { "waiting": { "reason": "ErrImagePull" } } }]);
        let pull = with(unready, "/status/containerStatuses", pull);
        let own = said(pull, &events);
        assert!(!own.contains("FailedMount"), "{own}");
    }

    #[test]
    fn failures_of_an_old_pod_or_an_older_generation_do_not_count() {
        let old = with(
            pod(),
            "/spec/containers",
            json!([{ "name": "linkerd-proxy", "image": "old" }]),
        );
        let old = with(old, "/metadata/name", json!("old"));
        let old = with(old, "/status/conditions", json!([]));
        let crash = json!([{ "name": "linkerd-proxy", "restartCount": 9, "state": { "waiting": { "reason": "CrashLoopBackOff" } } }]);
        let old = with(old, "/status/containerStatuses", crash);
        assert_eq!(answer(deployment(), &[old, pod()]), State::Settled);
        let stale = json!([{ "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded" }]);
        let stale = with(deployment(), "/status/conditions", stale);
        let stale = with(stale, "/metadata/generation", json!(3));
        assert!(matches!(answer(stale, &[pod()]), State::Moving(_)));
    }

    #[test]
    fn a_failed_pod_of_an_abandoned_template_does_not_fail_the_next_one() {
        let crash = json!([{ "name": "linkerd-proxy", "state": { "waiting": { "reason": "ImagePullBackOff" } } }]);
        let crash = with(pod(), "/status/containerStatuses", crash);
        let crash = with(crash, "/status/conditions", json!([]));
        let of = |set: &str| {
            let owner = json!([{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "linkerd-identity-h", "uid": set, "controller": true }]);
            with(crash.clone(), "/metadata/ownerReferences", owner)
        };
        let going = with(deployment(), "/status/updatedReplicas", json!(0));
        let state = |pod: Value| answer(going.clone(), &[pod]);
        assert!(matches!(state(of("second")), State::HeldUp(_)));
        assert!(matches!(state(of("first")), State::Moving(_)));
        // The ReplicaSet of revision 3 has not been seen yet.
        let ahead = json!({ "deployment.kubernetes.io/revision": "3" });
        let ahead = with(going.clone(), "/metadata/annotations", ahead);
        assert!(matches!(answer(ahead, &[of("second")]), State::Moving(_)));
    }

    #[test]
    fn components_is_none_until_every_kind_was_listed_once() {
        let mut board = Board::new(vec![Expected::default()], BTreeSet::new());
        assert_eq!(board.components(now()), None);
        list(&[deployment()])
            .into_iter()
            .for_each(|c| board.see(Sight::Deployment(Box::new(c))));
        list(&[pod()])
            .into_iter()
            .for_each(|c| board.see(Sight::Pod(c)));
        assert_eq!(board.components(now()), None);
    }

    #[test]
    fn an_incomplete_list_replaces_nothing() {
        let mut board = board(&[deployment()], &[pod()]);
        board.see(Sight::Deployment(Box::new(Change::Began)));
        assert_eq!(board.components(now()).unwrap()[0].state, State::Settled);
        board.see(Sight::Deployment(Box::new(Change::Listed {
            resource_version: "2".into(),
        })));
        assert!(matches!(
            board.components(now()).unwrap()[0].state,
            State::Moving(_)
        ));
    }

    #[test]
    fn silent_services_are_webhook_services_without_a_ready_endpoint() {
        let mut board = board(&[deployment()], &[pod()]);
        assert_eq!(board.silent_services(), ["injector"]);
        let slice = |ready: bool| {
            let slice = json!({
                "metadata": { "name": "s", "uid": "s", "labels": { label::SERVICE: "injector" } },
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
