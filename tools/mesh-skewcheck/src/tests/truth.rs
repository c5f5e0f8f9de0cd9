//! The table of answers (`tests/cases/truth.txt`): control plane, proxies, target, question,
//! Kubernetes, installer, definitions and anchors on one side; answer, blocking ids and path on the
//! other.

use mesh_cli::Exit;
use mesh_versions::{Releases, Version};
use serde_json::{Value, json};

use super::world::{World, judge, workload};

const TABLE: &str = include_str!("../../../../tests/cases/truth.txt");

struct Row<'a> {
    text: &'a str,
    running: &'a str,
    proxies: Vec<&'a str>,
    args: Vec<&'a str>,
    kubernetes: &'a str,
    installer: &'a str,
    gateway: &'a str,
    anchors: &'a str,
    pass: bool,
    blocking: Vec<&'a str>,
    path: Vec<&'a str>,
}

fn rows() -> Vec<Row<'static>> {
    let lines = TABLE
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.skip(1).map(row).collect()
}

fn row(text: &str) -> Row<'_> {
    let cells: Vec<&str> = text.split_whitespace().collect();
    let cells = match cells[..] {
        ["dump", ref rest @ ..] => rest.to_vec(),
        _ => cells,
    };
    let [
        running,
        proxies,
        target,
        question,
        kubernetes,
        installer,
        gateway,
        anchors,
        answer,
        blocking,
        path,
    ] = cells[..]
    else {
        panic!("a row has eleven cells: {text}");
    };
    let mut args = vec!["--ask", question];
    if target != "-" {
        args.extend(["--to", target]);
    }
    Row {
        text,
        running,
        proxies: split(proxies, ','),
        args,
        kubernetes,
        installer,
        gateway,
        anchors,
        pass: match answer {
            "yes" => true,
            "no" => false,
            _ => panic!("the answer is yes or no: {text}"),
        },
        blocking: split(blocking, ','),
        path: split(path, '>'),
    }
}

fn split(cell: &str, at: char) -> Vec<&str> {
    match cell {
        "-" => Vec::new(),
        cell => cell.split(at).collect(),
    }
}

/// The fact about the Gateway API's definitions.
fn gateway(of: &str, installer: &str) -> Option<Value> {
    let mut definition = json!({"name": "httproutes.gateway.networking.k8s.io", "keep": of == "keep",
        "bundle_version": "v1.2.1"});
    match of {
        "none" => return Some(json!([])),
        "unseen" => return None,
        "theirs" => return Some(json!([definition])),
        "keep" | "lose" => definition["created_by"] = json!(format!("linkerd/{installer} x")),
        _ => panic!("no such state of the definitions: {of}"),
    }
    if installer == "helm" {
        definition["release"] = json!("linkerd-crds");
    }
    Some(json!([definition]))
}

/// The definitions that the running release reads; those of the Gateway API unless there are none.
fn definitions(row: &Row<'_>) -> Option<Value> {
    let running = Version::of_tag(row.running);
    let releases = Releases::embedded();
    let read = releases.line(releases.minor_of(&running)?.minor)?.reads();
    let is_there =
        |name: &str| row.gateway != "none" || !name.ends_with("gateway.networking.k8s.io");
    let all = read.filter(|(name, _)| is_there(name)).map(|(name, version)| {
        json!({"name": name, "served": [version], "storage": version, "stored": [version]})
    });
    Some(all.collect())
}

fn world(row: &Row<'_>) -> World {
    World::at(row.running).with(|world| {
        let plane = &mut world.plane;
        plane["installed_by"] = json!(row.installer);
        plane["facts"] = json!({"pods": {"listed": 4}, "arm32_nodes": 0});
        if let Some(definitions) = definitions(row) {
            plane["crds"] = definitions;
        }
        if let Some(fact) = gateway(row.gateway, row.installer) {
            plane["facts"]["gateway_api_crds"] = fact;
        }
        match row.kubernetes {
            "-" => drop(plane.as_object_mut().unwrap().remove("kubernetes")),
            version => plane["kubernetes"] = json!(format!("v{version}.1")),
        }
        if row.anchors == "expired" {
            plane["certificates"][0]["not_after"] = json!("2026-07-01T00:00:00Z");
        }
        let proxies = row.proxies.iter().enumerate();
        world.workloads = proxies
            .map(|(number, version)| {
                let mut workload = workload(&format!("web{number}"), version);
                if row.anchors == "stale" || row.anchors == "unknown" {
                    workload["trust_anchors"] = json!(row.anchors);
                }
                workload
            })
            .collect();
    })
}

#[test]
fn every_row_of_the_table_has_its_answer_its_blocking_ids_and_its_path() {
    let rows = rows();
    assert!(rows.len() >= 250, "{}", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        let judged = judge(&row.args, &world(row).survey());
        let verdict = judged.verdict();
        let plans = judged.of_type("plan");
        let hops = plans
            .iter()
            .flat_map(|plan| plan["hops"].as_array().unwrap());
        let hops = hops.filter(|hop| hop["kind"] == "control-plane");
        let path: Vec<&str> = hops.map(|hop| hop["release"].as_str().unwrap()).collect();
        let exit = if row.pass { Exit::Yes } else { Exit::No };
        let blocking = verdict["blocking"].as_array().unwrap().iter();
        let blocking: Vec<&str> = blocking.map(|id| id.as_str().unwrap()).collect();
        if (&judged.exit, &blocking, &path) != (&Ok(exit), &row.blocking, &row.path) {
            wrong.push(format!(
                "{}\n  {:?} {blocking:?} {path:?}",
                row.text, judged.exit
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} rows:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn a_quarter_of_the_rows_is_for_a_dump_too() {
    let dumps = rows()
        .iter()
        .filter(|row| row.text.starts_with("dump "))
        .count();
    assert!(dumps * 4 >= rows().len(), "{dumps} of {}", rows().len());
}
