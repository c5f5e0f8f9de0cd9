//! A mesh whose control plane is one release ahead of its workloads.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use mesh_testbed::{Bed, Shop};
use mesh_tests::{Run, Running, Toolbox, begin, run, toolbox};
use serde_json::{Value, json};

pub(crate) const OLD: &str = "stable-2.13.7";
pub(crate) const NEW: &str = "stable-2.14.10";

const KINDS: [&str; 5] = [
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "ReplicationController",
];

pub(crate) struct Scene {
    pub(crate) bed: Bed,
    pub(crate) tools: Toolbox,
}

impl Scene {
    /// Makes workloads on the old release in their namespaces, and installs the new release's
    /// control plane.
    pub(crate) fn with(bed: Bed, workloads: &[Value]) -> Self {
        Self::of(bed, |bed| {
            let inject = [("linkerd.io/inject", "enabled")];
            let homes = workloads.iter().map(home);
            let homes: BTreeSet<&str> = homes.chain(["shop"]).collect();
            for home in &homes {
                bed.namespace(home, &inject).unwrap();
            }
            bed.apply(&list(workloads)).unwrap();
            for namespace in homes {
                for kind in KINDS {
                    let mine = workloads.iter().filter(|workload| workload["kind"] == kind);
                    let mine = mine.filter(|workload| home(workload) == namespace);
                    await_rollouts(bed, namespace, kind, mine.count());
                }
            }
        })
        .0
    }

    /// Makes the whole shop on the old release, and installs the new release's control plane.
    pub(crate) fn with_shop(bed: Bed) -> (Self, Shop) {
        Self::of(bed, |bed| bed.shop().unwrap())
    }

    /// Fills the bed while the old release runs, and installs the new release's control plane.
    pub(crate) fn of<T>(bed: Bed, fill: impl FnOnce(&Bed) -> T) -> (Self, T) {
        bed.install_linkerd(OLD).unwrap();
        let filled = fill(&bed);
        bed.upgrade_linkerd(NEW).unwrap();
        let tools = toolbox!();
        (Self { bed, tools }, filled)
    }

    pub(crate) fn tool(&self, tool: &str) -> Command {
        let mut command = self.tools.run(tool);
        command.env("KUBECONFIG", self.bed.kubeconfig());
        command
    }

    pub(crate) fn survey(&self, flags: &[&str]) -> String {
        let mut command = self.tool("mesh-survey");
        command.args(flags);
        let survey = run(command, "");
        assert_eq!(survey.code, Some(0), "{}", survey.said());
        survey.stdout
    }

    pub(crate) fn judge(&self, survey: &str) -> Run {
        let mut command = self.tool("mesh-skewcheck");
        command.args(["--ask", "roll"]);
        run(command, survey)
    }

    pub(crate) fn verdict(&self) -> String {
        let judged = self.judge(&self.survey(&[]));
        assert_eq!(judged.code, Some(0), "{}", judged.said());
        judged.stdout
    }

    pub(crate) fn roll(&self, judged: &str, args: &[&str]) -> Run {
        self.start(judged, args).finish()
    }

    /// Starts a run whose records are read as they come. Unless a test says otherwise, it does not
    /// watch on after its last proof.
    pub(crate) fn start(&self, judged: &str, args: &[&str]) -> Running {
        let mut command = self.tool("mesh-roll");
        command.args(args);
        if !args.contains(&"--settle") {
            command.args(["--settle", "0s"]);
        }
        begin(command, judged)
    }

    /// Returns the uid of each pod, by its name.
    pub(crate) fn uids_of_pods(&self) -> BTreeMap<String, String> {
        let pods = self.bed.get("/api/v1/namespaces/shop/pods").unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let pods = pods["items"].as_array().unwrap().iter();
        let meta = pods.map(|pod| &pod["metadata"]);
        meta.map(|meta| (text(&meta["name"]), text(&meta["uid"])))
            .collect()
    }

    /// Returns the uid that each eviction was made for, by the pod's name.
    pub(crate) fn evicted(&self) -> BTreeMap<String, String> {
        let events = self.bed.audit().unwrap().into_iter();
        let evictions = events.filter(|event| event.subresource == "eviction" && !event.dry_run);
        let uid = |body: Option<Value>| {
            let uid = &body.unwrap()["deleteOptions"]["preconditions"]["uid"];
            uid.as_str().unwrap().to_owned()
        };
        evictions
            .map(|event| (event.name, uid(event.body)))
            .collect()
    }

    /// Returns mesh-roll's writes, without its lock and dry runs.
    pub(crate) fn writes(&self) -> Vec<String> {
        let events = self.bed.audit_of("mesh-roll/").unwrap();
        let writes = events.into_iter().filter(|event| event.writes());
        let writes = writes.filter(|event| event.resource != "leases");
        writes
            .map(|event| {
                let (verb, resource) = (event.verb, event.resource);
                let code = event.code.unwrap_or_default();
                format!(
                    "{verb} {resource} {}/{} {code}",
                    event.namespace, event.name
                )
            })
            .collect()
    }

    /// Changes the control plane's configuration, like somebody else.
    pub(crate) fn touch_the_control_plane(&self) {
        let path = "/api/v1/namespaces/linkerd/configmaps/linkerd-config";
        let touched = json!({ "metadata": { "annotations": { "touched": "yes" } } });
        self.bed.merge(path, &touched).unwrap();
    }

    /// Returns `Kind/name` of the workloads in the namespace with a pod for which `is` is true.
    pub(crate) fn owners_of_pods(&self, is: impl Fn(&Value) -> bool) -> Vec<String> {
        let pods = self.bed.get("/api/v1/namespaces/shop/pods").unwrap();
        let pods = pods["items"].as_array().unwrap().iter();
        let pods = pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null() && is(pod));
        let mut owners: Vec<String> = pods.filter_map(owner).collect();
        owners.sort();
        owners.dedup();
        owners
    }
}

/// Makes a workload of the shop with a kind, a name and changes to its spec.
pub(crate) fn workload(kind: &str, name: &str, change: impl FnOnce(&mut Value)) -> Value {
    let labels = json!({ "app": name });
    let container = json!({ "name": name, "image": format!("registry.test/{name}:1.0.0") });
    let mut workload = json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": { "name": name, "namespace": "shop" },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels, "annotations": {} }, "spec": { "containers": [container] } },
        },
    });
    if kind != "DaemonSet" {
        workload["spec"]["replicas"] = 2.into();
    }
    if kind == "StatefulSet" {
        workload["spec"]["serviceName"] = name.into();
    }
    change(&mut workload["spec"]);
    workload
}

/// A Deployment of one replica whose pods with the new proxy behave as told.
pub(crate) fn behaves(name: &str, behaviour: &str) -> Value {
    workload("Deployment", name, |spec| {
        spec["replicas"] = 1.into();
        let annotations = &mut spec["template"]["metadata"]["annotations"];
        annotations[mesh_testbed::WITH_PROXY] = format!("{NEW}={behaviour}").into();
    })
}

/// The pod of a workload that has the new proxy.
pub(crate) fn new_pod(scene: &Scene, app: &str) -> String {
    let path = format!("/api/v1/namespaces/shop/pods?labelSelector=app%3D{app}");
    let pods = scene.bed.get(&path).unwrap();
    let mut pods = pods["items"].as_array().unwrap().iter();
    let new = pods.find(|pod| proxy(pod) == Some(NEW)).unwrap();
    new["metadata"]["name"].as_str().unwrap().to_owned()
}

/// Makes the pods of a workload slow to get ready.
pub(crate) fn slow(spec: &mut Value) {
    spec["template"]["metadata"]["annotations"][mesh_testbed::READY_DELAY] = "700ms".into();
}

fn list(items: &[Value]) -> String {
    json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string()
}

fn home(workload: &Value) -> &str {
    workload["metadata"]["namespace"].as_str().unwrap()
}

// Waits until every workload of a kind has all its pods.
fn await_rollouts(bed: &Bed, namespace: &str, kind: &str, number: usize) {
    let api = match kind {
        "ReplicationController" => "/api/v1",
        _ => "/apis/apps/v1",
    };
    let plural = kind.to_lowercase();
    let path = format!("{api}/namespaces/{namespace}/{plural}s?watch=1");
    let settled = |events: &[Value]| {
        let objects = events.iter().map(|event| &event["object"]);
        let newest: BTreeMap<&str, &Value> = objects
            .map(|object| (object["metadata"]["name"].as_str().unwrap(), object))
            .collect();
        newest.len() == number && newest.values().all(|object| is_settled(object))
    };
    if number > 0 {
        bed.events(&path, settled).unwrap();
    }
}

fn is_settled(object: &Value) -> bool {
    let (spec, status) = (&object["spec"], &object["status"]);
    let either = |one: &Value, other: &Value| one.as_u64().or(other.as_u64());
    let wanted = either(&spec["replicas"], &status["desiredNumberScheduled"]);
    let ready = either(&status["readyReplicas"], &status["numberReady"]);
    status["observedGeneration"] == object["metadata"]["generation"]
        && wanted > Some(0)
        && wanted == ready
}

/// Returns `Kind/name` of the workload that a pod belongs to, or `None` for a bare pod.
pub(crate) fn owner(pod: &Value) -> Option<String> {
    let owner = &pod["metadata"]["ownerReferences"][0];
    let (kind, name) = (owner["kind"].as_str()?, owner["name"].as_str()?);
    let hash = pod["metadata"]["labels"]["pod-template-hash"].as_str();
    match (kind, hash) {
        ("ReplicaSet", Some(hash)) => {
            let name = name.strip_suffix(hash)?.trim_end_matches('-');
            Some(format!("Deployment/{name}"))
        }
        _ => Some(format!("{kind}/{name}")),
    }
}

/// Returns the tag of a pod's proxy, if it has one.
pub(crate) fn proxy(pod: &Value) -> Option<&str> {
    let spec = &pod["spec"];
    let containers = ["containers", "initContainers"].map(|list| spec[list].as_array());
    let mut containers = containers.into_iter().flatten().flatten();
    let proxy = containers.find(|container| container["name"] == "linkerd-proxy")?;
    Some(proxy["image"].as_str()?.rsplit_once(':')?.1)
}

pub(crate) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions
        .into_iter()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}
