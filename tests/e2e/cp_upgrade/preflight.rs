//! What stands in the way of an upgrade is found before the first write, and said at once.

use http::StatusCode;
use mesh_testbed::{Bed, Match};
use mesh_tests::{Run, on_both_beds, write_program};
use serde_json::{Value, json};

use crate::locked::lease;
use crate::stage::{AGENT, Stage, TO};

on_both_beds! {
    preflight_finds_nothing_and_writes_nothing
    preflight_at_the_target_waits_for_nothing
    preflight_says_all_that_stands_in_the_way_at_once
    preflight_sees_a_silent_webhook_before_the_control_plane_is_rendered
    preflight_says_what_could_not_be_checked
    preflight_cannot_tell_what_a_program_could_not_look_at
    [Helm]
    preflight_cannot_tell_what_helm_gets_no_answer_about
}

const CRD: &str =
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/serviceprofiles.linkerd.io";

impl Stage {
    /// Makes the cluster store objects of a definition in a version that no chart has.
    fn stores_an_older_version(&self) {
        let crd = self.bed.get(CRD).unwrap();
        let mut versions = crd["spec"]["versions"].as_array().unwrap().clone();
        let storage = |it: &&Value| it["storage"] == true;
        let now = versions.iter().find(storage).unwrap().clone();
        let mut old = now.clone();
        old["name"] = "v1alpha0".into();
        old["storage"] = false.into();
        versions.push(old);
        let spec = json!({ "spec": { "versions": versions } });
        self.bed.merge(CRD, &spec).unwrap();
        let stored = json!({ "status": { "storedVersions": ["v1alpha0", now["name"]] } });
        self.bed.merge(&format!("{CRD}/status"), &stored).unwrap();
    }

    /// Adds a webhook for all pods that fails closed, and that nobody answers for.
    fn has_a_silent_webhook(&self) {
        let service = "{namespace: policy, name: nobody, path: /}";
        let rule = "{operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods]}";
        let hook = format!(
            "{{name: silent.policy.test, failurePolicy: Fail, sideEffects: None, \
             admissionReviewVersions: [v1], clientConfig: {{service: {service}}}, rules: [{rule}]}}"
        );
        let configuration = format!(
            "{{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, \
             metadata: {{name: policy}}, webhooks: [{hook}]}}"
        );
        self.bed.namespace("policy", &[]).unwrap();
        let labels = "{kubernetes.io/service-name: nobody}";
        let slice = format!(
            "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: nobody, \
             namespace: policy, labels: {labels}}}, addressType: IPv4, endpoints: []}}"
        );
        self.bed.apply(&slice).unwrap();
        self.bed.apply(&configuration).unwrap();
    }
}

// The messages and the hints of what stands in the way.
fn findings(run: &Run) -> Vec<(&str, &str)> {
    let steps = run.of("step").into_iter();
    let failed = steps.filter(|it| it["state"] == "failed");
    failed
        .map(|it| (it["reason"].as_str().unwrap(), it["hint"].as_str().unwrap()))
        .collect()
}

fn preflight_finds_nothing_and_writes_nothing(bed: Bed) {
    let stage = Stage::new(bed);
    let run = stage.run(&stage.judged(), &["--preflight"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    for step in ["lock", "render", "identity", "preflight", "backup"] {
        assert_eq!(run.states(step), ["started", "done"], "{step}");
    }
    assert!(run.step("crds", "started").is_none());
    let end = run.end();
    assert_eq!(end["outcome"], "complete");
    assert_eq!(
        end["reason"],
        "nothing stands in the way; nothing was written"
    );
    let next = end["next"].as_str().unwrap();
    assert!(
        next.contains("mesh-cp-upgrade") && !next.contains("--preflight"),
        "{next}"
    );
    stage.assert_unchanged(false);
}

fn preflight_at_the_target_waits_for_nothing(bed: Bed) {
    let stage = Stage::new(bed);
    let first = stage.run(&stage.judged(), &[]);
    assert_eq!(first.code, Some(0), "{}", first.said());
    let run = stage.run(&stage.judged(), &["--preflight"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert_eq!(
        run.end()["reason"],
        "it is already at the target; nothing was written"
    );
    assert!(run.of("intent").is_empty());
    for step in ["watch", "prove", "afterwards"] {
        assert!(run.states(step).is_empty(), "{step}");
    }
}

fn preflight_sees_a_silent_webhook_before_the_control_plane_is_rendered(bed: Bed) {
    let stage = Stage::by_cli_without_definitions(bed);
    let judged = stage.judged();
    let run = stage.run(&judged, &["--preflight"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    stage.has_a_silent_webhook();
    let run = stage.run(&judged, &["--preflight"]);
    assert_eq!(run.code, Some(1), "{}", run.said());
    let [(why, _)] = findings(&run)[..] else {
        panic!("one thing stands in the way: {}", run.said());
    };
    assert!(why.contains("silent.policy.test"), "{why}");
    assert_eq!(stage.written(), Vec::<String>::new());
}

/// The step that finds it, what is said and the way out.
const EXPECTED: [(&str, &str, &str); 4] = [
    (
        "lock",
        "is held by somebody@elsewhere",
        "delete lease mesh-tools",
    ),
    (
        "identity",
        "the cluster's domain",
        "--allow-change trust-domain,cluster-domain",
    ),
    (
        "preflight",
        "the new definition of serviceprofiles.linkerd.io lacks v1alpha0",
        "patch crd serviceprofiles.linkerd.io --subresource=status",
    ),
    (
        "preflight",
        "the webhook silent.policy.test (ValidatingWebhookConfiguration policy) would refuse pods",
        "get endpointslices -l kubernetes.io/service-name=nobody",
    ),
];

fn preflight_says_all_that_stands_in_the_way_at_once(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let domain = stage.file("domain.yaml", "clusterDomain: corp.local\n");
    stage
        .bed
        .apply(&lease("2999-01-01T00:00:00.000000Z"))
        .unwrap();
    stage.stores_an_older_version();
    stage.has_a_silent_webhook();
    // A dry run takes no lock.
    for (how, code, outcome, expected) in [
        ("--preflight", 1, "complete", &EXPECTED[..]),
        ("--dry-run=server", 2, "failed", &EXPECTED[1..]),
    ] {
        let run = stage.run(&judged, &[how, "-f", &domain]);
        assert_eq!(run.code, Some(code), "{}", run.said());
        assert_eq!(run.end()["outcome"], outcome, "{how}");
        let findings = findings(&run);
        let reason = run.end()["reason"].as_str().unwrap();
        for (step, what, hint) in expected {
            let is_it =
                |(said, way_out): &&(&str, &str)| said.contains(what) && way_out.contains(hint);
            assert!(
                findings.iter().any(|it| is_it(&it)),
                "{what}: {findings:#?}"
            );
            assert!(reason.contains(what), "{what}: {reason}");
            assert!(run.step(step, "done").is_none(), "{step}");
            let lines: Vec<&str> = run.stderr.lines().collect();
            let at = lines.iter().position(|line| line.contains(what)).unwrap();
            assert!(lines[at + 1].starts_with("hint: "), "{}", run.stderr);
            assert!(lines[at + 1].contains(hint), "{}", run.stderr);
        }
        assert_eq!(findings.len(), expected.len(), "{findings:#?}");
        assert!(run.of("intent").is_empty());
    }
    let events = stage.bed.audit_of(AGENT).unwrap();
    let mut writes = events.iter().filter(|it| it.writes() && !it.dry_run);
    assert!(writes.all(|it| it.group.starts_with("auth")), "{events:#?}");
}

fn preflight_says_what_could_not_be_checked(bed: Bed) {
    let stage = Stage::new(bed);
    stage
        .bed
        .apply(&lease("2999-01-01T00:00:00.000000Z"))
        .unwrap();
    let (flag, program) = match stage.is_by_helm() {
        true => ("--helm", "/no/such/helm"),
        false => ("--linkerd", "/no/such/linkerd"),
    };
    let run = stage.run(&stage.judged(), &["--preflight", flag, program]);
    assert_eq!(run.code, Some(1), "{}", run.said());
    let all = findings(&run);
    let unusable = all.iter().find(|(what, _)| what.contains(program));
    assert!(
        unusable.is_some_and(|(_, hint)| hint.contains(flag)),
        "{all:#?}"
    );
    assert!(
        all.iter().any(|(what, _)| what.contains("is held by")),
        "{all:#?}"
    );
    let reason = run.end()["reason"].as_str().unwrap();
    let (missing, held) = (reason.find(program), reason.find("is held by"));
    assert!(
        held < missing,
        "what was not checked is not for the lock: {reason}"
    );
    let rest = "because of that, not checked: the charts, the identity settings, the dry run of each \
                object, the way back";
    assert!(reason.contains(rest), "{reason}");
    for step in ["render", "identity", "preflight", "backup"] {
        assert_eq!(run.states(step), ["skipped"], "{step}");
    }
    stage.assert_unchanged(true);
}

// Checks that a run says that it could not look, and that this is not the answer no.
#[track_caller]
fn assert_open(stage: &Stage, run: &Run, parts: &[&str]) {
    assert_eq!(run.code, Some(2), "{}", run.said());
    assert_eq!(run.end()["outcome"], "failed");
    for part in parts {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    assert!(run.step("render", "done").is_none());
    stage.assert_unchanged(false);
}

fn preflight_cannot_tell_what_a_program_could_not_look_at(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let (flag, real) = match stage.is_by_helm() {
        true => ("--helm", stage.bed.helm().to_owned()),
        false => ("--linkerd", stage.tools.linkerd(&stage.bed, TO)),
    };
    let path = stage.tools.folder().join("cut-off");
    let cut_off = |said: &str| {
        let upgrade = format!("upgrade) echo '{said}' >&2; exit 1 ;;");
        let rest = format!("*) exec {} \"$@\" ;;", real.display());
        write_program(
            &path,
            &format!("#!/bin/sh\ncase $1 in {upgrade} {rest} esac\n"),
        );
        stage.run(&judged, &["--preflight", flag, path.to_str().unwrap()])
    };
    let timeout = "dial tcp 10.0.0.1:443: i/o timeout";
    let run = cut_off(&format!("Error: Get \"https://h/api\": {timeout}"));
    assert_open(&stage, &run, &[timeout, "hint: check the network"]);
    let run = cut_off("Error: invalid value: too old");
    assert_eq!(run.code, Some(1), "it has an opinion: {}", run.said());

    // What was found before is said too, but the answer is not whole.
    stage
        .bed
        .apply(&lease("2999-01-01T00:00:00.000000Z"))
        .unwrap();
    let run = cut_off("Error: Kubernetes cluster unreachable: unknown");
    assert_open(
        &stage,
        &run,
        &["cluster unreachable", "is held by somebody@elsewhere"],
    );
}

fn preflight_cannot_tell_what_helm_gets_no_answer_about(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let chart = "http://127.0.0.1:1/chart.tgz";
    let mut offline = stage.tool();
    offline.args(["--preflight", "--chart", chart, "--crds-chart", chart, "-f"]);
    offline.arg(&stage.charts.values);
    let run = mesh_tests::run(offline, &judged);
    let parts = [
        "cannot download the chart http://127.0.0.1:1/chart.tgz",
        "connection refused",
        "hint: check the network",
        "or download both charts elsewhere",
    ];
    assert_open(&stage, &run, &parts);

    let proxy = stage.bed.proxy().unwrap();
    let of_helm = Match::any().agent("Helm/").path("/secrets");
    proxy.on(of_helm).answer(StatusCode::SERVICE_UNAVAILABLE);
    let mut busy = stage.command(&["--preflight"]);
    busy.env("KUBECONFIG", proxy.kubeconfig());
    let run = mesh_tests::run(busy, &judged);
    let parts = [
        "cannot read the history of the helm release",
        "hint: check the network",
    ];
    assert_open(&stage, &run, &parts);
}
