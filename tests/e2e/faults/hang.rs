//! Tests with a helm or `linkerd` CLI that hangs.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

use mesh_testbed::{Bed, Victim};
use mesh_tests::{Toolbox, on_both_beds, toolbox, write_program};

use crate::control_plane::{by_cli, is_at_target, judged, upgrade};
use crate::fleet::{NEW, OLD};
use crate::run::run;

/// Makes a program hang until this is dropped.
struct Pipe {
    path: PathBuf,
    _open: File,
    hanging: Cell<usize>,
}

/// A program that only reads may take ten times this `--request-timeout`.
const READING: [&str; 3] = ["--dry-run=server", "--request-timeout", "1s"];
const WRITING: [&str; 3] = ["--yes", "--timeout", "1s"];

on_both_beds! {
    request_timeout_ends_an_upgrade_without_an_answer_from_the_cli
    [Helm]
    request_timeout_ends_an_upgrade_without_an_answer_from_helm
}

fn request_timeout_ends_an_upgrade_without_an_answer_from_helm(bed: Bed) {
    bed.install_linkerd(OLD).unwrap();
    let tools = toolbox!();
    let command = || upgrade(&bed, &tools, bed.kubeconfig());
    let hangs = |arguments| (command(), "--helm", bed.helm(), arguments);
    let readers = [
        "version*",
        "history*",
        "get?values*",
        "*--dry-run=server*",
        "get?manifest*",
    ];
    no_answer(&bed, &tools, readers.map(hangs), &READING, 2);
    // A helm that writes is not killed, because the upgrade may still finish.
    let writer = ["upgrade*-values?--kubeconfig*"].map(hangs);
    no_answer(&bed, &tools, writer, &WRITING, 3);
}

fn request_timeout_ends_an_upgrade_without_an_answer_from_the_cli(bed: Bed) {
    bed.install_linkerd_by_cli(OLD).unwrap();
    bed.apply_definitions(NEW).unwrap();
    let tools = toolbox!();
    let cli = tools.linkerd(&bed, NEW);
    let command = || by_cli(&bed, &tools, bed.kubeconfig());
    let hangs = |arguments| (command(), "--linkerd", cli.as_path(), arguments);
    let readers = ["version*", "upgrade?--crds*", "upgrade?--linkerd*"];
    no_answer(&bed, &tools, readers.map(hangs), &READING, 2);
}

/// A command, its flag for a program, that program, and the arguments at which the program hangs.
type Hanging<'a> = (Command, &'a str, &'a Path, &'a str);

/// Runs the commands at the same time; each must end with `code` and give the reason.
#[track_caller]
fn no_answer<const N: usize>(
    bed: &Bed,
    tools: &Toolbox,
    commands: [Hanging<'_>; N],
    args: &[&str],
    code: i32,
) {
    let judged = judged(bed, tools);
    let folder = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(folder.path());
    std::thread::scope(|scope| {
        for (mut command, flag, real, arguments) in commands {
            let program = pipe.hangs_at(arguments, real);
            command.arg(flag).arg(program).args(args);
            let judged = &judged;
            scope.spawn(move || {
                let ran = run(command, judged, &Victim::default());
                let wrong = ran.misconduct(&[code], false);
                assert_eq!(wrong, None, "{arguments}: {}", ran.summary());
                let reasons = ["ten times the --request-timeout", "has not finished after"];
                let says = reasons.iter().any(|reason| ran.stderr.contains(reason));
                assert!(says, "{arguments}: {}", ran.summary());
            });
        }
    });
    assert!(!is_at_target(bed));
}

// === impl Pipe ===

impl Pipe {
    fn new(folder: &Path) -> Self {
        let path = folder.join("pipe");
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        // Opened for reading and writing, because opening a pipe only for writing waits for a
        // reader.
        let open = OpenOptions::new().read(true).write(true).open(&path);
        Self {
            path,
            _open: open.unwrap(),
            hanging: Cell::new(0),
        }
    }

    /// Writes a program that works like `real` but hangs at `arguments`.
    fn hangs_at(&self, arguments: &str, real: &Path) -> PathBuf {
        let number = self.hanging.replace(self.hanging.get() + 1);
        let program = self.path.with_file_name(format!("hangs-{number}"));
        let (real, pipe) = (real.display(), self.path.display());
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in {arguments}) exec cat {pipe} ;; esac\nexec {real} \"$@\"\n"
        );
        write_program(&program, &script);
        program
    }
}
