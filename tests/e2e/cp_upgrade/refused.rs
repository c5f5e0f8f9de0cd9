//! What must not begin, and that nothing has changed then.

use std::process::Command;

use mesh_testbed::{Bed, Match};

use crate::stage::{FROM, Run, Stage, TO, run};

fn cut_after(judged: &str, part: &str) -> String {
    let lines: Vec<&str> = judged.lines().collect();
    let at = lines.iter().position(|line| line.contains(part)).unwrap();
    lines[..=at].join("\n") + "\n"
}

#[test]
fn a_verdict_that_does_not_fit_opens_nothing() {
    let Some(stage) = Stage::new() else { return };
    let judged = stage.judged();
    let rv = judged.split("config_resource_version\":\"").last().unwrap();
    let rv = rv.split('"').next().unwrap();
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
            judged.replace(rv, "1"),
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
        assert_eq!(run.code, code, "{name}: {}", run.stderr);
        assert!(run.stderr.contains(part), "{name}: {}", run.stderr);
        if !run.records.is_empty() {
            run.end();
        }
    }
    stage.assert_unchanged(true);
    assert_eq!(stage.holder(), None);
}

#[test]
fn charts_values_and_tools_that_do_not_fit_change_nothing() {
    let Some(stage) = Stage::new() else { return };
    let other = Bed::start().unwrap();
    let judged = stage.judged();
    let foreign = other.charts(TO).unwrap().values;
    let foreign = foreign.to_str().unwrap();
    let older = stage.bed.charts("stable-2.14.9").unwrap().control_plane;
    let crds = stage.charts.crds.to_str().unwrap().to_owned();
    let values = stage.charts.values.to_str().unwrap().to_owned();
    let pinned = stage.tools.folder().join("pinned.yaml");
    std::fs::write(&pinned, "proxy: {image: {version: stable-2.13.7}}\n").unwrap();
    let domain = stage.tools.folder().join("domain.yaml");
    std::fs::write(&domain, "clusterDomain: corp.local\n").unwrap();
    let broken = stage.tools.folder().join("broken.yaml");
    std::fs::write(&broken, "heartbeatSchedule: whenever\n").unwrap();
    let table: Vec<(&str, Vec<&str>, &str)> = vec![
        (
            "values that are not there",
            vec!["-f", "/no/such.yaml"],
            "/no/such.yaml",
        ),
        ("values of another cluster", vec!["-f", foreign], foreign),
        (
            "another domain",
            vec!["-f", domain.to_str().unwrap()],
            "cluster's domain",
        ),
        (
            "a pinned proxy",
            vec!["-f", pinned.to_str().unwrap()],
            "pinned version",
        ),
        (
            "an object that is refused",
            vec!["-f", broken.to_str().unwrap()],
            "the API server would refuse",
        ),
        ("no helm", vec!["--helm", "/no/such/helm"], "/no/such/helm"),
        (
            "another program",
            vec!["--helm", "/bin/true"],
            "neither helm 4",
        ),
        ("another plan", vec!["--yes=0000000000000000"], "digest"),
    ];
    for (name, more, part) in table {
        let run = stage.run(&judged, &more);
        assert_eq!(run.code, 2, "{name}: {}", run.stderr);
        assert!(run.stderr.contains(part), "{name}: {}", run.stderr);
        assert!(run.stderr.contains("hint: "), "{name}: {}", run.stderr);
    }
    let with_charts = |chart: &str, crds: &str, values: &str| -> Run {
        let mut command = stage.env(stage.tools.run("mesh-cp-upgrade"));
        command.args(["--chart", chart, "--crds-chart", crds, "--yes"]);
        if !values.is_empty() {
            command.args(["-f", values]);
        }
        run(command, &judged)
    };
    let control_plane = stage.charts.control_plane.to_str().unwrap();
    let rows = [
        (
            "a chart of another version",
            with_charts(older.to_str().unwrap(), &crds, &values),
            "stable-2.14.9",
        ),
        (
            "no values",
            with_charts(control_plane, &crds, ""),
            "trust anchors",
        ),
        (
            "no chart",
            with_charts("/no/such/chart", &crds, &values),
            "/no/such/chart",
        ),
        (
            "a chart of something else",
            with_charts(&crds, &crds, &values),
            "cannot be imported",
        ),
    ];
    for (name, run, part) in rows {
        assert_eq!(run.code, 2, "{name}: {}", run.stderr);
        assert!(run.stderr.contains(part), "{name}: {}", run.stderr);
    }
    let mut default = stage.env(stage.tools.run("mesh-cp-upgrade"));
    default.args(["-f", &values, "--yes"]);
    let run = run(default, &judged);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(
        run.stderr.contains("helm repo add linkerd "),
        "{}",
        run.stderr
    );
    stage.assert_unchanged(true);
    assert_eq!(stage.holder(), None);
}

#[test]
fn a_verdict_of_another_cluster_is_refused_even_under_the_same_context_name() {
    let Some(stage) = Stage::new() else { return };
    let other = Bed::start().unwrap();
    let judged = stage.judged();
    let mut command = stage.command(&[]);
    command.env("KUBECONFIG", other.kubeconfig());
    let before = other.audit().unwrap().len();
    let run = run(command, &judged);
    assert_eq!(run.code, 2, "{}", run.stderr);
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

#[test]
fn nobodys_leave_is_no_leave_and_a_terminal_is_no_pipeline() {
    let Some(stage) = Stage::new() else { return };
    let judged = stage.judged();
    // Without a controlling terminal there is nobody to ask.
    let mut alone = stage.env(stage.tools.command("setsid"));
    alone
        .arg("-w")
        .arg(stage.tools.tool("mesh-cp-upgrade"))
        .args(stage.charts_by_flag());
    let run = run(alone, &judged);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("nobody agreed"), "{}", run.stderr);

    let typed = format!(
        "{} -o ndjson",
        stage.tools.tool("mesh-cp-upgrade").display()
    );
    let mut script: Command = stage.env(stage.tools.command("script"));
    script.args(["-qec", &typed, "/dev/null"]);
    let output = script.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("mesh-survey | mesh-skewcheck"), "{said}");
    stage.assert_unchanged(true);
}

#[test]
fn what_somebody_else_is_in_charge_of_is_left_alone() {
    let Some(stage) = Stage::new() else { return };
    let judged = stage.judged();
    let config = ["configmap", "-n", "linkerd", "linkerd-config"];
    let annotate = |change: &str| {
        let args = [&["annotate", "--overwrite"], &config[..], &[change]].concat();
        stage.bed.kubectl(args).unwrap();
    };
    annotate("argocd.argoproj.io/tracking-id=linkerd:/ConfigMap:linkerd/linkerd-config");
    let run = stage.run(&judged, &[]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("Argo CD or Flux"), "{}", run.stderr);
    annotate("argocd.argoproj.io/tracking-id-");
    stage.assert_unchanged(true);
}

#[test]
fn an_api_server_that_fails_during_the_rehearsal_changes_nothing() {
    let Some(stage) = Stage::new() else { return };
    let judged = stage.judged();
    let proxy = stage.bed.proxy().unwrap();
    for (status, nth) in [(500, 1), (503, 5), (403, 9), (409, 20)] {
        let rehearsals = Match::method(http::Method::PUT)
            .agent("mesh-cp-upgrade/")
            .path("dryRun=All")
            .nth(nth);
        proxy
            .on(rehearsals)
            .answer(http::StatusCode::from_u16(status).unwrap());
        let mut command = stage.command(&[]);
        command.env("KUBECONFIG", proxy.kubeconfig());
        let run = run(command, &judged);
        assert_eq!(run.code, 2, "{status}: {}", run.stderr);
        assert!(
            run.step("preflight", "failed").is_some(),
            "{status}: {}",
            run.stderr
        );
        proxy.clear();
    }
    stage.assert_unchanged(true);
}

#[test]
fn a_right_that_is_missing_is_named() {
    let Some(stage) = Stage::new() else { return };
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
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(
        run.stderr.contains("hint: allow it with the RBAC rule"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("configmaps"), "{}", run.stderr);
    stage.assert_unchanged(true);
}
