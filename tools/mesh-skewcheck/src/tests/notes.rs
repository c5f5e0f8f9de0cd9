//! Tests each upgrade note where it concerns a cluster, where it does not, and where that cannot be
//! told. `notes.ndjson` has a row for each: what differs from a plain cluster in each of the three
//! cases. A case that the note's condition cannot have is absent.

use std::collections::BTreeSet;

use mesh_cli::Exit;
use mesh_versions::{Condition, Demand, Note, Releases};
use serde_json::{Value, json};

use super::world::{World, judge};

const ROWS: &str = include_str!("notes.ndjson");
const CASES: [&str; 3] = ["yes", "no", "cannot_tell"];

fn rows() -> impl Iterator<Item = Value> {
    ROWS.lines().map(|row| serde_json::from_str(row).unwrap())
}

/// A cluster with all facts known, none of which any note is about.
fn plain(version: &str) -> World {
    World::at(version).with(|world| {
        world.plane["facts"]["pods"] = json!({"listed": 4});
        world.plane["facts"]["arm32_nodes"] = json!(0);
        world.plane["facts"]["traffic_splits"] = json!(0);
        world.plane["facts"]["network_policies_without_4143"] =
            json!({"count": 0, "workloads": []});
        world.plane["crds"] = json!([{"name": "servers.policy.linkerd.io", "served": ["v1beta1"],
            "storage": "v1beta1", "stored": ["v1beta1"]}]);
    })
}

fn bend(world: &mut World, change: &Value) {
    for (key, value) in change.as_object().unwrap() {
        match key.as_str() {
            "facts" => {
                for (name, fact) in value.as_object().unwrap() {
                    let facts = world.plane["facts"].as_object_mut().unwrap();
                    facts.insert(name.clone(), fact.clone());
                    facts.retain(|_, fact| !fact.is_null());
                }
            }
            "extensions" => {
                for name in value.as_array().unwrap() {
                    let name = name.as_str().unwrap();
                    let (name, part) = name.split_once('/').unwrap_or((name, "web"));
                    world
                        .others
                        .push(json!({"type": "extension", "cluster": "eu", "name": name,
                        "namespace": "x", "version": world.plane["version"],
                        "parts": [{"name": part, "version": world.plane["version"]}]}));
                }
            }
            "components" => {
                let names = value.as_array().unwrap();
                let one = world.plane["components"][0].clone();
                let all = world.plane["components"].as_array_mut().unwrap();
                if names.is_empty() {
                    all.clear();
                }
                for name in names {
                    all.push(one.clone());
                    all.last_mut().unwrap()["name"] = name.clone();
                }
            }
            "namespaces" => world.stream["scope"] = json!({"namespaces": value}),
            "to" => {}
            _ if value.is_null() => drop(world.plane.as_object_mut().unwrap().remove(key)),
            _ => world.plane[key] = value.clone(),
        }
    }
}

fn severity(note: &Note, case: &str) -> Option<&'static str> {
    match (case, note.demand) {
        ("no", _) => None,
        ("cannot_tell", Demand::Act | Demand::Look) if note.destructive => Some("E?"),
        ("cannot_tell", Demand::Act) => Some("W?"),
        ("cannot_tell", Demand::Look | Demand::Know) => Some("I?"),
        (_, Demand::Act) => Some("E"),
        (_, Demand::Look) => Some("W"),
        (_, Demand::Know) => Some("I"),
    }
}

#[test]
fn each_note_concerns_a_cluster_or_not_or_cannot_tell() {
    let releases = Releases::embedded();
    for row in rows() {
        let id = row["note"].as_str().unwrap();
        let note = releases.note(id).unwrap();
        for case in CASES {
            let Some(change) = row.get(case) else {
                continue;
            };
            let world = plain(row["from"].as_str().unwrap()).with(|world| bend(world, change));
            let to = change.get("to").unwrap_or(&row["to"]).as_str().unwrap();
            let judged = judge(&["--partial", "--to", to], &world.survey());
            let grade = judged.grade(&format!("note:{id}"));
            let expected = severity(note, case).unwrap_or("-");
            assert_eq!(grade, expected, "{id} {case}");
        }
    }
}

/// The answers that a condition can have.
fn possible(when: &Condition) -> BTreeSet<&'static str> {
    let both = |all: &[Condition], any: bool| {
        let (wins, loses) = if any { ("yes", "no") } else { ("no", "yes") };
        let each: Vec<BTreeSet<&str>> = all.iter().map(possible).collect();
        let may = |word: &str| each.iter().any(|it| it.contains(word));
        let all_may = |words: &[&str]| {
            each.iter()
                .all(|it| words.iter().any(|word| it.contains(word)))
        };
        let mut answers = BTreeSet::new();
        answers.extend(may(wins).then_some(wins));
        answers.extend(all_may(&[loses]).then_some(loses));
        let unknown = may("cannot_tell") && all_may(&["cannot_tell", loses]);
        answers.extend(unknown.then_some("cannot_tell"));
        answers
    };
    match when {
        Condition::Always => ["yes"].into(),
        Condition::Unseen(_) => ["cannot_tell"].into(),
        // A version without a channel has no path.
        Condition::Channel(_) => ["yes", "no"].into(),
        Condition::All(all) => both(all, false),
        Condition::Any(all) => both(all, true),
        Condition::Not(condition) => {
            let flip = |word| match word {
                "yes" => "no",
                "no" => "yes",
                _ => "cannot_tell",
            };
            possible(condition).into_iter().map(flip).collect()
        }
        Condition::Is(..)
        | Condition::Set(_)
        | Condition::Above(..)
        | Condition::Used(_)
        | Condition::Counted(_)
        | Condition::Extension(_)
        | Condition::Part(..)
        | Condition::InstalledBy(_)
        | Condition::Component(_)
        | Condition::Definition(_)
        | Condition::Stored(..)
        | Condition::GatewayApi(_)
        | Condition::GatewayBundleOutside(..)
        | Condition::KubernetesBelow(_) => CASES.into(),
    }
}

#[test]
fn every_note_has_a_row_with_every_case_that_it_can_have() {
    let releases = Releases::embedded();
    let rows: Vec<Value> = rows().collect();
    let ids: Vec<&str> = rows
        .iter()
        .map(|row| row["note"].as_str().unwrap())
        .collect();
    let notes: Vec<&str> = releases
        .notes()
        .iter()
        .map(|note| note.id.as_str())
        .collect();
    assert_eq!(ids, notes);
    for (row, note) in rows.iter().zip(releases.notes()) {
        let cases = CASES.into_iter().filter(|case| row.get(case).is_some());
        assert_eq!(
            cases.collect::<BTreeSet<_>>(),
            possible(&note.when),
            "{}",
            note.id
        );
    }
}

fn shutdown_users(workloads: &[&str]) -> World {
    plain("edge-24.2.4").with(|world| {
        let users = json!({"count": workloads.len(), "workloads": workloads});
        world.plane["facts"]["shutdown_endpoint_users"] = users;
    })
}

/// The last word of the hint: the acknowledgement.
fn acknowledgement(world: &World) -> String {
    let judged = judge(&["--to", "edge-24.8.2"], &world.survey());
    assert_eq!(judged.exit, Ok(Exit::No));
    assert_eq!(
        judged.verdict()["blocking"],
        json!(["note:2.15-2.16/shutdown-endpoint"])
    );
    assert_eq!(
        judged.verdict()["next"],
        "mesh-survey | mesh-skewcheck --notes --to edge-24.8.2"
    );
    let findings = judged.of_type("finding");
    let finding = findings
        .iter()
        .find(|it| it["severity"] == "error")
        .unwrap();
    let hint = finding["hint"].as_str().unwrap();
    hint.rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn a_note_to_act_on_blocks_until_it_is_acknowledged_for_what_it_concerns() {
    let one = shutdown_users(&["shop/Job/nightly"]);
    let acknowledged = acknowledgement(&one);
    let args = ["--to", "edge-24.8.2", "--ack", &acknowledged];
    let judged = judge(&args, &one.survey());
    assert_eq!(judged.exit, Ok(Exit::Yes));
    let verdict = judged.verdict();
    assert_eq!(
        verdict["waived"],
        json!(["note:2.15-2.16/shutdown-endpoint"])
    );
    assert_eq!(verdict["thresholds"]["ack"], json!(acknowledged));
    let next = verdict["next"].as_str().unwrap();
    assert!(next.contains(&format!("--ack {acknowledged} | ")), "{next}");
    // Another workload needs another reading.
    let two = shutdown_users(&["shop/Job/nightly", "shop/Job/weekly"]);
    let judged = judge(&args, &two.survey());
    assert_eq!(judged.exit, Ok(Exit::No));
    assert_eq!(judged.grade("waiver-unused"), "W");
}

#[test]
fn a_note_of_a_later_hop_is_shown_and_does_not_block_this_one() {
    let world = shutdown_users(&["shop/Job/nightly"]).with(|world| {
        world.plane["version"] = json!("stable-2.14.10");
        world.plane["injects"] = json!("stable-2.14.10");
    });
    let judged = judge(&["--to", "edge-24.8.2"], &world.survey());
    assert_eq!(judged.grade("note:2.15-2.16/shutdown-endpoint"), "W");
}

#[test]
fn an_acknowledgement_that_names_no_note_or_no_digest_is_refused() {
    let survey = plain("edge-24.2.4").survey();
    for (ack, part) in [
        (
            "note:2.15-2.16/shutdown-endpoint",
            "does not say what was read",
        ),
        (
            "note:2.15-2.16/shut-down@0123",
            "has no note `2.15-2.16/shut-down`",
        ),
        ("note:", "has no note"),
    ] {
        let judged = judge(&["--to", "edge-24.8.2", "--ack", ack], &survey);
        let error = judged.exit.unwrap_err();
        assert!(error.contains(part), "{ack}: {error}");
        assert!(error.contains('['), "{ack} has no hint: {error}");
    }
}

#[test]
fn only_an_upgrade_has_notes() {
    let world = shutdown_users(&["shop/Job/nightly"]);
    for args in [
        &["--ask", "drift"][..],
        &["--ask", "roll"],
        &["--ask", "done", "--to", "edge-24.8.2"],
    ] {
        let judged = judge(args, &world.survey());
        let findings = judged.of_type("finding");
        let mut ids = findings.iter().map(|it| it["id"].as_str().unwrap());
        assert!(!ids.any(|id| id.starts_with("note:")), "{args:?}");
    }
}
