//! Makes clusters with faults from a seed: the same seed gives the same clusters.

pub(super) use mesh_dice::Dice;
use serde_json::{Value, json};

use super::world::{World, workload};

/// The questions that generated clusters are asked.
pub(super) const QUESTIONS: [&[&str]; 6] = [
    &["--to", "stable-2.14.10"],
    &["--to", "stable-2.13.7"],
    &[],
    &["--ask", "roll"],
    &["--ask", "done", "--to", "stable-2.14.10"],
    &["--ask", "done", "--to", "stable-2.13.7"],
];

/// Releases from old to new, each of another minor version or patch.
pub(super) const LADDER: [&str; 8] = [
    "stable-2.11.5",
    "stable-2.12.6",
    "stable-2.13.6",
    "stable-2.13.7",
    "stable-2.14.9",
    "stable-2.14.10",
    "edge-24.2.4",
    "edge-24.8.2",
];

const ODD: [&str; 4] = [
    "edge-25.6.1",
    "dev-undefined",
    "enterprise-2.13.1",
    "edge-99.1.1",
];

/// How many generated cases a test makes: `MESH_TEST_CASES`, or else this many.
pub(super) fn cases(usually: usize) -> usize {
    let asked = std::env::var_os("MESH_TEST_CASES").and_then(|it| it.into_string().ok());
    asked.and_then(|it| it.parse().ok()).unwrap_or(usually)
}

/// Makes a cluster with a few faults of any kind.
pub(super) fn any_world(dice: &mut Dice) -> World {
    let running = *dice.pick(&LADDER[1..7]);
    let mut world = World::at(running);
    let mut faults: Vec<usize> = (0..dice.roll(4)).map(|_| dice.roll(22)).collect();
    // The last ones take away what the others change.
    faults.sort_unstable();
    for number in faults {
        fault(number, &mut world.plane, &mut world.stream, dice);
    }
    let running = world.plane["version"].as_str().unwrap().to_owned();
    world.workloads = (0..1 + dice.roll(6))
        .map(|index| any_workload(&format!("w{index}"), &running, dice))
        .collect();
    if dice.once_in(4) {
        let name = dice.pick(&["viz", "cni", "multicluster"]);
        let version = dice.pick(&LADDER);
        world
            .others
            .push(json!({"type": "extension", "cluster": "eu", "name": name,
            "namespace": "x", "version": version}));
    }
    world
}

fn fault(number: usize, plane: &mut Value, stream: &mut Value, dice: &mut Dice) {
    let ends = [
        "2026-07-01T00:00:00Z",
        "2026-08-05T00:00:00Z",
        "2026-09-20T00:00:00Z",
    ];
    match number {
        0 => plane["components"][0]["ready"] = json!(0),
        1 => plane["components"][1]["version"] = json!(dice.pick(&LADDER)),
        2 => plane["injects"] = json!(dice.pick(&LADDER)),
        3 => plane["state"] = json!(dice.pick(&["rolling", "failed"])),
        4 => plane["installed_by"] = json!(dice.pick(&["cli", "gitops", "operator", "unknown"])),
        5 => plane["kubernetes"] = json!(dice.pick(&["v1.20.1", "v1.31.0", "v1.40.0"])),
        6 => plane["certificates"][0]["not_after"] = json!(dice.pick(&ends)),
        7 => plane["certificates"][1]["not_after"] = json!(dice.pick(&ends)),
        8 => plane["certificates"][1] = json!({"role": "issuer", "readable": false}),
        9 => plane["webhooks"][0]["ready_endpoints"] = json!(0),
        10 => plane["webhooks"][0]["failure_policy"] = json!("Ignore"),
        11 => plane["webhooks"][0]["answers"] = json!(false),
        12 => plane["webhooks"][0]["trusted"] = json!(false),
        13 => drop(plane.as_object_mut().unwrap().remove("kubernetes")),
        14 => drop(plane["crds"].as_array_mut().unwrap().remove(0)),
        15 => plane["facts"]["cni_rolling"] = json!(true),
        16 => plane["facts"]["external_workloads"] = json!(2),
        17 => plane["facts"]["leftovers"] = json!(["Deployment/linkerd-web"]),
        18 => plane["facts"]["injector_bypassed"] = json!(true),
        19 => stream["scope"] = json!({"namespaces": ["shop"]}),
        20 => plane["webhooks"] = json!([]),
        _ => drop(plane["components"].as_array_mut().unwrap().remove(0)),
    }
}

fn any_workload(name: &str, running: &str, dice: &mut Dice) -> Value {
    let version = match dice.roll(8) {
        0 => *dice.pick(&ODD),
        1..4 => *dice.pick(&LADDER),
        _ => running,
    };
    let mut one = workload(name, version);
    one["namespace"] = json!(dice.pick(&["shop", "bank"]));
    match dice.roll(14) {
        0 => one["trust_anchors"] = json!(dice.pick(&["stale", "unknown"])),
        1 => one["pods"]["ready"] = json!(dice.roll(2)),
        2 => one["pods"]["wanted"] = json!(3),
        3 => one["pins"] = json!([{"where": "template", "version": version}]),
        4 => one["downtime"] = json!({"grade": "outage"}),
        5 => {
            one["pods"]["meshed"] = json!(1);
            one["proxies"][0]["count"] = json!(1);
        }
        6 => {
            one["kind"] = json!("Job");
            one["roll"] = json!({"by": "itself", "reason": "job"});
            one["pods"]["held_by_proxy"] = json!(dice.roll(3));
        }
        7 => {
            one["kind"] = json!("Pod");
            one["roll"] = json!({"by": "none", "reason": "bare-pod"});
        }
        8 => {
            one["pods"]["terminating"] = json!(1);
            one["terminating_proxies"] = one["proxies"].clone();
        }
        9 => one["roll"] = json!({"by": "none", "reason": "foreign-owner"}),
        10 => {
            one["pods"] = json!({"wanted": 1, "total": 0, "ready": 0, "meshed": 0});
            one["proxies"] = json!([]);
        }
        _ => {}
    }
    one
}
