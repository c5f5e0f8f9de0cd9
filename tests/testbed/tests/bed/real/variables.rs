//! The variables that put real parts of Linkerd in the place of the stand-ins.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use mesh_testbed::{Bed, Charts};
use serde_json::Value;

use crate::real::shared;

const OLD: &str = "stable-2.13.7";
const NEW: &str = "stable-2.14.10";

fn program(path: &Path, script: &str) -> PathBuf {
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_path_buf()
}

/// A standing bed with a control plane, in a process with variables of its own.
struct Standing<'a> {
    child: Child,
    kubeconfig: PathBuf,
    bed: &'a Bed,
}

impl<'a> Standing<'a> {
    fn with(bed: &'a Bed, dir: &Path, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_testbed"));
        command.arg("serve").arg(dir).args(["--linkerd", OLD]);
        command
            .envs(variables.iter().copied())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(
            line.starts_with("export KUBECONFIG="),
            "{variables:?}: {line}"
        );
        let kubeconfig = dir.join("kubeconfig");
        Self {
            child,
            kubeconfig,
            bed,
        }
    }

    #[track_caller]
    fn kubectl(&self, args: &[&str]) -> String {
        let mut command = Command::new(&self.bed.assets().kubectl);
        let output = command
            .args(args)
            .env("KUBECONFIG", &self.kubeconfig)
            .output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The tag of the proxy that a new pod would get, and who would inject it.
    fn injects(&self) -> (String, String) {
        let inject = r#"--overrides={"metadata":{"annotations":{"linkerd.io/inject":"enabled"}}}"#;
        let run = ["run", "probe", "--image=registry.test/probe", inject];
        let pod = self.kubectl(&[&run[..], &["--dry-run=server", "-o", "json"]].concat());
        let pod: Value = serde_json::from_str(&pod).unwrap();
        let by = pod["metadata"]["annotations"]["linkerd.io/created-by"].as_str();
        let containers = pod["spec"]["containers"].as_array().unwrap();
        let proxy = containers.iter().find(|it| it["name"] == "linkerd-proxy");
        let image = proxy.and_then(|proxy| proxy["image"].as_str());
        let tag = image
            .and_then(|image| image.rsplit_once(':'))
            .map(|it| it.1);
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        (text(tag), text(by))
    }

    /// Writes another version into the configuration that the injector's pods mount.
    fn configure(&self, version: &str) {
        let get = [
            "get",
            "configmap",
            "linkerd-config",
            "-n",
            "linkerd",
            "-o",
            "json",
        ];
        let config = self.kubectl(&get);
        let changed = dir_file(&self.kubeconfig, &config.replace(OLD, version));
        self.kubectl(&["replace", "-f", changed.to_str().unwrap()]);
    }
}

fn dir_file(beside: &Path, text: &str) -> PathBuf {
    let path = beside.with_file_name("config.json");
    fs::write(&path, text).unwrap();
    path
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A folder with an injector of OLD that calls itself `ours`.
fn injectors(dir: &Path) -> PathBuf {
    let folder = dir.join("injectors");
    fs::create_dir(&folder).unwrap();
    let script = format!(
        "#!/bin/sh\nLINKERD_CONTAINER_VERSION_OVERRIDE=ours-$LINKERD_CONTAINER_VERSION_OVERRIDE exec {} \"$@\"\n",
        env!("CARGO_BIN_EXE_stand-in-injector")
    );
    program(&folder.join(format!("proxy-injector-{OLD}")), &script);
    folder
}

#[test]
fn linkerd_injector_runs_a_process_for_each_pod_that_follows_its_mounted_files() {
    let Some(bed) = shared() else { return };
    let dir = tempfile::tempdir().unwrap();
    let folder = injectors(dir.path());
    let variables = [("LINKERD_INJECTOR", folder.to_str().unwrap())];
    let standing = Standing::with(bed, dir.path(), &variables);
    let by = format!("linkerd/proxy-injector ours-{OLD}");
    assert_eq!(standing.injects(), (OLD.to_owned(), by.clone()));
    standing.configure(NEW);
    // The change reaches the files without anything to wait for in the cluster.
    let followed = (0..200).any(|_| standing.injects() == (NEW.to_owned(), by.clone()));
    assert!(followed, "{:?}", standing.injects());
}

#[test]
fn linkerd_injector_mount_delay_keeps_the_old_files() {
    let Some(bed) = shared() else { return };
    let dir = tempfile::tempdir().unwrap();
    let folder = injectors(dir.path());
    let variables = [
        ("LINKERD_INJECTOR", folder.to_str().unwrap()),
        ("LINKERD_INJECTOR_MOUNT_DELAY", "60m"),
    ];
    let standing = Standing::with(bed, dir.path(), &variables);
    standing.configure(NEW);
    for _ in 0..10 {
        assert_eq!(standing.injects().0, OLD);
    }
}

#[test]
fn linkerd_charts_dir_is_installed_from_per_version() {
    let Some(bed) = shared() else { return };
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("charts");
    let charts = Charts::write(&folder.join(OLD), OLD, None).unwrap();
    let mark =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: of-the-folder, namespace: linkerd}\n";
    fs::write(charts.control_plane.join("templates/mark.yaml"), mark).unwrap();
    let variables = [("LINKERD_CHARTS_DIR", folder.to_str().unwrap())];
    let standing = Standing::with(bed, &dir.path().join("bed"), &variables);
    standing.kubectl(&["get", "configmap", "of-the-folder", "-n", "linkerd"]);
}

#[test]
fn linkerd_charts_dir_may_be_one_versions_charts_and_refuses_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain");
    let charts = Charts::write(&plain, NEW, None).unwrap();
    fs::write(charts.crds.join("mark"), "").unwrap();
    let write = |version: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_testbed"));
        command
            .args(["charts", version])
            .arg(dir.path().join(version));
        command.env("LINKERD_CHARTS_DIR", &plain).output().unwrap()
    };
    assert!(write(NEW).status.success());
    assert!(dir.path().join(NEW).join("linkerd-crds/mark").exists());
    let other = write(OLD);
    let said = String::from_utf8_lossy(&other.stderr);
    assert!(!other.status.success(), "{said}");
    assert!(
        said.contains("LINKERD_CHARTS_DIR: no linkerd-crds"),
        "{said}"
    );
}

// The variable is read within the process of a bed, so the test runs itself once more with it.
#[test]
fn linkerd_bin_is_the_cli_of_its_version() {
    let Some(bed) = shared() else { return };
    if let Some(real) = std::env::var_os("LINKERD_BIN") {
        assert_eq!(bed.linkerd_cli(NEW).unwrap(), PathBuf::from(&real));
        assert_ne!(bed.linkerd_cli(OLD).unwrap(), PathBuf::from(&real));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let cli = program(
        &dir.path().join("linkerd"),
        &format!("#!/bin/sh\necho {NEW}\n"),
    );
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args([
        "--exact",
        "real::variables::linkerd_bin_is_the_cli_of_its_version",
    ]);
    let output = again.env("LINKERD_BIN", cli).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}
