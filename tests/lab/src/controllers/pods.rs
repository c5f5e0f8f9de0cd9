//! The controllers of kinds that own pods, the scheduler, and the EndpointSlices of Services.

use serde_json::{Value, json};

use super::wish::{Wish, create, delete, owned, set, status};
use crate::{
    kind::{Key, Kind},
    object::{
        condition, count, hash, is_active, is_going, is_over, is_ready, labelled, name, namespace,
        selects, share, suffix, tally, text, uid,
    },
    store::Store,
};

/// The label that names the template of a pod.
const REVISION: &str = "controller-revision-hash";

pub(super) fn replica_set(store: &Store, set: &Value) -> Vec<Wish> {
    let mut pods = owned(store, set, Kind::Pod);
    pods.retain(|pod| is_active(pod));
    // Pods that are not ready are deleted first.
    pods.sort_by_key(|pod| is_ready(pod));
    let (all, ready) = (tally(&pods, |_| true), tally(&pods, is_ready));
    let wanted = count(set, "/spec/replicas");
    let surplus = usize::try_from(all - wanted).unwrap_or_default();
    let mut wishes: Vec<Wish> = pods.iter().take(surplus).map(|pod| delete(pod)).collect();
    wishes.extend((all..wanted).map(|_| pod(set, &some_name(set), "", None)));
    let counts = json!({ "replicas": all, "readyReplicas": ready, "availableReplicas": ready });
    wishes.extend(status(set, counts));
    wishes
}

pub(super) fn job(store: &Store, job: &Value) -> Vec<Wish> {
    if condition(job, "Complete").is_some() {
        return Vec::new();
    }
    let pods = owned(store, job, Kind::Pod);
    let (active, ready) = (tally(&pods, is_active), tally(&pods, is_ready));
    let succeeded = tally(&pods, |pod| text(pod, "/status/phase") == "Succeeded");
    let wanted = count(job, "/spec/completions");
    let open = (wanted - succeeded).min(count(job, "/spec/parallelism"));
    let mut wishes: Vec<Wish> = (active..open)
        .map(|_| pod(job, &some_name(job), "", None))
        .collect();
    let mut counts = json!({ "active": active, "ready": ready, "succeeded": succeeded });
    if succeeded >= wanted {
        counts["conditions"] = json!([{ "type": "Complete", "status": "True" }]);
    }
    wishes.extend(status(job, counts));
    wishes
}

/// The StatefulSet controller: pods are created in order, and replaced one by one from the last.
pub(super) fn stateful_set(store: &Store, set: &Value) -> Vec<Wish> {
    let mut pods = owned(store, set, Kind::Pod);
    pods.sort_by_key(|pod| number(pod));
    let (all, wanted) = (tally(&pods, |_| true), count(set, "/spec/replicas"));
    let update = format!("{}-{}", name(set), hash(&set["spec"]["template"]));
    let here = |number: i64| pods.iter().find(|pod| self::number(pod) == number);
    let gap = (0..wanted).find(|number| !here(*number).is_some_and(|pod| serves(pod)));
    let is_wrong = |pod: &Value| number(pod) >= wanted || rolls(set) && revision(pod) != update;
    let step = match gap.map(|number| (number, here(number))) {
        Some((number, None)) => Some(pod(set, &format!("{}-{number}", name(set)), &update, None)),
        Some((_, Some(pod))) => is_over(pod).then(|| delete(pod)),
        None => pods
            .iter()
            .rfind(|pod| is_wrong(pod))
            .map(|pod| delete(pod)),
    };
    let ready = tally(&pods, is_ready);
    let at = |wanted: &str| tally(&pods, |pod| revision(pod) == wanted);
    let known = text(set, "/status/currentRevision");
    // Under OnDelete the newest revision never becomes the current one.
    let whole = known.is_empty() || rolls(set) && [all, ready, at(&update)] == [wanted; 3];
    let current = if whole { &update } else { known };
    let counts = json!({
        "replicas": all, "readyReplicas": ready, "availableReplicas": ready,
        "currentReplicas": at(current), "updatedReplicas": at(&update),
        "currentRevision": current, "updateRevision": update,
    });
    step.into_iter().chain(status(set, counts)).collect()
}

/// The DaemonSet controller: one pod per node; as many are replaced at once as may be unavailable.
pub(super) fn daemon_set(store: &Store, set: &Value) -> Vec<Wish> {
    let (pods, spec) = (owned(store, set, Kind::Pod), &set["spec"]);
    let update = hash(&spec["template"]);
    let nodes = store.all(Kind::Node, "").map(|node| &**node);
    let nodes: Vec<&Value> = nodes
        .filter(|node| fits(&spec["template"]["spec"], node))
        .collect();
    let here = |node: &Value| {
        pods.iter()
            .find(|pod| text(pod, "/spec/nodeName") == name(node))
    };
    let all = tally(&nodes, |_| true);
    let there = tally(&nodes, |node| here(node).is_some());
    let available = tally(&nodes, |node| here(node).is_some_and(|pod| serves(pod)));
    let most = &spec["updateStrategy"]["rollingUpdate"]["maxUnavailable"];
    let mut room = share(most, all, true).max(1) - (all - available);
    let is_old = |pod: &Value| rolls(set) && !is_going(pod) && revision(pod) != update;
    let mut wishes = Vec::new();
    for node in nodes {
        match here(node) {
            None => wishes.push(pod(set, &some_name(set), &update, Some(name(node)))),
            // Replacing a pod that is not ready does not reduce the available pods.
            Some(pod) if is_over(pod) || is_old(pod) && !is_ready(pod) => wishes.push(delete(pod)),
            Some(pod) if is_old(pod) && room > 0 => {
                room -= 1;
                wishes.push(delete(pod));
            }
            Some(_) => {}
        }
    }
    let counts = json!({
        "desiredNumberScheduled": all, "currentNumberScheduled": there, "numberMisscheduled": 0,
        "updatedNumberScheduled": tally(&pods, |pod| revision(pod) == update),
        "numberReady": available, "numberAvailable": available,
        "numberUnavailable": all - available,
    });
    wishes.extend(status(set, counts));
    wishes
}

fn some_name(owner: &Value) -> String {
    format!("{}-{}", name(owner), suffix())
}

fn pod(owner: &Value, name: &str, revision: &str, node: Option<&str>) -> Wish {
    let template = &owner["spec"]["template"];
    let mut pod = json!({ "metadata": template["metadata"], "spec": template["spec"] });
    if !revision.is_empty() {
        pod["metadata"]["labels"][REVISION] = revision.into();
    }
    pod["spec"]["nodeName"] = node.into();
    create(Kind::Pod, owner, name, pod)
}

fn serves(pod: &Value) -> bool {
    is_ready(pod) && !is_going(pod)
}

/// Returns the number at the end of a pod's name.
fn number(pod: &Value) -> i64 {
    let number = name(pod).rsplit('-').next();
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

fn revision(pod: &Value) -> &str {
    let revision = pod["metadata"]["labels"][REVISION].as_str();
    revision.unwrap_or_default()
}

fn rolls(owner: &Value) -> bool {
    owner["spec"]["updateStrategy"]["type"] == "RollingUpdate"
}

/// Keeps the EndpointSlice of a Service.
pub(super) fn endpoints(store: &Store, service: &Value) -> Vec<Wish> {
    let selector = labelled(&service["spec"]["selector"]);
    if selector.selects_all() {
        return Vec::new();
    }
    let pods = store.all(Kind::Pod, namespace(service));
    let reached = pods.filter(|pod| {
        let has_address = !text(pod, "/status/podIP").is_empty();
        has_address && !is_over(pod) && selects(&selector, pod)
    });
    let endpoints: Vec<Value> = reached.map(|pod| endpoint(pod)).collect();
    let slice = Key::new(Kind::EndpointSlice, namespace(service), name(service));
    if let Ok(slice) = store.get(&slice) {
        let endpoints = endpoints.into();
        return set(slice, "endpoints", &endpoints).into_iter().collect();
    }
    let labels = json!({ "kubernetes.io/service-name": name(service) });
    let slice =
        json!({ "metadata": { "labels": labels }, "addressType": "IPv4", "endpoints": endpoints });
    vec![create(Kind::EndpointSlice, service, name(service), slice)]
}

fn endpoint(pod: &Value) -> Value {
    let (ready, going) = (is_ready(pod), is_going(pod));
    let target =
        json!({ "kind": "Pod", "name": name(pod), "namespace": namespace(pod), "uid": uid(pod) });
    json!({
        "addresses": [text(pod, "/status/podIP")],
        "conditions": { "ready": ready && !going, "serving": ready, "terminating": going },
        "targetRef": target,
    })
}

/// The scheduler: binds a pod to the node with the fewest pods of its namespace.
pub(super) fn bind(store: &Store, pod: &Value) -> Vec<Wish> {
    if !text(pod, "/spec/nodeName").is_empty() || is_over(pod) {
        return Vec::new();
    }
    let nodes = store
        .all(Kind::Node, "")
        .filter(|node| fits(&pod["spec"], node) && takes_pods(node));
    let node = nodes.min_by_key(|node| {
        let others = store.all(Kind::Pod, namespace(pod));
        others
            .filter(|other| text(other, "/spec/nodeName") == name(node))
            .count()
    });
    let wish = match node {
        Some(node) => set(pod, "spec", &json!({ "nodeName": name(node) })),
        None => set(pod, "status", &unschedulable()),
    };
    wish.into_iter().collect()
}

fn unschedulable() -> Value {
    let message = "no node takes the pod";
    let condition = json!({
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
    });
    json!({ "conditions": [condition] })
}

/// Returns true if a node is neither cordoned nor known to be down.
fn takes_pods(node: &Value) -> bool {
    let is_ready = |ready: &Value| ready["status"] == "True";
    node["spec"]["unschedulable"] != true && condition(node, "Ready").is_none_or(is_ready)
}

/// Returns true if the pod's node selector allows a node.
pub(super) fn fits(spec: &Value, node: &Value) -> bool {
    selects(&labelled(&spec["nodeSelector"]), node)
}
