//! `--watch-only`: something else performs the upgrade.

use std::process::Command;

use http::Method;
use mesh_testbed::{Bed, Match, When};
use mesh_tests::{begin, make_wait, on_both_beds, run};
use serde_json::json;

use crate::cli::is_written;
use crate::shop::web;
use crate::stage::{AGENT, Stage, TO};

on_both_beds! {
    upgrade_that_something_else_performs_is_watched_and_proven
    pods_that_lose_their_readiness_meanwhile_are_named_without_an_upgrade_of_its_own
    upgrade_that_fails_is_told_with_its_reason
    upgrade_that_never_begins_is_waited_for_and_nothing_is_written
    flags_of_an_upgrade_do_not_fit
}

impl Stage {
    pub(crate) fn watch(&self, more: &[&str]) -> Command {
        let mut command = self.tool();
        command.arg("--watch-only").args(more);
        command
    }

    fn all_writes(&self) -> usize {
        let events = self.bed.audit_of(AGENT).unwrap();
        let is_meant =
            |event: &&_| is_written(event) || event.resource == "leases" && event.writes();
        events
            .iter()
            .filter(is_meant)
            .filter(|it| !it.dry_run)
            .count()
    }
}

fn upgrade_that_something_else_performs_is_watched_and_proven(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let mut watching = begin(stage.watch(&["--to", TO]), "");
    watching.until(|record| {
        let message = record["message"].as_str();
        message.is_some_and(|message| message.starts_with("linkerd-config names stable-2.13.7"))
    });
    let other = stage.run(&judged, &[]);
    assert_eq!(other.code, Some(0), "{}", other.stderr);
    let watched = watching.finish();
    assert_eq!(watched.code, Some(0), "{}", watched.said());
    for step in ["watch", "prove"] {
        assert_eq!(watched.states(step), ["started", "done"], "{step}");
    }
    assert_eq!(watched.states("lock"), [""; 0]);
    let next = watched.end()["next"].as_str().unwrap();
    assert!(next.contains("--ask roll"), "{next}");

    // Whatever manages it, and without a write.
    let config = "/api/v1/namespaces/linkerd/configmaps/linkerd-config";
    let id =
        json!({ "argocd.argoproj.io/tracking-id": "linkerd:/ConfigMap:linkerd/linkerd-config" });
    let id = json!({ "metadata": { "annotations": id } });
    stage.bed.merge(config, &id).unwrap();
    let before = stage.all_writes();
    let again = run(stage.watch(&["--to", TO]), "");
    assert_eq!(again.code, Some(0), "{}", again.said());
    assert!(again.step("prove", "done").is_some());
    assert_eq!(stage.all_writes(), before);
}

fn pods_that_lose_their_readiness_meanwhile_are_named_without_an_upgrade_of_its_own(bed: Bed) {
    let stage = Stage::new(bed);
    web(&stage.bed, "shop", 1);
    let other = stage.run(&stage.judged(), &[]);
    assert_eq!(other.code, Some(0), "{}", other.stderr);
    let proxy = stage.bed.proxy().unwrap();
    let pods = Match::method(Method::GET).path("/api/v1/pods");
    let held = proxy.on(pods.nth(2)).hold(When::BeforeForward);
    let mut watch = stage.watch(&["--to", TO]);
    watch.env("KUBECONFIG", proxy.kubeconfig());
    let watching = begin(watch, "");
    held.arrived();
    let pods = stage.bed.get("/api/v1/namespaces/shop/pods").unwrap();
    let pod = pods["items"][0]["metadata"]["name"].as_str().unwrap();
    make_wait(&stage.bed, "shop", pod, "CrashLoopBackOff", 3);
    held.release();
    let watched = watching.finish();
    assert_eq!(watched.code, Some(0), "{}", watched.said());
    let words = format!("were ready before the upgrade and are not now: shop/{pod}");
    let reason = watched.end()["reason"].as_str().unwrap();
    assert!(reason.ends_with(&words), "{reason}");
}

fn upgrade_that_fails_is_told_with_its_reason(bed: Bed) {
    let stage = Stage::new(bed);
    let bad = stage.file("bad.yaml", "sim: {behaviour: {destination: image-pull}}\n");
    let other = stage.run(&stage.judged(), &["-f", &bad, "--timeout", "10s"]);
    assert_eq!(other.code, Some(1), "{}", other.stderr);
    let watched = run(stage.watch(&["--to", TO, "--timeout", "5s"]), "");
    assert_eq!(watched.code, Some(1), "{}", watched.said());
    let reason = watched.end()["reason"].as_str().unwrap();
    for part in ["linkerd-destination", "ImagePullBackOff"] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    let hint = "then watch again: mesh-cp-upgrade --settle=0s --watch-only --to stable-2.14.10";
    assert!(watched.stderr.contains(hint), "{}", watched.stderr);
    assert!(watched.step("watch", "failed").is_some());
}

fn upgrade_that_never_begins_is_waited_for_and_nothing_is_written(bed: Bed) {
    let stage = Stage::new(bed);
    let watched = run(stage.watch(&["--to", TO, "--timeout", "1s"]), "");
    assert_eq!(watched.code, Some(1), "{}", watched.said());
    let reason = watched.end()["reason"].as_str().unwrap();
    let part = "has not begun within 1s: linkerd-config names stable-2.13.7";
    assert!(reason.contains(part), "{reason}");
    let elsewhere = run(stage.watch(&["--to", TO, "-L", "mesh"]), "");
    assert_eq!(elsewhere.code, Some(2), "{}", elsewhere.said());
    assert!(
        elsewhere.stderr.contains("`mesh` has no control plane"),
        "{}",
        elsewhere.stderr
    );
    stage.assert_unchanged(false);
}

fn flags_of_an_upgrade_do_not_fit(bed: Bed) {
    let stage = Stage::new(bed);
    for (more, part) in [
        (&[][..], "--to <VERSION>"),
        (&["--to", TO, "--yes"], "cannot be used with"),
        (&["--to", TO, "-f", "values.yaml"], "cannot be used with"),
        (&["--to", "2.14"], "--to 2.14 does not name a release"),
        (&["--to", "latest"], "--to latest does not name a release"),
    ] {
        let run = run(stage.watch(more), "");
        assert_eq!(run.code, Some(2), "{more:?}: {}", run.said());
        assert!(run.stderr.contains(part), "{more:?}: {}", run.stderr);
    }
    stage.assert_unchanged(false);
}
