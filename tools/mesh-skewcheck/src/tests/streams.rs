//! Tests the output: other bytes are unchanged, the order of workloads does not matter, one verdict
//! per control plane.

use mesh_cli::Exit;
use serde_json::{Value, json};

use super::world::{World, judge, lines, workload};

const VERSIONS: [&str; 8] = [
    "stable-2.13.7",
    "stable-2.13.6",
    "stable-2.12.6",
    "stable-2.11.5",
    "stable-2.14.10",
    "edge-25.6.1",
    "dev-undefined",
    "enterprise-2.13.1",
];

/// Makes workloads with every fault, many more than a finding names.
fn many() -> Vec<Value> {
    (0..90_usize)
        .map(|index| {
            let mut one = workload(&format!("w{index:02}"), VERSIONS[index % VERSIONS.len()]);
            one["namespace"] = json!(["shop", "bank", "blog"][index % 3]);
            one["trust_anchors"] = json!(["current", "stale", "unknown"][index % 3]);
            one["pods"]["ready"] = json!(index % 3);
            let meshed = if index % 7 == 0 { 1 } else { 2 };
            one["pods"]["meshed"] = json!(meshed);
            one["proxies"][0]["count"] = json!(meshed);
            one["kind"] = json!(["Deployment", "Job", "Pod", "StatefulSet"][index % 4]);
            one
        })
        .collect()
}

fn conclusions(text: &str) -> Vec<&str> {
    let start = text.find("{\"type\":\"finding\"").unwrap();
    text[start..].lines().collect()
}

#[test]
fn the_order_of_workloads_changes_no_finding_and_no_verdict() {
    for args in [&[][..], &["--to", "stable-2.14.10"], &["--ask", "roll"]] {
        let mut world = World::at("stable-2.13.7").with(|world| world.workloads = many());
        let expected = judge(args, &world.survey()).text;
        let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
        for _ in 0..20 {
            for index in (1..world.workloads.len()).rev() {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                let other = usize::try_from(seed >> 33).unwrap() % (index + 1);
                world.workloads.swap(index, other);
            }
            let shuffled = judge(args, &world.survey()).text;
            assert_eq!(conclusions(&shuffled), conclusions(&expected));
        }
    }
}

#[test]
fn a_workload_before_its_control_plane_is_judged_alike_and_nothing_is_lost() {
    let world = World::at("stable-2.13.7").with(|world| world.workloads = many());
    let mut records: Vec<&Value> = world.workloads.iter().collect();
    records.insert(50, &world.plane);
    let early = judge(&[], &lines(&world.stream, &records, &world.end));
    let usual = judge(&[], &world.survey());
    assert_eq!(conclusions(&early.text), conclusions(&usual.text));
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&early.text), sorted(&usual.text));
}

#[test]
fn a_finding_names_at_most_twenty_workloads_and_counts_them_all() {
    let world = World::at("stable-2.13.7").with(|world| {
        world.workloads = (0..50)
            .rev()
            .map(|n| workload(&format!("w{n:02}"), "dev-x"))
            .collect();
    });
    let judged = judge(&[], &world.survey());
    let finding = &judged.of_type("finding")[0];
    let workloads = finding["workloads"].as_array().unwrap();
    assert_eq!((finding["count"].as_u64(), workloads.len()), (Some(50), 20));
    assert_eq!(
        (&workloads[0]["name"], &workloads[19]["name"]),
        (&json!("w00"), &json!("w19"))
    );
}

#[test]
fn a_workload_with_two_versions_of_one_fault_counts_once() {
    let world = World::at("stable-2.13.7").with(|world| {
        world.workloads[0]["proxies"] = json!([
            {"version": "stable-2.11.5", "source": "image", "native": false, "count": 1},
            {"version": "stable-2.11.4", "source": "image", "native": false, "count": 1},
        ]);
    });
    let judged = judge(&[], &world.survey());
    let finding = judged.of_type("finding")[0];
    assert_eq!(
        (&finding["id"], &finding["count"]),
        (&json!("proxy-too-old"), &json!(1))
    );
    let message = finding["message"].as_str().unwrap();
    assert!(
        message.contains("(stable-2.11.4, stable-2.11.5)"),
        "{message}"
    );
}

#[test]
fn every_line_is_passed_unchanged_except_for_the_added_skew() {
    let odd = "{ \"b\":1.0e2, \"type\":\"\\u006eote\",\"s\":\"\\u00e4\\/\" }\n";
    let survey = World::at("stable-2.13.7").survey();
    let input: String = survey
        .split_inclusive('\n')
        .flat_map(|line| [odd, line])
        .collect();
    let judged = judge(&[], &input);
    let inner = judged.text.lines().skip(1).take(input.lines().count());
    for (passed, line) in inner.zip(input.lines()) {
        let unspliced = passed.split(",\"skew\":").next().unwrap();
        assert!(
            passed == line || format!("{unspliced}}}") == line,
            "{passed}"
        );
    }
}

#[test]
fn totals_match_the_records_and_the_same_input_gives_the_same_output() {
    let input = World::at("stable-2.12.6").survey();
    let judged = judge(&["--to", "stable-2.14.10"], &input);
    assert_eq!(judge(&["--to", "stable-2.14.10"], &input).text, judged.text);
    let end = judged.records.last().unwrap();
    for kind in ["finding", "plan", "verdict"] {
        assert_eq!(
            end["totals"][kind],
            json!(judged.of_type(kind).len()),
            "{kind}"
        );
    }
    assert_eq!(
        (&end["outcome"], &end["exit"]),
        (&json!("complete"), &json!(1))
    );
    let mut reader =
        mesh_records::Reader::new(judged.text.as_bytes(), mesh_records::Expect::Judged);
    while reader.next_item().unwrap().is_some() {}
}

#[test]
fn the_verdict_has_its_from_thresholds_and_releases_sha256() {
    let judged = judge(&["--to", "2.14"], &World::at("stable-2.13.7").survey());
    let mut verdict = judged.verdict().clone();
    let digest = verdict
        .as_object_mut()
        .unwrap()
        .remove("releases_sha256")
        .unwrap();
    assert_eq!(digest.as_str().unwrap().len(), 64);
    let expected = json!({
        "type": "verdict", "cluster": "eu", "cluster_uid": "uid-eu", "control_plane": "linkerd",
        "ask": "upgrade", "pass": true,
        "from": {"version": "stable-2.13.7", "config_resource_version": "77"},
        "target": "stable-2.14.10",
        "next": "mesh-survey | mesh-skewcheck --to stable-2.14.10 | mesh-cp-upgrade -f VALUES.yaml",
        "scope": "full", "source": "server", "surveyed": "2026-08-01T12:00:00Z",
        "blocking": [],
        "counts": {"workloads": 2, "pods": 4, "meshed": 4, "same": 0, "behind": 2, "ahead": 0,
            "unknown": 0, "roll": 0, "leave": 2, "skip": 0},
    });
    assert_eq!(verdict, expected);
}

#[test]
fn each_control_plane_has_a_verdict_and_one_failing_verdict_is_exit_1() {
    let mut world = World::at("stable-2.13.7");
    let mut canary = world.plane.clone();
    canary["namespace"] = json!("canary");
    canary["version"] = json!("stable-2.14.10");
    world.others.push(canary);
    let mut web = workload("web", "stable-2.12.6");
    web["control_plane"] = json!("canary");
    world.workloads.push(web);
    let judged = judge(&[], &world.survey());
    let answers: Vec<_> = judged
        .of_type("verdict")
        .iter()
        .map(|verdict| (verdict["control_plane"].clone(), verdict["pass"].clone()))
        .collect();
    assert_eq!(
        answers,
        [
            (json!("canary"), json!(false)),
            (json!("linkerd"), json!(true))
        ]
    );
    assert_eq!(judged.exit, Ok(Exit::No));
}

#[test]
fn the_verdict_names_the_next_command() {
    let behind = |at: &str, proxy: &str| {
        World::at(at)
            .with(|world| world.workloads = vec![workload("web", proxy)])
            .survey()
    };
    for (args, input, next) in [
        (
            &[][..],
            behind("stable-2.13.7", "stable-2.13.7"),
            Value::Null,
        ),
        (
            &[],
            behind("stable-2.13.7", "stable-2.11.5"),
            json!("mesh-survey | mesh-skewcheck --ask roll | mesh-roll"),
        ),
        (
            &["--ask", "roll"],
            behind("stable-2.13.7", "stable-2.12.6"),
            json!("mesh-survey | mesh-skewcheck --ask roll | mesh-roll"),
        ),
        (
            &["--ask", "done", "--to", "stable-2.14.10"],
            behind("stable-2.13.7", "stable-2.13.7"),
            json!(
                "mesh-survey | mesh-skewcheck --to stable-2.14.10 | mesh-cp-upgrade -f VALUES.yaml"
            ),
        ),
        (
            &["--ask", "done", "--to", "stable-2.13.7"],
            behind("stable-2.14.10", "stable-2.14.10"),
            Value::Null,
        ),
        (
            &["--to", "stable-2.14.10"],
            behind("stable-2.14.10", "stable-2.14.10"),
            json!("mesh-survey | mesh-skewcheck --ask done --to stable-2.14.10"),
        ),
    ] {
        assert_eq!(judge(args, &input).verdict()["next"], next, "{args:?}");
    }
}

#[test]
fn commands_reach_the_surveyed_cluster() {
    let judged = World::at("stable-2.13.7").with(|world| {
        world.stream["flags"] =
            json!({"kubeconfig": "/k", "context": "eu west", "cluster_name": "eu"});
        let mut few = workload("db", "stable-2.13.7");
        few["pods"]["wanted"] = json!(3);
        world.workloads = vec![workload("web", "stable-2.11.5"), few];
    });
    let judged = judge(&[], &judged.survey());
    let at = "--kubeconfig /k --context 'eu west'";
    let mesh = format!("{at} --cluster-name eu");
    let roll = format!("mesh-survey {mesh} | mesh-skewcheck --ask roll | mesh-roll {mesh}");
    assert_eq!(judged.verdict()["next"], roll);
    let hint = |id: &str| {
        let findings = judged.of_type("finding");
        let finding = findings.iter().find(|finding| finding["id"] == id);
        finding.unwrap()["hint"].as_str().unwrap().to_owned()
    };
    assert_eq!(hint("proxy-too-old"), roll);
    let describe = format!("kubectl {at} -n shop describe Deployment/db");
    assert!(
        hint("pods-missing").contains(&describe),
        "{}",
        hint("pods-missing")
    );
}
