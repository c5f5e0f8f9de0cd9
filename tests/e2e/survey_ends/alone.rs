//! Surveys without a cluster, of a cluster without a mesh, and of two clusters with one name.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use mesh_testbed::Bed;
use mesh_tests::{Signal, Toolbox, on_both_beds, run, signal, toolbox};
use serde_json::{Value, json};

use crate::{brackets, command, survey};

on_both_beds! {
    sharing crate::BLANK;
    a_cluster_without_a_control_plane_is_surveyed_whole
    clusters_of_one_name_differ_by_uid
    a_bare_machine_needs_no_certificate_authorities_of_its_own
}

#[test]
fn unreachable_cluster_is_one_error_between_brackets() {
    let tools = toolbox!();
    let folder = tools.folder();
    let missing = folder.join("missing");
    let refused = folder.join("refused");
    let server = "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}], clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}], users: [{name: u, user: {}}]}";
    std::fs::write(&refused, server).unwrap();
    let table: [(&Path, &[&str], &str); 3] = [
        (&missing, &[], "there is no kubeconfig"),
        (
            &refused,
            &["--context", "other"],
            "the kubeconfig has no context `other`",
        ),
        (&refused, &[], "no answer from http://127.0.0.1:1"),
    ];
    for (kubeconfig, args, cause) in table {
        let (stream, end, errors) = brackets(&survey(&tools, kubeconfig, args), 2);
        assert_eq!(end["outcome"], "failed");
        assert_eq!(stream["cluster_uid"], Value::Null, "nothing is known of it");
        let lines: Vec<&str> = errors.lines().collect();
        assert!(
            lines[0].starts_with("mesh-survey: ") && lines[0].contains(cause),
            "{errors}"
        );
        assert!(
            lines[1..].iter().all(|line| line.starts_with("hint: ")),
            "{errors}"
        );
    }
}

#[test]
fn from_a_pipe_that_brings_no_dump_hears_a_signal() {
    let tools = toolbox!();
    let mut survey = tools.run("mesh-survey");
    survey.args(["--from", "-"]).stdin(Stdio::piped());
    let child = survey.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let stdin = child.stdin.take();
    wait_until_it_listens(&child);
    signal(child.id(), Signal::TERM);
    let (_, end, _) = brackets(&child.wait_with_output().unwrap().into(), 3);
    assert_eq!(end["outcome"], "stopped");
    drop(stdin);
}

/// Waits until a process handles SIGTERM, according to `/proc`.
fn wait_until_it_listens(child: &Child) {
    const TERM: u64 = 1 << 14;
    let path = format!("/proc/{}/status", child.id());
    let caught = |status: &str| {
        assert!(!status.contains("State:\tZ"), "it has ended");
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        mask.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & TERM != 0)
    };
    while !caught(&std::fs::read_to_string(&path).unwrap()) {
        std::thread::yield_now();
    }
}

fn a_cluster_without_a_control_plane_is_surveyed_whole(bed: &Bed) {
    let (stream, end, errors) = brackets(&survey(&toolbox!(), bed.kubeconfig(), &[]), 0);
    assert_eq!(
        (&end["outcome"], &end["totals"]),
        (&json!("complete"), &json!({}))
    );
    assert_eq!(stream["scope"], json!({}));
    assert!(errors.contains("no Linkerd control plane"), "{errors}");
}

fn clusters_of_one_name_differ_by_uid(bed: &Bed) {
    let other = bed.another().unwrap();
    let beds = [bed, &other];
    let tools = toolbox!();
    let streams = beds.map(|bed| {
        let kubeconfig = bed.kubeconfig_named("prod").unwrap();
        brackets(&survey(&tools, &kubeconfig, &[]), 0).0
    });
    assert_ne!(streams[0]["cluster_uid"], streams[1]["cluster_uid"]);
    for (bed, stream) in beds.into_iter().zip(&streams) {
        assert_eq!(stream["cluster"], "prod");
        let namespace = bed.get("/api/v1/namespaces/kube-system").unwrap();
        assert_eq!(stream["cluster_uid"], namespace["metadata"]["uid"]);
    }
}

/// A survey from a machine without certificate authorities, such as a container without any package.
fn bare(tools: &Toolbox, kubeconfig: &Path) -> Command {
    let mut command = command(tools, kubeconfig, &[]);
    command.envs([
        ("SSL_CERT_FILE", "/dev/null"),
        ("SSL_CERT_DIR", "/dev/null"),
    ]);
    command
}

fn a_bare_machine_needs_no_certificate_authorities_of_its_own(bed: &Bed) {
    let tools = toolbox!();
    brackets(&run(bare(&tools, bed.kubeconfig()), ""), 0);
}

#[test]
fn a_bare_machine_that_needs_certificate_authorities_says_so() {
    let tools = toolbox!();
    let kubeconfig = tools.folder().join("secure");
    let server = "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}], clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}], users: [{name: u, user: {}}]}";
    std::fs::write(&kubeconfig, server).unwrap();
    let (_, _, errors) = brackets(&run(bare(&tools, &kubeconfig), ""), 2);
    let said = "the certificate authorities of this machine (the kubeconfig names none)";
    assert!(errors.contains(said), "{errors}");
}
