//! Upgrades that must be refused; nothing may have changed then.

use mesh_testbed::{Bed, Match};
use mesh_tests::{on_both_beds, run, terminal};
use serde_json::json;

use crate::stage::{AGENT, FROM, Stage};

on_both_beds! {
    verdict_that_does_not_fit_is_refused
    verdict_of_another_cluster_is_refused_even_under_the_same_context_name
    yes_is_required_without_a_terminal
    gitops_control_plane_is_refused
    preflight_that_the_api_server_fails_changes_nothing
    [Rbac]
    rbac_rule_that_is_missing_is_named
}

fn cut_after(judged: &str, part: &str) -> String {
    let lines: Vec<&str> = judged.lines().collect();
    let at = lines.iter().position(|line| line.contains(part)).unwrap();
    lines[..=at].join("\n") + "\n"
}

/// What a line says of a field whose value is text.
fn text<'a>(line: &'a str, field: &str) -> &'a str {
    let (_, value) = line.split_once(&format!("\"{field}\":\"")).unwrap();
    value.split('"').next().unwrap()
}

/// The verdict with one thing in it that does not hold, and what is said of it.
fn altered(judged: &str) -> Vec<(String, &'static str)> {
    let verdict = judged.lines().find(|line| line.contains("\"verdict\""));
    let verdict = verdict.unwrap();
    let version = judged
        .lines()
        .rfind(|line| line.contains("config_resource_version"));
    let version = text(version.unwrap(), "config_resource_version");
    let from = format!("\"from\":{{\"version\":\"{FROM}\"");
    let twice = judged.replace(verdict, &format!("{verdict}\n{verdict}"));
    let rows = [
        ("\"ask\":\"upgrade\"", "\"ask\":\"roll\"", "`roll`"),
        ("\"source\":\"server\"", "\"source\":\"dump\"", "dump"),
        ("\"scope\":\"full\"", "\"scope\":\"partial\"", "a part"),
        (
            "\"scope\":{}",
            "\"scope\":{\"namespaces\":[\"a\"]}",
            "a part",
        ),
        (text(verdict, "surveyed"), "2020-01-01T00:00:00Z", "old"),
        (
            &from,
            "\"from\":{\"version\":\"stable-2.13.6\"",
            "the verdict saw",
        ),
        (
            &format!("\"config_resource_version\":\"{version}\""),
            "\"config_resource_version\":\"1\"",
            "was changed since",
        ),
    ];
    let rows = rows.map(|(from, to, part)| (judged.replace(from, to), part));
    let mut rows: Vec<(String, &str)> = rows.into();
    rows.push((
        twice.replace("\"verdict\":1", "\"verdict\":2"),
        "2 verdicts",
    ));
    rows
}

fn verdict_that_does_not_fit_is_refused(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let says = |input: &str, more: &[&str], code: i32, part: &str| {
        let run = stage.run(input, more);
        assert_eq!(run.code, Some(code), "{part}: {}", run.stderr);
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
        if !run.records.is_empty() {
            assert_eq!(run.end()["exit"], code, "{part}");
        }
    };
    let end = "\"mesh-skewcheck\",\"outcome\":\"complete\",\"exit\":";
    let no = judged
        .replace("\"pass\":true", "\"pass\":false")
        .replace("\"blocking\":[]", "\"blocking\":[\"proxy-too-old\"]")
        .replace(&format!("{end}0"), &format!("{end}1"));
    says(&no, &[], 1, "proxy-too-old");
    says("", &[], 2, "no stream");
    says(
        judged.lines().nth(1).unwrap(),
        &[],
        2,
        "raw mesh-survey output",
    );
    says(&cut_after(&judged, "\"verdict\""), &[], 2, "cut off");
    for (input, part) in altered(&judged) {
        assert_ne!(input, judged, "{part}");
        says(&input, &[], 2, part);
    }
    for (more, part) in [
        (["--to", "stable-2.14.9"], "--to says"),
        (["--to", "stable-2.41.10"], "stable-2.41.10"),
        (["-L", "mesh"], "not the one in `mesh`"),
    ] {
        says(&judged, &more, 2, part);
    }
    stage.assert_unchanged(true);
    assert_eq!(stage.holder(), None);
}

fn verdict_of_another_cluster_is_refused_even_under_the_same_context_name(bed: Bed) {
    let stage = Stage::new(bed);
    let other = stage.bed.another().unwrap();
    let judged = stage.judged();
    let mut command = stage.command(&[]);
    command.env("KUBECONFIG", other.kubeconfig());
    let before = other.audit().unwrap().len();
    let run = run(command, &judged);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(run.stderr.contains("another cluster"), "{}", run.stderr);
    let labels: Vec<&str> = run
        .records
        .iter()
        .filter_map(|r| r["cluster"].as_str())
        .collect();
    assert!(
        judged.contains(&format!("\"cluster\":\"{}\"", labels[0])),
        "the names are the same"
    );
    let events = &other.audit().unwrap()[before..];
    let ours = events
        .iter()
        .filter(|event| event.user_agent.starts_with("mesh-"));
    let written: Vec<&str> = ours
        .filter(|event| event.writes() && event.group != "authentication.k8s.io")
        .map(|event| event.uri.as_str())
        .collect();
    assert!(written.is_empty(), "{written:?}");
    stage.assert_unchanged(true);
}

fn yes_is_required_without_a_terminal(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    // `setsid` takes away the controlling terminal, so the tool cannot ask.
    let mut alone = stage.env(stage.tools.command("setsid"));
    alone
        .arg("-w")
        .arg(stage.tools.tool("mesh-cp-upgrade"))
        .args(stage.source());
    let run = run(alone, &judged);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(
        run.stderr.contains("no terminal to confirm on"),
        "{}",
        run.stderr
    );

    let (_nobody, keyboard) = terminal();
    let mut typed = stage.tool();
    typed.args(["-o", "ndjson"]).stdin(keyboard);
    let output = typed.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("mesh-survey | mesh-skewcheck"), "{said}");
    stage.assert_unchanged(true);
}

fn gitops_control_plane_is_refused(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let track = |by: Option<&str>| {
        let annotations = json!({ "argocd.argoproj.io/tracking-id": by });
        let patch = json!({ "metadata": { "annotations": annotations } });
        let config = "/api/v1/namespaces/linkerd/configmaps/linkerd-config";
        stage.bed.merge(config, &patch).unwrap();
    };
    track(Some("linkerd:/ConfigMap:linkerd/linkerd-config"));
    let run = stage.run(&judged, &[]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    for part in ["Argo CD or Flux", "--watch-only --to VERSION"] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    track(None);
    stage.assert_unchanged(true);
}

fn preflight_that_the_api_server_fails_changes_nothing(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let proxy = stage.bed.proxy().unwrap();
    // What the API server says of an object is an answer, and that it failed is none.
    for (status, object, answer) in [
        (500, "/configmaps/linkerd-config?", 2),
        (503, "/deployments/linkerd-destination?", 2),
        (403, "/cronjobs/linkerd-heartbeat?", 1),
        (409, "/serviceaccounts/linkerd-heartbeat?", 1),
    ] {
        for (how, code) in [("--yes", 2), ("--preflight", answer)] {
            let rehearsals = Match::any().agent(AGENT).path("dryRun=All");
            proxy
                .on(rehearsals.path(object))
                .answer(http::StatusCode::from_u16(status).unwrap());
            let mut command = stage.command(&[how]);
            command.env("KUBECONFIG", proxy.kubeconfig());
            let run = run(command, &judged);
            assert_eq!(run.code, Some(code), "{status} {how}: {}", run.stderr);
            assert!(
                run.step("preflight", "failed").is_some(),
                "{status} {how}: {}",
                run.stderr
            );
            proxy.clear();
        }
    }
    stage.assert_unchanged(true);
}

fn rbac_rule_that_is_missing_is_named(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    stage
        .bed
        .kubectl(["create", "serviceaccount", "poor", "-n", "default"])
        .unwrap();
    let token = stage
        .bed
        .kubectl(["create", "token", "poor", "-n", "default"])
        .unwrap();
    let role = [
        "create",
        "clusterrole",
        "poor",
        "--verb=get",
        "--resource=namespaces",
    ];
    stage.bed.kubectl(role).unwrap();
    let binding = [
        "create",
        "clusterrolebinding",
        "poor",
        "--clusterrole=poor",
        "--serviceaccount=default:poor",
    ];
    stage.bed.kubectl(binding).unwrap();
    let mut command = stage.command(&[]);
    command.env(
        "KUBECONFIG",
        stage
            .bed
            .kubeconfig_with_token("poor", token.trim())
            .unwrap(),
    );
    let run = run(command, &judged);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(
        run.stderr.contains("hint: allow it with the RBAC rule"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("configmaps"), "{}", run.stderr);
    stage.assert_unchanged(true);
}
