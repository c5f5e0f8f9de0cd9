//! How a survey ends: complete, refused, cut off, stopped, unheard.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::io::Read as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;

use mesh_testbed::{Bed, FaultProxy, Match, When};
use mesh_tests::{Toolbox, toolbox};
use serde_json::{Value, json};

const RBAC: &str = include_str!("../../tools/mesh-survey/rbac.yaml");

static BED: LazyLock<Option<Bed>> = LazyLock::new(|| {
    let bed = Bed::for_test()?;
    bed.install_linkerd("stable-2.13.7").unwrap();
    Some(bed)
});

/// A cluster that has never heard of Linkerd.
static BLANK: LazyLock<Option<Bed>> = LazyLock::new(Bed::for_test);

fn survey(tools: &Toolbox, kubeconfig: &std::path::Path, args: &[&str]) -> Output {
    command(tools, kubeconfig, args).output().unwrap()
}

fn command(tools: &Toolbox, kubeconfig: &std::path::Path, args: &[&str]) -> Command {
    let mut command = tools.run("mesh-survey");
    command.args(args).env("KUBECONFIG", kubeconfig);
    command
}

fn start(tools: &Toolbox, proxy: &FaultProxy) -> Child {
    let mut command = command(tools, proxy.kubeconfig(), &[]);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    let sent = Command::new("kill")
        .args(["-s", name, &pid])
        .status()
        .unwrap();
    assert!(sent.success());
}

fn records(stdout: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The first and last record of a survey that ended with this code, and what it told people.
#[track_caller]
fn brackets(output: &Output, code: i32) -> (Value, Value, String) {
    let errors = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{errors}");
    let mut records = records(&output.stdout);
    let (end, stream) = (records.pop().unwrap(), records.swap_remove(0));
    assert_eq!(
        (&stream["type"], &end["type"]),
        (&json!("stream"), &json!("end"))
    );
    assert_eq!(end["exit"], code);
    (stream, end, errors)
}

/// A kubeconfig with exactly the shipped permissions, but for the rules with this word in them.
fn kubeconfig_without(bed: &Bed, account: &str, word: &str) -> std::path::PathBuf {
    let rules = RBAC
        .lines()
        .filter(|line| !(line.starts_with("- {") && line.contains(word)));
    let rules: Vec<&str> = rules.collect();
    assert_eq!(
        rules.len(),
        RBAC.lines().count() - usize::from(word != "nothing"),
        "{word}"
    );
    let text = rules
        .join("\n")
        .replace("name: mesh-survey", &format!("name: {account}"));
    bed.apply(&text).unwrap();
    let token = bed
        .kubectl(["-n", "linkerd", "create", "token", account])
        .unwrap();
    bed.kubeconfig_with_token(account, token.trim()).unwrap()
}

#[test]
fn the_shipped_permissions_are_enough_and_nothing_is_written_and_no_secret_is_listed() {
    let Some(bed) = BED.as_ref() else { return };
    let kubeconfig = kubeconfig_without(bed, "enough", "nothing");
    let (_, end, errors) = brackets(&survey(&toolbox!(), &kubeconfig, &[]), 0);
    assert_eq!(
        (&end["outcome"], &end["blind"]),
        (&json!("complete"), &Value::Null),
        "{end}"
    );
    assert_eq!(errors, "");
    let asked = bed.audit_of("mesh-survey/").unwrap();
    assert!(!asked.is_empty());
    for request in &asked {
        let name = format!("{} {}", request.verb, request.uri);
        assert!(!request.writes(), "{name}");
        assert!(matches!(request.verb.as_str(), "get" | "list"), "{name}");
        assert!(
            request.resource != "secrets" || request.verb == "get",
            "{name}"
        );
        assert!(
            request.verb != "list" || request.uri.contains("limit=500"),
            "{name}"
        );
    }
}

#[test]
fn a_needed_permission_that_is_missing_ends_the_survey_and_is_named() {
    let Some(bed) = BED.as_ref() else { return };
    let tools = toolbox!();
    for (account, word, resource, rule) in [
        (
            "no-pods",
            "[pods]",
            "pods",
            "resources: [\"pods\"], verbs: [list]",
        ),
        (
            "no-owners",
            "daemonsets]",
            "deployments.apps",
            "resources: [\"deployments\"], verbs: [list]",
        ),
        (
            "no-config",
            "configmaps",
            "configmaps/linkerd-config",
            "resources: [\"configmaps\"], verbs: [get]",
        ),
        (
            "no-namespaces",
            "[namespaces]",
            "namespaces/kube-system",
            "resources: [\"namespaces\"], verbs: [get]",
        ),
    ] {
        let kubeconfig = kubeconfig_without(bed, account, word);
        let output = survey(&tools, &kubeconfig, &[]);
        let (_, end, errors) = brackets(&output, 2);
        assert_eq!(end["outcome"], "failed", "{account}");
        assert!(errors.contains(rule), "{account}: {errors}");
        let records = records(&output.stdout);
        let unseen: Vec<&Value> = records.iter().filter(|it| it["type"] == "unseen").collect();
        let [unseen] = unseen[..] else {
            panic!("{account}: {unseen:?}")
        };
        assert_eq!(
            (&unseen["resource"], &unseen["needed"]),
            (&json!(resource), &json!("required"))
        );
        assert!(
            !records.iter().any(|it| it["type"] == "workload"),
            "{account}"
        );
    }
}

#[test]
fn an_optional_permission_that_is_missing_leaves_facts_out_and_says_so() {
    let Some(bed) = BED.as_ref() else { return };
    let tools = toolbox!();
    for (account, word, blind, field, left) in [
        (
            "no-secret",
            "secrets",
            json!(["get secrets/linkerd-identity-issuer"]),
            "/certificates/1/readable",
            json!(false),
        ),
        (
            "no-slices",
            "endpointslices",
            json!(["list endpointslices.discovery.k8s.io"]),
            "/webhooks/0/ready_endpoints",
            Value::Null,
        ),
        (
            "no-definitions",
            "customresource",
            json!(["list customresourcedefinitions.apiextensions.k8s.io"]),
            "/crds",
            Value::Null,
        ),
        (
            "no-answer",
            "services/proxy",
            json!(["get services/proxy"]),
            "/webhooks/0/answers",
            Value::Null,
        ),
        (
            "no-nodes",
            "[nodes]",
            json!(["list nodes"]),
            "/facts/arm32_nodes",
            Value::Null,
        ),
    ] {
        let kubeconfig = kubeconfig_without(bed, account, word);
        let output = survey(&tools, &kubeconfig, &[]);
        let (_, end, _) = brackets(&output, 0);
        assert_eq!(
            (&end["outcome"], &end["blind"]),
            (&json!("complete"), &blind),
            "{account}"
        );
        let records = records(&output.stdout);
        let find = |kind: &str| records.iter().find(|it| it["type"] == kind).unwrap();
        assert_eq!(find("unseen")["needed"], "optional", "{account}");
        let fact = find("control_plane").pointer(field).unwrap_or(&Value::Null);
        assert_eq!(fact, &left, "{account}");
    }
}

#[test]
fn where_there_is_no_cluster_one_line_says_so_between_brackets() {
    let tools = toolbox!();
    let folder = tools.folder();
    let missing = folder.join("missing");
    let refused = folder.join("refused");
    let server = "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}], clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}], users: [{name: u, user: {}}]}";
    std::fs::write(&refused, server).unwrap();
    let table: [(&std::path::Path, &[&str], &str); 3] = [
        (&missing, &[], "there is no kubeconfig"),
        (
            &refused,
            &["--context", "other"],
            "cannot use the context `other`",
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
fn a_silent_server_is_given_up_after_the_request_timeout() {
    let Some(bed) = BED.as_ref() else { return };
    let proxy = bed.proxy().unwrap();
    let held = proxy
        .on(Match::any().path("/api/v1/pods"))
        .hold(When::BeforeForward);
    let output = survey(
        &toolbox!(),
        proxy.kubeconfig(),
        &["--request-timeout", "1s"],
    );
    let (stream, end, errors) = brackets(&output, 2);
    assert!(stream["cluster_uid"].is_string());
    assert_eq!(end["outcome"], "failed");
    assert!(
        errors.contains("listing pods") && errors.contains("within 1s"),
        "{errors}"
    );
    held.release();
}

#[test]
fn a_first_signal_in_the_middle_of_a_list_ends_in_good_order() {
    let Some(bed) = BED.as_ref() else { return };
    let tools = toolbox!();
    for name in ["INT", "TERM", "HUP"] {
        let proxy = bed.proxy().unwrap();
        let held = proxy
            .on(Match::any().path("/api/v1/pods"))
            .hold(When::AfterForward);
        let child = start(&tools, &proxy);
        held.arrived();
        signal(&child, name);
        let (_, end, errors) = brackets(&child.wait_with_output().unwrap(), 3);
        assert_eq!(
            (end["outcome"].as_str(), errors.as_str()),
            (Some("stopped"), ""),
            "{name}"
        );
        held.release();
    }
}

#[test]
fn a_survey_that_is_killed_in_the_middle_of_a_list_is_cut_and_no_verdict_comes_of_it() {
    let Some(bed) = BED.as_ref() else { return };
    let tools = toolbox!();
    let proxy = bed.proxy().unwrap();
    let held = proxy
        .on(Match::any().path("/api/v1/pods"))
        .hold(When::BeforeForward);
    let child = start(&tools, &proxy);
    held.arrived();
    signal(&child, "KILL");
    let output = child.wait_with_output().unwrap();
    let records = records(&output.stdout);
    assert_eq!(records.len(), 1, "the stream and nothing else: {records:?}");
    let mut judge = assert_cmd::Command::from_std(tools.run("mesh-skewcheck"));
    let judged = judge
        .write_stdin(output.stdout)
        .assert()
        .code(2)
        .get_output()
        .stdout
        .clone();
    assert!(
        !String::from_utf8(judged)
            .unwrap()
            .contains("\"type\":\"verdict\"")
    );
    held.release();
}

#[test]
fn a_second_signal_is_heard_while_the_reader_stalls() {
    let Some(bed) = BED.as_ref() else { return };
    let tools = toolbox!();
    // More than a pipe and a buffer hold, so that writing stalls.
    let pods: Vec<Value> = (0..2000).map(ghost).collect();
    let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods});
    let proxy = bed.proxy().unwrap();
    proxy
        .on(Match::any().path("/api/v1/pods"))
        .answer_with(http::StatusCode::OK, &list.to_string());
    let mut child = start(&tools, &proxy);
    let mut some = [0; 1024];
    let stdout = child.stdout.as_mut().unwrap();
    stdout.read_exact(&mut some).unwrap();
    while !String::from_utf8_lossy(&some).contains("workload") {
        stdout.read_exact(&mut some).unwrap();
    }
    signal(&child, "TERM");
    signal(&child, "INT");
    let status = child.wait().unwrap();
    assert!(matches!(status.code(), Some(130 | 143)), "{status:?}");
}

fn ghost(number: u32) -> Value {
    json!({
        "metadata": {
            "name": format!("ghost-{number}"), "namespace": "default", "uid": format!("ghost-{number}"),
            "labels": {"linkerd.io/control-plane-ns": "linkerd"},
        },
        "spec": {"containers": [{"name": "linkerd-proxy", "image": "p:stable-2.13.7"}]},
        "status": {"phase": "Running"},
    })
}

#[test]
fn a_list_that_expires_is_begun_again_and_what_came_before_is_forgotten() {
    let Some(bed) = BED.as_ref() else { return };
    let tools = toolbox!();
    let proxy = bed.proxy().unwrap();
    let page = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"continue": "more"}, "items": [ghost(1)]});
    let list = || Match::any().path("/api/v1/pods");
    proxy
        .on(list().nth(1))
        .answer_with(http::StatusCode::OK, &page.to_string());
    proxy
        .on(Match::any().path("continue=more"))
        .answer(http::StatusCode::GONE);
    let output = survey(&tools, proxy.kubeconfig(), &[]);
    let (_, end, errors) = brackets(&output, 0);
    assert_eq!(end["outcome"], "complete");
    assert!(errors.contains("begun again"), "{errors}");
    let names = String::from_utf8(output.stdout).unwrap();
    assert!(!names.contains("ghost"), "{names}");
}

#[test]
fn a_reader_that_went_away_is_exit_code_141_and_silence() {
    let Some(bed) = BED.as_ref() else { return };
    let tools = toolbox!();
    let mut survey = command(&tools, bed.kubeconfig(), &[]);
    let mut child = survey
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let heard = (output.status.code(), output.stderr.as_slice());
    assert_eq!(heard, (Some(141), &b""[..]));
}

#[test]
fn a_cluster_without_a_control_plane_is_surveyed_whole() {
    let Some(bed) = BLANK.as_ref() else { return };
    let (stream, end, errors) = brackets(&survey(&toolbox!(), bed.kubeconfig(), &[]), 0);
    assert_eq!(
        (&end["outcome"], &end["totals"]),
        (&json!("complete"), &json!({}))
    );
    assert_eq!(stream["scope"], json!({}));
    assert!(errors.contains("no Linkerd control plane"), "{errors}");
}

#[test]
fn clusters_of_one_name_differ_by_uid() {
    let (Some(bed), Some(blank)) = (BED.as_ref(), BLANK.as_ref()) else {
        return;
    };
    let tools = toolbox!();
    let stream = |bed: &Bed| {
        let kubeconfig = bed.kubeconfig_named("prod").unwrap();
        brackets(&survey(&tools, &kubeconfig, &[]), 0).0
    };
    let (one, other) = (stream(bed), stream(blank));
    assert_eq!(
        (&one["cluster"], &other["cluster"]),
        (&json!("prod"), &json!("prod"))
    );
    assert!(one["cluster_uid"].is_string());
    assert_ne!(one["cluster_uid"], other["cluster_uid"]);
    for (bed, stream) in [(bed, &one), (blank, &other)] {
        let uid = [
            "get",
            "namespace",
            "kube-system",
            "-o",
            "jsonpath={.metadata.uid}",
        ];
        assert_eq!(stream["cluster_uid"], bed.kubectl(uid).unwrap());
    }
}

#[test]
fn a_busy_server_is_asked_again() {
    let Some(bed) = BED.as_ref() else { return };
    let tools = toolbox!();
    let proxy = bed.proxy().unwrap();
    for path in ["namespaces/kube-system", "/api/v1/pods", "linkerd-config"] {
        let busy = Match::any().path(path).nth(1);
        proxy.on(busy).answer(http::StatusCode::TOO_MANY_REQUESTS);
    }
    let (_, end, errors) = brackets(&survey(&tools, proxy.kubeconfig(), &[]), 0);
    assert_eq!((&end["outcome"], errors.as_str()), (&json!("complete"), ""));
    let asked = proxy.log();
    let pods = asked.iter().filter(|it| it.uri.starts_with("/api/v1/pods"));
    assert_eq!(pods.count(), 2, "once too busy, once answered");
}

#[test]
fn a_pipe_that_brings_no_dump_does_not_keep_a_signal_from_being_heard() {
    let tools = toolbox!();
    let mut survey = tools.run("mesh-survey");
    survey.args(["--from", "-"]).stdin(Stdio::piped());
    let child = survey.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let stdin = child.stdin.take();
    wait_until_it_listens(&child);
    signal(&child, "TERM");
    let (_, end, _) = brackets(&child.wait_with_output().unwrap(), 3);
    assert_eq!(end["outcome"], "stopped");
    drop(stdin);
}

/// Waits until a process catches SIGTERM, by the kernel's own list.
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
