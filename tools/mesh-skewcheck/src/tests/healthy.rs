//! The first use on an ordinary cluster of 400 workloads: green, with one line for each warning; and
//! each true blocker alone makes it red with its id alone.

use std::collections::BTreeMap;

use mesh_cli::Exit;
use serde_json::{Value, json};

use super::world::{Judged, World, judge, workload};

const TO: &[&str] = &["--to", "stable-2.14.10"];

/// A cluster as there are many: most workloads have one replica, and a few are odd.
fn ordinary() -> World {
    let mut world = World::at("stable-2.13.7");
    // cert-manager renews an issuer of 48 hours when a third of its time is left.
    world.plane["certificates"][1]["not_before"] = json!("2026-07-31T04:00:00Z");
    world.plane["certificates"][1]["not_after"] = json!("2026-08-02T04:00:01Z");
    world.workloads = (0..400).map(one).collect();
    world
}

fn one(index: usize) -> Value {
    let mut one = workload(&format!("w{index:03}"), "stable-2.13.7");
    one["namespace"] = json!(["shop", "bank", "blog", "ops"][index % 4]);
    let is_single = !index.is_multiple_of(10);
    if is_single {
        one["pods"] = json!({"wanted": 1, "total": 1, "ready": 1, "meshed": 1});
        one["proxies"][0]["count"] = json!(1);
        one["downtime"] = json!({"grade": "none"});
    }
    match index {
        // A private tag, whose annotation tells the release.
        1..=39 => {
            one["proxies"][0]["tag"] = json!("acme-7");
            one["proxies"][0]["source"] = json!("annotation");
        }
        41..=49 => {
            one["kind"] = json!("Job");
            one["roll"] = json!({"by": "itself", "reason": "job"});
        }
        51 => one["pins"] = json!([{"where": "template", "version": "stable-2.13.7"}]),
        52 => one["pods"]["ready"] = json!(0),
        // Injected by hand.
        53 => one["pins"] = json!([{"where": "baked-in"}]),
        54..=59 => {
            one["kind"] = json!("Pod");
            one["roll"] = json!({"by": "none", "reason": "bare-pod"});
        }
        61..=69 => {
            one["proxies"][0]["version"] = json!("stable-2.13.6");
        }
        _ => {}
    }
    one
}

fn blocking(judged: &Judged) -> Value {
    judged.verdict()["blocking"].clone()
}

#[test]
fn an_ordinary_cluster_may_be_upgraded_and_each_warning_is_one_line() {
    let world = ordinary();
    let judged = judge(TO, &world.survey());
    assert_eq!(
        judged.exit,
        Ok(Exit::Yes),
        "{:?}",
        judged.of_type("finding")
    );
    let next = "mesh-survey | mesh-skewcheck --to stable-2.14.10 | mesh-cp-upgrade -f VALUES.yaml";
    assert_eq!(judged.verdict()["next"], next);
    let mut found = BTreeMap::new();
    for finding in judged.of_type("finding") {
        let id = finding["id"].as_str().unwrap().to_owned();
        let said = (finding["severity"].clone(), finding["count"].clone());
        assert_eq!(found.insert(id.clone(), said), None, "{id} has two lines");
    }
    let expected = [
        ("proxy-behind", "info", 400),
        ("version-pinned", "warning", 2),
        ("workload-unhealthy", "warning", 1),
    ];
    let expected =
        expected.map(|(id, severity, count)| (id.to_owned(), (json!(severity), json!(count))));
    assert_eq!(found, BTreeMap::from(expected));
    let roll = judge(&["--ask", "roll"], &world.survey());
    assert_eq!(roll.exit, Ok(Exit::Yes), "{:?}", roll.of_type("finding"));
    let drift = judge(&[], &world.survey());
    assert_eq!(drift.exit, Ok(Exit::Yes), "{:?}", drift.of_type("finding"));
}

#[test]
fn each_true_blocker_alone_makes_an_ordinary_cluster_red_with_its_id_alone() {
    type Bend = fn(&mut World);
    let table: &[(&str, &[&str], Bend)] = &[
        ("proxy-too-old", TO, |world| {
            world.workloads[399]["proxies"][0]["version"] = json!("stable-2.12.6");
        }),
        ("job-holds-back", TO, |world| {
            world.workloads[45]["proxies"][0]["version"] = json!("stable-2.12.6");
        }),
        ("job-stuck-on-proxy", TO, |world| {
            world.workloads[45]["proxies"][0]["version"] = json!("stable-2.12.6");
            world.workloads[45]["pods"]["held_by_proxy"] = json!(1);
        }),
        ("proxy-ahead", TO, |world| {
            world.workloads[399]["proxies"][0]["version"] = json!("edge-24.2.4");
        }),
        ("proxy-unknown", TO, |world| {
            world.workloads[399]["proxies"] =
                json!([{"tag": "acme-8", "source": "none", "native": false, "count": 1}]);
        }),
        ("trust-anchor-stale", TO, |world| {
            world.workloads[399]["trust_anchors"] = json!("stale");
        }),
        ("certificate-expired", TO, |world| {
            world.plane["certificates"][1]["not_after"] = json!("2026-08-01T11:00:00Z");
        }),
        ("certificate-expiring", TO, |world| {
            world.plane["certificates"][1]["not_after"] = json!("2026-08-01T14:00:00Z");
        }),
        ("certificate-unreadable", TO, |world| {
            world.plane["certificates"][1] = json!({"role": "issuer", "readable": false});
        }),
        ("control-plane-unhealthy", TO, |world| {
            world.plane["components"][0]["ready"] = json!(0);
        }),
        ("upgrade-in-progress", TO, |world| {
            world.plane["components"][0]["version"] = json!("stable-2.14.9");
        }),
        ("operator-managed", TO, |world| {
            world.plane["installed_by"] = json!("operator");
        }),
        ("kubernetes-too-old", TO, |world| {
            world.plane["kubernetes"] = json!("v1.20.2");
        }),
        ("survey-partial", TO, |world| {
            world.stream["scope"] = json!({"selector": "app=web"});
        }),
        ("downgrade", &["--to", "stable-2.13.6"], |_| {}),
        ("target-unknown", &["--to", "stable-2.14.99"], |_| {}),
    ];
    for (id, args, bend) in table {
        let mut world = ordinary();
        bend(&mut world);
        let judged = judge(args, &world.survey());
        assert_eq!(judged.exit, Ok(Exit::No), "{id}");
        assert_eq!(blocking(&judged), json!([id]));
    }
}
