//! `mesh-cp-upgrade` through the real helm on real servers, and through a linkerd CLI on either bed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod agreed;
mod allow_change;
mod backup;
mod by_hand;
mod claims;
mod cli;
mod crowded;
mod definitions;
mod external_issuer;
mod helm;
mod hindered;
mod inputs;
mod killed;
mod kubeconfig;
mod locked;
mod marker;
mod merged;
mod missing;
mod pasted;
mod pending;
mod preflight;
mod proved;
mod refused;
mod rights;
mod rolled_back;
mod secrets;
mod shop;
mod stage;
mod values;
mod watch_only;
mod watched;
mod without_gate;

use mesh_testbed::Bed;
use mesh_tests::{Run, on_both_beds};
use serde_json::Value;

use crate::stage::{FROM, Stage};

on_both_beds! {
    dry_run_shows_the_plan_and_changes_nothing
}

fn dry_run_shows_the_plan_and_changes_nothing(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    for how in ["--dry-run", "--dry-run=server"] {
        let run = stage.run(&judged, &[how]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
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
        assert_eq!(named.code, Some(0), "{}", named.stderr);
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

// Checks that no output contains a line of the issuer's key, as PEM or as in a Secret.
pub(crate) fn assert_no_secret(stage: &Stage, run: &Run) {
    let values = std::fs::read_to_string(&stage.charts.values).unwrap();
    let key = values.split("PRIVATE KEY-----").nth(1).unwrap();
    let line = key
        .lines()
        .map(str::trim)
        .find(|line| line.len() > 40)
        .unwrap();
    let issuer = "/api/v1/namespaces/linkerd/secrets/linkerd-identity-issuer";
    let issuer = stage.bed.get(issuer).unwrap();
    let secret = issuer["data"]["key.pem"].as_str().unwrap();
    for needle in [line, secret] {
        assert!(!run.said().contains(needle));
    }
}
