//! The cluster changes while the question waits: what was agreed to holds only for what was shown.

use http::Method;
use mesh_testbed::{Bed, Match, When};
use mesh_tests::{begin, on_both_beds, write_program, yes_at_the_question};
use serde_json::{Value, json};

use crate::stage::{AGENT, FROM, Stage};

on_both_beds! {
    change_of_the_control_plane_while_the_question_waits_ends_the_run_before_any_write
    verdict_that_is_too_old_at_the_answer_starts_nothing
    lock_that_is_taken_while_the_question_waits_is_noticed_before_the_first_write
    [Helm]
    revision_that_another_helm_wrote_while_the_question_waits_ends_the_run
    change_between_the_definitions_and_the_control_plane_is_told_with_what_was_written
    revision_that_another_helm_wrote_over_the_new_definitions_ends_the_run
    what_a_chart_finds_otherwise_in_the_cluster_at_the_answer_is_not_written
    helm_is_asked_again_only_for_what_was_written_and_what_renders_make_anew
}

const CONFIG: &str = "/api/v1/namespaces/linkerd/configmaps/linkerd-config";
const ROOTS: &str = "/api/v1/namespaces/linkerd/configmaps/linkerd-identity-trust-roots";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/linkerd/leases/mesh-tools";
const CHANGED: &str = "the control plane has changed since it was shown: ";
const AGAIN: &str = "another look before the write: ";

const NOTED: &str =
    "{apiVersion: v1, kind: ConfigMap, metadata: {name: noted, namespace: linkerd}}";
/// A template that depends on whether that is there.
const SEES: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: sees}
data: {lacks: {{ lookup \"v1\" \"ConfigMap\" \"linkerd\" \"noted\" | empty | quote }}}
";
/// A template that makes a certificate anew unless that is there.
const MAKES: &str = "\
apiVersion: v1
kind: Secret
metadata: {name: makes}
type: kubernetes.io/tls
data:
  tls.key: {{ b64enc \"key\" }}
  {{- if lookup \"v1\" \"ConfigMap\" \"linkerd\" \"noted\" }}
  tls.crt: {{ b64enc \"there\" }}
  {{- else }}
  tls.crt: {{ randAlphaNum 9 | b64enc }}
  {{- end }}
";

fn annotated(key: &str) -> Value {
    json!({ "metadata": { "annotations": { key: "linkerd:/ConfigMap:linkerd/linkerd-config" } } })
}

impl Stage {
    // Returns the trust anchors of another mesh.
    fn foreign_anchors(&self) -> String {
        let values: Value = serde_json::from_str(&self.foreign_values()).unwrap();
        values["identityTrustAnchorsPEM"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    // Answers yes after `meanwhile`; the run must end with this exit code, say `parts`, and have
    // written nothing.
    #[track_caller]
    fn yes_is_void(&self, flags: &[&str], code: i32, parts: &[&str], meanwhile: impl FnOnce()) {
        let judged = self.file("judged", &self.judged());
        let mut command = self.tool();
        command.args(self.source()).args(flags);
        let ended = yes_at_the_question(&self.tools, &mut command, &judged, meanwhile);
        let end = ended.1.last().unwrap();
        assert_eq!(ended.0, Some(code), "{end:#}");
        let reason = end["reason"].as_str().unwrap();
        for part in parts {
            assert!(reason.contains(part), "{part}: {reason}");
        }
        let is_step = |name: &str| ended.1.iter().any(|it| it["step"] == name);
        assert!(!is_step("crds") && !is_step("control-plane"), "{reason}");
    }
}

fn change_of_the_control_plane_while_the_question_waits_ends_the_run_before_any_write(bed: Bed) {
    let stage = Stage::new(bed);
    let merge = |path: &str, patch: &Value| stage.bed.merge(path, patch).unwrap();
    let resource_version = "the resourceVersion of linkerd-config was ";
    stage.yes_is_void(&[], 2, &[CHANGED, resource_version], || {
        merge(CONFIG, &annotated("example.test/touched"));
    });

    let anchors = stage.bed.get(ROOTS).unwrap()["data"].clone();
    let rotated = json!({ "data": { "ca-bundle.crt": stage.foreign_anchors() } });
    let part = "the trust anchors was sha256:";
    stage.yes_is_void(&[], 2, &[CHANGED, part], || merge(ROOTS, &rotated));
    merge(ROOTS, &json!({ "data": anchors }));

    let gitops = "Argo CD or Flux manages this control plane";
    stage.yes_is_void(&[], 2, &[AGAIN, gitops], || {
        merge(CONFIG, &annotated("argocd.argoproj.io/tracking-id"));
    });
    stage.assert_unchanged(true);
    assert_eq!(stage.holder(), None);
}

fn verdict_that_is_too_old_at_the_answer_starts_nothing(bed: Bed) {
    let stage = Stage::new(bed);
    let proxy = stage.bed.proxy().unwrap();
    let kubeconfig = proxy.kubeconfig().to_str().unwrap();
    let flags = ["--kubeconfig", kubeconfig, "--max-age", "10m"];
    stage.yes_is_void(&flags, 2, &["the verdict is too old"], || {
        proxy.on(Match::any()).misdate(3600);
    });
    stage.assert_unchanged(true);
}

fn lock_that_is_taken_while_the_question_waits_is_noticed_before_the_first_write(bed: Bed) {
    let stage = Stage::new(bed);
    let proxy = stage.bed.proxy().unwrap();
    let kubeconfig = proxy.kubeconfig().to_str().unwrap();
    let flags = ["--kubeconfig", kubeconfig];
    // No renewal is answered, so that none shows the loss before the run asks for it.
    let own = Match::method(Method::PATCH).agent(AGENT).path(LEASE);
    stage.yes_is_void(&flags, 3, &["the lock was lost: "], || {
        proxy.on(own).answer(http::StatusCode::SERVICE_UNAVAILABLE);
        let thief = json!({ "spec": { "holderIdentity": "thief@elsewhere/1" } });
        stage.bed.merge(LEASE, &thief).unwrap();
    });
    stage.assert_unchanged(true);
    assert_eq!(stage.holder().as_deref(), Some("thief@elsewhere/1"));
}

fn revision_that_another_helm_wrote_while_the_question_waits_ends_the_run(bed: Bed) {
    let stage = Stage::new(bed);
    let crds = stage.bed.charts(FROM).unwrap().crds;
    let crds = crds.to_str().unwrap();
    let part = "the helm release linkerd-crds was revision 1 ";
    stage.yes_is_void(&[], 2, &[CHANGED, part], || {
        let upgrade = ["upgrade", "linkerd-crds", crds, "-n", "linkerd"];
        stage.bed.run_helm(upgrade).unwrap();
    });
    assert_eq!(stage.revision("linkerd-crds").0, 2);
    assert_eq!(stage.revision("linkerd-control-plane").0, 1);
    assert_eq!(stage.configured(), FROM);
}

fn change_between_the_definitions_and_the_control_plane_is_told_with_what_was_written(bed: Bed) {
    let stage = Stage::new(bed);
    let proxy = stage.bed.proxy().unwrap();
    let crds = Match::writes()
        .agent("Helm/")
        .path("customresourcedefinitions");
    let held = proxy.on(crds).hold(When::BeforeForward);
    let mut command = stage.command(&[]);
    command.env("KUBECONFIG", proxy.kubeconfig());
    let running = begin(command, &stage.judged());
    held.arrived();
    let gitops = annotated("argocd.argoproj.io/tracking-id");
    stage.bed.merge(CONFIG, &gitops).unwrap();
    held.release();
    let run = running.finish();
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    let reason = run.end()["reason"].as_str().unwrap();
    let written = "this run wrote linkerd/linkerd-crds, and nothing of the control plane: ";
    for part in [written, AGAIN, "Argo CD or Flux"] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    assert_eq!(stage.revision("linkerd-crds").0, 2);
    assert_eq!(stage.revision("linkerd-control-plane").0, 1);
    assert_eq!(stage.holder(), None);
}

// The other helm comes after this run has checked its own revision of the CRDs.
fn revision_that_another_helm_wrote_over_the_new_definitions_ends_the_run(bed: Bed) {
    let stage = Stage::new(bed);
    let (folder, helm) = (stage.tools.folder(), stage.bed.helm().display());
    let (marks, crds) = (
        folder.join("mark").display().to_string(),
        stage.charts.crds.display(),
    );
    let script = format!(
        "#!/bin/sh\nmark={marks}\ncase \"$*\" in\n*--dry-run*) ;;\n\
         \"upgrade linkerd-crds\"*) touch $mark.written ;;\n\
         \"history linkerd-crds\"*)\nif [ -e $mark.checked ]; then rm $mark.*\n\
         {helm} upgrade linkerd-crds {crds} -n linkerd >&2\n\
         elif [ -e $mark.written ]; then touch $mark.checked; fi ;;\nesac\nexec {helm} \"$@\"\n"
    );
    let other = folder.join("other-helm");
    write_program(&other, &script);
    let run = stage.run(&stage.judged(), &["--helm", other.to_str().unwrap()]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    let reason = run.end()["reason"].as_str().unwrap();
    let written = "this run wrote linkerd/linkerd-crds, and nothing of the control plane: ";
    let part = "the helm release linkerd-crds was revision 2 ";
    for part in [written, CHANGED, part, "and now it is revision 3 "] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    assert_eq!(stage.revision("linkerd-control-plane").0, 1);
    assert_eq!(stage.configured(), FROM);
}

fn what_a_chart_finds_otherwise_in_the_cluster_at_the_answer_is_not_written(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.file("judged", &stage.judged());
    let template = stage.charts.crds.join("templates/looks.yaml");
    for (object, text) in [("ConfigMap sees", SEES), ("Secret makes", MAKES)] {
        std::fs::write(&template, text).unwrap();
        let mut command = stage.tool();
        command.args(stage.source());
        let (code, records) = yes_at_the_question(&stage.tools, &mut command, &judged, || {
            stage.bed.apply(NOTED).unwrap();
        });
        let end = records.last().unwrap();
        assert_eq!(code, Some(2), "{end:#}");
        let reason = end["reason"].as_str().unwrap();
        let part = format!("what helm would write now is not what was agreed to: {object}");
        assert!(reason.contains(&part), "{part}: {reason}");
        stage.assert_unchanged(true);
        let noted = "/api/v1/namespaces/linkerd/configmaps/noted";
        stage.bed.delete(noted).unwrap();
    }
    assert_eq!(stage.holder(), None);
}

fn helm_is_asked_again_only_for_what_was_written_and_what_renders_make_anew(bed: Bed) {
    let stage = Stage::new(bed);
    let (folder, helm) = (stage.tools.folder(), stage.bed.helm().display());
    let log = folder.join("log");
    let script = format!(
        "#!/bin/sh\necho \"$*\" >>{}\nexec {helm} \"$@\"\n",
        log.display()
    );
    let logs = folder.join("logs");
    write_program(&logs, &script);
    let run = stage.run(&stage.judged(), &["--helm", logs.to_str().unwrap()]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let log = std::fs::read_to_string(log).unwrap();
    let count = |begin: &str, part: &str| {
        let calls = log.lines();
        let calls = calls.filter(|it| it.starts_with(begin) && it.contains(part));
        calls.count()
    };
    for (begin, part, expected) in [
        // Of each part at the first look and after its write; of the CRDs once more, because they were
        // written before the control plane.
        ("history linkerd-control-plane", "", 2),
        ("history linkerd-crds", "", 3),
        // At the question, and before the write.
        ("upgrade linkerd-control-plane", "--dry-run", 4),
        ("upgrade linkerd-crds", "--dry-run", 2),
    ] {
        assert_eq!(count(begin, part), expected, "{begin}: {log}");
    }
}
