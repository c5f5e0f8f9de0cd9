use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::real::shared;

const PARTS: [&str; 7] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubectl",
    "helm",
    "helm4",
];

/// Makes a command that finds no parts, because its cache is empty.
fn without_parts(program: &Path, cache: &Path) -> Command {
    let mut command = Command::new(program);
    for server in [
        "ETCD",
        "KUBE_APISERVER",
        "KUBE_CONTROLLER_MANAGER",
        "KUBE_SCHEDULER",
        "KUBECTL",
    ] {
        command.env_remove(format!("TEST_ASSET_{server}"));
    }
    for name in ["KUBEBUILDER_ASSETS", "KUBECTL", "HELM", "HELM4"] {
        command.env_remove(name);
    }
    command.env("XDG_CACHE_HOME", cache);
    command
}

fn one_test(requirement: &str, cache: &Path) -> Output {
    let mut command = without_parts(&std::env::current_exe().unwrap(), cache);
    command.env("MESH_TEST_REAL", requirement).args([
        "--nocapture",
        "--exact",
        "real::record::a_dry_run_is_no_write",
    ]);
    command.output().unwrap()
}

fn script(cache: &Path) -> Command {
    without_parts(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/testbed"),
        cache,
    )
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn without_the_parts_mesh_test_real_decides_between_failing_and_skipping() {
    let cache = tempfile::tempdir().unwrap();
    let way_out = "run `scripts/testbed get`";
    for (requirement, passes, says) in [
        ("require", false, true),
        ("auto", true, true),
        ("off", true, false),
    ] {
        let output = one_test(requirement, cache.path());
        assert_eq!(
            output.status.success(),
            passes,
            "{requirement}: {}",
            said(&output)
        );
        assert_eq!(
            said(&output).contains(way_out),
            says,
            "{requirement}: {}",
            said(&output)
        );
    }
}

#[test]
fn a_folder_with_every_part_is_used_as_it_is() {
    let (cache, assets) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for part in PARTS {
        let path = assets.path().join(part);
        File::create(&path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let get = script(cache.path())
        .arg("get")
        .env("KUBEBUILDER_ASSETS", assets.path())
        .output()
        .unwrap();
    assert!(get.status.success(), "{}", said(&get));
    assert_eq!(
        fs::read_dir(cache.path()).unwrap().count(),
        0,
        "nothing was brought"
    );
    let env = script(cache.path())
        .arg("env")
        .env("KUBEBUILDER_ASSETS", assets.path())
        .output()
        .unwrap();
    let exports = String::from_utf8(env.stdout).unwrap();
    assert_eq!(
        exports
            .lines()
            .filter(|line| line.contains(assets.path().to_str().unwrap()))
            .count(),
        PARTS.len()
    );
}

#[test]
fn a_named_part_that_cannot_run_is_refused_by_name() {
    let cache = tempfile::tempdir().unwrap();
    for command in ["get", "env"] {
        let output = script(cache.path())
            .arg(command)
            .env("HELM", "/nonexistent/helm")
            .output()
            .unwrap();
        assert!(!output.status.success(), "{command}");
        assert!(
            said(&output).contains("HELM names /nonexistent/helm"),
            "{command}: {}",
            said(&output)
        );
    }
}

#[test]
fn a_standing_bed_that_is_killed_leaves_no_server() {
    if shared().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_testbed"));
    let mut standing = command
        .arg("serve")
        .arg(dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(standing.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(
        line.trim(),
        format!(
            "export KUBECONFIG={}",
            dir.path().join("kubeconfig").display()
        )
    );
    let pids = fs::read_to_string(dir.path().join("pids")).unwrap();
    standing.kill().unwrap();
    standing.wait().unwrap();
    for pid in pids.lines().filter_map(|line| line.split(' ').next()) {
        // The kernel ends the servers at once, but only their parent, which is gone, would be told;
        // so poll.
        while Path::new("/proc").join(pid).exists() {
            std::thread::yield_now();
        }
    }
    assert_eq!(pids.lines().count(), 4);
}
