//! Runs what is composed of the tools: the scripts, the recipes of the docs and the CronJobs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod commands;
mod deploy;
mod gate;
mod recipes;
mod report;
mod runbook;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mesh_testbed::Bed;
use mesh_tests::{Toolbox, toolbox, write_program};

pub(crate) const FROM: &str = "stable-2.13.7";
pub(crate) const TO: &str = "stable-2.14.10";

/// A file of the repository.
pub(crate) fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// How a command ended, and all that it said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }
}

/// A mesh of the old release, installed by the CLI, and its operator.
pub(crate) struct Operator {
    pub(crate) bed: Bed,
    pub(crate) tools: Toolbox,
}

impl Operator {
    pub(crate) fn on(bed: Bed) -> Self {
        bed.install_linkerd_by_cli(FROM).unwrap();
        bed.shop().unwrap();
        let tools = toolbox!();
        let linkerd = tools.linkerd(&bed, TO);
        tools.link("linkerd", &linkerd);
        Self { bed, tools }
    }

    /// A command line in the operator's folder.
    pub(crate) fn shell(&self, line: &str) -> Command {
        let mut command = self.tools.shell(line);
        command
            .current_dir(self.tools.folder())
            .env("KUBECONFIG", self.bed.kubeconfig())
            .env("ROLL_FLAGS", "--settle 0s --max-in-flight 6")
            .env("RUNBOOK", root("scripts/runbook"))
            .env("REPORT", root("scripts/report"));
        command
    }

    /// Takes the place of a tool; `$REAL` in the script is the tool itself.
    pub(crate) fn replace(&self, tool: &str, script: &str) {
        let path = self.tools.tool(tool);
        let real = fs::canonicalize(&path).unwrap();
        let script = script.replace("$REAL", real.to_str().unwrap());
        fs::remove_file(&path).unwrap();
        write_program(&path, &script);
    }
}
