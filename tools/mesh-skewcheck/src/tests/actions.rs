//! What a roll should do with a workload.

use std::collections::{BTreeMap, BTreeSet};

use mesh_records::Rule;
use serde_json::{Value, json};

use super::world::{World, judge};

#[test]
fn the_action_of_a_workload_is_roll_leave_or_skip_with_its_why() {
    type Bend = fn(&mut Value);
    let table: &[(&str, &str, &[&str], Bend)] = &[
        ("as injected", "leave", &[], |_| {}),
        ("behind", "roll", &["proxy-behind"], |workload| {
            workload["proxies"][0]["version"] = json!("stable-2.13.6");
        }),
        ("ahead", "roll", &["proxy-ahead"], |workload| {
            workload["proxies"][0]["version"] = json!("stable-2.14.10");
        }),
        ("a rebuild is the same release", "leave", &[], |workload| {
            workload["proxies"][0]["version"] = json!("stable-2.13.7-acme");
        }),
        ("mixed", "roll", &["proxy-behind"], |workload| {
            let old = json!({"version": "stable-2.13.6", "source": "image", "native": false,
                "count": 1});
            workload["proxies"][0]["count"] = json!(1);
            workload["proxies"].as_array_mut().unwrap().push(old);
        }),
        (
            "in part without proxy",
            "roll",
            &["unmeshed-but-annotated"],
            |workload| {
                workload["pods"]["meshed"] = json!(1);
                workload["proxies"][0]["count"] = json!(1);
            },
        ),
        (
            "without proxy",
            "skip",
            &["unmeshed-but-annotated"],
            |workload| {
                workload["pods"]["meshed"] = json!(0);
                workload["proxies"] = json!([]);
            },
        ),
        ("scaled to zero", "leave", &[], |workload| {
            workload["pods"] = json!({"total": 0, "ready": 0, "meshed": 0});
            workload["proxies"] = json!([]);
        }),
        (
            "stale anchors",
            "roll",
            &["trust-anchor-stale"],
            |workload| {
                workload["trust_anchors"] = json!("stale");
            },
        ),
        ("by eviction", "roll", &["trust-anchor-stale"], |workload| {
            workload["trust_anchors"] = json!("stale");
            workload["roll"] = json!({"by": "evict", "reason": "on-delete"});
        }),
        (
            "a bare pod",
            "skip",
            &["trust-anchor-stale", "bare-pod"],
            |workload| {
                workload["trust_anchors"] = json!("stale");
                workload["roll"] = json!({"by": "none", "reason": "bare-pod"});
            },
        ),
        (
            "a Job",
            "skip",
            &["trust-anchor-stale", "job"],
            |workload| {
                workload["trust_anchors"] = json!("stale");
                workload["roll"] = json!({"by": "itself"});
            },
        ),
        ("a current Job", "leave", &[], |workload| {
            workload["roll"] = json!({"by": "itself", "reason": "job"});
        }),
        (
            "pinned",
            "skip",
            &["proxy-behind", "version-pinned"],
            |workload| {
                workload["proxies"][0]["version"] = json!("stable-2.13.6");
                workload["pins"] = json!([{"where": "template", "version": "stable-2.13.6"}]);
            },
        ),
        (
            "pinned to what is injected",
            "roll",
            &["proxy-behind", "version-pinned"],
            |workload| {
                workload["proxies"][0]["version"] = json!("stable-2.13.6");
                workload["pins"] = json!([
                    {"where": "namespace", "version": "stable-2.13.6"},
                    {"where": "template", "version": "stable-2.13.7"},
                ]);
            },
        ),
        (
            "baked in",
            "skip",
            &["version-pinned", "trust-anchor-stale"],
            |workload| {
                workload["trust_anchors"] = json!("stale");
                workload["pins"] = json!([{"where": "baked-in"}]);
            },
        ),
        ("unknown", "skip", &["proxy-unknown"], |workload| {
            workload["proxies"] = json!([{"source": "none", "native": false, "count": 2}]);
        }),
        ("unknown but injected so", "leave", &[], |workload| {
            workload["proxies"] = json!([{"source": "none", "tag": "stable-2.13.7",
                 "native": false, "count": 2}]);
        }),
    ];
    for (name, action, why, bend) in table {
        let world = World::at("stable-2.13.7").with(|world| bend(&mut world.workloads[0]));
        let judged = judge(&["--ask", "roll"], &world.survey());
        let skew = &judged.of_type("workload")[0]["skew"];
        assert_eq!(
            (&skew["action"], &skew["why"]),
            (&json!(action), &json!(why)),
            "{name}"
        );
    }
}

#[test]
fn why_selects_every_workload_that_a_finding_concerns_and_no_other() {
    let world = World::at("stable-2.13.7").with(|world| {
        let bend: [fn(&mut Value); 9] = [
            |_| {},
            |it| it["proxies"][0]["version"] = json!("stable-2.11.5"),
            |it| it["proxies"][0]["version"] = json!("stable-2.12.6"),
            |it| it["proxies"][0]["version"] = json!("stable-2.14.10"),
            |it| it["proxies"] = json!([]),
            |it| it["trust_anchors"] = json!("stale"),
            |it| it["trust_anchors"] = json!("unknown"),
            |it| {
                it["pods"] = json!({"total": 3, "ready": 1, "meshed": 2});
                it["downtime"] = json!({"grade": "outage"});
            },
            |it| {
                it["kind"] = json!("Job");
                it["proxies"][0]["version"] = json!("edge-23.1.1");
                it["roll"] = json!({"by": "itself", "reason": "job"});
                it["pins"] = json!([{"where": "namespace", "version": "edge-23.1.1"}]);
            },
        ];
        let names = (0..30).map(|number| format!("w{number}"));
        world.workloads = names
            .map(|name| super::world::workload(&name, "stable-2.13.7"))
            .collect();
        for (number, one) in world.workloads.iter_mut().enumerate() {
            bend[number % bend.len()](one);
        }
    });
    let to = ["--to", "stable-2.14.10"];
    let done = ["--ask", "done", "--to", "stable-2.14.10"];
    let questions: [&[&str]; 4] = [&to, &[], &["--ask", "roll"], &done];
    for question in questions {
        let judged = judge(question, &world.survey());
        let mut told: BTreeMap<&str, u64> = BTreeMap::new();
        let mut named: BTreeSet<(&str, &str)> = BTreeSet::new();
        for finding in judged.of_type("finding") {
            let id = finding["id"].as_str().unwrap();
            for workload in finding["workloads"].as_array().into_iter().flatten() {
                *told.entry(id).or_default() += 0;
                named.insert((id, workload["name"].as_str().unwrap()));
            }
            if let Some(count) = told.get_mut(id) {
                *count += finding["count"].as_u64().unwrap();
            }
        }
        assert!(told.len() > 4, "{question:?}: {told:?}");
        let workloads = judged.of_type("workload");
        let why = |workload: &Value| workload["skew"]["why"].as_array().unwrap().clone();
        for (id, count) in &told {
            let selected = workloads
                .iter()
                .filter(|workload| why(workload).contains(&json!(id)));
            assert_eq!(selected.count() as u64, *count, "{question:?}: {id}");
        }
        for (id, name) in named {
            let it = workloads.iter().find(|it| it["name"] == name).unwrap();
            assert!(why(it).contains(&json!(id)), "{question:?}: {name}: {id}");
        }
        for workload in workloads {
            for word in why(workload) {
                let is_rule = Rule::named(word.as_str().unwrap()).is_some();
                assert!(
                    !is_rule || told.contains_key(word.as_str().unwrap()),
                    "{word}"
                );
            }
        }
    }
}

#[test]
fn without_injects_every_workload_is_skipped_as_injects_unknown() {
    let world = World::at("stable-2.13.7").with(|world| {
        world.plane.as_object_mut().unwrap().remove("injects");
        world.workloads[0]["trust_anchors"] = json!("stale");
    });
    let judged = judge(&["--ask", "roll"], &world.survey());
    for workload in judged.of_type("workload") {
        let why = workload["skew"]["why"].as_array().unwrap();
        assert_eq!(why.last(), Some(&json!("injects-unknown")));
    }
    assert_eq!(judged.exit, Ok(mesh_cli::Exit::No));
}

#[test]
fn the_skew_is_that_of_the_worst_proxy() {
    for (versions, state, minors) in [
        (&["stable-2.13.7"][..], "same", Value::Null),
        (&["stable-2.13.7", "stable-2.13.6"], "behind", json!(0)),
        (&["stable-2.12.6", "stable-2.13.6"], "behind", json!(1)),
        (&["stable-2.12.6", "dev-x"], "unknown", Value::Null),
        (&["dev-x", "stable-2.14.10"], "ahead", json!(1)),
        (
            &["stable-2.14.10", "stable-2.11.5", "dev-x"],
            "behind",
            json!(2),
        ),
    ] {
        let proxies: Vec<Value> = versions
            .iter()
            .map(
                |version| json!({"version": version, "source": "image", "native": true, "count": 1}),
            )
            .collect();
        let world = World::at("stable-2.13.7").with(|world| {
            let pods = versions.len();
            world.workloads[0]["pods"] = json!({"total": pods, "ready": pods, "meshed": pods});
            world.workloads[0]["proxies"] = json!(proxies);
        });
        let judged = judge(&[], &world.survey());
        let skew = &judged.of_type("workload")[0]["skew"];
        assert_eq!(
            (&skew["state"], &skew["minors"]),
            (&json!(state), &minors),
            "{versions:?}"
        );
    }
}
