//! Tests of fast failure, signals, and a reader that goes away.

use mesh_testbed::{Bed, FaultProxy, Held, Match, When};
use mesh_tests::{Running, Signal, begin, make_ready, make_wait, on_both_beds, records, run};
use serde_json::{Value, json};

use crate::stage::{Stage, TO};

on_both_beds! {
    timeout_waits_for_an_image_that_comes_late
    timeout_fails_an_upgrade_whose_image_never_comes_with_its_reason
    timeout_fails_an_upgrade_whose_component_is_not_ready
    event_says_why_a_component_is_not_ready
    component_that_somebody_scales_to_nothing_is_not_ready
    component_that_does_not_stay_ready_is_watched_until_it_does
    component_that_fails_after_it_was_seen_ready_is_found_by_the_last_list
    webhook_that_names_another_certificate_is_not_a_success
    prove_in_a_namespace_without_injection_leaves_the_upgrade_unproven
    first_signal_waits_for_the_write_in_flight
    reader_that_goes_away_stops_the_run_and_record_file_says_so
    [Helm]
    second_signal_does_not_wait_for_helm
}

// Values by which the images of one component cannot be pulled.
fn without_an_image(stage: &Stage) -> String {
    let bad = stage.tools.folder().join("bad.yaml");
    std::fs::write(&bad, "sim: {behaviour: {destination: image-pull}}\n").unwrap();
    bad.to_str().unwrap().to_owned()
}

fn timeout_waits_for_an_image_that_comes_late(bed: Bed) {
    let stage = Stage::new(bed);
    let bad = without_an_image(&stage);
    let mut run = stage.begin(&stage.judged(), &["-f", &bad, "--timeout", "2m"]);
    let held_up = run.until(|record| {
        let reason = record["reason"].as_str();
        reason.is_some_and(|reason| reason.contains("ImagePullBackOff"))
    });
    assert_eq!(held_up["component"], "linkerd-destination");
    let labels = "linkerd.io/control-plane-component%3Ddestination";
    let pods = format!("/api/v1/namespaces/linkerd/pods?labelSelector={labels}");
    let pods = stage.bed.get(&pods).unwrap();
    let mut pods = pods["items"].as_array().unwrap().iter();
    let late = pods.find(|pod| pod["metadata"]["labels"]["sim.test/behaviour"] == "image-pull");
    let late = late.unwrap()["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    make_ready(&stage.bed, "linkerd", &late);
    let run = run.finish();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(!run.stderr.contains("rollback"), "{}", run.stderr);
}

fn timeout_fails_an_upgrade_whose_image_never_comes_with_its_reason(bed: Bed) {
    let stage = Stage::new(bed);
    let bad = without_an_image(&stage);
    let judged = stage.judged();
    // The time is helm's own, too.
    let run = stage.run(&judged, &["-f", &bad, "--timeout", "20s"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    let back = "helm rollback linkerd-control-plane 1";
    for part in ["linkerd-destination", "ImagePullBackOff", back] {
        let said = run.stderr.contains(part);
        assert!(
            said || part == back && !stage.is_by_helm(),
            "{part}: {}",
            run.stderr
        );
    }
    assert!(run.step("watch", "failed").is_some());
    assert_eq!(run.end()["outcome"], "complete");
    assert_eq!(stage.holder(), None);

    // After the values are fixed, the same pipeline continues. The CLI keeps old values, so all are
    // given again.
    let good = stage.tools.folder().join("good.yaml");
    std::fs::write(&good, "sim: {behaviour: {destination: ok}}\n").unwrap();
    let again = stage.run(&judged, &["-f", good.to_str().unwrap()]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
}

fn timeout_fails_an_upgrade_whose_component_is_not_ready(bed: Bed) {
    let stage = Stage::new(bed);
    let hold = stage
        .bed
        .kubelet()
        .hold("linkerd", "linkerd.io/control-plane-component=identity");
    let run = stage.run(&stage.judged(), &["--timeout", "20s"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("linkerd-identity"), "{}", run.stderr);
    assert!(run.stderr.contains("not ready"), "{}", run.stderr);
    hold.release();
}

fn event_says_why_a_component_is_not_ready(bed: Bed) {
    let stage = Stage::new(bed);
    let hold = stage
        .bed
        .kubelet()
        .hold("linkerd", "linkerd.io/control-plane-component=identity");
    let mut run = stage.begin(&stage.judged(), &[]);
    let says = |record: &Value, part: &str| {
        let reason = record["reason"].as_str();
        record["component"] == "linkerd-identity" && reason.is_some_and(|it| it.contains(part))
    };
    let unready = run.until(|record| says(record, "pod ") && says(record, "not ready"));
    let reason = unready["reason"].as_str().unwrap();
    let pod = reason.split(['"', ' ', ':']).nth(1).unwrap();
    let pods = "/api/v1/namespaces/linkerd/pods";
    let uid = stage.bed.get(&format!("{pods}/{pod}")).unwrap()["metadata"]["uid"].clone();
    let of = format!("{{apiVersion: v1, kind: Pod, namespace: linkerd, name: {pod}, uid: {uid}}}");
    let event = |name: &str, kind: &str, reason: &str| {
        let event = format!(
            "{{apiVersion: v1, kind: Event, metadata: {{name: {name}, namespace: linkerd}},              involvedObject: {of}, type: {kind}, reason: {reason}, message: no Secret roots}}"
        );
        stage.bed.apply(&event).unwrap();
    };
    event("pulled", "Normal", "Pulled");
    event("mount", "Warning", "FailedMount");
    let said = run.until(|record| says(record, "not ready: "));
    let expected = format!("{reason}: FailedMount: no Secret roots");
    assert_eq!(said["reason"], expected);
    hold.release();
    let run = run.finish();
    assert_eq!(run.code, Some(0), "{}", run.said());
}

fn component_that_does_not_stay_ready_is_watched_until_it_does(bed: Bed) {
    let stage = Stage::new(bed);
    // As long as no time limit of a test is, so that the end comes from what happens.
    let mut run = stage.begin(&stage.judged(), &["--timeout", "20s", "--settle", "1h"]);
    run.until(|record| {
        says(
            record,
            "all 3 components are ready; watching them for 3600s",
        )
    });
    let pod = stage.new_pod_of_identity();
    make_wait(&stage.bed, "linkerd", &pod, "CrashLoopBackOff", 5);
    let run = run.finish();
    assert_eq!(run.code, Some(1), "{}", run.said());
    assert!(run.stderr.contains("linkerd-identity"), "{}", run.stderr);
    assert!(run.step("watch", "failed").is_some());
}

fn webhook_that_names_another_certificate_is_not_a_success(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let done = stage.run(&judged, &[]);
    assert_eq!(done.code, Some(0), "{}", done.said());
    let other = "/api/v1/namespaces/linkerd/secrets/linkerd-policy-validator-k8s-tls";
    let other = stage.bed.get(other).unwrap()["data"]["tls.crt"].clone();
    let webhook = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/\
                   linkerd-proxy-injector-webhook-config";
    let mut changed = stage.bed.get(webhook).unwrap();
    changed["webhooks"][0]["clientConfig"]["caBundle"] = other;
    let changed = json!({ "webhooks": changed["webhooks"] });
    stage.bed.merge(webhook, &changed).unwrap();
    let watched = run(stage.watch(&["--to", TO]), "");
    assert_eq!(watched.code, Some(1), "{}", watched.said());
    let said = "the API server does not trust linkerd-proxy-injector";
    assert!(watched.stderr.contains(said), "{}", watched.stderr);
    let again = stage.run(&judged, &[]);
    if stage.is_by_helm() {
        // helm has nothing to write.
        assert_eq!(again.code, Some(1), "{}", again.said());
        assert!(again.stderr.contains(said), "{}", again.stderr);
    } else {
        assert_eq!(again.code, Some(0), "{}", again.said());
    }
    stage.bed.delete(webhook).unwrap();
    let watched = run(stage.watch(&["--to", TO]), "");
    assert_eq!(watched.code, Some(1), "{}", watched.said());
    let said = "the API server does not call linkerd-proxy-injector: no webhook";
    assert!(watched.stderr.contains(said), "{}", watched.stderr);
}

fn says(record: &Value, part: &str) -> bool {
    record["message"]
        .as_str()
        .is_some_and(|it| it.contains(part))
}

fn component_that_fails_after_it_was_seen_ready_is_found_by_the_last_list(bed: Bed) {
    let stage = Stage::new(bed);
    let proxy = stage.bed.proxy().unwrap();
    let pods = "/api/v1/namespaces/linkerd/pods";
    let lists = Match::method(http::Method::GET).path(&format!("{pods}?limit"));
    let last = proxy.on(lists.nth(2)).hold(When::BeforeForward);
    let mut command = stage.command(&["--timeout", "30s"]);
    command.env("KUBECONFIG", proxy.kubeconfig());
    let run = begin(command, &stage.judged());
    last.arrived();
    let reason = "CrashLoopBackOff";
    make_wait(
        &stage.bed,
        "linkerd",
        &stage.new_pod_of_identity(),
        reason,
        1,
    );
    last.release();
    let run = run.finish();
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.end()["reason"].to_string().contains(reason));
}

fn component_that_somebody_scales_to_nothing_is_not_ready(bed: Bed) {
    let stage = Stage::new(bed);
    let hold = stage
        .bed
        .kubelet()
        .hold("linkerd", "linkerd.io/control-plane-component=identity");
    let mut run = stage.begin(&stage.judged(), &["--timeout", "20s"]);
    run.until_step("watch");
    let identity = "/apis/apps/v1/namespaces/linkerd/deployments/linkerd-identity";
    let none = json!({ "spec": { "replicas": 0 } });
    stage.bed.merge(identity, &none).unwrap();
    let run = run.finish();
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    let said = "linkerd-identity: it is scaled to 0 pods, but 1 were agreed to";
    assert!(run.stderr.contains(said), "{}", run.stderr);
    hold.release();
}

fn prove_in_a_namespace_without_injection_leaves_the_upgrade_unproven(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let mut run = stage.begin(&judged, &[]);
    run.until_step("prove");
    let run = run.finish();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    // In a namespace that the webhook excludes nothing can be proven.
    let run = stage.run(&judged, &["--prove-in", "kube-system"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("gets no proxy"), "{}", run.stderr);
}

fn first_signal_waits_for_the_write_in_flight(bed: Bed) {
    let stage = Stage::new(bed);
    let proxy = stage.bed.proxy().unwrap();
    let (running, held) = held_at_the_configuration(&stage, &proxy, &[]);
    running.signal(Signal::TERM);
    held.release();
    let run = running.finish();
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    assert!(
        run.step("control-plane", "done").is_some(),
        "it was seen out"
    );
    assert!(run.step("watch", "started").is_none());
    assert_eq!(run.end()["outcome"], "stopped");
    assert_eq!(stage.configured(), TO);
    if stage.is_by_helm() {
        let once = (2, "deployed".to_owned());
        assert_eq!(stage.revision("linkerd-control-plane"), once);
    }
}

fn second_signal_does_not_wait_for_helm(bed: Bed) {
    let stage = Stage::new(bed);
    let proxy = stage.bed.proxy().unwrap();
    let (running, held) = held_at_the_configuration(&stage, &proxy, &[]);
    let helm = running.children();
    assert_eq!(helm.len(), 1);
    running.signal(Signal::INT);
    running.signal(Signal::TERM);
    let run = running.finish();
    assert!(
        [Some(128 + 2), Some(128 + 15)].contains(&run.code),
        "{:?} {}",
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

// Starts a run that is held when the control plane is half written.
pub(crate) fn held_at_the_configuration(
    stage: &Stage,
    proxy: &FaultProxy,
    flags: &[&str],
) -> (Running, Held) {
    let config = Match::writes()
        .agent(stage.writer())
        .path("configmaps/linkerd-config");
    let held = proxy.on(config).hold(When::BeforeForward);
    let mut command = stage.command(flags);
    command.env("KUBECONFIG", proxy.kubeconfig());
    let mut running = begin(command, &stage.judged());
    running.until_step("control-plane");
    held.arrived();
    (running, held)
}

fn reader_that_goes_away_stops_the_run_and_record_file_says_so(bed: Bed) {
    let stage = Stage::new(bed);
    let evidence = stage.tools.folder().join("cp.ndjson");
    let pipeline = format!(
        "mesh-survey | mesh-skewcheck --to {TO} | {{ mesh-cp-upgrade {} --yes --record {} || echo $? >&2; }} | head -n 3",
        stage.source().join(" "),
        evidence.display()
    );
    let output = stage.env(stage.tools.shell(&pipeline)).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.lines().any(|line| line == "3"), "{stderr}");
    let evidence = std::fs::read_to_string(&evidence).unwrap();
    let records = records(&evidence);
    let end: &Value = records.last().unwrap();
    assert_eq!(
        (&end["type"], &end["exit"]),
        (&Value::from("end"), &Value::from(3))
    );
    assert_eq!(output.stdout.split(|byte| *byte == b'\n').count(), 4);
    stage.assert_unchanged(true);
}
