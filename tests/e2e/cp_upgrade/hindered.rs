//! What hinders an upgrade from outside: found before the write, waited for, or survived.

use std::fs;

use mesh_testbed::{Bed, Charts, MeshIdentity, Server};
use mesh_tests::{Run, Running, Signal, on_both_beds};
use serde_json::json;

use crate::shop::web;
use crate::stage::{STEPS, Stage, TO};

on_both_beds! {
    crash_loop_fails_the_upgrade_before_its_timeout
    issuer_that_has_expired_is_found_before_the_write
    sigterm_in_each_step_stops_and_the_same_pipeline_ends_done
    sigterm_in_one_step_leaves_what_the_next_run_ends
    [Helm]
    kubernetes_that_the_chart_does_not_take_is_said_before_the_write
    [Admission]
    policy_that_refuses_a_component_is_found_before_the_write
    webhook_that_refuses_a_component_is_found_before_the_write
    webhook_that_refuses_a_components_pods_is_found_before_the_write
    policy_against_the_probe_is_a_warning
    [Servers]
    api_server_that_restarts_in_the_middle_is_waited_for
}

const IDENTITY: &str = "linkerd.io/control-plane-component=identity";

pub(crate) fn until_held_up(run: &mut Running, part: &str) {
    run.until(|record| {
        let reason = record["reason"].as_str();
        record["type"] == "progress" && reason.is_some_and(|reason| reason.contains(part))
    });
}

#[track_caller]
pub(crate) fn assert_upgraded(stage: &Stage, run: &Run) {
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert_eq!(stage.configured(), TO);
}

fn crash_loop_fails_the_upgrade_before_its_timeout(bed: Bed) {
    let stage = Stage::new(bed);
    let bad = "sim: {behaviour: {destination: crash-loop}}\n";
    let run = stage.run(&stage.judged(), &["-f", &stage.file("bad.yaml", bad)]);
    assert_eq!(run.code, Some(1), "{}", run.said());
    for part in ["linkerd-destination", "CrashLoopBackOff"] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    assert!(!run.stderr.contains("not ready after"), "{}", run.stderr);
    assert!(run.step("watch", "failed").is_some());
}

fn issuer_that_has_expired_is_found_before_the_write(bed: Bed) {
    let stage = Stage::new(bed);
    let folder = stage.tools.folder().join("expired");
    let identity = MeshIdentity::expired().unwrap();
    let expired = Charts::write(&folder, TO, Some(&identity)).unwrap().values;
    let flags = [
        "-f",
        expired.to_str().unwrap(),
        "--allow-change",
        "anchors,issuer",
    ];
    let run = stage.run(&stage.judged(), &flags);
    assert_eq!(run.code, Some(2), "{}", run.said());
    let said = "the issuer's certificate expired at 2021-01-01T00:00:00Z";
    assert!(run.stderr.contains(said), "{}", run.stderr);
    stage.assert_unchanged(true);
}

fn sigterm_in_each_step_stops_and_the_same_pipeline_ends_done(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    for step in STEPS {
        let mut running = stage.begin(&judged, &[]);
        running.until_step(step);
        running.signal(Signal::TERM);
        let run = running.finish();
        assert_eq!(run.code, Some(3), "{step}: {}", run.said());
        assert_eq!(run.end()["outcome"], "stopped", "{step}");
        assert_eq!(stage.holder(), None, "{step}");
    }
    assert_upgraded(&stage, &stage.run(&judged, &[]));
}

fn sigterm_in_one_step_leaves_what_the_next_run_ends(bed: Bed) {
    // Real servers take long to start.
    let steps = match bed.as_lab() {
        Some(_) => &STEPS[..],
        None => &["crds", "control-plane"],
    };
    let mut stage = Stage::new(bed);
    for (number, step) in steps.iter().enumerate() {
        if number > 0 {
            stage = Stage::new(stage.bed.another().unwrap());
        }
        let judged = stage.judged();
        let mut running = stage.begin(&judged, &[]);
        running.until_step(step);
        running.signal(Signal::TERM);
        let run = running.finish();
        assert_eq!(run.code, Some(3), "{step}: {}", run.said());
        let end = run.records.last().unwrap();
        assert_eq!(end["type"], "end", "{step}");
        assert_eq!(end["outcome"], "stopped", "{step}");
        assert_eq!(end["exit"], 3, "{step}");
        let next = end["next"].as_str().unwrap();
        assert!(next.contains("| mesh-cp-upgrade"), "{step}: {next}");
        assert_upgraded(&stage, &stage.run(&judged, &[]));
    }
}

fn kubernetes_that_the_chart_does_not_take_is_said_before_the_write(bed: Bed) {
    let stage = Stage::new(bed);
    let chart = stage.charts.control_plane.join("Chart.yaml");
    let lines = fs::read_to_string(&chart).unwrap();
    let lines = lines
        .lines()
        .map(|line| match line.starts_with("kubeVersion:") {
            true => "kubeVersion: \">=1.99.0-0\"",
            false => line,
        });
    let lines: Vec<&str> = lines.collect();
    fs::write(&chart, lines.join("\n")).unwrap();
    let run = stage.run(&stage.judged(), &["--preflight"]);
    assert_eq!(run.code, Some(1), "{}", run.said());
    for part in [
        ">=1.99.0-0",
        "because of that, not checked: the identity settings",
    ] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    stage.assert_unchanged(false);
}

/// A policy that denies what `expression` is false for.
fn veto(bed: &Bed, namespace: &str, (group, plural): (&str, &str), expression: &str) {
    let rule = json!({ "apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
        "resources": [plural] });
    let validation = json!({ "expression": expression, "message": "no such objects here" });
    let version = "admissionregistration.k8s.io/v1";
    let policy = json!({ "apiVersion": version, "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": "veto" }, "spec": { "failurePolicy": "Fail",
            "matchConstraints": { "resourceRules": [rule] }, "validations": [validation] } });
    let place = json!({ "matchLabels": { "kubernetes.io/metadata.name": namespace } });
    let binding = json!({ "apiVersion": version, "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": "veto" }, "spec": { "policyName": "veto", "validationActions": ["Deny"],
            "matchResources": { "namespaceSelector": place } } });
    for object in [policy, binding] {
        bed.apply(&object.to_string()).unwrap();
    }
}

fn policy_that_refuses_a_component_is_found_before_the_write(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let version = "app.kubernetes.io/version";
    let allowed = format!("object.metadata.labels['{version}'] != '{TO}'");
    veto(&stage.bed, "linkerd", ("apps", "deployments"), &allowed);
    // The API server takes a moment to enforce a new policy.
    let mut runs = (0..30).map(|_| stage.run(&judged, &["--preflight"]));
    let run = runs.find(|run| run.code != Some(0));
    let run = run.expect("the webhook is called");
    assert_eq!(run.code, Some(1), "{}", run.said());
    for part in [
        "the API server would refuse Deployment linkerd-",
        "no such objects here",
    ] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    stage.assert_unchanged(false);
}

/// Runs the preflight until a webhook that refuses these objects of the control plane is found.
fn refused_on_fridays(stage: &Stage, judged: &str, (group, plural): (&str, &str)) -> Run {
    let client = stage.bed.refusing_webhook("no upgrades on Fridays");
    let rule = json!({ "apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
        "resources": [plural] });
    let place = json!({ "matchLabels": { "kubernetes.io/metadata.name": "linkerd" } });
    let hook = json!({ "name": "fridays.policy.test", "clientConfig": client.unwrap(), "rules": [rule],
        "namespaceSelector": place, "admissionReviewVersions": ["v1"], "sideEffects": "None",
        "failurePolicy": "Fail" });
    let configuration = json!({ "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration", "metadata": { "name": "fridays" }, "webhooks": [hook] });
    stage.bed.apply(&configuration.to_string()).unwrap();
    // The API server takes a moment to call a new webhook.
    let mut runs = (0..30).map(|_| stage.run(judged, &["--preflight"]));
    let is_found = |run: &Run| {
        COMPONENTS
            .iter()
            .all(|it| run.stderr.contains(&fridays(it)))
    };
    let run = runs.find(is_found).expect("the webhook refuses each");
    assert_eq!(run.code, Some(1), "{}", run.said());
    run
}

const COMPONENTS: [&str; 3] = ["destination", "identity", "proxy-injector"];
const ON_FRIDAYS: &str =
    "admission webhook \"fridays.policy.test\" denied the request: no upgrades on Fridays";

fn fridays(component: &str) -> String {
    format!("Deployment linkerd-{component}: {ON_FRIDAYS}")
}

fn webhook_that_refuses_a_component_is_found_before_the_write(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    refused_on_fridays(&stage, &judged, ("apps", "deployments"));
    stage.assert_unchanged(false);
    stage.refuses(&judged, &[], ON_FRIDAYS);
    stage.assert_unchanged(true);
}

fn webhook_that_refuses_a_components_pods_is_found_before_the_write(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let run = refused_on_fridays(&stage, &judged, ("", "pods"));
    let said = "the API server would refuse pods of the control plane: Deployment linkerd-";
    assert!(run.stderr.contains(said), "{}", run.stderr);
    stage.assert_unchanged(false);
}

fn policy_against_the_probe_is_a_warning(bed: Bed) {
    let stage = Stage::new(bed);
    web(&stage.bed, "shop", 1);
    let judged = stage.judged();
    veto(&stage.bed, "shop", ("", "pods"), "false");
    let refused = |run: &Run| {
        let progress = run.of("progress").into_iter();
        let mut said = progress.filter_map(|it| it["message"].as_str());
        said.any(|it| it.contains("warning: a new pod of shop/Deployment/web is refused"))
    };
    while !refused(&stage.run(&judged, &["--preflight"])) {}
    let run = stage.run(&judged, &[]);
    assert_upgraded(&stage, &run);
    assert!(refused(&run), "{}", run.said());
}

fn api_server_that_restarts_in_the_middle_is_waited_for(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let hold = stage.bed.kubelet().hold("linkerd", IDENTITY);
    let mut run = stage.begin(&judged, &["--request-timeout", "60s"]);
    until_held_up(&mut run, "not ready");
    stage.bed.restart(Server::ApiServer).unwrap();
    stage.bed.await_ready().unwrap();
    hold.release();
    let run = run.finish();
    // A lock that could not be renewed for too long is given up.
    match run.code {
        Some(0) => {}
        _ => assert_eq!(run.code, Some(3), "{}", run.said()),
    }
    assert_upgraded(&stage, &stage.run(&judged, &["--if-locked", "wait=1m"]));
}
