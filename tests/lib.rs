//! The tools under test, under their real names on a `PATH` of their own.

use std::ffi::OsStr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A folder with the four tools, and a home without a kubeconfig.
#[derive(Debug)]
pub struct Toolbox {
    folder: TempDir,
    path: String,
}

/// The toolbox of this package's own binaries. Cargo names them to tests only, hence the macro.
#[macro_export]
macro_rules! toolbox {
    () => {
        $crate::Toolbox::with(&[
            ("mesh-survey", env!("CARGO_BIN_EXE_under-test-mesh-survey")),
            (
                "mesh-skewcheck",
                env!("CARGO_BIN_EXE_under-test-mesh-skewcheck"),
            ),
            (
                "mesh-cp-upgrade",
                env!("CARGO_BIN_EXE_under-test-mesh-cp-upgrade"),
            ),
            ("mesh-roll", env!("CARGO_BIN_EXE_under-test-mesh-roll")),
        ])
    };
}

impl Toolbox {
    /// Links each binary under its name.
    #[must_use]
    pub fn with(tools: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, binary) in tools {
            symlink(binary, folder.path().join(name)).expect("a link in a fresh folder");
        }
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", folder.path().display());
        Self { folder, path }
    }

    /// Puts another program on the `PATH` under `name`.
    pub fn link(&self, name: &str, program: &Path) {
        symlink(program, self.folder.path().join(name)).expect("a link of a new name");
    }

    /// Where a tool is.
    #[must_use]
    pub fn tool(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The toolbox's folder, which is also the home of what it runs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A command with nothing in its environment but the toolbox.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", self.folder.path());
        command
    }

    /// A tool, ready for its arguments.
    #[must_use]
    pub fn run(&self, tool: &str) -> Command {
        self.command(self.tool(tool))
    }

    /// A pipeline as a careful script runs it.
    #[must_use]
    pub fn shell(&self, pipeline: &str) -> Command {
        let mut command = self.command("/bin/bash");
        command.args(["-euo", "pipefail", "-c", pipeline]);
        command
    }
}
