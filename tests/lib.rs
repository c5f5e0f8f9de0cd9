//! The tools under test with their real names on their own `PATH`, and the beds for the tests.

mod beds;
mod pasted;
mod plugin;
mod pods;
mod run;
mod shelf;
mod terminal;

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{PipeReader, PipeWriter, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use mesh_testbed::Bed;
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use tempfile::{NamedTempFile, TempDir};

pub use crate::beds::{Own, Shared};
pub use crate::pasted::{assert_at, commands};
pub use crate::plugin::{planted, with_plugin};
pub use crate::pods::{make_ready, make_unready, make_wait};
pub use crate::run::{Run, Running, begin, of_type, records, run};
pub use crate::shelf::serve;
pub use crate::terminal::{
    OnTerminal, hang_up_at_the_question, on_terminal, yes_at, yes_at_the_question,
    yes_before_the_question,
};

/// Writes an executable script. A running script of the same name is not disturbed.
///
/// # Panics
/// If a file cannot be written.
pub fn write_program(path: &Path, script: &str) {
    let folder = path.parent().expect("a program is in a folder");
    let mut file = NamedTempFile::new_in(folder).expect("a file can be made");
    file.write_all(script.as_bytes())
        .expect("it can be written");
    fs::set_permissions(file.path(), Permissions::from_mode(0o755)).expect("it is our own");
    // A file that is open for writing cannot be executed, so it is closed and then renamed.
    let file = file.into_temp_path();
    file.persist(path).expect("a file can be renamed");
}

/// Sends a signal to a child process that was not waited for yet.
pub fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process id"), signal).expect("the child is there");
}

/// Opens a pseudo-terminal; returns the user's end, which keeps it open, and the program's end.
#[must_use]
pub fn terminal() -> (OwnedFd, OwnedFd) {
    // A program that inherited the user's end would keep its own terminal open.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let somebody = openpt(flags).expect("there are terminals");
    grantpt(&somebody).expect("it is ours");
    unlockpt(&somebody).expect("it is ours");
    let program = ioctl_tiocgptpeer(&somebody, flags).expect("it is unlocked");
    (somebody, program)
}

/// A pipe that is full and that nobody reads; its writing end.
///
/// # Panics
/// If there can be no pipe.
#[must_use]
pub fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().expect("there are pipes");
    let mut filler = writer.try_clone().expect("a pipe can be shared");
    // Keeps the pipe full until its reader is dropped.
    std::thread::spawn(move || drop(filler.write_all(&vec![b'\n'; 1 << 21])));
    (reader, writer)
}

/// A folder with the four tools, and a home without a kubeconfig.
#[derive(Debug)]
pub struct Toolbox {
    folder: TempDir,
    path: String,
}

/// Makes the toolbox of this package's binaries. A macro, because Cargo names binaries only to the
/// tests themselves.
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
            ("stand-in-linkerd", env!("CARGO_BIN_EXE_stand-in-linkerd")),
        ])
    };
}

impl Toolbox {
    /// Makes a toolbox with a link to each binary.
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

    /// Links the `linkerd` CLI of a version for use on a bed. On the lab it is the stand-in,
    /// because the real one needs helm or the internet.
    #[must_use]
    pub fn linkerd(&self, bed: &Bed, version: &str) -> PathBuf {
        if bed.as_lab().is_none() {
            return bed.linkerd_cli(version).expect("the CLI is written");
        }
        let cli = self.folder.path().join(format!("linkerd-{version}"));
        if cli.exists() {
            return cli;
        }
        let program = self.tool("stand-in-linkerd");
        let script = format!(
            "#!/bin/sh\nSTANDIN_LINKERD_VERSION={version} exec {} \"$@\"\n",
            program.display()
        );
        write_program(&cli, &script);
        cli
    }

    /// Returns the path of a tool.
    #[must_use]
    pub fn tool(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the toolbox's folder, which is also the `HOME` of its programs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Makes a command whose environment has only the toolbox.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", self.folder.path())
            // A tool that was killed leaves its temporary files behind.
            .env("TMPDIR", self.folder.path());
        command
    }

    /// Makes a command for a tool, without arguments.
    #[must_use]
    pub fn run(&self, tool: &str) -> Command {
        self.command(self.tool(tool))
    }

    /// Makes a command that runs a pipeline in a shell with strict options.
    #[must_use]
    pub fn shell(&self, pipeline: &str) -> Command {
        let mut command = self.command("/bin/bash");
        command.args(["-euo", "pipefail", "-c", pipeline]);
        command
    }
}
