//! The commands that are shown reach the run's own cluster.

use mesh_testbed::Bed;
use mesh_tests::{Run, assert_at, commands, on_both_beds, run};

use crate::stage::{Stage, TO};

/// It needs quotes.
const CONTEXT: &str = "eu west";

on_both_beds! {
    every_command_that_is_shown_has_the_flags_of_the_cluster
}

fn every_command_that_is_shown_has_the_flags_of_the_cluster(bed: Bed) {
    let stage = Stage::new(bed);
    let kubeconfig = stage.bed.kubeconfig_named(CONTEXT).unwrap();
    let kubeconfig = kubeconfig.to_str().unwrap();
    let judged = stage.judged();
    let shows = |args: &[&str], input: &str, parts: &[&str]| -> Run {
        let mut command = stage.command(args);
        command.env_remove("KUBECONFIG");
        command.args(["--kubeconfig", kubeconfig, "--context", CONTEXT]);
        let run = run(command, input);
        let commands = commands(&run);
        assert_at(&commands, kubeconfig, CONTEXT);
        for part in parts {
            let shown = commands.iter().any(|command| command.contains(part));
            assert!(shown, "{args:?} does not show {part}: {}", run.said());
        }
        run
    };
    let pipeline = ["mesh-survey ", "mesh-cp-upgrade "];
    let survey = {
        let mut survey = stage.env(stage.tools.run("mesh-survey"));
        survey.args(["-o", "ndjson"]);
        run(survey, "").stdout
    };
    shows(&[], &survey, &pipeline);
    shows(&["--max-age", "0s"], &judged, &pipeline);
    let (back, values): (_, &[&str]) = match stage.is_by_helm() {
        true => ("helm rollback linkerd-control-plane", &["helm get values"]),
        false => ("linkerd upgrade --linkerd-namespace linkerd", &[]),
    };
    let domain = stage.file("domain.yaml", "clusterDomain: corp.local\n");
    shows(&["-f", &domain], &judged, values);
    shows(&["--dry-run"], &judged, &[&pipeline[..], &[back]].concat());
    let done = shows(&[], &judged, &[back, "mesh-survey ", "mesh-roll "]);
    assert_eq!(done.code, Some(0), "{}", done.said());
    assert_eq!(stage.configured(), TO);
}
