//! A mesh whose control plane is one release ahead of its workloads.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use mesh_testbed::{Bed, Shop};
use mesh_tests::{Signal, Toolbox, toolbox};
use serde_json::{Value, json};

pub(crate) const OLD: &str = "stable-2.13.7";
pub(crate) const NEW: &str = "stable-2.14.10";

pub(crate) struct Scene {
    pub(crate) bed: Bed,
    pub(crate) tools: Toolbox,
}

/// A run of mesh-roll whose records are read as they come.
pub(crate) struct Run {
    pub(crate) child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub(crate) records: Vec<Value>,
}

impl Scene {
    /// Workloads on the old release in one namespace, and the new release's control plane.
    pub(crate) fn with(bed: Bed, workloads: &[Value]) -> Self {
        Self::of(bed, |bed| {
            let inject = [("linkerd.io/inject", "enabled")];
            bed.namespace("shop", &inject).unwrap();
            bed.apply(&list(workloads)).unwrap();
            for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
                let mine = workloads.iter().filter(|workload| workload["kind"] == kind);
                await_rollouts(bed, kind, mine.count());
            }
        })
        .0
    }

    /// The whole shop on the old release, and the new release's control plane.
    pub(crate) fn with_shop(bed: Bed) -> (Self, Shop) {
        Self::of(bed, |bed| bed.shop().unwrap())
    }

    fn of<T>(bed: Bed, fill: impl FnOnce(&Bed) -> T) -> (Self, T) {
        bed.install_linkerd(OLD).unwrap();
        let filled = fill(&bed);
        bed.upgrade_linkerd(NEW).unwrap();
        let tools = toolbox!();
        (Self { bed, tools }, filled)
    }

    fn tool(&self, tool: &str) -> Command {
        let mut command = self.tools.run(tool);
        command.env("KUBECONFIG", self.bed.kubeconfig());
        command
    }

    pub(crate) fn survey(&self) -> String {
        let output = self.tool("mesh-survey").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The judged stream, and the judge's exit code.
    pub(crate) fn judge(&self, survey: &str) -> (String, Option<i32>) {
        let mut command = self.tool("mesh-skewcheck");
        let output = feed(command.args(["--ask", "roll"]), survey);
        (
            String::from_utf8(output.stdout).unwrap(),
            output.status.code(),
        )
    }

    pub(crate) fn verdict(&self) -> String {
        let (judged, code) = self.judge(&self.survey());
        assert_eq!(code, Some(0), "{judged}");
        judged
    }

    pub(crate) fn roll(&self, judged: &str, args: &[&str]) -> Output {
        feed(self.tool("mesh-roll").args(args), judged)
    }

    /// Starts a run whose records are read as they come.
    pub(crate) fn start(&self, judged: &str, args: &[&str]) -> Run {
        let mut command = self.tool("mesh-roll");
        command.args(args).stdout(Stdio::piped());
        Run::of(&mut command, judged)
    }

    /// What mesh-roll wrote, its lock and dry runs left out.
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

    /// Somebody writes to the control plane's configuration.
    pub(crate) fn touch_the_control_plane(&self) {
        let path = "/api/v1/namespaces/linkerd/configmaps/linkerd-config";
        let touched = json!({ "metadata": { "annotations": { "touched": "yes" } } });
        self.bed.merge(path, &touched).unwrap();
    }

    /// `Kind/name` of the workloads of the namespace that have a pod as `is` says.
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

impl Run {
    pub(crate) fn of(command: &mut Command, judged: &str) -> Self {
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(judged.as_bytes()).unwrap();
        drop(stdin);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            child,
            lines,
            records: Vec::new(),
        }
    }

    /// Reads on to the first record that `is` tells.
    pub(crate) fn until(&mut self, is: impl Fn(&Value) -> bool) {
        for line in self.lines.by_ref() {
            let record: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let found = is(&record);
            self.records.push(record);
            if found {
                return;
            }
        }
        panic!("it never came: {:#?}", self.records);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        mesh_tests::signal(self.child.id(), signal);
    }

    /// Stops reading, and waits for the exit code.
    pub(crate) fn abandon(mut self) -> Option<i32> {
        drop(self.lines);
        self.child.wait().unwrap().code()
    }

    /// Reads on to the end: all records, and the exit code.
    pub(crate) fn finish(mut self) -> (Vec<Value>, Option<i32>) {
        for line in self.lines.by_ref() {
            self.records
                .push(serde_json::from_str(&line.unwrap()).unwrap());
        }
        let status = self.child.wait().unwrap();
        (self.records, status.code())
    }
}

/// A workload of the shop's: its kind, its name, and changes to its spec.
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

/// Makes the pods of a workload slow to get ready.
pub(crate) fn slow(spec: &mut Value) {
    spec["template"]["metadata"]["annotations"][mesh_testbed::READY_DELAY] = "700ms".into();
}

fn list(items: &[Value]) -> String {
    json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string()
}

// Until every workload of a kind has all the pods that it wants.
fn await_rollouts(bed: &Bed, kind: &str, number: usize) {
    let path = format!(
        "/apis/apps/v1/namespaces/shop/{}s?watch=1",
        kind.to_lowercase()
    );
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

fn feed(command: &mut Command, input: &str) -> Output {
    let command = command.stdin(Stdio::piped());
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // It may end without reading to the end; that is for its exit code to say.
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

pub(crate) fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}\n{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

pub(crate) fn records(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The records of a type.
pub(crate) fn of<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    records
        .iter()
        .filter(|record| record["type"] == kind)
        .collect()
}

/// `Kind/name` of the workload that a pod belongs to; a bare one to none.
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

/// The tag of a pod's proxy, if it has one.
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
