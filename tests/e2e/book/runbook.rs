//! Tests `scripts/runbook` and `scripts/runbook.mk`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use mesh_testbed::Bed;
use mesh_tests::{Run, on_both_beds, records};

use crate::{Operator, Said, root};

on_both_beds! {
    runbook_upgrades_a_mesh_and_keeps_every_stream
    stage_that_is_told_no_ends_the_runbook_and_says_how_to_go_on
    survey_that_is_killed_ends_every_stage_and_nothing_is_written
    survey_that_is_cut_and_claims_success_ends_every_stage
    rehearsal_ends_the_runbook
}

const STAGES: [&str; 7] = [
    "survey",
    "notes",
    "verdict",
    "control-plane",
    "drift",
    "roll",
    "done",
];

/// The one folder of evidence of a run, and the names of its streams.
fn evidence(operator: &Operator, dir: &str) -> (PathBuf, Vec<String>) {
    let mut folders = fs::read_dir(operator.tools.folder().join(dir)).unwrap();
    let folder = folders.next().unwrap().unwrap().path();
    assert!(folders.next().is_none(), "one run has one folder");
    let names = fs::read_dir(&folder).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    (folder, names)
}

fn versions(operator: &Operator) -> String {
    let line = "mesh-survey | jq -rn '[inputs | select(.type == \"workload\") | .proxies[].version] | unique | join(\" \")'";
    Said::of(&mut operator.shell(line)).exits(0).stdout
}

pub(crate) fn runbook_upgrades_a_mesh_and_keeps_every_stream(bed: Bed) {
    let operator = Operator::on(bed);
    // The CLI renders a control plane only where its definitions are.
    operator.bed.apply_definitions(crate::TO).unwrap();
    let line = "\"$RUNBOOK\" --yes --context testbed --dir 'the evidence' stable-2.14.10";
    let said = Said::of(&mut operator.shell(line)).exits(0);
    let stages = said.stdout.lines().filter_map(|it| it.strip_prefix("# "));
    let stages: Vec<&str> = stages.filter_map(|it| it.split(' ').nth(1)).collect();
    assert_eq!(stages, STAGES);
    let (folder, names) = evidence(&operator, "the evidence");
    let mode = fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    for stage in STAGES {
        let survey = format!("-{stage}.survey.ndjson");
        assert!(names.iter().any(|it| it.ends_with(&survey)), "{names:?}");
    }
    for name in names.iter().filter(|name| name.ends_with(".ndjson")) {
        let stream = fs::read_to_string(folder.join(name)).unwrap();
        let records = records(&stream);
        assert_eq!(records[0]["type"], "stream", "{name}");
        let end = &records[records.len() - 1];
        let ends = (&end["type"], &end["outcome"]);
        assert_eq!(ends, (&"end".into(), &"complete".into()), "{name}");
    }
    let roll = fs::read_to_string(folder.join("6-roll.ndjson")).unwrap();
    assert!(roll.contains(r#""outcome":"proven""#), "{roll}");
    let page = Said::of(&mut operator.shell("\"$REPORT\" 'the evidence'/*/*.ndjson")).exits(0);
    assert!(page.stdout.contains("<strong>DONE</strong>"));
    assert!(!page.stdout.contains("Not everything is here"));
}

fn stage_that_is_told_no_ends_the_runbook_and_says_how_to_go_on(bed: Bed) {
    let operator = Operator::on(bed);
    for (stage, why, next) in [
        ("roll", "upgrade the control plane first", "control-plane"),
        ("drift", "upgrade the control plane first", "control-plane"),
        ("done", "the answer is not a yes", "roll"),
    ] {
        let line = format!("\"$RUNBOOK\" --yes --dir {stage} --from {stage} stable-2.14.10");
        let said = Said::of(&mut operator.shell(&line)).exits(1);
        assert!(
            said.stdout
                .contains(&format!("STOPPED at {stage} (exit code 1): {why}"))
        );
        let next = format!("--dir {stage} --from {next} --yes stable-2.14.10");
        assert!(said.stdout.contains(&next), "{}", said.stdout);
        let (_, names) = evidence(&operator, stage);
        assert!(!names.iter().any(|it| it == "6-roll.ndjson"), "{names:?}");
    }
    for (flags, code) in [
        ("verdict TO=stable-2.14.10", 0),
        ("verdict TO=stable-2.14.10 CHECK_FLAGS='--fail-on info'", 2),
        ("verdict", 2),
    ] {
        let line = format!("make -f \"$MAKEFILE\" DIR=made {flags}");
        let mut make = operator.shell(&line);
        // make itself says 2 whatever a stage said.
        Said::of(make.env("MAKEFILE", root("scripts/runbook.mk"))).exits(code);
    }
    assert_eq!(versions(&operator), "stable-2.13.7\n");
}

/// Neither action may be started once the survey of its own stage is not whole.
fn every_stage_ends(operator: &Operator, code: i32) {
    for action in ["mesh-cp-upgrade", "mesh-roll"] {
        operator.replace(action, "#!/bin/sh\ntouch \"$HOME/acted\"\n");
    }
    for stage in STAGES {
        let line = format!("\"$RUNBOOK\" --yes --dir {stage} --only {stage} stable-2.14.10");
        let said = Said::of(&mut operator.shell(&line)).exits(code);
        assert!(said.stdout.contains(&format!("STOPPED at {stage}")));
    }
    assert!(!operator.tools.folder().join("acted").exists());
}

fn survey_that_is_killed_ends_every_stage_and_nothing_is_written(bed: Bed) {
    let operator = Operator::on(bed);
    let script = "#!/bin/sh\n$REAL \"$@\" | head -n 20\nkill -KILL $$\n";
    operator.replace("mesh-survey", script);
    every_stage_ends(&operator, 137);
}

fn survey_that_is_cut_and_claims_success_ends_every_stage(bed: Bed) {
    let operator = Operator::on(bed);
    operator.replace(
        "mesh-survey",
        "#!/bin/sh\n$REAL \"$@\" | head -n 20\nexit 0\n",
    );
    every_stage_ends(&operator, 2);
}

fn rehearsal_ends_the_runbook(bed: Bed) {
    let operator = Operator::on(bed);
    operator.bed.apply_definitions(crate::TO).unwrap();
    let line = "UPGRADE_FLAGS=--dry-run=server \"$RUNBOOK\" --dir rehearsed stable-2.14.10";
    let said = Said::of(&mut operator.shell(line)).exits(0);
    assert!(
        said.stdout
            .contains("this was a rehearsal: nothing was changed")
    );
    assert!(!said.stdout.contains("# 5 drift"), "{}", said.stdout);
    let (folder, _) = evidence(&operator, "rehearsed");
    let stream = fs::read_to_string(folder.join("4-control-plane.ndjson")).unwrap();
    let run = Run {
        code: Some(0),
        records: records(&stream),
        stdout: stream,
        stderr: String::new(),
    };
    assert_eq!(run.end()["outcome"], "complete");
    assert_eq!(versions(&operator), "stable-2.13.7\n");
}
