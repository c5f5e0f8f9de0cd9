//! Failing fast, the lock, signals, and a reader that goes away.

use mesh_testbed::{Match, When};
use serde_json::Value;

use crate::stage::{FROM, Stage, TO, begin, signal};

const HOLDER: &str = "somebody@elsewhere/run";

fn lease(renewed: &str) -> String {
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

#[test]
fn a_component_that_never_gets_ready_fails_the_upgrade_at_once_with_its_reason() {
    let Some(stage) = Stage::new() else { return };
    let bad = stage.tools.folder().join("bad.yaml");
    std::fs::write(&bad, "sim: {behaviour: {destination: image-pull}}\n").unwrap();
    let judged = stage.judged();
    let run = stage.run(&judged, &["-f", bad.to_str().unwrap()]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    for part in [
        "linkerd-destination",
        "ImagePullBackOff",
        "helm rollback linkerd-control-plane 1",
    ] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    assert!(run.step("watch", "failed").is_some());
    assert_eq!(run.end()["outcome"], "complete");
    assert_eq!(stage.holder(), None);

    // What is mended is carried on with.
    let again = stage.run(&judged, &[]);
    assert_eq!(again.code, 0, "{}", again.stderr);
}

#[test]
fn a_component_that_only_waits_fails_the_upgrade_when_its_time_is_over() {
    let Some(stage) = Stage::new() else { return };
    let hold = stage
        .bed
        .kubelet()
        .hold("linkerd", "linkerd.io/control-plane-component=identity");
    let run = stage.run(&stage.judged(), &["--timeout", "20s"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("linkerd-identity"), "{}", run.stderr);
    assert!(run.stderr.contains("is not ready"), "{}", run.stderr);
    hold.release();
}

#[test]
fn an_injector_that_gives_no_proxy_leaves_the_upgrade_unproven() {
    let Some(stage) = Stage::new() else { return };
    let judged = stage.judged();
    let mut run = stage.begin(&judged, &[]);
    run.until_step("prove");
    let run = run.finish();
    assert_eq!(run.code, 0, "{}", run.stderr);
    // A namespace that the webhook does not see proves nothing.
    let run = stage.run(&judged, &["--prove-in", "kube-system"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("gets no proxy"), "{}", run.stderr);
}

#[test]
fn a_lock_of_somebody_else_stops_the_run_until_it_expires() {
    let Some(stage) = Stage::new() else { return };
    let judged = stage.judged();
    let forever = lease("2999-01-01T00:00:00.000000Z");
    stage.bed.apply(&forever).unwrap();
    let held = stage.run(&judged, &[]);
    assert_eq!(held.code, 3, "{}", held.stderr);
    assert!(
        held.stderr.contains("somebody@elsewhere, for roll"),
        "{}",
        held.stderr
    );
    assert_eq!(held.end()["outcome"], "stopped");
    assert_eq!(stage.run(&judged, &["--stop-ok"]).code, 0);
    assert_eq!(stage.run(&judged, &["--if-locked", "skip"]).code, 0);
    let waited = stage.run(&judged, &["--if-locked", "wait=1s"]);
    assert_eq!(waited.code, 3, "{}", waited.stderr);
    assert_eq!(
        stage.holder().as_deref(),
        Some(HOLDER),
        "nobody else's lock is touched"
    );
    stage.assert_unchanged(true);

    // A holder that was killed: its lock expires by itself, by the server's clock.
    stage.forget_lock();
    stage
        .bed
        .apply(&lease(&format!("{}.000000Z", now_of(&stage.judged()))))
        .unwrap();
    let run = stage.run(&judged, &["--if-locked", "wait=1m"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
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

#[test]
fn a_lock_that_is_lost_stops_the_run_before_the_next_write() {
    let Some(stage) = Stage::new() else { return };
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
    stage.forget_lock();
    stage
        .bed
        .apply(&lease("2999-01-01T00:00:00.000000Z"))
        .unwrap();
    // The renewer finds out at its next turn.
    let renewals = proxy.on(Match::writes()
        .agent("mesh-cp-upgrade/")
        .path("leases/mesh-tools"));
    let renewal = renewals.hold(When::AfterForward);
    renewal.arrived();
    renewal.release();
    let looked = proxy.on(Match::any()
        .agent("mesh-cp-upgrade/")
        .path("leases/mesh-tools"));
    let looked = looked.hold(When::AfterForward);
    looked.arrived();
    looked.release();
    held.release();
    let run = running.finish();
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("the lock is lost"), "{}", run.stderr);
    assert_eq!(
        stage.revision("linkerd-crds").0,
        2,
        "what was begun is seen out"
    );
    assert_eq!(stage.revision("linkerd-control-plane").0, 1);
    assert_eq!(stage.holder().as_deref(), Some(HOLDER));
}

#[test]
fn a_signal_sees_helm_out_and_a_second_one_does_not_wait() {
    let Some(stage) = Stage::new() else { return };
    let judged = stage.judged();
    let proxy = stage.bed.proxy().unwrap();
    let start = || {
        let config = proxy.on(Match::writes()
            .agent("Helm/")
            .path("configmaps/linkerd-config"));
        let held = config.hold(When::BeforeForward);
        let mut command = stage.command(&["--if-locked", "wait=1m"]);
        command.env("KUBECONFIG", proxy.kubeconfig());
        let mut running = begin(command, &judged);
        running.until_step("control_plane");
        held.arrived();
        (running, held)
    };
    let (running, held) = start();
    signal(running.child.id(), "TERM");
    held.release();
    let run = running.finish();
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(
        run.step("control_plane", "done").is_some(),
        "helm was seen out"
    );
    assert!(run.step("watch", "started").is_none());
    assert_eq!(run.end()["outcome"], "stopped");
    assert_eq!(
        stage.revision("linkerd-control-plane"),
        (2, "deployed".to_owned())
    );

    proxy.clear();
    let back = ["rollback", "linkerd-control-plane", "1", "-n", "linkerd"];
    stage.bed.run_helm(back).unwrap();
    stage.bed.await_linkerd(FROM).unwrap();
    let judged = stage.judged();
    let config = proxy.on(Match::writes()
        .agent("Helm/")
        .path("configmaps/linkerd-config"));
    let held = config.hold(When::BeforeForward);
    let mut command = stage.command(&[]);
    command.env("KUBECONFIG", proxy.kubeconfig());
    let mut running = begin(command, &judged);
    running.until_step("control_plane");
    held.arrived();
    let helm = running.children();
    assert_eq!(helm.len(), 1);
    signal(running.child.id(), "INT");
    signal(running.child.id(), "TERM");
    let run = running.finish();
    assert!(
        [128 + 2, 128 + 15].contains(&run.code),
        "{} {}",
        run.code,
        run.stderr
    );
    assert_eq!(run.end()["outcome"], "stopped");
    assert!(
        std::path::Path::new(&format!("/proc/{}", helm[0])).exists(),
        "helm goes on"
    );
    held.release();
}

#[test]
fn a_reader_that_goes_away_stops_the_run_and_the_evidence_says_so() {
    let Some(stage) = Stage::new() else { return };
    let evidence = stage.tools.folder().join("cp.ndjson");
    let pipeline = format!(
        "mesh-survey | mesh-skewcheck --to {TO} | {{ mesh-cp-upgrade {} --yes --record {} || echo $? >&2; }} | head -n 3",
        stage.charts_by_flag().join(" "),
        evidence.display()
    );
    let output = stage.env(stage.tools.shell(&pipeline)).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.lines().any(|line| line == "3"), "{stderr}");
    let evidence = std::fs::read(&evidence).unwrap();
    let records = crate::stage::records(&evidence);
    let end: &Value = records.last().unwrap();
    assert_eq!(
        (&end["type"], &end["exit"]),
        (&Value::from("end"), &Value::from(3))
    );
    assert_eq!(output.stdout.split(|byte| *byte == b'\n').count(), 4);
    stage.assert_unchanged(true);
}

#[test]
fn of_two_runs_at_once_one_upgrades_and_the_other_stops() {
    let Some(stage) = Stage::new() else { return };
    let judged = stage.judged();
    let proxy = stage.bed.proxy().unwrap();
    let config = proxy.on(Match::writes()
        .agent("Helm/")
        .path("configmaps/linkerd-config"));
    let held = config.hold(When::BeforeForward);
    let mut command = stage.command(&[]);
    command.env("KUBECONFIG", proxy.kubeconfig());
    let mut first = begin(command, &judged);
    first.until_step("control_plane");
    held.arrived();
    let second = stage.run(&judged, &[]);
    assert_eq!(second.code, 3, "{}", second.stderr);
    assert!(
        second.stderr.contains(&format!("for {TO}")),
        "{}",
        second.stderr
    );
    held.release();
    let first = first.finish();
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert_eq!(
        stage.revision("linkerd-control-plane"),
        (2, "deployed".to_owned())
    );
}
