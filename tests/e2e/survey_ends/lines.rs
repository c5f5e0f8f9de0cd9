//! Surveys a cluster of every line with every odd pod, from its server and from its dump.
//!
//! The lines are in `tests/cases/lines.yaml`, the pods in `tests/cases/odd-pods.yaml`.

mod cluster;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use mesh_testbed::Still;
use mesh_tests::{Run, Toolbox, run, toolbox};
use serde_json::{Value, json};

use crate::cases::has;
use cluster::cluster;
use table::{Case, Line, lines};

const TAKEN_AT: &str = "2024-03-01T10:00:00Z";

/// What a dump cannot hold, by the type of the record and the place in it; `*` is every item of a
/// list, and `=NAME` the items of that name.
const NOT_IN_A_DUMP: [(&str, &str, &str); 11] = [
    ("stream", "run", "it is the run's own"),
    ("stream", "time", "a dump is as old as `--taken-at` says"),
    ("stream", "source", "it says where the facts are from"),
    ("stream", "consistency", "only a server is asked for it"),
    ("stream", "flags", "they lead back to the server"),
    (
        "control_plane",
        "certificates/=linkerd-identity-issuer",
        "a Secret",
    ),
    (
        "control_plane",
        "certificates/=linkerd-proxy-injector-k8s-tls",
        "a Secret",
    ),
    (
        "control_plane",
        "webhooks/*/trusted",
        "its certificate is in a Secret",
    ),
    (
        "control_plane",
        "facts/external_workloads",
        "an empty list leaves nothing in a dump",
    ),
    (
        "control_plane",
        "facts/network_policies_without_4143",
        "an empty list leaves nothing in a dump",
    ),
    (
        "control_plane",
        "facts/traffic_splits",
        "an empty list leaves nothing in a dump",
    ),
];

/// The key of a record that a case can name.
fn key(record: &Value) -> Option<String> {
    let text = |field: &str| record[field].as_str().unwrap_or_default();
    let owner = ["namespace", "kind", "name"].map(text).join("/");
    match text("type") {
        "workload" => Some(format!("workload {owner}")),
        "anomaly" => Some(format!("anomaly {} {owner}", text("id"))),
        "extension" => Some(format!("extension {}", text("name"))),
        _ => None,
    }
}

/// Surveys the server, and the dump of all its objects, in the order in which no server lists them.
fn surveys(tools: &Toolbox, objects: &[Value]) -> [Run; 2] {
    let still = Still::of(objects).unwrap();
    let both = ["--pods", "--cluster-name", "still"];
    let mut server = tools.run("mesh-survey");
    server.args(both).env("KUBECONFIG", still.kubeconfig());
    let server = run(server, "");
    assert!(still.unknown().is_empty(), "{:?}", still.unknown());
    let version = json!({"gitVersion": "v1.34.5"});
    let mut lines = json!({"clientVersion": version, "serverVersion": version}).to_string();
    for object in still.objects().iter().rev() {
        write!(lines, "\n{object}").unwrap();
    }
    let mut dump = tools.run("mesh-survey");
    dump.args(both)
        .args(["--from", "-", "--taken-at", TAKEN_AT]);
    [server, run(dump, &lines)]
}

/// Takes a field out of a record, and returns what was there.
fn take(record: &mut Value, path: &[&str]) -> Vec<Value> {
    match (path, record) {
        ([field], Value::Object(fields)) => fields.remove(*field).into_iter().collect(),
        (["*", rest @ ..], Value::Array(items)) => {
            items.iter_mut().flat_map(|it| take(it, rest)).collect()
        }
        ([name], Value::Array(items)) => {
            let is_it = |it: &mut Value| it["name"].as_str() == name.strip_prefix('=');
            items.extract_if(.., is_it).collect()
        }
        ([field, rest @ ..], Value::Object(fields)) => {
            let inner = fields.get_mut(*field);
            inner.map(|it| take(it, rest)).unwrap_or_default()
        }
        (_, _) => Vec::new(),
    }
}

/// Takes out what a dump cannot hold, and notes what of it differs.
fn bare(shown: &mut [Value], dumped: &mut [Value], met: &mut BTreeSet<&str>) {
    for (one, other) in shown.iter_mut().zip(dumped) {
        for (of_type, path, _) in &NOT_IN_A_DUMP {
            let fields: Vec<&str> = path.split('/').collect();
            let is_of = one["type"] == *of_type;
            if is_of && take(one, &fields) != take(other, &fields) {
                met.insert(path);
            }
        }
    }
}

/// What is wrong with a survey of a cluster of the line.
fn faults(line: &Line, cases: &[Case], survey: &Run) -> Vec<String> {
    let mut faults = Vec::new();
    let planes = survey.of("control_plane");
    let names: Vec<&Value> = planes.iter().map(|it| &it["namespace"]).collect();
    if names != ["linkerd", "linkerd-canary"] {
        faults.push(format!("the control planes are {names:?}"));
    }
    if !planes.first().is_some_and(|it| has(it, &line.plane())) {
        faults.push(format!("not {}\nbut {:?}", line.plane(), planes.first()));
    }
    let mut found: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for record in &survey.records {
        if let Some(key) = key(record) {
            found.entry(key).or_default().push(record);
        }
    }
    for case in cases {
        for find in &case.finds {
            let records = found.remove(&find.key()).unwrap_or_default();
            if records.len() != 1 || !has(records[0], &find.is) && !find.is.is_null() {
                faults.push(format!("{}: not {find:?}\nbut {records:?}", case.case));
            }
        }
    }
    faults.extend(
        found
            .into_keys()
            .map(|key| format!("no case expects {key}")),
    );
    faults
}

#[test]
fn a_cluster_of_every_line_is_the_same_from_its_server_and_from_its_dump() {
    let tools = toolbox!();
    let mut met = BTreeSet::new();
    let lines = lines();
    assert_eq!(lines.len(), 10);
    let mut all = Vec::new();
    for line in &lines {
        let cases = line.cases();
        let [server, dump] = surveys(&tools, &cluster(line, &cases));
        let mut faults = faults(line, &cases, &server);
        for survey in [&server, &dump] {
            if survey.code != Some(0) {
                faults.push(survey.stderr.clone());
            }
        }
        let [mut shown, mut dumped] = [server.records, dump.records];
        bare(&mut shown, &mut dumped, &mut met);
        let (ours, theirs): (Vec<_>, Vec<_>) = shown
            .iter()
            .zip(&dumped)
            .filter(|(one, other)| one != other)
            .unzip();
        faults.extend(
            ours.iter()
                .zip(theirs)
                .map(|(one, other)| format!("server {one}\ndump   {other}")),
        );
        if shown.len() != dumped.len() {
            faults.push(format!(
                "{} records, {} from a dump",
                shown.len(),
                dumped.len()
            ));
        }
        all.extend(
            faults
                .into_iter()
                .map(|fault| format!("{}: {fault}", line.line)),
        );
    }
    assert!(all.is_empty(), "{} faults:\n{}", all.len(), all.join("\n"));
    let known: BTreeSet<&str> = NOT_IN_A_DUMP.iter().map(|(_, path, _)| *path).collect();
    assert_eq!(met, known, "what a dump cannot hold");
}
