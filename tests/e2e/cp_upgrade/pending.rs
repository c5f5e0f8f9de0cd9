//! Releases on which somebody's helm died: each is refused with its way out, or gone back from.

use mesh_testbed::{Bed, Match, When};
use mesh_tests::on_both_beds;

use crate::stage::{FROM, Stage, TO};

on_both_beds! {
    [Helm]
    killed_rollback_is_gone_back_from_and_a_killed_install_is_refused
}

const RELEASE: &str = "linkerd-control-plane";

// Runs helm, and kills it when it is going to write this.
fn killed(stage: &Stage, args: &[&str], write: Match) {
    let proxy = stage.bed.proxy().unwrap();
    let held = proxy.on(write.agent("Helm/")).hold(When::BeforeForward);
    let mut helm = stage.bed.tool(stage.bed.helm());
    helm.env("KUBECONFIG", proxy.kubeconfig()).args(args);
    let mut helm = helm.args(["-n", "linkerd"]).spawn().unwrap();
    held.arrived();
    helm.kill().unwrap();
    helm.wait().unwrap();
    held.release();
    proxy.clear();
}

fn killed_rollback_is_gone_back_from_and_a_killed_install_is_refused(bed: Bed) {
    let stage = Stage::new(bed);
    let upgraded = stage.run(&stage.judged(), &[]);
    assert_eq!(upgraded.code, Some(0), "{}", upgraded.said());
    let config = Match::writes().path("configmaps/linkerd-config");
    killed(&stage, &["rollback", RELEASE, "1"], config);
    let pending = |number: u64, status: &str| (number, status.to_owned());
    assert_eq!(stage.revision(RELEASE), pending(3, "pending-rollback"));
    assert_eq!(stage.configured(), TO);

    let now = stage.roll_back(&["--dry-run=server"]);
    assert_eq!(now.code, Some(0), "{}", now.said());
    let back = stage.roll_back(&["--pending-timeout", "3s"]);
    assert_eq!(back.code, Some(0), "{}", back.said());
    assert_eq!(stage.revision(RELEASE), pending(4, "deployed"));
    assert_eq!(stage.configured(), FROM);

    let judged = stage.judged();
    let uninstall = ["uninstall", RELEASE, "-n", "linkerd", "--wait"];
    stage.bed.run_helm(uninstall).unwrap();
    let charts = stage.bed.charts(FROM).unwrap();
    let chart = charts.control_plane.to_str().unwrap();
    let values = charts.values.to_str().unwrap();
    let install = ["install", RELEASE, chart, "-f", values];
    let deployments = Match::writes().path("/namespaces/linkerd/deployments");
    killed(&stage, &install, deployments);
    assert_eq!(stage.revision(RELEASE), pending(1, "pending-install"));
    let run = stage.run(&judged, &["--pending-timeout", "3s"]);
    assert_eq!(run.code, Some(2), "{}", run.said());
    assert!(run.stderr.contains("pending-install"), "{}", run.stderr);
    assert!(run.stderr.contains("hint: "), "{}", run.stderr);
    assert_eq!(stage.revision(RELEASE), pending(1, "pending-install"));
    let back = stage.roll_back(&["--pending-timeout", "3s"]);
    assert_eq!(back.code, Some(2), "{}", back.said());
    assert!(back.stderr.contains("hint: "), "{}", back.stderr);
}
