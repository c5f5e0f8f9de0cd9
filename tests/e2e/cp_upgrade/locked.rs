//! The lock that all runs share.

use http::Method;
use mesh_testbed::{Bed, Match, When};
use mesh_tests::{begin, hang_up_at_the_question, on_both_beds};

use crate::stage::{AGENT, Stage, TO};

on_both_beds! {
    if_locked_stops_skips_or_waits_until_the_lock_expires
    lock_lets_one_of_two_runs_upgrade
    dry_run_says_who_holds_the_lock_and_goes_on_and_preflight_says_no
    terminal_that_goes_away_ends_the_question_and_frees_the_lock
    [Helm]
    lock_that_is_lost_stops_the_run_before_the_next_write
}

const HOLDER: &str = "somebody@elsewhere/run";

/// A lock that somebody else holds, renewed at this time.
pub(crate) fn lease(renewed: &str) -> String {
    format!(
        "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata:\n  name: mesh-tools\n  \
         namespace: linkerd\n  labels: {{app.kubernetes.io/managed-by: mesh-tools}}\n  \
         annotations: {{mesh-tools/target: roll}}\nspec:\n  holderIdentity: {HOLDER}\n  \
         leaseDurationSeconds: 15\n  acquireTime: {renewed}\n  renewTime: {renewed}\n"
    )
}

fn now_of(judged: &str) -> String {
    let surveyed = judged.split("\"surveyed\":\"").nth(1).unwrap();
    surveyed.split('Z').next().unwrap().to_owned()
}

fn if_locked_stops_skips_or_waits_until_the_lock_expires(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let forever = lease("2999-01-01T00:00:00.000000Z");
    stage.bed.apply(&forever).unwrap();
    let held = stage.run(&judged, &[]);
    assert_eq!(held.code, Some(3), "{}", held.stderr);
    assert!(
        held.stderr.contains("somebody@elsewhere, for roll"),
        "{}",
        held.stderr
    );
    assert_eq!(held.end()["outcome"], "stopped");
    assert_eq!(stage.run(&judged, &["--stop-ok"]).code, Some(0));
    let skipped = stage.run(&judged, &["--if-locked", "skip"]);
    assert_eq!(skipped.code, Some(0), "{}", skipped.stderr);
    assert_eq!(skipped.end()["outcome"], "stopped", "nothing was done");
    let waited = stage.run(&judged, &["--if-locked", "wait=1s"]);
    assert_eq!(waited.code, Some(3), "{}", waited.stderr);
    assert_eq!(
        stage.holder().as_deref(),
        Some(HOLDER),
        "nobody else's lock is touched"
    );
    stage.assert_unchanged(true);

    // The holder is killed: its lock expires by itself, by the server's clock.
    stage.forget_lock();
    stage
        .bed
        .apply(&lease(&format!("{}.000000Z", now_of(&stage.judged()))))
        .unwrap();
    let run = stage.run(&judged, &["--if-locked", "wait=1m"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let taken = run.step("lock", "done").unwrap()["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        taken.contains("left behind by somebody@elsewhere"),
        "{taken}"
    );
    assert_eq!(stage.holder(), None);
}

fn lock_that_is_lost_stops_the_run_before_the_next_write(bed: Bed) {
    let stage = Stage::new(bed);
    let proxy = stage.bed.proxy().unwrap();
    let crds = proxy.on(Match::writes()
        .agent("Helm/")
        .path("customresourcedefinitions"));
    let held = crds.hold(When::BeforeForward);
    let mut command = stage.command(&[]);
    command.env("KUBECONFIG", proxy.kubeconfig());
    let mut running = begin(command, &stage.judged());
    running.until_step("crds");
    held.arrived();
    // The next renewal detects the loss.
    let own = |request: Match| request.agent(AGENT).path("leases/mesh-tools");
    let renewal = proxy.on(own(Match::writes())).hold(When::BeforeForward);
    renewal.arrived();
    stage.forget_lock();
    let foreign = lease("2999-01-01T00:00:00.000000Z");
    stage.bed.apply(&foreign).unwrap();
    let looked = proxy.on(own(Match::method(Method::GET)));
    let looked = looked.hold(When::AfterForward);
    renewal.release();
    looked.arrived();
    looked.release();
    held.release();
    let run = running.finish();
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    assert!(run.stderr.contains("the lock was lost"), "{}", run.stderr);
    assert_eq!(
        stage.revision("linkerd-crds").0,
        2,
        "what was begun is seen out"
    );
    assert_eq!(stage.revision("linkerd-control-plane").0, 1);
    assert_eq!(stage.holder().as_deref(), Some(HOLDER));
}

fn lock_lets_one_of_two_runs_upgrade(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let proxy = stage.bed.proxy().unwrap();
    let config = proxy.on(Match::writes()
        .agent(stage.writer())
        .path("configmaps/linkerd-config"));
    let held = config.hold(When::BeforeForward);
    let mut command = stage.command(&[]);
    command.env("KUBECONFIG", proxy.kubeconfig());
    let mut first = begin(command, &judged);
    first.until_step("control-plane");
    held.arrived();
    let second = stage.run(&judged, &[]);
    assert_eq!(second.code, Some(3), "{}", second.stderr);
    assert!(
        second.stderr.contains(&format!("for {TO}")),
        "{}",
        second.stderr
    );
    held.release();
    let first = first.finish();
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert_eq!(stage.configured(), TO);
    if stage.is_by_helm() {
        let once = (2, "deployed".to_owned());
        assert_eq!(stage.revision("linkerd-control-plane"), once);
    }
}

fn terminal_that_goes_away_ends_the_question_and_frees_the_lock(bed: Bed) {
    let stage = Stage::new(bed);
    let input = stage.file("judged", &stage.judged());
    let mut command = stage.tool();
    command.args(stage.source());
    hang_up_at_the_question(&stage.tools, &mut command, &input);
    assert_eq!(stage.holder(), None);
    stage.assert_unchanged(true);
}

fn dry_run_says_who_holds_the_lock_and_goes_on_and_preflight_says_no(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let held = "the lock of the control plane in linkerd is held by somebody@elsewhere, for roll";
    stage
        .bed
        .apply(&lease("2999-01-01T00:00:00.000000Z"))
        .unwrap();
    let locks = [
        &[][..],
        &["--if-locked", "skip"],
        &["--if-locked", "wait=5m"],
    ];
    for if_locked in locks {
        for how in ["--dry-run=client", "--dry-run=server"] {
            let run = stage.run(&judged, &[&[how], if_locked].concat());
            assert_eq!(run.code, Some(0), "{how}: {}", run.said());
            let warns = |record: &&&serde_json::Value| {
                let message = record["message"].as_str();
                message.is_some_and(|it| it.contains(&format!("warning: {held}")))
            };
            let progress = run.of("progress");
            let warned = progress.iter().find(warns);
            let way_out = warned.and_then(|it| it["reason"].as_str());
            let way_out = way_out.unwrap_or_else(|| panic!("{how}: {}", run.said()));
            assert!(way_out.contains("delete lease mesh-tools"), "{way_out}");
            assert_eq!(run.of("intent").len(), 1, "{how}");
        }
        let run = stage.run(&judged, &[&["--preflight"], if_locked].concat());
        assert_eq!(run.code, Some(1), "{}", run.said());
        let reason = run.end()["reason"].as_str().unwrap();
        assert!(reason.starts_with(held), "{reason}");
    }
    assert_eq!(stage.holder().as_deref(), Some(HOLDER));
    stage.assert_unchanged(false);
}
