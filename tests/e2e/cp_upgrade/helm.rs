//! Upgrades of a control plane that helm installed: helm upgrades it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use mesh_testbed::Bed;
use mesh_tests::{on_both_beds, run, serve};
use serde_json::Value;

use crate::assert_no_secret;
use crate::stage::{FROM, STEPS, Stage, TO};

on_both_beds! {
    [Helm]
    upgrade_by_helm_is_proven_and_a_second_run_changes_nothing
    ha_control_plane_stays_ha
    chart_and_crds_chart_are_the_repositorys_unless_named
    chart_values_and_helm_flags_that_do_not_fit_change_nothing
    charts_that_do_not_fit_change_nothing
}

fn upgrade_by_helm_is_proven_and_a_second_run_changes_nothing(bed: Bed) {
    let stage = Stage::new(bed);
    let evidence = stage.tools.folder().join("cp.ndjson");
    let pipeline = format!(
        "mesh-survey | mesh-skewcheck --to {TO} | mesh-cp-upgrade {} --yes --record {}",
        stage.source().join(" "),
        evidence.display()
    );
    let first = run(stage.env(stage.tools.shell(&pipeline)), "");
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    for step in STEPS {
        assert_eq!(first.states(step), ["started", "done"], "{step}");
    }
    assert_eq!(first.end()["outcome"], "complete");
    assert_eq!(stage.configured(), TO);
    assert_eq!(
        stage.revision("linkerd-control-plane"),
        (2, "deployed".to_owned())
    );

    let written = std::fs::read_to_string(&evidence).unwrap();
    assert_eq!(written, first.stdout, "the evidence is what was said");
    let mode = std::fs::metadata(&evidence).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_no_secret(&stage, &first);

    let requests = stage.bed.audit().unwrap().len();
    let again = run(stage.env(stage.tools.shell(&pipeline)), "");
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(again.end()["reason"], "it is already at the target");
    let written = stage.written_after(requests, true);
    assert!(written.is_empty(), "{written:#?}");
    assert_eq!(
        stage.revision("linkerd-control-plane"),
        (2, "deployed".to_owned())
    );
    assert_eq!(stage.revision("linkerd-crds"), (2, "deployed".to_owned()));
    for step in ["identity", "preflight", "crds", "control-plane"] {
        let skipped = again.step(step, "skipped").unwrap();
        assert!(skipped["reason"].is_string(), "{step}");
    }
    assert_eq!(stage.holder(), None, "the lock is let go");
}

fn ha_control_plane_stays_ha(bed: Bed) {
    let ha = bed.charts(FROM).unwrap().ha_values;
    bed.install_linkerd_with(FROM, &["-f", ha.to_str().unwrap()])
        .unwrap();
    let stage = Stage::by_helm(bed);
    let judged = stage.judged();
    let forgotten = stage.run(&judged, &[]);
    assert_eq!(forgotten.code, Some(2), "{}", forgotten.stderr);
    for part in [
        "high availability would be switched off: from controllerReplicas 3",
        "and drops the values of the installed release",
        "helm get values linkerd-control-plane",
        "pass --allow-change ha",
    ] {
        assert!(
            forgotten.stderr.contains(part),
            "{part}: {}",
            forgotten.stderr
        );
    }
    stage.assert_unchanged(true);
    let ha = stage.charts.ha_values.to_str().unwrap();
    let run = stage.run(&judged, &["-f", ha]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let last = run
        .records
        .iter()
        .rev()
        .find(|record| record["type"] == "progress")
        .unwrap();
    assert_eq!(last["pods"]["wanted"], 3);
    assert_eq!(stage.configured(), TO);
}

// Checks that both helms take charts from a registry.
fn pulled_from_a_registry(stage: &Stage, archives: &[PathBuf; 2]) {
    let registry = stage.bed.registry(archives).unwrap();
    let version = |archive: &PathBuf| {
        let name = archive.file_stem().unwrap().to_str().unwrap();
        name.rsplit_once('-').unwrap().1.to_owned()
    };
    let [chart, crds] = archives.each_ref().map(version);
    let preflight = |helm: &Path, chart: &str| {
        let mut command = stage.tool();
        command.env("SSL_CERT_FILE", &registry.authority);
        command.arg("--helm").arg(helm).arg("--preflight");
        command
            .arg("--chart")
            .arg(format!("{}/linkerd-control-plane", registry.charts));
        command
            .arg("--crds-chart")
            .arg(format!("{}/linkerd-crds", registry.charts));
        command.args(["--chart-version", chart, "--crds-chart-version", &crds]);
        command.arg("-f").arg(&stage.charts.values);
        run(command, &stage.judged())
    };
    for helm in [stage.bed.helm(), stage.bed.helm4()] {
        let taken = preflight(helm, &chart);
        assert_eq!(taken.code, Some(0), "{}", taken.said());
        let missing = preflight(helm, "0.0.1");
        assert_eq!(missing.code, Some(1), "{}", missing.said());
        assert!(missing.stderr.contains("not found"), "{}", missing.stderr);
        let hint = "check the address and the version of the chart";
        assert!(missing.stderr.contains(hint), "{}", missing.stderr);
    }
}

fn chart_and_crds_chart_are_the_repositorys_unless_named(bed: Bed) {
    let stage = Stage::new(bed);
    let shelf = stage.tools.folder().join("shelf");
    let shelf = shelf.to_str().unwrap();
    let helm = |args: &[&str]| {
        let output = stage
            .env(stage.tools.run("helm"))
            .args(args)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    for chart in [&stage.charts.control_plane, &stage.charts.crds] {
        helm(&["package", chart.to_str().unwrap(), "-d", shelf]);
    }
    // Without a network, two archives are enough.
    let archive = |name: &str| {
        let mut files = std::fs::read_dir(shelf).unwrap();
        let is_it = |path: &PathBuf| path.to_str().unwrap().contains(name);
        let path = files.find_map(|file| Some(file.unwrap().path()).filter(is_it));
        path.unwrap()
    };
    let mut alone = stage.tool();
    alone.arg("--chart").arg(archive("linkerd-control-plane-"));
    alone.arg("--crds-chart").arg(archive("linkerd-crds-"));
    alone.arg("-f").arg(&stage.charts.values).arg("--preflight");
    let alone = run(alone, &stage.judged());
    assert_eq!(alone.code, Some(0), "{}", alone.said());
    pulled_from_a_registry(
        &stage,
        &[archive("linkerd-control-plane-"), archive("linkerd-crds-")],
    );

    helm(&["repo", "index", shelf]);
    let address = serve(Path::new(shelf));
    helm(&["repo", "add", "linkerd", &address]);
    let mut command = stage.tool();
    command.arg("-f").arg(&stage.charts.values).arg("--yes");
    let run = run(command, &stage.judged());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let command = &run.step("control-plane", "started").unwrap()["command"];
    let command: Vec<&str> = command
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(
        command.join(" ").contains("linkerd/linkerd-control-plane"),
        "{command:?}"
    );
    assert!(
        command.join(" ").contains("--version 1.16.11"),
        "{command:?}"
    );
}

fn chart_values_and_helm_flags_that_do_not_fit_change_nothing(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let other = stage.bed.another().unwrap();
    let foreign = other.charts(TO).unwrap().values;
    let foreign = foreign.to_str().unwrap();
    let pinned = "proxy: {image: {version: stable-2.13.7}}\n";
    let pinned = stage.file("pinned.yaml", pinned);
    let domain = stage.file("domain.yaml", "clusterDomain: corp.local\n");
    let version = stage.file("version.yaml", "linkerdVersion: stable-2.13.7\n");
    let broken = stage.file("broken.yaml", "heartbeatSchedule: whenever\n");
    for (more, part) in [
        (&["-f", "/no/such.yaml"][..], "/no/such.yaml"),
        (&["-f", foreign], foreign),
        (&["-f", &domain], "cluster's domain"),
        (
            &["-f", &pinned],
            "the values pin it with `proxy.image.version` in `",
        ),
        (
            &["-f", &version],
            "renders stable-2.13.7, not stable-2.14.10, because the values set that version: \
             `linkerdVersion` in `",
        ),
        (
            &["--set", "proxy.image.version=stable-2.13.7"],
            "the values pin it with `proxy.image.version`",
        ),
        (
            &["--set", "identity.issuer.tls.keyPEM=x"],
            "--set-file KEY=FILE",
        ),
        (&["--set-file", "a.b"], "names no key and file"),
        (&["--set-file", "a.b=/no/such/file"], "/no/such/file"),
        (&["--helm-driver", "configmap"], "pass --helm-driver secret"),
        (&["-f", &broken], "the API server would refuse"),
        (&["--helm", "/no/such/helm"], "/no/such/helm"),
        // No helm at all.
        (&["--helm", "/bin/true"], "neither helm 4"),
        // Consent to another plan.
        (&["--yes=0000000000000000"], "digest"),
    ] {
        stage.refuses(&judged, more, part);
    }
    stage.assert_unchanged(true);
    assert_eq!(stage.holder(), None);
}

fn charts_that_do_not_fit_change_nothing(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let older = stage.bed.charts("stable-2.14.9").unwrap().control_plane;
    let [chart, crds, values] = [
        &stage.charts.control_plane,
        &stage.charts.crds,
        &stage.charts.values,
    ]
    .map(|path| path.to_str().unwrap());
    for (chart, values, part) in [
        (older.to_str().unwrap(), values, "stable-2.14.9"),
        (chart, "", "trust anchors"),
        ("/no/such/chart", values, "/no/such/chart"),
        (
            "no/such-chart",
            values,
            "there is no file or folder `no/such-chart`, so helm looks for a repository `no`",
        ),
        (crds, values, "cannot be imported"),
    ] {
        let mut command = stage.tool();
        command.args(["--chart", chart, "--crds-chart", crds, "--yes"]);
        if !values.is_empty() {
            command.args(["-f", values]);
        }
        let run = run(command, &judged);
        assert_eq!(run.code, Some(2), "{chart}: {}", run.stderr);
        assert!(run.stderr.contains(part), "{chart}: {}", run.stderr);
    }
    let mut default = stage.tool();
    default.args(["-f", values, "--yes"]);
    let run = run(default, &judged);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(
        run.stderr.contains("helm repo add linkerd "),
        "{}",
        run.stderr
    );
    stale_index_is_to_be_renewed(&stage, &judged);
    stage.assert_unchanged(true);
    assert_eq!(stage.holder(), None);
}

fn stale_index_is_to_be_renewed(stage: &Stage, judged: &str) {
    let shelf = stage.tools.folder().join("empty-shelf");
    std::fs::create_dir(&shelf).unwrap();
    let helm = |args: &[&str]| {
        let output = stage
            .env(stage.tools.run("helm"))
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}");
    };
    helm(&["repo", "index", shelf.to_str().unwrap()]);
    helm(&["repo", "add", "linkerd", &serve(&shelf)]);
    let mut command = stage.tool();
    command.arg("-f").arg(&stage.charts.values).arg("--yes");
    let run = run(command, judged);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    let part = "renew helm's index of the repository with `helm repo update linkerd`";
    assert!(run.stderr.contains(part), "{}", run.stderr);
}
