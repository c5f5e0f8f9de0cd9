//! `--rollback` and `--rollback-on-failure`.

use mesh_testbed::Bed;
use mesh_tests::{Run, Signal, on_both_beds, run};
use serde_json::{Value, json};

use crate::crowded::nodes;
use crate::shop::web;
use crate::stage::{FROM, Stage, TO};

on_both_beds! {
    rollback_of_the_clis_control_plane_is_refused_with_the_way_back
    [Helm]
    failed_upgrade_goes_back_by_itself_with_helm
    failed_upgrade_goes_back_by_itself_with_helm_4
    upgrade_without_a_way_back_is_refused_where_one_is_asked_for
    rollback_goes_back_names_the_newer_proxies_and_is_harmless_twice
    signal_while_a_failed_upgrade_goes_back_stops_it
}

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/linkerd/deployments";

impl Stage {
    pub(crate) fn roll_back(&self, more: &[&str]) -> Run {
        let mut command = self.tool();
        command.arg("--rollback").args(more);
        if !more.iter().any(|arg| arg.starts_with("--dry-run")) {
            command.arg("--yes");
        }
        run(command, "")
    }

    // Checks that every component runs the old version and is ready.
    #[track_caller]
    fn assert_healthy_old(&self) {
        assert_eq!(self.configured(), FROM);
        let all = self.bed.get(DEPLOYMENTS).unwrap();
        let all = all["items"].as_array().unwrap();
        assert_eq!(all.len(), 3);
        for deployment in all {
            let name = &deployment["metadata"]["name"];
            let version = &deployment["metadata"]["labels"]["app.kubernetes.io/version"];
            assert_eq!(version, FROM, "{name}");
            let status = &deployment["status"];
            assert_eq!(status["readyReplicas"], 1, "{name}");
            assert_eq!(status["updatedReplicas"], 1, "{name}");
            assert_eq!(status["unavailableReplicas"], Value::Null, "{name}");
        }
    }
}

fn goes_back_by_itself(stage: &Stage) {
    let judged = stage.judged();
    let bad = stage.file("bad.yaml", "sim: {behaviour: {destination: image-pull}}\n");
    let flags = ["-f", &bad, "--timeout", "20s", "--rollback-on-failure"];
    let failed = stage.run(&judged, &flags);
    assert_eq!(failed.code, Some(1), "{}", failed.said());
    let deeds = failed.of("intent")[0]["deeds"].to_string();
    assert!(
        deeds.contains("if the upgrade fails: helm rollback"),
        "{deeds}"
    );
    let reason = failed.end()["reason"].as_str().unwrap();
    for part in [
        "linkerd-destination",
        "ImagePullBackOff",
        "; rolled back to stable-2.13.7; no proxy is newer than stable-2.13.7",
    ] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    assert_eq!(
        failed.states("watch"),
        ["started", "failed", "started", "done"]
    );
    assert_eq!(
        failed.states("control-plane"),
        ["started", "done", "started", "done"]
    );
    assert_eq!(failed.states("prove"), ["started", "done"]);
    let back = (3, "deployed".to_owned());
    assert_eq!(stage.revision("linkerd-control-plane"), back);
    stage.assert_healthy_old();
    assert_eq!(stage.holder(), None);

    let again = stage.run(&stage.judged(), &[]);
    assert_eq!(again.code, Some(0), "{}", again.said());
    assert_eq!(stage.configured(), TO);
}

fn failed_upgrade_goes_back_by_itself_with_helm(bed: Bed) {
    goes_back_by_itself(&Stage::new(bed));
}

fn failed_upgrade_goes_back_by_itself_with_helm_4(bed: Bed) {
    goes_back_by_itself(&Stage::by_helm4(bed));
}

// Of a release whose only revision failed, helm keeps nothing to go back to.
fn upgrade_without_a_way_back_is_refused_where_one_is_asked_for(bed: Bed) {
    let stage = Stage::new(bed);
    let secret = "/api/v1/namespaces/linkerd/secrets/sh.helm.release.v1.linkerd-control-plane";
    let secret = |revision| format!("{secret}.v{revision}");
    let first = stage.run(&stage.judged(), &[]);
    assert_eq!(first.code, Some(0), "{}", first.said());
    stage.bed.delete(&secret(1)).unwrap();
    let none = stage.roll_back(&[]);
    assert_eq!(none.code, Some(2), "{}", none.said());
    let part = "helm keeps no revision of linkerd-control-plane with an older version";
    assert!(none.stderr.contains(part), "{}", none.stderr);
    // The same version with other values is an upgrade, too.
    let other = stage.file("other.yaml", "proxy: {logLevel: debug}\n");
    let flags = ["-f", &other, "--rollback-on-failure"];
    let without = ["--without-gate", "--reason", "a test", "--to", TO];
    let flags = [&flags[..], &without].concat();
    let dry = stage.run("", &[&flags[..], &["--dry-run"]].concat());
    let deeds = dry.of("intent")[0]["deeds"].to_string();
    let part = "if the upgrade fails: helm rollback linkerd-control-plane 2 ";
    assert!(deeds.contains(part), "{deeds}");
    // The newest revision fails, and then it is the only one.
    let chart = stage.charts.control_plane.to_str().unwrap();
    let release = ["upgrade", "linkerd-control-plane", chart, "-n", "linkerd"];
    let wrong = ["--reuse-values", "--set", "heartbeatSchedule=whenever"];
    let failed = stage.bed.run_helm([&release[..], &wrong].concat());
    assert!(failed.is_err());
    stage.bed.delete(&secret(2)).unwrap();
    let run = stage.run("", &flags);
    assert_eq!(run.code, Some(2), "{}", run.said());
    assert!(
        run.stderr.contains("there is no way back"),
        "{}",
        run.stderr
    );
    assert!(run.step("control-plane", "started").is_none());
}

fn rollback_goes_back_names_the_newer_proxies_and_is_harmless_twice(bed: Bed) {
    let stage = Stage::new(bed);
    let upgraded = stage.run(&stage.judged(), &[]);
    assert_eq!(upgraded.code, Some(0), "{}", upgraded.said());
    web(&stage.bed, "shop", 1);

    let dry = stage.roll_back(&["--dry-run=server"]);
    assert_eq!(dry.code, Some(0), "{}", dry.said());
    let message = dry.of("intent")[0]["message"].as_str().unwrap();
    let part = "would roll back the control plane in linkerd from stable-2.14.10 to stable-2.13.7";
    assert_eq!(message, part);
    assert_eq!(stage.configured(), TO);
    let elsewhere = stage.roll_back(&["--to", "stable-2.13.6"]);
    assert_eq!(elsewhere.code, Some(2), "{}", elsewhere.said());
    assert_eq!(stage.configured(), TO);

    let back = stage.roll_back(&[]);
    assert_eq!(back.code, Some(0), "{}", back.said());
    stage.assert_healthy_old();
    let ahead = back.step("afterwards", "done").unwrap()["message"]
        .as_str()
        .unwrap();
    let part = "1 workload runs newer proxies than the control plane and must be restarted: \
                shop/Deployment/web";
    assert_eq!(ahead, part);
    assert!(back.step("prove", "done").is_some());
    let next = back.end()["next"].as_str().unwrap();
    assert!(
        next.contains("--ask roll") && next.contains("mesh-roll"),
        "{next}"
    );

    let again = stage.roll_back(&[]);
    assert_eq!(again.code, Some(0), "{}", again.said());
    let reason = again.end()["reason"].as_str().unwrap();
    assert!(reason.contains("is rolled back already"), "{reason}");
    // It is looked at all the same.
    for step in ["watch", "prove", "afterwards"] {
        assert_eq!(again.states(step), ["started", "done"], "{step}");
    }
    let revision = |number: u64| (number, "deployed".to_owned());
    assert_eq!(stage.revision("linkerd-control-plane"), revision(3));
    assert_eq!(stage.holder(), None);
    writes_anew_what_is_gone(&stage);
}

// What is gone from the cluster is not there already; its pods are, and need no room.
fn writes_anew_what_is_gone(stage: &Stage) {
    let gone = "/api/v1/namespaces/linkerd/services/linkerd-policy";
    stage.bed.delete(gone).unwrap();
    cordon(stage, true);
    let asked = stage.roll_back(&["--dry-run=server"]);
    assert_eq!(asked.code, Some(0), "{}", asked.said());
    assert!(
        !asked.stderr.contains("no node has room"),
        "{}",
        asked.stderr
    );
    cordon(stage, false);
    let anew = stage.roll_back(&[]);
    assert_eq!(anew.code, Some(0), "{}", anew.said());
    let question = anew.of("intent")[0].to_string();
    assert!(question.contains("Service linkerd-policy"), "{question}");
    assert!(stage.bed.get(gone).is_ok());
    let revision = (4, "deployed".to_owned());
    assert_eq!(stage.revision("linkerd-control-plane"), revision);
}

fn cordon(stage: &Stage, cordoned: bool) {
    for node in nodes(stage) {
        let spec = json!({ "spec": { "unschedulable": cordoned } });
        let path = format!("/api/v1/nodes/{node}");
        stage.bed.merge(&path, &spec).unwrap();
    }
}

fn signal_while_a_failed_upgrade_goes_back_stops_it(bed: Bed) {
    let stage = Stage::new(bed);
    let bad = stage.file("bad.yaml", "sim: {behaviour: {destination: image-pull}}\n");
    let flags = ["-f", &bad, "--timeout", "20s", "--rollback-on-failure"];
    let mut running = stage.begin(&stage.judged(), &flags);
    running.until(|record| {
        let message = record["message"].as_str();
        message.is_some_and(|message| {
            message.starts_with("rolling back linkerd/linkerd-control-plane")
        })
    });
    running.signal(Signal::TERM);
    let run = running.finish();
    assert_eq!(run.code, Some(1), "{}", run.said());
    let reason = run.end()["reason"].as_str().unwrap();
    for part in ["ImagePullBackOff", "; and the rollback was stopped: "] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    let hint = "finish the rollback: `mesh-cp-upgrade --rollback";
    assert!(run.stderr.contains(hint), "{}", run.stderr);
    assert_eq!(stage.holder(), None);
    let again = stage.roll_back(&[]);
    assert_eq!(again.code, Some(0), "{}", again.said());
    stage.assert_healthy_old();
}

fn rollback_of_the_clis_control_plane_is_refused_with_the_way_back(bed: Bed) {
    let stage = Stage::by_cli(bed);
    let back = stage.roll_back(&[]);
    let on_failure = stage.run(&stage.judged(), &["--rollback-on-failure"]);
    for run in [back, on_failure] {
        assert_eq!(run.code, Some(2), "{}", run.said());
        let part = "linkerd upgrade --linkerd-namespace linkerd";
        assert!(run.stderr.contains(part), "{}", run.stderr);
    }
    stage.assert_unchanged(true);
}
