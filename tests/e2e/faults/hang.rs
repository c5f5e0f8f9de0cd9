//! helm and the `linkerd` CLI, and one that does not answer any more.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

use mesh_testbed::{Bed, Victim};
use mesh_tests::toolbox;

use crate::control_plane::{is_at_target, judged, upgrade};
use crate::fleet::OLD;
use crate::run::run;

/// What holds a program that hangs, until it is dropped.
struct Pipe {
    path: PathBuf,
    _open: File,
    hanging: Cell<usize>,
}

/// What only reads ends after ten of these.
const REQUEST: [&str; 2] = ["--request-timeout", "1s"];

#[test]
fn an_upgrade_ends_without_an_answer_from_helm() {
    let Some(bed) = Bed::for_test() else { return };
    bed.install_linkerd(OLD).unwrap();
    let helm = ("--helm", bed.helm());
    let readers = [
        "version*",
        "history*",
        "get?values*",
        "*--dry-run=server*",
        "get?manifest*",
    ];
    no_answer(&bed, helm, &readers, &["--dry-run=server"], 2);
    // Nobody stops a helm that writes, so that the upgrade may yet be done.
    let writing = ["--yes", "--timeout", "1s"];
    no_answer(&bed, helm, &["upgrade*-values"], &writing, 3);
}

#[test]
fn an_upgrade_ends_without_an_answer_from_the_cli() {
    let bed = Bed::lab().unwrap();
    bed.install_linkerd(OLD).unwrap();
    let cli = (
        "--linkerd",
        Path::new(env!("CARGO_BIN_EXE_stand-in-linkerd")),
    );
    let readers = ["version*", "upgrade?--crds*", "upgrade?--linkerd*"];
    no_answer(&bed, cli, &readers, &["--dry-run=server"], 2);
}

/// Runs side by side, each with a program that hangs when its arguments are like one of these.
#[track_caller]
fn no_answer(bed: &Bed, (flag, real): (&str, &Path), hanging: &[&str], args: &[&str], code: i32) {
    let tools = toolbox!();
    let judged = judged(bed, &tools);
    let pipe = Pipe::new(tools.folder());
    let runs = hanging.iter().map(|arguments| {
        let mut command = upgrade(bed, &tools, bed.kubeconfig());
        command
            .arg(flag)
            .arg(pipe.hangs_at(arguments, real))
            .args(REQUEST)
            .args(args);
        (arguments, command)
    });
    let runs: Vec<_> = runs.collect();
    std::thread::scope(|scope| {
        for (arguments, command) in runs {
            let judged = &judged;
            scope.spawn(move || {
                let ran = run(command, judged, &Victim::default());
                let wrong = ran.misconduct(&[code], false);
                assert_eq!(wrong, None, "{arguments}: {}", ran.summary());
                let reason = ["ten times the --request-timeout", "still at work after"];
                assert!(
                    reason.iter().any(|reason| ran.stderr.contains(reason)),
                    "{arguments}: {}",
                    ran.summary()
                );
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
        // Open for both, or it would wait for a reader.
        let open = OpenOptions::new().read(true).write(true).open(&path);
        Self {
            path,
            _open: open.unwrap(),
            hanging: Cell::new(0),
        }
    }

    /// A program that answers like the `real` one, but for `arguments`.
    fn hangs_at(&self, arguments: &str, real: &Path) -> PathBuf {
        let number = self.hanging.replace(self.hanging.get() + 1);
        let program = self.path.with_file_name(format!("hangs-{number}"));
        let (real, pipe) = (real.display(), self.path.display());
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in {arguments}) exec cat {pipe} ;; esac\nexec {real} \"$@\"\n"
        );
        std::fs::write(&program, script).unwrap();
        let made = Command::new("chmod").arg("+x").arg(&program).status();
        assert!(made.unwrap().success());
        program
    }
}
