//! Runs the README's commands from the top like a new user.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::process::Command;

use mesh_testbed::Bed;
use mesh_tests::{Toolbox, on_both_beds, serve, toolbox};

const FROM: &str = "stable-2.13.7";
const TO: &str = "stable-2.14.10";
const README: &str = include_str!("../../README.md");

/// Returns the lines of the README's shell blocks.
fn commands() -> Vec<&'static str> {
    let mut inside = false;
    let mut commands = Vec::new();
    for line in README.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            _ if inside && !line.is_empty() => commands.push(line),
            _ => {}
        }
    }
    commands
}

on_both_beds! {
    the_readmes_commands_upgrade_a_mesh_that_the_cli_installed
    [Helm]
    the_readmes_commands_upgrade_a_mesh
}

fn the_readmes_commands_upgrade_a_mesh_that_the_cli_installed(bed: Bed) {
    bed.install_linkerd_by_cli(FROM).unwrap();
    let user = User::of(bed);
    let linkerd = user.tools.linkerd(&user.bed, TO);
    user.tools.link("linkerd", &linkerd);
    user.follows_the_readme();
}

fn the_readmes_commands_upgrade_a_mesh(bed: Bed) {
    bed.install_linkerd(FROM).unwrap();
    let user = User::of(bed);
    user.tools.link("helm", user.bed.helm());
    let charts = user.bed.charts(TO).unwrap();
    let repository = user.tools.folder().join("repository");
    fs::create_dir(&repository).unwrap();
    let prepare = "helm package -d repository \"$CRDS\" \"$CHART\" && helm repo index repository \
                   && helm repo add linkerd \"$URL\"";
    let mut prepare = user.shell(prepare);
    prepare
        .env("CRDS", &charts.crds)
        .env("CHART", &charts.control_plane)
        .env("URL", serve(&repository));
    succeed(&mut prepare);
    user.follows_the_readme();
}

/// A user with the shop in the mesh and its values file.
struct User {
    bed: Bed,
    tools: Toolbox,
}

impl User {
    fn of(bed: Bed) -> Self {
        bed.shop().unwrap();
        let tools = toolbox!();
        let values = bed.charts(TO).unwrap().values;
        fs::copy(values, tools.folder().join("values.yaml")).unwrap();
        Self { bed, tools }
    }

    fn shell(&self, line: &str) -> Command {
        let mut command = self.tools.shell(line);
        command
            .current_dir(self.tools.folder())
            .env("KUBECONFIG", self.bed.kubeconfig());
        command
    }

    fn follows_the_readme(&self) {
        let commands = commands();
        assert!(
            commands.len() >= 6,
            "the README has lost its pipeline: {commands:?}"
        );
        for line in commands {
            succeed(&mut self.shell(line));
        }
    }
}

#[track_caller]
fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    let (out, errors) = (&output.stdout, &output.stderr);
    assert!(
        output.status.success(),
        "{command:?}\n{}\n{}",
        String::from_utf8_lossy(errors),
        String::from_utf8_lossy(out)
    );
}
