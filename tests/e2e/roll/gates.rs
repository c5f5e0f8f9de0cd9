//! `--gate`.

use std::fs;
use std::io::read_to_string;
use std::process::Command;

use mesh_testbed::Bed;
use mesh_tests::{Signal, on_both_beds};
use serde_json::Value;

use crate::scene::{Scene, workload};

on_both_beds! {
    a_gate_reads_what_ended_and_its_exit_code_decides_on_the_next_wave
    a_signal_ends_a_gate
}

// Keeps what it reads, and does not agree with DaemonSets.
const GATE: &str = r#"records=$(cat)
printf '%s\n' "$records" >>"$1"
printf '%s\n' "$records" | wc -l
case $records in *DaemonSet*) echo "no DaemonSets"; exit 7 ;; esac
"#;

fn a_gate_reads_what_ended_and_its_exit_code_decides_on_the_next_wave(bed: Bed) {
    let kinds = ["Deployment", "DaemonSet", "StatefulSet"];
    let workloads = kinds.map(|kind| workload(kind, "a", |_| {}));
    let scene = Scene::with(bed, &workloads);
    let file = |name: &str| scene.tools.folder().join(name);
    fs::write(file("gate"), GATE).unwrap();
    let seen = file("seen so far");
    let gate = format!("sh {} '{}'", file("gate").display(), seen.display());
    let verdict = scene.verdict();
    let run = scene.roll(&verdict, &["--dry-run=server", "--gate", &gate]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert!(!seen.exists(), "a dry run asks nobody");

    let run = scene.roll(
        &verdict,
        &["--yes", "--max-in-flight", "3", "--gate", &gate],
    );
    assert_eq!(run.code, Some(1), "{}", run.said());
    let writes = [
        "patch deployments shop/a 200",
        "patch daemonsets shop/a 200",
    ];
    assert_eq!(scene.writes(), writes);
    let seen = fs::read_to_string(seen).unwrap();
    let rolled = run
        .stdout
        .lines()
        .filter(|line| line.contains(r#""type":"rolled""#));
    let rolled: Vec<&str> = rolled.collect();
    assert_eq!(seen.lines().collect::<Vec<_>>(), rolled);
    let steps = run.of("step").into_iter();
    let steps: Vec<&str> = steps
        .map(|step| step["message"].as_str().unwrap())
        .collect();
    let expected = [
        "asking the gate after wave 1 of 3",
        "the gate agrees after wave 1 of 3: 1",
        "asking the gate after wave 2 of 3",
        "the gate does not agree after wave 2 of 3: exit status: 7: 1; no DaemonSets",
    ];
    assert_eq!(steps, expected);
    let reason = run.end()["reason"].as_str().unwrap();
    assert!(reason.contains("no DaemonSets"), "{reason}");

    // What an earlier run restarted still needs the gate's yes.
    let again = scene.roll(&scene.verdict(), &["--yes", "--gate", &gate]);
    assert_eq!(again.code, Some(1), "{}", again.said());
    assert_eq!(scene.writes(), writes);
    let asked = again.of("step")[0]["message"].as_str().unwrap();
    assert_eq!(asked, "asking the gate before the first wave");

    for gate in ["", "'sh"] {
        let run = scene.roll(&verdict, &["--yes", "--gate", gate]);
        assert_eq!(run.code, Some(2), "{}", run.said());
    }
}

fn a_signal_ends_a_gate(bed: Bed) {
    let kinds = ["Deployment", "StatefulSet"];
    let workloads = kinds.map(|kind| workload(kind, "a", |_| {}));
    let scene = Scene::with(bed, &workloads);
    let pipe = scene.tools.folder().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let gate = format!(
        "sh -c 'exec 3>{}; sleep 60; echo alive >&3'",
        pipe.display()
    );
    let mut run = scene.start(&scene.verdict(), &["--yes", "--gate", &gate]);
    run.until(|record: &Value| record["step"] == "wave-gate");
    // Opening it waits for the gate, and reading it to its end waits for the gate's end.
    let mut alive = fs::File::open(pipe).unwrap();
    run.signal(Signal::TERM);
    let run = run.finish();
    assert_eq!(run.code, Some(3), "{}", run.said());
    assert_eq!(scene.writes(), ["patch deployments shop/a 200"]);
    assert_eq!(read_to_string(&mut alive).unwrap(), "");
}
