//! Inputs that change while the tool runs: what was agreed to is what is written.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use mesh_testbed::Bed;
use mesh_tests::{
    of_type, on_both_beds, records, run, yes_at, yes_at_the_question, yes_before_the_question,
};
use serde_json::Value;

use crate::stage::{Stage, TO};

on_both_beds! {
    digest_of_a_dry_run_is_that_of_the_next_run_until_the_values_change
    values_may_come_from_a_pipe_which_is_read_once
    values_that_change_while_the_question_waits_are_not_written
    what_is_typed_before_the_question_is_no_answer
    what_the_verdict_warns_of_is_in_the_question_and_in_the_intent
    [Helm]
    chart_that_changes_after_the_dry_run_needs_another_consent
    chart_that_changes_while_the_question_waits_is_not_written
    chart_of_the_same_version_with_other_objects_is_not_at_the_target
}

const ROOTS: &str = "/api/v1/namespaces/linkerd/configmaps/linkerd-identity-trust-roots";
const BINDING: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/planted";
const PLANTED: &str = "\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: planted}
subjects: [{kind: User, name: mallory, apiGroup: rbac.authorization.k8s.io}]
roleRef: {kind: ClusterRole, name: cluster-admin, apiGroup: rbac.authorization.k8s.io}
";

impl Stage {
    // Returns the text of a values file for another mesh.
    pub(crate) fn foreign_values(&self) -> String {
        let other = self.bed.another().unwrap();
        fs::read_to_string(other.charts(TO).unwrap().values).unwrap()
    }

    // Adds an object to the chart of the control plane.
    fn plant(&self) {
        let template = self.charts.control_plane.join("templates/planted.yaml");
        fs::write(template, PLANTED).unwrap();
    }

    // The command without consent, and the folder of its temporary files.
    fn asking(&self) -> (Command, PathBuf) {
        let temporary = self.tools.folder().join("tmp");
        fs::create_dir(&temporary).unwrap();
        let mut command = self.tool();
        command.args(self.source()).env("TMPDIR", &temporary);
        (command, temporary)
    }

    #[track_caller]
    fn digest(&self, judged: &str, more: &[&str]) -> String {
        let shown = self.run(judged, &[more, &["--dry-run"]].concat());
        assert_eq!(shown.code, Some(0), "{}", shown.stderr);
        let intent = of_type(&shown.records, "intent")[0];
        intent["digest"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn assert_upgraded(&self, (code, records): (Option<i32>, Vec<Value>)) {
        assert_eq!(code, Some(0), "{:#?}", records.last());
        assert_eq!(self.configured(), TO);
    }
}

fn digest_of_a_dry_run_is_that_of_the_next_run_until_the_values_change(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let more = stage.file("more.yaml", "proxy: {logFormat: plain}\n");
    let yes = format!("--yes={}", stage.digest(&judged, &["-f", &more]));
    stage.file("more.yaml", "proxy: {logFormat: json}\n");
    stage.refuses(&judged, &["-f", &more, &yes], "the plan has changed");
    stage.assert_unchanged(true);
    let renamed = stage.file("renamed.yaml", "proxy: {logFormat: plain}\n");
    let run = stage.run(&judged, &["-f", &renamed, &yes]);
    stage.assert_upgraded((run.code, run.records));
}

fn values_may_come_from_a_pipe_which_is_read_once(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.file("judged", &stage.judged());
    let source = stage.source().join(" ");
    let values = "<(echo 'proxy: {logFormat: json}')";
    let upgrade = format!("mesh-cp-upgrade {source} -f {values} --yes <{judged}");
    let run = run(stage.env(stage.tools.shell(&upgrade)), "");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let config = "/api/v1/namespaces/linkerd/configmaps/linkerd-config";
    let config = stage.bed.get(config).unwrap();
    let values = config["data"]["values"].as_str().unwrap();
    assert!(values.contains("logFormat: json"), "{values}");
}

fn values_that_change_while_the_question_waits_are_not_written(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.file("judged", &stage.judged());
    let before = stage.bed.get(ROOTS).unwrap()["data"].clone();
    let foreign = stage.foreign_values();
    let values = stage.file("mine.yaml", "proxy: {logFormat: json}\n");
    let (mut command, temporary) = stage.asking();
    command.args(["-f", &values]);
    let folders = || fs::read_dir(&temporary).unwrap().count();
    let mut copies = 0;
    let ended = yes_at_the_question(&stage.tools, &mut command, &judged, || {
        fs::write(&values, foreign).unwrap();
        copies = folders();
    });
    stage.assert_upgraded(ended);
    assert_eq!(stage.bed.get(ROOTS).unwrap()["data"], before);
    assert_eq!((copies, folders()), (1, 0), "the copies are removed");
}

fn what_is_typed_before_the_question_is_no_answer(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.file("judged", &stage.judged());
    let (mut command, _) = stage.asking();
    let (code, records) = yes_before_the_question(&stage.tools, &mut command, &judged);
    let end = records.last().unwrap();
    assert_eq!(code, Some(2), "{end:#}");
    let reason = end["reason"].as_str().unwrap();
    assert!(
        reason.contains("Cancelled. Nothing was changed."),
        "{reason}"
    );
    stage.assert_unchanged(true);
}

fn what_the_verdict_warns_of_is_in_the_question_and_in_the_intent(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let findings = records(&judged).into_iter();
    let mut findings = findings.filter(|it| it["severity"] == "warning");
    let finding = findings
        .next()
        .expect("this Kubernetes is newer than the release");
    let message = finding["message"].as_str().unwrap();
    let warning = format!("kubernetes-untested: {message}");
    let question = format!("the verdict warns: {warning}");
    let judged = stage.file("judged", &judged);
    let (mut command, _) = stage.asking();
    let ended = yes_at(&question, &stage.tools, &mut command, &judged, || {});
    let intent = of_type(&ended.1, "intent")[0];
    assert_eq!(intent["warnings"], Value::from(vec![warning]));
    stage.assert_upgraded(ended);
}

fn chart_that_changes_after_the_dry_run_needs_another_consent(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let yes = format!("--yes={}", stage.digest(&judged, &[]));
    stage.plant();
    stage.refuses(&judged, &[&yes], "the plan has changed");
    assert!(stage.bed.get(BINDING).is_err());
    stage.assert_unchanged(true);
}

fn chart_that_changes_while_the_question_waits_is_not_written(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.file("judged", &stage.judged());
    let (mut command, _) = stage.asking();
    let ended = yes_at_the_question(&stage.tools, &mut command, &judged, || stage.plant());
    stage.assert_upgraded(ended);
    assert!(stage.bed.get(BINDING).is_err());
}

fn chart_of_the_same_version_with_other_objects_is_not_at_the_target(bed: Bed) {
    let stage = Stage::new(bed);
    let upgraded = stage.run(&stage.judged(), &[]);
    stage.assert_upgraded((upgraded.code, upgraded.records));
    let again = stage.run(&stage.judged(), &[]);
    assert_eq!(
        again.states("control-plane"),
        ["skipped"],
        "{}",
        again.said()
    );
    stage.plant();
    let other = stage.run(&stage.judged(), &[]);
    assert_eq!(other.states("crds"), ["skipped"], "{}", other.said());
    assert!(
        other.step("control-plane", "done").is_some(),
        "{}",
        other.said()
    );
    stage.assert_upgraded((other.code, other.records));
    assert!(stage.bed.get(BINDING).is_ok());
}
