//! `--without-gate`.

use mesh_testbed::Bed;
use mesh_tests::on_both_beds;

use crate::stage::{Stage, TO};

on_both_beds! {
    without_gate_upgrades_without_a_verdict_and_keeps_the_reason
    without_gate_still_holds_what_is_rendered_to_the_target
}

const WITHOUT: [&str; 4] = ["--without-gate", "--reason", "an incident", "--to"];

fn without_gate_upgrades_without_a_verdict_and_keeps_the_reason(bed: Bed) {
    let stage = Stage::new(bed);
    let run = stage.run("", &[&WITHOUT[..], &[TO]].concat());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let gate = run.step("gate", "skipped").unwrap();
    assert_eq!(gate["reason"], "an incident");
    assert!(run.step("prove", "done").is_some(), "{}", run.stderr);
    assert_eq!(stage.configured(), TO);
    assert_eq!(stage.holder(), None);
}

fn without_gate_still_holds_what_is_rendered_to_the_target(bed: Bed) {
    let stage = Stage::new(bed);
    let run = stage.run("", &[&WITHOUT[..], &["stable-2.14.9"]].concat());
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(run.stderr.contains("stable-2.14.9"), "{}", run.stderr);
    stage.assert_unchanged(true);
}
