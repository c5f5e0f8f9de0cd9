//! Tests what makes an answer milder or stricter: waivers, `--ack`, and the thresholds.

use std::io::Write as _;

use mesh_cli::Exit;
use serde_json::{Value, json};

use super::world::{Judged, World, judge, workload};

const TO: &[&str] = &["--to", "stable-2.14.10"];

/// Judges a cluster with a file of these waivers.
fn with(waivers: &[Value], args: &[&str], survey: &str) -> Judged {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for waiver in waivers {
        writeln!(file, "{waiver}").unwrap();
    }
    let path = file.path().to_str().unwrap();
    judge(&[args, &["--waivers", path]].concat(), survey)
}

fn waiver(id: &str, workloads: Option<&str>, expires: &str) -> Value {
    let mut waiver =
        json!({"id": id, "reason": "moves in autumn", "who": "ana", "expires": expires});
    if let Some(workloads) = workloads {
        waiver["workloads"] = json!(workloads);
    }
    waiver
}

fn too_old() -> World {
    World::at("stable-2.13.7").with(|world| {
        let old = ["legacy-a", "legacy-b", "shop"];
        world
            .workloads
            .extend(old.map(|name| workload(name, "stable-2.11.5")));
    })
}

#[test]
fn a_waiver_covers_the_workloads_that_it_names_until_it_expires() {
    let all = waiver("proxy-too-old", Some("shop/*"), "2026-09-01");
    let some = waiver("proxy-too-old", Some("shop/legacy-*"), "2026-09-01");
    let other = waiver("proxy-too-old", Some("bank/*"), "2026-09-01");
    let last = waiver("proxy-too-old", Some("shop/*"), "2026-08-01T12:00:01Z");
    let over = waiver("proxy-too-old", Some("shop/*"), "2026-08-01T12:00:00Z");
    for (name, waivers, exit) in [
        ("none", vec![], Exit::No),
        ("all", vec![all], Exit::Yes),
        ("some", vec![some.clone()], Exit::No),
        ("others", vec![other], Exit::No),
        ("one second is left", vec![last], Exit::Yes),
        ("expired", vec![over.clone()], Exit::No),
        ("some and an expired one", vec![some, over], Exit::No),
    ] {
        let judged = with(&waivers, TO, &too_old().survey());
        assert_eq!(judged.exit, Ok(exit), "{name}: {}", judged.text);
        let waived = judged.verdict().get("waived").is_some();
        assert_eq!(
            waived,
            [
                "all",
                "some",
                "one second is left",
                "some and an expired one"
            ]
            .contains(&name),
            "{name}"
        );
    }
}

#[test]
fn what_is_waived_stands_apart_with_its_reason_and_is_echoed_in_the_verdict() {
    let waivers = [waiver("proxy-too-old", Some("shop/legacy-*"), "2026-09-01")];
    let judged = with(&waivers, TO, &too_old().survey());
    let findings = judged.of_type("finding");
    let findings: Vec<_> = findings
        .iter()
        .filter(|it| it["id"] == "proxy-too-old")
        .collect();
    let names = |finding: &Value| {
        let all = finding["workloads"].as_array().unwrap();
        all.iter()
            .map(|it| it["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(findings[0]), ["shop"]);
    assert_eq!(findings[0].get("waived"), None);
    assert_eq!(names(findings[1]), ["legacy-a", "legacy-b"]);
    let said = "moves in autumn (ana, until 2026-09-01T00:00:00Z)";
    assert_eq!(findings[1]["waived"], said);
    let verdict = judged.verdict();
    assert_eq!(verdict["blocking"], json!(["proxy-too-old"]));
    assert_eq!(verdict["waived"], json!(["proxy-too-old"]));
    let echoed = format!("proxy-too-old of shop/legacy-*: {said}");
    assert_eq!(verdict["thresholds"], json!({"waivers": echoed}));
    for workload in judged.of_type("workload").iter().skip(2) {
        let why = workload["skew"]["why"].as_array().unwrap();
        assert!(why.contains(&json!("proxy-too-old")), "{workload}");
    }
}

#[test]
fn a_waiver_of_the_control_plane_is_for_its_cluster() {
    let world = World::at("stable-2.13.7").with(|world| {
        world.plane["certificates"][1]["not_after"] = json!("2026-08-10T00:00:00Z");
    });
    let plain = waiver("certificate-expiring", None, "2026-09-01");
    let mut here = plain.clone();
    here["cluster"] = json!("uid-eu");
    let mut there = plain.clone();
    there["cluster"] = json!("us");
    let of_workloads = waiver("certificate-expiring", Some("*/*"), "2026-09-01");
    for (waiver, exit) in [
        (plain, Exit::Yes),
        (here, Exit::Yes),
        (there, Exit::No),
        (of_workloads, Exit::No),
    ] {
        let judged = with(std::slice::from_ref(&waiver), TO, &world.survey());
        assert_eq!(judged.exit, Ok(exit), "{waiver}");
    }
}

#[test]
fn waivers_that_expired_or_found_nothing_are_said_in_one_line_each() {
    let waivers = [
        waiver("proxy-too-old", Some("shop/legacy-*"), "2026-07-01"),
        waiver("proxy-unknown", None, "2026-07-02"),
        waiver("proxy-ahead", None, "2026-09-01"),
        waiver("proxy-too-old", Some("shop/sh*"), "2026-09-01"),
        waiver("mixed-channels", Some("bank/*"), "2026-09-01"),
    ];
    let judged = with(&waivers, TO, &too_old().survey());
    let said = |id: &str| {
        let findings = judged.of_type("finding");
        let mut findings = findings.iter().filter(|it| it["id"] == id);
        let finding = findings.next().expect(id);
        assert!(findings.next().is_none(), "{id}");
        (
            finding["severity"].clone(),
            finding["message"].as_str().unwrap().to_owned(),
        )
    };
    let expired = "waivers that have expired count as absent: line 1 (proxy-too-old of shop/legacy-*) \
                   at 2026-07-01T00:00:00Z, line 2 (proxy-unknown) at 2026-07-02T00:00:00Z";
    assert_eq!(
        said("waiver-expired"),
        (json!("warning"), expired.to_owned())
    );
    let unused = "waivers without effect: line 3 (proxy-ahead), line 5 (mixed-channels of bank/*)";
    assert_eq!(said("waiver-unused"), (json!("warning"), unused.to_owned()));
}

#[test]
fn without_a_time_no_waiver_counts() {
    let world = too_old().with(|world| drop(world.stream.as_object_mut().unwrap().remove("time")));
    let judged = with(
        &[waiver("proxy-too-old", None, "2099-01-01")],
        &[],
        &world.survey(),
    );
    assert_eq!(judged.exit, Ok(Exit::No));
    assert_eq!(judged.grade("waiver-expired"), "W");
}

#[test]
fn a_waivers_file_that_cannot_be_used_is_refused_with_its_line() {
    let refused = with(
        &[waiver("downgrade", None, "2026-09-01")],
        TO,
        &too_old().survey(),
    );
    let error = refused.exit.unwrap_err();
    assert!(
        error.contains("line 1: `downgrade` is mandatory"),
        "{error}"
    );
    let error = judge(&["--waivers", "no/such/file"], "").exit.unwrap_err();
    assert!(
        error.contains("cannot use the waivers file `no/such/file`"),
        "{error}"
    );
}

#[test]
fn an_unreadable_certificate_is_accepted_by_ack() {
    let world = World::at("stable-2.13.7").with(|world| {
        world.plane["certificates"][1] = json!({"role": "issuer", "readable": false});
    });
    let args = ["--to", "stable-2.14.10", "--ack", "certificate-unreadable"];
    assert_eq!(judge(TO, &world.survey()).exit, Ok(Exit::No));
    let judged = judge(&args, &world.survey());
    assert_eq!(judged.exit, Ok(Exit::Yes));
    assert_eq!(
        judged.verdict()["waived"],
        json!(["certificate-unreadable"])
    );
}

#[test]
fn fail_on_makes_milder_findings_block() {
    let world = World::at("stable-2.13.7").with(|world| {
        world.plane["kubernetes"] = json!("v1.29.0");
    });
    for (severity, exit, blocking) in [
        ("error", Exit::Yes, json!([])),
        ("warning", Exit::No, json!(["kubernetes-untested"])),
        (
            "info",
            Exit::No,
            json!(["kubernetes-untested", "proxy-behind"]),
        ),
    ] {
        let judged = judge(&[TO, &["--fail-on", severity]].concat(), &world.survey());
        assert_eq!(judged.exit, Ok(exit), "{severity}");
        assert_eq!(judged.verdict()["blocking"], blocking, "{severity}");
        let echoed = judged.verdict().get("thresholds").map(|it| &it["fail_on"]);
        let expected = json!(severity);
        assert_eq!(echoed, (severity != "error").then_some(&expected));
    }
    let waived = [waiver("kubernetes-untested", None, "2026-09-01")];
    let judged = with(
        &waived,
        &[TO, &["--fail-on", "warning"]].concat(),
        &world.survey(),
    );
    assert_eq!(judged.exit, Ok(Exit::Yes), "{}", judged.text);
    let idle = [waiver("proxy-ahead", None, "2026-09-01")];
    let judged = with(
        &idle,
        &["--fail-on", "warning"],
        &World::at("stable-2.13.7").survey(),
    );
    assert_eq!(judged.exit, Ok(Exit::No), "an unused waiver is a warning");
    assert_eq!(judged.verdict().get("next"), None);
}

#[test]
fn max_behind_can_only_tighten() {
    let survey = World::at("stable-2.13.7").survey();
    let none = judge(&[TO, &["--max-behind", "0"]].concat(), &survey);
    assert_eq!(none.exit, Ok(Exit::No));
    assert_eq!(none.verdict()["blocking"], json!(["proxy-too-old"]));
    assert_eq!(none.verdict()["thresholds"], json!({"max_behind": "0"}));
    let message = none.of_type("finding")[0]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.contains("of an older minor version than stable-2.14.10"),
        "{message}"
    );
    let one = judge(&[TO, &["--max-behind", "1"]].concat(), &survey);
    assert_eq!(one.exit, Ok(Exit::Yes));
    assert_eq!(judge(&["--max-behind", "0"], &survey).exit, Ok(Exit::Yes));
    use clap::Parser as _;
    let parse = |n: &str| crate::args::Args::try_parse_from(["x", "--max-behind", n]).is_ok();
    assert!(parse("0") && parse("1") && !parse("2"));
}

#[test]
fn a_certificate_within_the_horizon_blocks() {
    let survey = World::at("stable-2.13.7").survey();
    for (horizon, grade) in [("100h", "-"), ("3600h", "-"), ("3700h", "E")] {
        let judged = judge(&[TO, &["--cert-horizon", horizon]].concat(), &survey);
        assert_eq!(
            judged.grade("certificate-expiring"),
            grade,
            "{horizon}: {}",
            judged.text
        );
        assert!(judged.verdict()["thresholds"].get("cert_horizon").is_some());
    }
}

#[test]
fn same_version_says_which_control_plane_runs_what() {
    let eu = World::at("stable-2.14.10");
    let us = World::at("stable-2.13.7").survey().replace("eu", "us");
    let both = format!("{}{us}", eu.survey());
    assert_eq!(judge(&[], &both).exit, Ok(Exit::Yes));
    let judged = judge(&["--same-version"], &both);
    assert_eq!(judged.exit, Ok(Exit::No));
    for verdict in judged.of_type("verdict") {
        assert_eq!(verdict["blocking"], json!(["fleet-mixed"]));
        assert_eq!(verdict["pass"], false);
    }
    let message = judged.of_type("finding")[0]["message"].as_str().unwrap();
    assert!(
        message.contains("eu/linkerd runs stable-2.14.10, us/linkerd runs stable-2.13.7"),
        "{message}"
    );
    let alike = format!("{}{}", eu.survey(), eu.survey().replace("eu", "us"));
    assert_eq!(judge(&["--same-version"], &alike).exit, Ok(Exit::Yes));
}
