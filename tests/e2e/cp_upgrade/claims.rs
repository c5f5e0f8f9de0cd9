//! A program in helm's place that claims an upgrade, and charts of another release.

use mesh_testbed::{Bed, Match};
use mesh_tests::{begin, on_both_beds, write_program};

use crate::stage::{FROM, Stage, TO};

on_both_beds! {
    [Helm]
    helm_whose_exit_code_is_swallowed_or_that_does_nothing_is_no_success
    helm_that_works_on_another_cluster_is_found_out_at_once
    charts_of_another_release_are_refused
}

impl Stage {
    // A program in helm's place: `upgrade` is what it does instead of the upgrade itself.
    fn wrapper(&self, name: &str, rest: &str, upgrade: &str) -> String {
        let path = self.tools.folder().join(name);
        let helm = self.bed.helm().display().to_string();
        let script = format!(
            "#!/bin/sh\nhelm={helm}\ncase \"$*\" in\n*--dry-run*) exec $helm \"$@\" ;;\n\
             upgrade*) {upgrade} ;;\n*) {rest} ;;\nesac\n"
        );
        write_program(&path, &script);
        path.to_str().unwrap().to_owned()
    }
}

fn helm_whose_exit_code_is_swallowed_or_that_does_nothing_is_no_success(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let rest = "exec $helm \"$@\"";
    let nothing = stage.wrapper("nothing", rest, "exit 0");
    let run = stage.run(&judged, &["--helm", &nothing]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(
        run.stderr.contains("helm claims to have upgraded"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("is still revision 1"), "{}", run.stderr);
    stage.assert_unchanged(true);

    let swallows = stage.wrapper("swallows", rest, "$helm \"$@\" || true");
    let proxy = stage.bed.proxy().unwrap();
    let failing = Match::writes()
        .agent("Helm/")
        .path("customresourcedefinitions/servers.");
    proxy.on(failing).answer(http::StatusCode::FORBIDDEN);
    let mut command = stage.command(&["--helm", &swallows]);
    command.env("KUBECONFIG", proxy.kubeconfig());
    let run = begin(command, &judged).finish();
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("failed"), "{}", run.stderr);
    assert!(run.step("crds", "failed").is_some(), "{}", run.stderr);
    assert!(run.step("control-plane", "started").is_none());
    assert_eq!(stage.configured(), FROM);
}

fn helm_that_works_on_another_cluster_is_found_out_at_once(bed: Bed) {
    let stage = Stage::new(bed);
    let other = stage.bed.another().unwrap();
    other.install_linkerd(FROM).unwrap();
    let judged = stage.judged();
    let mark = stage.tools.folder().join("mark");
    let (mark, elsewhere) = (mark.display(), other.kubeconfig().display());
    let there = format!("--kubeconfig {elsewhere}");
    let upgrade = format!("touch {mark}; exec $helm \"$@\" {there}");
    let rest = format!("[ -e {mark} ] || exec $helm \"$@\"; exec $helm \"$@\" {there}");
    let strays = stage.wrapper("strays", &rest, &upgrade);
    let run = stage.run(&judged, &["--helm", &strays]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(
        run.stderr.contains("works on another cluster"),
        "{}",
        run.stderr
    );
    assert!(run.step("control-plane", "started").is_none());
    stage.assert_unchanged(true);

    // A program that always works on the other cluster, with a longer history of the release.
    let revision = |bed: &Bed| {
        let history = ["history", "linkerd-crds", "-n", "linkerd", "-o", "json"];
        bed.run_helm(history).unwrap()
    };
    let before = revision(&other);
    let rest = format!("exec $helm \"$@\" {there}");
    let foreign = stage.wrapper("foreign", &rest, &rest);
    let run = stage.run(&judged, &["--helm", &foreign]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(
        run.stderr.contains("works on another cluster"),
        "{}",
        run.stderr
    );
    assert_eq!(revision(&other), before);
    stage.assert_unchanged(true);
}

fn charts_of_another_release_are_refused(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let old = stage.bed.charts(FROM).unwrap();
    let [chart, crds, values, old_chart, old_crds] = [
        &stage.charts.control_plane,
        &stage.charts.crds,
        &stage.charts.values,
        &old.control_plane,
        &old.crds,
    ]
    .map(|path| path.to_str().unwrap());
    let says_so = stage.file("says-so.yaml", &format!("linkerdVersion: {TO}\n"));
    for (chart, crds, part) in [
        (
            chart,
            old_crds,
            "is not the chart of the CRDs of stable-2.14.10",
        ),
        (old_chart, crds, "is the chart of stable-2.13.7"),
        ("./no-such-chart", crds, "there is no such file or folder"),
    ] {
        let mut command = stage.tool();
        command.args(["--chart", chart, "--crds-chart", crds, "-f", values]);
        command.args(["-f", &says_so, "--yes"]);
        let run = mesh_tests::run(command, &judged);
        assert_eq!(run.code, Some(2), "{part}: {}", run.stderr);
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    stage.assert_unchanged(true);
}
