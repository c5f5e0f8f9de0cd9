//! What must not begin, and that nothing has changed then.

use mesh_testbed::{Bed, Match};
use mesh_tests::{on_both_beds, run, terminal};
use serde_json::json;

use crate::stage::{FROM, Stage};

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

fn verdict_that_does_not_fit_is_refused(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let config = "\"config_resource_version\":\"";
    let version = judged.split(config).last().unwrap();
    let version = version.split('"').next().unwrap();
    let changed = judged.replace(&format!("{config}{version}\""), &format!("{config}1\""));
    let no = judged
        .replace("\"pass\":true", "\"pass\":false")
        .replace("\"blocking\":[]", "\"blocking\":[\"proxy-too-old\"]")
        .replace(
            "\"mesh-skewcheck\",\"outcome\":\"complete\",\"exit\":0",
            "\"mesh-skewcheck\",\"outcome\":\"complete\",\"exit\":1",
        );
    let verdict = judged
        .lines()
        .find(|line| line.contains("\"verdict\""))
        .unwrap();
    let twice = judged
        .replace(verdict, &format!("{verdict}\n{verdict}"))
        .replace("\"verdict\":1", "\"verdict\":2");
    let surveyed = verdict
        .split("\"surveyed\":\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let stale = judged.replace(surveyed, "2020-01-01T00:00:00Z");
    // what stands on standard input, more flags, the exit code, a part of what is said
    let table: Vec<(&str, String, &[&str], i32, &str)> = vec![
        ("no", no, &[], 1, "proxy-too-old"),
        ("nothing", String::new(), &[], 2, "no stream"),
        (
            "a survey nobody judged",
            judged.lines().nth(1).unwrap().into(),
            &[],
            2,
            "nobody has judged",
        ),
        ("cut", cut_after(&judged, "\"verdict\""), &[], 2, "cut off"),
        ("two", twice, &[], 2, "2 verdicts"),
        (
            "another question",
            judged.replace("\"ask\":\"upgrade\"", "\"ask\":\"roll\""),
            &[],
            2,
            "`roll`",
        ),
        (
            "a dump",
            judged.replace("\"source\":\"server\"", "\"source\":\"dump\""),
            &[],
            2,
            "dump",
        ),
        (
            "partial",
            judged.replace("\"scope\":\"full\"", "\"scope\":\"partial\""),
            &[],
            2,
            "a part",
        ),
        (
            "scoped",
            judged.replace("\"scope\":{}", "\"scope\":{\"namespaces\":[\"a\"]}"),
            &[],
            2,
            "a part",
        ),
        ("stale", stale, &[], 2, "old"),
        (
            "another target",
            judged.clone(),
            &["--to", "stable-2.14.9"],
            2,
            "--to says",
        ),
        (
            "a typo",
            judged.clone(),
            &["--to", "stable-2.41.10"],
            2,
            "stable-2.41.10",
        ),
        (
            "another version",
            judged.replace(
                &format!("\"from\":{{\"version\":\"{FROM}\""),
                "\"from\":{\"version\":\"stable-2.13.6\"",
            ),
            &[],
            2,
            "the verdict saw",
        ),
        (
            "another configuration",
            changed,
            &[],
            2,
            "was changed since",
        ),
        (
            "another namespace",
            judged.clone(),
            &["-L", "mesh"],
            2,
            "not the one in `mesh`",
        ),
    ];
    for (name, input, more, code, part) in table {
        let run = stage.run(&input, more);
        assert_eq!(run.code, Some(code), "{name}: {}", run.stderr);
        assert!(run.stderr.contains(part), "{name}: {}", run.stderr);
        if !run.records.is_empty() {
            assert_eq!(run.end()["exit"], code, "{name}");
        }
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
    // Without a controlling terminal there is nobody to ask.
    let mut alone = stage.env(stage.tools.command("setsid"));
    alone
        .arg("-w")
        .arg(stage.tools.tool("mesh-cp-upgrade"))
        .args(stage.source());
    let run = run(alone, &judged);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(run.stderr.contains("nobody agreed"), "{}", run.stderr);

    let (_nobody, keyboard) = terminal();
    let mut typed = stage.env(stage.tools.run("mesh-cp-upgrade"));
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
    assert!(run.stderr.contains("Argo CD or Flux"), "{}", run.stderr);
    track(None);
    stage.assert_unchanged(true);
}

fn preflight_that_the_api_server_fails_changes_nothing(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let proxy = stage.bed.proxy().unwrap();
    for (status, nth) in [(500, 1), (503, 5), (403, 9), (409, 20)] {
        let rehearsals = Match::any()
            .agent("mesh-cp-upgrade/")
            .path("dryRun=All")
            .nth(nth);
        proxy
            .on(rehearsals)
            .answer(http::StatusCode::from_u16(status).unwrap());
        let mut command = stage.command(&[]);
        command.env("KUBECONFIG", proxy.kubeconfig());
        let run = run(command, &judged);
        assert_eq!(run.code, Some(2), "{status}: {}", run.stderr);
        assert!(
            run.step("preflight", "failed").is_some(),
            "{status}: {}",
            run.stderr
        );
        proxy.clear();
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
