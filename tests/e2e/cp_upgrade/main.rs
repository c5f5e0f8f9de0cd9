//! `mesh-cp-upgrade` against real servers, real controllers and the real helm.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cli;
mod killed;
mod refused;
mod stage;
mod watched;

use std::os::unix::fs::PermissionsExt as _;

use mesh_testbed::Bed;
use serde_json::Value;

use crate::stage::{FROM, Stage, TO};

#[test]
fn the_whole_upgrade_ends_proven_and_running_it_again_changes_nothing() {
    let Some(stage) = Stage::new() else { return };
    let evidence = stage.tools.folder().join("cp.ndjson");
    let pipeline = format!(
        "mesh-survey | mesh-skewcheck --to {TO} | mesh-cp-upgrade {} --yes --record {}",
        stage.charts_by_flag().join(" "),
        evidence.display()
    );
    let output = stage.env(stage.tools.shell(&pipeline)).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let records = stage::records(&output.stdout);
    let states = |step: &str| -> Vec<&str> {
        let steps = records.iter().filter(|record| record["step"] == step);
        steps
            .map(|record| record["state"].as_str().unwrap())
            .collect()
    };
    let steps = [
        "gate",
        "lock",
        "render",
        "identity",
        "preflight",
        "backup",
        "crds",
        "control_plane",
        "watch",
        "prove",
    ];
    for step in steps {
        assert_eq!(states(step), ["started", "done"], "{step}");
    }
    assert_eq!(records.last().unwrap()["outcome"], "complete");
    assert_eq!(stage.configured(), TO);
    assert_eq!(
        stage.revision("linkerd-control-plane"),
        (2, "deployed".to_owned())
    );

    let written = std::fs::read(&evidence).unwrap();
    assert_eq!(written, output.stdout, "the evidence is what was said");
    let mode = std::fs::metadata(&evidence).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_no_secret(&stage, &output.stdout, &stderr);

    let again = stage.env(stage.tools.shell(&pipeline)).output().unwrap();
    assert_eq!(
        again.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&again.stderr)
    );
    assert_eq!(
        stage.revision("linkerd-control-plane"),
        (2, "deployed".to_owned())
    );
    assert_eq!(stage.revision("linkerd-crds"), (2, "deployed".to_owned()));
    let records = stage::records(&again.stdout);
    for step in ["identity", "preflight", "crds", "control_plane"] {
        let record = records
            .iter()
            .find(|record| record["step"] == step)
            .unwrap();
        assert_eq!(record["state"], "skipped", "{step}");
        assert!(record["reason"].is_string(), "{step}");
    }
    assert_eq!(stage.holder(), None, "the lock is let go");
}

// No line of the issuer's key, as PEM or as a Secret has it, in anything that was said.
pub(crate) fn assert_no_secret(stage: &Stage, stdout: &[u8], stderr: &str) {
    let values = std::fs::read_to_string(&stage.charts.values).unwrap();
    let key = values.split("PRIVATE KEY-----").nth(1).unwrap();
    let line = key
        .lines()
        .map(str::trim)
        .find(|line| line.len() > 40)
        .unwrap();
    let secret = stage.bed.kubectl([
        "get",
        "secret",
        "-n",
        "linkerd",
        "linkerd-identity-issuer",
        "-o",
        "jsonpath={.data.key\\.pem}",
    ]);
    for needle in [line, secret.unwrap().trim()] {
        assert!(!String::from_utf8_lossy(stdout).contains(needle));
        assert!(!stderr.contains(needle));
    }
}

#[test]
fn a_dry_run_shows_the_plan_and_changes_nothing() {
    let Some(stage) = Stage::new() else { return };
    let judged = stage.judged();
    for how in ["--dry-run", "--dry-run=server"] {
        let run = stage.run(&judged, &[how]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let intent = run
            .records
            .iter()
            .find(|record| record["type"] == "intent")
            .unwrap();
        assert_eq!(intent["deeds"].as_array().unwrap().len(), 2);
        let rehearsed = run.step("preflight", "done").is_some();
        assert_eq!(rehearsed, how.ends_with("server"), "{how}");
        let digest = intent["digest"].as_str().unwrap().to_owned();
        let named = stage.run(&judged, &[how, &format!("--yes={digest}")]);
        assert_eq!(named.code, 0, "{}", named.stderr);
    }
    stage.assert_unchanged(false);
    let from = judged
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let from = from
        .into_iter()
        .find(|record| record["type"] == "verdict")
        .unwrap();
    assert_eq!(from["from"]["version"], FROM);
}

#[test]
fn a_highly_available_control_plane_stays_so() {
    let Some(bed) = Bed::for_test() else { return };
    let ha = bed.charts(FROM).unwrap().ha_values;
    bed.install_linkerd_with(FROM, &["-f", ha.to_str().unwrap()])
        .unwrap();
    let stage = Stage::on(bed);
    let judged = stage.judged();
    let forgotten = stage.run(&judged, &[]);
    assert_eq!(forgotten.code, 2, "{}", forgotten.stderr);
    assert!(
        forgotten.stderr.contains("high availability"),
        "{}",
        forgotten.stderr
    );
    stage.assert_unchanged(true);
    let ha = stage.charts.ha_values.to_str().unwrap();
    let run = stage.run(&judged, &["-f", ha]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let last = run
        .records
        .iter()
        .rev()
        .find(|record| record["type"] == "progress")
        .unwrap();
    assert_eq!(last["pods"]["wanted"], 3);
    assert_eq!(stage.configured(), TO);
}

#[test]
fn the_charts_are_those_of_the_targets_repository_unless_they_are_named() {
    let Some(stage) = Stage::new() else { return };
    let shelf = stage.tools.folder().join("shelf");
    let shelf = shelf.to_str().unwrap();
    let helm = |args: &[&str]| {
        let output = stage
            .env(stage.tools.run("helm"))
            .args(args)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    for chart in [&stage.charts.control_plane, &stage.charts.crds] {
        helm(&["package", chart.to_str().unwrap(), "-d", shelf]);
    }
    helm(&["repo", "index", shelf]);
    let address = stage::serve(shelf);
    helm(&["repo", "add", "linkerd", &format!("http://{address}")]);
    let mut command = stage.env(stage.tools.run("mesh-cp-upgrade"));
    command.arg("-f").arg(&stage.charts.values).arg("--yes");
    let run = stage::run(command, &stage.judged());
    assert_eq!(run.code, 0, "{}", run.stderr);
    let command = &run.step("control_plane", "started").unwrap()["command"];
    let command: Vec<&str> = command
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(
        command.join(" ").contains("linkerd/linkerd-control-plane"),
        "{command:?}"
    );
    assert!(
        command.join(" ").contains("--version 1.16.11"),
        "{command:?}"
    );
}
