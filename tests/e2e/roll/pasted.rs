//! The commands that are shown reach the run's own cluster.

use std::process::Command;

use mesh_testbed::Bed;
use mesh_tests::{Run, assert_at, commands, on_both_beds, run};
use serde_json::json;

use crate::scene::{NEW, Scene, behaves, workload};

/// It needs quotes.
const CONTEXT: &str = "eu west";

on_both_beds! {
    every_command_that_is_shown_has_the_flags_of_the_cluster
}

struct There {
    scene: Scene,
    kubeconfig: String,
}

impl There {
    fn tool(&self, tool: &str, args: &[&str]) -> Command {
        let mut command = self.scene.tools.run(tool);
        command.args(args);
        if tool != "mesh-skewcheck" {
            command.args(["--kubeconfig", &self.kubeconfig, "--context", CONTEXT]);
        }
        command
    }

    /// Runs a tool and checks the commands that it shows; each of `parts` must be in one of them.
    #[track_caller]
    fn shows(&self, tool: &str, args: &[&str], input: &str, parts: &[&str]) -> Run {
        let run = run(self.tool(tool, args), input);
        let commands = commands(&run);
        assert_at(&commands, &self.kubeconfig, CONTEXT);
        for part in parts {
            let shown = commands.iter().any(|command| command.contains(part));
            assert!(
                shown,
                "{tool} {args:?} does not show {part}: {}",
                run.said()
            );
        }
        run
    }
}

fn every_command_that_is_shown_has_the_flags_of_the_cluster(bed: Bed) {
    let paused = workload("Deployment", "paused", |_| {});
    let scene = Scene::with(bed, &[behaves("crashes", "crash-loop"), paused]);
    // The lab does not know how to pause.
    let is_real = scene.bed.as_lab().is_none();
    if is_real {
        let pause = json!({ "spec": { "paused": true } });
        let path = "/apis/apps/v1/namespaces/shop/deployments/paused";
        scene.bed.merge(path, &pause).unwrap();
    }
    let kubeconfig = scene.bed.kubeconfig_named(CONTEXT).unwrap();
    let kubeconfig = kubeconfig.to_str().unwrap().to_owned();
    let there = There { scene, kubeconfig };

    let survey = there.shows("mesh-survey", &[], "", &[]).stdout;
    let judge = |args: &[&str], parts: &[&str]| there.shows("mesh-skewcheck", args, &survey, parts);
    let roll = ["mesh-survey ", "mesh-roll "];
    judge(&[], &roll);
    judge(&["--ask", "done", "--to", NEW], &roll);
    judge(&["--to", NEW], &["mesh-survey "]);
    let upgrade = ["mesh-survey ", "mesh-cp-upgrade "];
    judge(&["--ask", "done", "--to", "edge-24.2.4"], &upgrade);
    let judged = judge(&["--ask", "roll"], &roll).stdout;

    let roll = |args: &[&str], input: &str, parts: &[&str]| {
        let args = [args, &["--settle", "0s"]].concat();
        there.shows("mesh-roll", &args, input, parts)
    };
    let again = ["mesh-survey ", "mesh-roll "];
    roll(&["--yes"], &survey, &again);
    roll(&["--dry-run"], &judged, &[]);
    roll(
        &["--yes", "-n", "nowhere"],
        &judged,
        &["mesh-survey -o table"],
    );
    roll(&["--yes", "--max-age", "0s"], &judged, &again);
    let more = ["logs crashes-", "rollout resume Deployment/paused"];
    let failed = roll(&["--yes"], &judged, &more[..1 + usize::from(is_real)]);
    assert_eq!(failed.code, Some(1), "{}", failed.said());
}
