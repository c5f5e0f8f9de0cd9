//! Tests the path to the target, its commands, the page of the notes, and the next command.

use std::fmt::Write as _;

use mesh_cli::{Exit, Stop};
use mesh_versions::{Move, Releases, Version};
use serde_json::{Value, json};

use super::world::{World, judge, page, workload};

fn extension(world: &mut World, name: &str, namespace: &str) {
    let version = world.plane["version"].clone();
    world
        .others
        .push(json!({"type": "extension", "cluster": "eu", "name": name,
        "namespace": namespace, "version": version}));
}

/// The steps of the plan, one a line.
fn steps(world: &World, to: &str) -> Vec<String> {
    let judged = judge(&["--to", to], &world.survey());
    let Some(plan) = judged.of_type("plan").first().copied().cloned() else {
        return Vec::new();
    };
    let text = |hop: &Value, field: &str| hop[field].as_str().unwrap().to_owned();
    let hops = plan["hops"].as_array().unwrap().iter();
    hops.map(|hop| {
        let (from, to) = (text(hop, "from"), text(hop, "to"));
        format!("{from}>{to} {} {}", text(hop, "kind"), text(hop, "release"))
    })
    .collect()
}

/// The commands and the sentences of the steps of one kind.
fn told(world: &World, to: &str, kind: &str) -> Vec<String> {
    let judged = judge(&["--to", to], &world.survey());
    let plan = judged.of_type("plan").first().copied().cloned().unwrap();
    let hops = plan["hops"].as_array().unwrap().iter();
    let of_kind = hops.filter(|hop| hop["kind"] == kind);
    of_kind
        .flat_map(|hop| {
            let commands = hop["commands"].as_array().into_iter().flatten().cloned();
            commands.chain(hop.get("message").cloned())
        })
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_plan_goes_one_minor_version_at_a_time_with_all_its_steps() {
    let world = World::at("stable-2.13.7").with(|world| {
        world.plane["kubernetes"] = json!("v1.21.9");
        extension(world, "viz", "linkerd-viz");
    });
    assert_eq!(
        steps(&world, "edge-24.2.4"),
        [
            "2.13>2.14 crds stable-2.14.10",
            "2.13>2.14 control-plane stable-2.14.10",
            "2.13>2.14 extensions stable-2.14.10",
            "2.13>2.14 roll stable-2.14.10",
            "2.14>2.15 kubernetes 1.22",
            "2.14>2.15 crds edge-24.2.4",
            "2.14>2.15 control-plane edge-24.2.4",
            "2.14>2.15 extensions edge-24.2.4",
            "2.14>2.15 roll edge-24.2.4",
        ]
    );
    let judged = judge(&["--to", "edge-24.2.4"], &world.survey());
    let next = judged.verdict()["next"].as_str().unwrap();
    assert!(next.ends_with("--to stable-2.14.10"), "{next}");
}

#[test]
fn the_plan_leads_from_the_oldest_releases_to_the_latest() {
    let world = World::at("stable-2.11.5").with(|world| {
        world.plane["kubernetes"] = json!("v1.20.4");
    });
    let all = steps(&world, "latest");
    assert_eq!(all, steps(&world, "edge-26.6.3"));
    let of = |kind: &str| -> Vec<&str> {
        let lines = all.iter().map(String::as_str);
        lines.filter(|line| line.contains(kind)).collect()
    };
    assert_eq!(
        of(" kubernetes "),
        [
            "2.11>2.12 kubernetes 1.21",
            "2.14>2.15 kubernetes 1.22",
            "2.17>2.18 kubernetes 1.23",
            "2.19>2.20 kubernetes 1.31",
        ]
    );
    assert_eq!(of(" chart-split "), ["2.11>2.12 chart-split stable-2.12.6"]);
    assert_eq!(
        of(" control-plane "),
        [
            "2.11>2.12 control-plane stable-2.12.6",
            "2.12>2.13 control-plane stable-2.13.7",
            "2.13>2.14 control-plane stable-2.14.10",
            "2.14>2.15 control-plane edge-24.2.4",
            "2.15>2.16 control-plane edge-24.8.2",
            "2.16>2.17 control-plane edge-24.11.8",
            "2.17>2.18 control-plane edge-25.4.4",
            "2.18>2.19 control-plane edge-25.10.7",
            "2.19>2.20 control-plane edge-26.6.3",
        ]
    );
    assert_eq!(of(" roll ").len(), 9);
    let by_cli = world.with(|world| world.plane["installed_by"] = json!("cli"));
    assert!(
        !steps(&by_cli, "latest")
            .iter()
            .any(|it| it.contains("chart-split"))
    );
}

#[test]
fn a_kubernetes_that_suits_no_two_releases_or_a_release_on_the_way_is_said() {
    let file = std::fs::read_to_string("../../shared/versions/data/releases.json").unwrap();
    let apart = file.replacen(
        r#""kubernetes": {"min": "1.21", "tested": "1.28"}"#,
        r#""kubernetes": {"min": "1.21", "tested": "1.21"}"#,
        2,
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("releases.json");
    std::fs::write(&path, apart).unwrap();
    let world = World::at("stable-2.14.10").with(|world| {
        world.plane["kubernetes"] = json!("v1.21.9");
    });
    let args = ["--releases", path.to_str().unwrap(), "--to", "edge-24.2.4"];
    let judged = judge(&args, &world.survey());
    let first = judged.of_type("plan")[0]["hops"][0].clone();
    assert_eq!(first["kind"], "kubernetes");
    let message = first["message"].as_str().unwrap();
    assert!(
        message.starts_with("no Kubernetes version suits both"),
        "{message}"
    );
    // 2.14 was tested up to 1.28, and no Kubernetes goes back.
    let newer = World::at("stable-2.13.7").with(|world| {
        world.plane["kubernetes"] = json!("v1.29.1");
    });
    let said = told(&newer, "edge-24.2.4", "control-plane");
    let on_the_way = "2.14 was tested up to Kubernetes 1.28, the cluster runs v1.29.1";
    assert!(said[1].starts_with(on_the_way), "{said:?}");
    assert_eq!(said.len(), 3, "{said:?}");
}

#[test]
fn extensions_are_upgraded_by_the_tool_that_installed_linkerd() {
    let world = |version: &str, by: &str| {
        World::at(version).with(|world| {
            world.stream["flags"] = json!({"context": "eu"});
            world.plane["installed_by"] = json!(by);
            extension(world, "viz", "linkerd-viz");
            extension(world, "cni", "linkerd-cni");
            extension(world, "jaeger", "tracing");
        })
    };
    let pipe = |words: &str, verb: &str| {
        format!("linkerd {words} --context eu | kubectl --context eu {verb} -f -")
    };
    for (version, to, by, expected) in [
        (
            "stable-2.13.7",
            "stable-2.14.10",
            "cli",
            vec![
                pipe("viz install", "apply"),
                pipe("viz prune", "delete"),
                pipe("install-cni", "apply"),
                pipe("jaeger install", "apply"),
                pipe("jaeger prune", "delete"),
            ],
        ),
        (
            "edge-25.4.4",
            "edge-25.10.7",
            "cli",
            vec![
                pipe("viz install", "apply"),
                pipe("viz prune", "delete"),
                pipe("install-cni", "apply"),
                pipe("jaeger uninstall", "delete"),
            ],
        ),
        (
            "edge-24.11.8",
            "edge-25.4.4",
            "helm",
            [
                ("linkerd-viz linkerd-edge/linkerd-viz", "linkerd-viz"),
                ("linkerd-cni linkerd-edge/linkerd2-cni", "linkerd-cni"),
                ("linkerd-jaeger linkerd-edge/linkerd-jaeger", "tracing"),
            ]
            .map(|(chart, namespace)| {
                format!(
                    "helm upgrade {chart} -n {namespace} --version 2025.4.4 --reset-values -f \
                     EXTENSION-VALUES.yaml --kube-context eu"
                )
            })
            .to_vec(),
        ),
        (
            "stable-2.13.7",
            "stable-2.14.10",
            "gitops",
            vec![
                "bring viz to stable-2.14.10 with the tool that installed it; bring cni to \
                 stable-2.14.10 with the tool that installed it; bring jaeger to stable-2.14.10 \
                 with the tool that installed it"
                    .to_owned(),
            ],
        ),
    ] {
        assert_eq!(
            told(&world(version, by), to, "extensions"),
            expected,
            "{version} {by}"
        );
    }
    let split = told(
        &world("stable-2.11.5", "helm"),
        "stable-2.12.6",
        "extensions",
    );
    assert_eq!(
        split[0],
        "helm uninstall linkerd-viz -n linkerd-viz --kube-context eu"
    );
    assert!(
        split[1].starts_with("helm install linkerd-viz linkerd/linkerd-viz "),
        "{split:?}"
    );
}

#[test]
fn next_is_a_command_that_would_not_be_refused_or_says_what_to_do() {
    let pipeline =
        "mesh-survey --context eu | mesh-skewcheck --to stable-2.14.10 | mesh-cp-upgrade";
    let done = "mesh-survey --context eu | mesh-skewcheck --ask done --to stable-2.14.10";
    for (by, conflicts, begins, ends) in [
        ("cli", json!([]), pipeline, " --context eu"),
        ("helm", json!([]), pipeline, " -f VALUES.yaml --context eu"),
        (
            "helm",
            json!(["a Secret of the CLI"]),
            "mesh-cp-upgrade would refuse",
            done,
        ),
        (
            "gitops",
            json!([]),
            "set the version of the control plane",
            done,
        ),
        (
            "operator",
            json!([]),
            "set spec.components.linkerd.version",
            done,
        ),
        ("unknown", json!([]), "mesh-cp-upgrade would refuse", done),
    ] {
        let world = World::at("stable-2.13.7").with(|world| {
            world.stream["flags"] = json!({"context": "eu"});
            world.plane["installed_by"] = json!(by);
            world.plane["conflicts"] = conflicts;
        });
        let said = told(&world, "stable-2.14.10", "control-plane").remove(0);
        assert!(
            said.starts_with(begins) && said.ends_with(ends),
            "{by}: {said}"
        );
        let judged = judge(&["--to", "stable-2.14.10"], &world.survey());
        if judged.exit == Ok(Exit::Yes) {
            assert_eq!(judged.verdict()["next"], said, "{by}");
        }
    }
}

#[test]
fn next_keeps_the_options_that_the_answer_rests_on() {
    let world = World::at("stable-2.13.7").with(|world| {
        let mut job = workload("nightly", "stable-2.12.6");
        job["kind"] = json!("Job");
        job["roll"] = json!({"by": "itself", "reason": "job"});
        world.workloads.push(job);
    });
    let args = ["--to", "2.14", "--jobs", "ignore", "--expect", "eu"];
    let next = judge(&args, &world.survey()).verdict()["next"].clone();
    let next = next.as_str().unwrap();
    assert!(
        next.contains("--to stable-2.14.10 --jobs ignore | mesh-cp-upgrade"),
        "{next}"
    );
}

#[test]
fn every_hop_of_every_path_is_allowed() {
    let releases = Releases::embedded();
    let mut versions: Vec<Version> = Vec::new();
    for line in releases.lines() {
        versions.extend(line.releases().iter().chain(line.recommended()).cloned());
    }
    versions.extend(
        [
            "edge-24.5.1",
            "edge-25.6.4",
            "edge-26.8.3",
            "enterprise-2.16.1",
            "enterprise-2.19.0",
            "preview-25.10.7",
        ]
        .map(Version::of_tag),
    );
    let mut paths = 0;
    for from in &versions {
        for to in &versions {
            let Some(path) = releases.path(from, to) else {
                continue;
            };
            paths += 1;
            let mut at = from.clone();
            for hop in path {
                let release = hop
                    .release
                    .unwrap_or_else(|| Version::of_tag(&format!("enterprise-{}.0", hop.to)));
                let movement = releases.movement(&at, &release);
                let allowed =
                    matches!(movement, Move::Patch | Move::Aside | Move::Up { minors: 1 });
                assert!(allowed, "{from} to {to}: {at} to {release} is {movement:?}");
                at = release;
            }
            assert!(at.same_release(to), "{from} to {to} ends at {at}");
        }
    }
    assert!(paths > 1000, "{paths}");
}

#[test]
fn the_page_has_each_note_of_the_path_in_lines_that_fit_a_terminal() {
    let world = World::at("stable-2.13.7").with(|world| {
        world.plane["facts"]["pods"] = json!({"listed": 4});
        // Without the definitions, more of the notes cannot be told.
        world.plane["crds"] = json!([]);
        extension(world, "multicluster", "linkerd-multicluster");
    });
    let (text, exit) = page(
        &["--notes", "--to", "edge-25.4.4"],
        &world.survey(),
        &Stop::default(),
    );
    assert_eq!(exit, Ok(Exit::Yes));
    let judged = judge(&["--to", "edge-25.4.4"], &world.survey());
    let findings = judged.of_type("finding");
    let ids = findings.iter().map(|it| it["id"].as_str().unwrap());
    let notes: Vec<&str> = ids.filter(|id| id.starts_with("note:")).collect();
    assert!(notes.len() > 5, "{notes:?}");
    for id in notes {
        assert_eq!(
            text.matches(&format!("{id}\n")).count(),
            1,
            "{id} in {text}"
        );
    }
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for part in [
        "2.13 to 2.14: stable-2.14.10",
        "2.15 to 2.16: edge-24.8.2",
        "Read by: ___",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn no_page_is_written_of_a_stream_that_is_cut() {
    let survey = World::at("stable-2.13.7").survey();
    let cut = &survey[..survey.len() - 40];
    let (text, exit) = page(
        &["--notes", "--to", "stable-2.14.10"],
        cut,
        &Stop::default(),
    );
    assert!(exit.is_err());
    assert_eq!(text, "");
}

#[test]
fn the_page_marks_what_was_acknowledged_and_names_every_cluster() {
    let mut both = String::new();
    for cluster in ["eu", "us"] {
        let world = World::at("edge-24.2.4").with(|world| {
            world.stream["cluster"] = json!(cluster);
            world.stream["cluster_uid"] = json!(cluster);
            world.plane["cluster"] = json!(cluster);
            world.end["cluster"] = json!(cluster);
            world.plane["facts"]["shutdown_endpoint_users"] =
                json!({"count": 1, "workloads": ["shop/Job/nightly"]});
            for workload in &mut world.workloads {
                workload["cluster"] = json!(cluster);
            }
        });
        write!(both, "{}", world.survey()).unwrap();
    }
    let args = ["--notes", "--to", "edge-24.8.2"];
    let (text, _) = page(&args, &both, &Stop::default());
    let open = "[ ] ACT note:2.15-2.16/shutdown-endpoint\n";
    assert_eq!(text.matches(open).count(), 2, "{text}");
    let ack = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("--ack "))
        .unwrap();
    let (text, _) = page(
        &[&args[..], &["--ack", ack]].concat(),
        &both,
        &Stop::default(),
    );
    assert_eq!(
        text.matches("[x] ACT note:2.15-2.16/shutdown").count(),
        2,
        "{text}"
    );
    for cluster in ["eu", "us"] {
        assert!(
            text.contains(&format!("Upgrade notes: {cluster}, ")),
            "{text}"
        );
    }
}
