//! Values that helm would lose or change, and those that a run sets or keeps.

use mesh_testbed::{Bed, Charts};
use mesh_tests::{on_both_beds, run};

use crate::stage::Stage;

on_both_beds! {
    [Helm]
    value_that_this_run_drops_or_changes_is_shown_before_it_is
    values_of_the_release_are_kept_and_single_ones_set_if_that_is_asked_for
}

fn value_that_this_run_drops_or_changes_is_shown_before_it_is(bed: Bed) {
    let given = ["--set", "proxy.logLevel=debug,defaultInboundPolicy=deny"];
    let stage = Stage::with(bed, &given);
    let judged = stage.judged();
    let other = stage.file("other.yaml", "defaultInboundPolicy: all-authenticated\n");
    let run = stage.run(&judged, &["-f", &other, "--dry-run=server", "--diff"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let progress = run.of("progress").into_iter();
    let said = progress.filter_map(|it| it["message"].as_str()?.strip_prefix("dry run: "));
    let said: Vec<&str> = said.collect();
    for (start, part) in [
        (
            "new: CustomResourceDefinition httproutes.gateway.networking.k8s.io",
            "",
        ),
        (
            "changes: Deployment linkerd-identity: ",
            "containers[identity].image from cr.l5d.io/linkerd/controller:stable-2.13.7 to \
             cr.l5d.io/linkerd/controller:stable-2.14.10",
        ),
        (
            "changes: ConfigMap linkerd-config: ",
            ".data.values.defaultInboundPolicy from deny to all-authenticated",
        ),
    ] {
        let is_meant = |line: &&str| line.starts_with(start) && line.contains(part);
        assert!(said.iter().any(is_meant), "{start}{part}: {said:#?}");
    }
    let deeds = run.of("intent")[0]["deeds"].as_array().unwrap().iter();
    let deeds: Vec<String> = deeds
        .map(|deed| {
            format!(
                "{} {}",
                deed["verb"].as_str().unwrap(),
                deed["object"].as_str().unwrap()
            )
        })
        .collect();
    let expected = [
        "change the value defaultInboundPolicy from deny to all-authenticated",
        "drop the value proxy.logLevel, which is debug: the chart's default counts then",
    ];
    assert_eq!(deeds[2..], expected, "{deeds:#?}");
    stage.assert_unchanged(true);
}

fn values_of_the_release_are_kept_and_single_ones_set_if_that_is_asked_for(bed: Bed) {
    let given = ["--set", "proxy.logLevel=debug,defaultInboundPolicy=deny"];
    let stage = Stage::with(bed, &given);
    let judged = stage.judged();
    let memory = stage.file("memory", "64Mi");
    let memory = format!("proxy.resources.memory.request={memory}");
    let Charts {
        crds,
        control_plane,
        ..
    } = &stage.charts;
    // No -f: the anchors and the issuer of this mesh are among what the release was given.
    let mut command = stage.tool();
    command.arg("--chart").arg(control_plane);
    command.arg("--crds-chart").arg(crds);
    command.args(["--reset-then-reuse-values", "--yes", "--set-file", &memory]);
    command.args(["--set", "defaultInboundPolicy=all-authenticated"]);
    let run = run(command, &judged);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let deeds = run.of("intent")[0]["deeds"].as_array().unwrap().iter();
    let of_values = deeds.filter(|deed| deed["verb"].as_str().unwrap().ends_with(" the value"));
    let of_values: Vec<&str> = of_values.map(|it| it["object"].as_str().unwrap()).collect();
    let expected = [
        "defaultInboundPolicy from deny to all-authenticated",
        "proxy.resources.memory.request: 64Mi",
    ];
    assert_eq!(of_values, expected);
    let values = ["get", "values", "linkerd-control-plane", "-n", "linkerd"];
    let values = stage.bed.run_helm(values).unwrap();
    for part in ["logLevel: debug", "all-authenticated", "request: 64Mi"] {
        assert!(values.contains(part), "{part}: {values}");
    }
}
