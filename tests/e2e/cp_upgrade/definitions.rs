//! Upgrades by the linkerd CLI to a release that brings definitions: these are written first, because
//! the CLI renders the control plane only then.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mesh_testbed::{Bed, FaultProxy, Held, Match, MeshIdentity, When};
use mesh_tests::{Run, Running, Signal, begin, on_both_beds, run};
use serde_json::{Value, json};

use crate::assert_no_secret;
use crate::cli::is_written;
use crate::stage::{AGENT, FROM, Stage, TO};

/// The definition that 2.14 brings.
const ROUTES: &str = "httproutes.gateway.networking.k8s.io";
const CRDS: &str = "customresourcedefinitions";
const OVERRIDES: &str = "/api/v1/namespaces/linkerd/secrets/linkerd-config-overrides";
/// What `end` says of a run that wrote the definitions alone.
const ALONE: &str = "this run wrote the CRDs, and nothing of the control plane: ";

on_both_beds! {
    release_that_brings_a_definition_is_reached_with_the_digest_of_its_dry_run
    issuer_that_has_expired_is_found_before_the_definitions_are_written
    check_that_fails_after_the_definitions_stops_there_and_the_next_run_goes_on
    stored_values_that_change_after_the_question_are_not_rendered
    signal_between_the_definitions_and_the_control_plane_is_told_with_what_was_written
    without_stored_values_no_definition_is_written
    [Kinds]
    definition_that_the_server_refuses_leaves_everything_as_it_was
    [Rbac]
    without_the_right_to_write_the_control_plane_no_definition_is_written
}

impl Stage {
    // Checks that the tool wrote definitions and nothing else.
    #[track_caller]
    pub(crate) fn assert_only_definitions(&self) {
        let written = self.written();
        assert!(written.iter().all(|it| it.contains(CRDS)), "{written:#?}");
        assert!(written.iter().any(|it| it.contains(ROUTES)), "{written:#?}");
        assert_eq!(self.configured(), FROM);
        assert_eq!(self.holder(), None, "the lock is let go");
    }

    // Starts a run that is held before it writes the new definition.
    pub(crate) fn held(&self, proxy: &FaultProxy, judged: &str) -> (Running, Held) {
        let write = Match::writes().agent(AGENT).path(ROUTES);
        let held = proxy.on(write).hold(When::BeforeForward);
        let mut command = self.command(&[]);
        command.env("KUBECONFIG", proxy.kubeconfig());
        let running = begin(command, judged);
        held.arrived();
        (running, held)
    }
}

fn intent(run: &Run) -> &Value {
    let all = run.of("intent");
    assert_eq!(all.len(), 1, "it is asked once");
    all[0]
}

fn release_that_brings_a_definition_is_reached_with_the_digest_of_its_dry_run(bed: Bed) {
    let stage = Stage::by_cli_without_definitions(bed);
    let judged = stage.judged();
    let dry = stage.run(&judged, &["--dry-run=server"]);
    assert_eq!(dry.code, Some(0), "{}", dry.stderr);
    let deeds = intent(&dry)["deeds"].as_array().unwrap().clone();
    assert_eq!(deeds.len(), 2, "{deeds:?}");
    let later = deeds[1]["object"].as_str().unwrap();
    assert!(
        later.contains("rendered when the CRDs are written"),
        "{later}"
    );
    let rendered = dry.step("render", "done").unwrap()["message"].to_string();
    for missing in [ROUTES, "httproutes.policy.linkerd.io v1beta3"] {
        assert!(rendered.contains(missing), "{missing}: {rendered}");
    }
    let reason = dry.end()["reason"].as_str().unwrap();
    assert!(
        reason.contains("the control plane was not checked"),
        "{reason}"
    );
    assert_eq!(dry.states("identity"), ["skipped"]);
    assert_eq!(dry.states("preflight"), ["started", "done"]);
    stage.assert_unchanged(false);

    let digest = intent(&dry)["digest"].as_str().unwrap().to_owned();
    let first = stage.run(&judged, &[&format!("--yes={digest}")]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert_no_secret(&stage, &first);
    assert_eq!(intent(&first)["digest"], digest.as_str());
    assert_eq!(first.states("crds"), ["started", "done"]);
    assert_eq!(
        first.states("render"),
        ["started", "done", "started", "done"]
    );
    assert_eq!(first.states("identity"), ["skipped", "started", "done"]);
    assert_eq!(first.states("control-plane"), ["started", "done"]);
    assert!(first.step("prove", "done").is_some());
    assert_eq!(stage.configured(), TO);
    let events = stage.bed.audit_of(AGENT).unwrap();
    let is_other = |resource: &str| resource != CRDS && resource != "pods";
    let checked = events
        .iter()
        .rposition(|it| it.dry_run && is_other(&it.resource));
    let wrote = events
        .iter()
        .position(|it| is_written(it) && is_other(&it.resource));
    assert!(
        checked.unwrap() < wrote.unwrap(),
        "all is checked before any of it is written"
    );

    let before = stage.written().len();
    let again = stage.run(&stage.judged(), &[]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(again.states("crds"), ["skipped"]);
    assert_eq!(stage.written().len(), before);
}

fn issuer_that_has_expired_is_found_before_the_definitions_are_written(bed: Bed) {
    let stage = Stage::by_cli_without_definitions(bed);
    let judged = stage.judged();
    let expired = MeshIdentity::expired().unwrap().issuer;
    let pem = [&expired.certificate, &expired.key].map(|pem| STANDARD.encode(pem));
    let data = json!({ "data": { "crt.pem": pem[0], "key.pem": pem[1] } });
    let secret = "/api/v1/namespaces/linkerd/secrets/linkerd-identity-issuer";
    stage.bed.merge(secret, &data).unwrap();
    for (how, code) in [(&["--preflight"][..], 1), (&[], 2)] {
        let run = stage.run(&judged, how);
        assert_eq!(run.code, Some(code), "{how:?}: {}", run.said());
        let reason = run.end()["reason"].as_str().unwrap();
        let said = "the issuer's certificate expired at 2021-01-01T00:00:00Z";
        assert!(reason.contains(said), "{reason}");
        assert_eq!(stage.written(), [""; 0]);
    }
}

fn check_that_fails_after_the_definitions_stops_there_and_the_next_run_goes_on(bed: Bed) {
    let stage = Stage::by_cli_without_definitions(bed);
    let judged = stage.judged();
    let other = stage.file("other.yaml", "clusterDomain: other.local\n");
    let stopped = stage.run(&judged, &["-f", &other]);
    assert_eq!(stopped.code, Some(2), "{}", stopped.stderr);
    let reason = stopped.end()["reason"].as_str().unwrap();
    assert!(reason.starts_with(ALONE), "{reason}");
    assert!(reason.contains("other.local"), "{reason}");
    assert!(
        stopped.stderr.contains("--allow-change"),
        "{}",
        stopped.stderr
    );
    assert!(stopped.step("identity", "failed").is_some());
    stage.assert_only_definitions();

    let run = stage.run(&judged, &[]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.states("crds"), ["skipped"]);
    assert_eq!(stage.configured(), TO);
}

fn stored_values_that_change_after_the_question_are_not_rendered(bed: Bed) {
    let stage = Stage::by_cli_without_definitions(bed);
    let judged = stage.judged();
    let proxy = stage.bed.proxy().unwrap();
    let (running, held) = stage.held(&proxy, &judged);
    let mark = json!({ "metadata": { "annotations": { "example.test/changed": "1" } } });
    stage.bed.merge(OVERRIDES, &mark).unwrap();
    held.release();
    let run = running.finish();
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    let reason = run.end()["reason"].as_str().unwrap();
    assert!(reason.starts_with(ALONE), "{reason}");
    assert!(
        reason.contains("has changed since it was shown: the Secret linkerd-config-overrides"),
        "{reason}"
    );
    stage.assert_only_definitions();
}

fn signal_between_the_definitions_and_the_control_plane_is_told_with_what_was_written(bed: Bed) {
    let stage = Stage::by_cli_without_definitions(bed);
    let judged = stage.judged();
    let proxy = stage.bed.proxy().unwrap();
    let (running, held) = stage.held(&proxy, &judged);
    running.signal(Signal::TERM);
    held.release();
    let run = running.finish();
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    let reason = run.end()["reason"].as_str().unwrap();
    assert!(reason.starts_with(ALONE), "{reason}");
    assert!(reason.ends_with("stopped by signal 15"), "{reason}");
    stage.assert_only_definitions();
}

fn without_stored_values_no_definition_is_written(bed: Bed) {
    let stage = Stage::by_cli_without_definitions(bed);
    let judged = stage.judged();
    stage.bed.delete(OVERRIDES).unwrap();
    stage.refuses(&judged, &[], "no Secret linkerd-config-overrides");
    assert_eq!(stage.written(), Vec::<String>::new());
}

// A stored version that the new definition lacks would lose objects.
fn definition_that_the_server_refuses_leaves_everything_as_it_was(bed: Bed) {
    let stage = Stage::by_cli_without_definitions(bed);
    let judged = stage.judged();
    let path = format!("/apis/apiextensions.k8s.io/v1/{CRDS}/servers.policy.linkerd.io");
    let definition = stage.bed.get(&path).unwrap();
    let mut versions = definition["spec"]["versions"].as_array().unwrap().clone();
    for version in &mut versions {
        version["storage"] = false.into();
    }
    let mut old = versions[0].clone();
    old["name"] = "v1alpha0".into();
    old["storage"] = true.into();
    versions.push(old);
    let versions = json!({ "spec": { "versions": versions } });
    stage.bed.merge(&path, &versions).unwrap();
    stage.refuses(&judged, &[], "servers.policy.linkerd.io");
    assert_eq!(stage.written(), Vec::<String>::new());
    assert_eq!(stage.configured(), FROM);
}

// All that an upgrade needs, but for the webhooks' configurations.
const MOST: &str = r#"
apiVersion: v1
kind: ServiceAccount
metadata: {name: upgrader, namespace: linkerd}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: upgrader}
rules:
- {apiGroups: ["", apps, batch, policy, discovery.k8s.io, coordination.k8s.io, apiextensions.k8s.io, rbac.authorization.k8s.io, policy.linkerd.io, linkerd.io, gateway.networking.k8s.io, linkerd.buoyant.io], resources: ["*"], verbs: ["*"]}
- {apiGroups: [admissionregistration.k8s.io], resources: ["*"], verbs: [get, list, watch, create]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: upgrader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: upgrader}
subjects: [{kind: ServiceAccount, name: upgrader, namespace: linkerd}]
"#;

fn without_the_right_to_write_the_control_plane_no_definition_is_written(bed: Bed) {
    let stage = Stage::by_cli_without_definitions(bed);
    let judged = stage.judged();
    stage.bed.apply(MOST).unwrap();
    let token = ["-n", "linkerd", "create", "token", "upgrader"];
    let token = stage.bed.kubectl(token).unwrap();
    let kubeconfig = stage.bed.kubeconfig_with_token("upgrader", token.trim());
    let mut command = stage.command(&[]);
    command.env("KUBECONFIG", kubeconfig.unwrap());
    let run = run(command, &judged);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    let kinds = "may not patch mutatingwebhookconfigurations, validatingwebhookconfigurations";
    assert!(run.stderr.contains(kinds), "{}", run.stderr);
    assert_eq!(stage.written(), Vec::<String>::new());
}
