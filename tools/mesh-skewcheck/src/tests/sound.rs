//! Tests that no combination of options, notes and streams makes a yes of a no, or a no of which
//! nothing makes a yes.

use std::io::Write as _;

use mesh_cli::Exit;
use serde_json::json;

use super::world::{Judged, World, judge, lines, workload};

fn grades(judged: &Judged, id: &str) -> (String, bool) {
    let blocking = judged.verdict()["blocking"].as_array().unwrap();
    (judged.grade(id), blocking.contains(&json!(id)))
}

#[test]
fn a_note_blocks_the_hop_whose_release_brings_its_change() {
    let note = "note:2.15-2.16/shutdown-endpoint";
    for (from, to, expected) in [
        ("stable-2.14.10", "edge-24.6.1", ("-", false)),
        ("stable-2.14.10", "edge-24.6.2", ("E", true)),
        ("edge-24.2.4", "edge-24.6.2", ("E", true)),
        ("edge-24.2.4", "edge-24.8.2", ("E", true)),
        ("edge-24.6.2", "edge-24.8.2", ("-", false)),
        ("enterprise-2.14.10", "enterprise-2.15.7", ("-", false)),
        // Two hops: it comes with the second, and the first is what is asked about next.
        ("stable-2.14.10", "edge-24.8.2", ("W", false)),
    ] {
        let world = World::at(from).with(|world| {
            world.plane["facts"] = json!({"gateway_api_crds": [], "pods": {"listed": 4},
                "shutdown_endpoint_users": {"count": 1, "workloads": ["shop/Job/report"]}});
        });
        let judged = judge(&["--to", to], &world.survey());
        let (grade, blocks) = grades(&judged, note);
        assert_eq!((grade.as_str(), blocks), expected, "{from} {to}");
        let hops = judged.of_type("plan")[0]["hops"].as_array().unwrap();
        let on_path = hops.iter().filter_map(|hop| hop["notes"].as_array());
        let shown = on_path.flatten().filter(|id| *id == note).count();
        assert_eq!(shown, usize::from(expected.0 != "-"), "{from} {to}");
    }
}

#[test]
fn a_value_of_another_type_than_the_charts_is_not_compared() {
    for (note, fact, value, expected) in [
        (
            "wait-before-exit",
            "wait_before_exit_seconds",
            json!(0),
            "-",
        ),
        (
            "wait-before-exit",
            "wait_before_exit_seconds",
            json!(5),
            "W",
        ),
        (
            "wait-before-exit",
            "wait_before_exit_seconds",
            json!("5"),
            "W",
        ),
        (
            "wait-before-exit",
            "wait_before_exit_seconds",
            json!("5s"),
            "I?",
        ),
        ("native-sidecars", "native_sidecar", json!(true), "-"),
        ("native-sidecars", "native_sidecar", json!(false), "W"),
        ("native-sidecars", "native_sidecar", json!("true"), "I?"),
        ("native-sidecars", "native_sidecar", json!(1), "I?"),
    ] {
        let world = World::at("edge-25.10.7").with(|world| {
            world.plane["kubernetes"] = json!("v1.33.1");
            world.plane["facts"]["pods"] = json!({"listed": 4});
            world.plane["facts"][fact] = value.clone();
        });
        let judged = judge(&["--to", "edge-26.6.3"], &world.survey());
        let grade = judged.grade(&format!("note:2.19-2.20/{note}"));
        assert_eq!(grade, expected, "{note} {value}");
    }
}

#[test]
fn whatever_blocks_under_fail_on_is_named_once_and_has_a_way_out() {
    let world = World::at("edge-24.11.8").with(|world| {
        world.plane["facts"]["pods"] = json!({"listed": 4});
    });
    let mut args = ["--to", "edge-25.4.4", "--fail-on", "info"]
        .map(str::to_owned)
        .to_vec();
    let mut opened = 0;
    loop {
        let words: Vec<&str> = args.iter().map(String::as_str).collect();
        let judged = judge(&words, &world.survey());
        let blocking = judged.verdict()["blocking"].as_array().unwrap();
        let mut ids = blocking.iter().filter_map(|id| id.as_str());
        let Some(id) = ids.find(|id| id.starts_with("note:")) else {
            break;
        };
        let findings = judged.of_type("finding");
        let finding = findings.iter().find(|it| it["id"] == id).unwrap();
        let hint = finding["hint"].as_str().unwrap_or_default();
        let ack = hint.split_once("--ack ").map(|(_, ack)| ack);
        args.extend(["--ack".to_owned(), ack.expect(id).to_owned()]);
        opened += 1;
    }
    assert!(opened > 1, "{args:?}");

    let mixed = World::at("stable-2.14.10").with(|world| {
        let mut ends = workload("report", "stable-2.12.6");
        ends["kind"] = json!("Job");
        ends["roll"] = json!({"by": "itself"});
        world.workloads = vec![workload("web", "stable-2.12.6"), ends];
    });
    let asked = ["--ask", "done", "--to", "stable-2.14.10", "--fail-on"];
    let judged = judge(&[&asked[..], &["warning"]].concat(), &mixed.survey());
    assert_eq!(judged.verdict()["blocking"], json!(["proxy-too-old"]));
}

#[test]
fn a_command_has_the_options_that_its_answer_rests_on() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let waiver = json!({"id": "proxy-too-old", "reason": "r", "who": "w", "expires": "2027-01-01"});
    writeln!(file, "{waiver}").unwrap();
    let path = file.path().to_str().unwrap();
    let world = World::at("stable-2.13.7").with(|world| {
        world.plane["certificates"][1]["readable"] = json!(false);
        world.workloads.push(workload("old", "stable-2.11.5"));
    });
    let ack = "--ack certificate-unreadable";
    let waivers = format!("--waivers {path}");
    for (args, next, has, lacks) in [
        ("--ask roll", "mesh-roll", vec![ack, &waivers], vec![]),
        (
            "--to stable-2.14.10 --max-behind 1 --jobs ignore",
            "mesh-cp-upgrade",
            vec![ack, &waivers, "--jobs ignore"],
            vec![],
        ),
        (
            "--max-behind 0 --fail-on warning",
            "--ask roll",
            vec![ack, &waivers],
            vec!["--max-behind", "--fail-on"],
        ),
    ] {
        let words: Vec<&str> = args.split(' ').collect();
        let accepted = ["--ack", "certificate-unreadable", "--waivers", path];
        let judged = judge(&[&words, &accepted[..]].concat(), &world.survey());
        let said = judged.verdict()["next"].as_str().unwrap_or_default();
        assert!(said.contains(next), "{args}: {}", judged.text);
        for word in has {
            assert!(said.contains(word), "{args}: {word} is not in {said}");
        }
        for word in lacks {
            assert!(!said.contains(word), "{args}: {word} is in {said}");
        }
    }
}

#[test]
fn an_acknowledged_note_is_for_no_other_question() {
    let world = World::at("stable-2.14.10").with(|world| {
        world.plane["facts"]["pods"] = json!({"listed": 4});
        world.plane["installed_by"] = json!("gitops");
    });
    let ask = |ack: &[&str]| judge(&[&["--to", "edge-24.2.4"], ack].concat(), &world.survey());
    let args = ["--fail-on", "warning"];
    let judged = ask(&args);
    let findings = judged.of_type("finding");
    let hints = findings.iter().filter_map(|it| it["hint"].as_str());
    let acks = hints.filter_map(|hint| hint.split_once("--ack "));
    let acks: Vec<&str> = acks.map(|(_, ack)| ack).collect();
    let next = ask(&["--ack", &acks.join(",")]);
    let next = next.verdict()["next"].as_str().unwrap();
    assert!(!acks.is_empty() && next.contains("--ask done"), "{next}");
    assert!(!next.contains("note:"), "{next}");
}

#[test]
fn a_second_control_plane_of_a_namespace_takes_nothing_away_from_the_first() {
    let old = World::at("stable-2.13.7").with(|world| {
        world.stream.as_object_mut().unwrap().remove("cluster_uid");
        world.workloads = vec![workload("old", "stable-2.11.5")];
    });
    assert_eq!(judge(&[], &old.survey()).exit, Ok(Exit::No));
    let mut again = old.plane.clone();
    again["cluster"] = json!("us");
    let records = [&old.plane, &old.workloads[0], &again];
    let judged = judge(&[], &lines(&old.stream, &records, &old.end));
    let error = judged.exit.unwrap_err();
    assert!(error.starts_with("line 4: "), "{error}");
    assert!(
        error.contains("second survey of the control plane"),
        "{error}"
    );
}

#[test]
fn a_preview_that_brings_what_its_date_says_endangers_the_gateway_api_too() {
    let world = World::at("preview-25.4.4").with(|world| {
        world.plane["facts"]["gateway_api_crds"] = json!([{
            "name": "httproutes.gateway.networking.k8s.io", "release": "linkerd-crds"}]);
    });
    for (to, expected) in [("preview-25.9.3", "-"), ("preview-25.9.4", "E")] {
        let judged = judge(&["--to", to], &world.survey());
        assert_eq!(judged.grade("gateway-api-unprotected"), expected, "{to}");
    }
}
