//! A bed with a control plane to upgrade, and the tool.

use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use mesh_testbed::{Ask, AuditEvent, Bed, Charts};
use mesh_tests::{Run, Running, Toolbox, begin, run};
use serde_json::Value;

pub(crate) const FROM: &str = "stable-2.13.7";
pub(crate) const TO: &str = "stable-2.14.10";
/// The CLI renders a control plane only if its definitions are in the cluster. Definitions of an
/// earlier patch are enough for the CLI, so that it renders both parts before the first write, and
/// leave the tool something to write.
const DEFINITIONS: &str = "stable-2.14.5";
pub(crate) const AGENT: &str = "mesh-cp-upgrade/";

/// The steps of an upgrade until it is proven, in order.
pub(crate) const STEPS: [&str; 10] = [
    "gate",
    "lock",
    "render",
    "identity",
    "preflight",
    "backup",
    "crds",
    "control-plane",
    "watch",
    "prove",
];

pub(crate) struct Stage {
    pub(crate) bed: Bed,
    pub(crate) tools: Toolbox,
    pub(crate) charts: Charts,
    installer: Installer,
    requests_before: usize,
}

/// What installed the control plane, which must also upgrade it.
enum Installer {
    Helm,
    /// The linkerd CLI of the target version.
    Cli(PathBuf),
}

impl Stage {
    /// Makes a stage with a control plane installed by helm, or on the lab, which has no helm, by
    /// the CLI.
    pub(crate) fn new(bed: Bed) -> Self {
        Self::with(bed, &[])
    }

    /// Like [`Stage::new`], with helm's flags for the values of the installation.
    pub(crate) fn with(bed: Bed, flags: &[&str]) -> Self {
        bed.install_linkerd_with(FROM, flags).unwrap();
        if bed.as_lab().is_none() {
            return Self::by_helm(bed);
        }
        bed.apply_definitions(DEFINITIONS).unwrap();
        Self::of(bed, |bed, tools| Installer::Cli(tools.linkerd(bed, TO)))
    }

    /// Makes a stage on a bed that already has a control plane.
    pub(crate) fn by_helm(bed: Bed) -> Self {
        let stage = Self::of(bed, |_, _| Installer::Helm);
        stage.tools.link("helm", stage.bed.helm());
        stage
    }

    /// Makes a stage on which helm 4 applied the control plane on the server.
    pub(crate) fn by_helm4(bed: Bed) -> Self {
        let helm4 = bed.helm4().to_path_buf();
        bed.install_linkerd_by(&helm4, FROM, &[]).unwrap();
        let stage = Self::of(bed, |_, _| Installer::Helm);
        stage.tools.link("helm", &helm4);
        stage
    }

    pub(crate) fn by_cli(bed: Bed) -> Self {
        Self::by_cli_with(bed, &[])
    }

    /// Like [`Stage::by_cli`], with flags for the values of the installation.
    pub(crate) fn by_cli_with(bed: Bed, flags: &[&str]) -> Self {
        bed.install_linkerd_by_cli_with(FROM, flags).unwrap();
        let stage = Self::of(bed, |bed, tools| Installer::Cli(tools.linkerd(bed, TO)));
        stage.bed.apply_definitions(DEFINITIONS).unwrap();
        stage
    }

    /// Makes a stage on which the CLI does not render the target's control plane before its
    /// definitions are written.
    pub(crate) fn by_cli_without_definitions(bed: Bed) -> Self {
        bed.install_linkerd_by_cli(FROM).unwrap();
        Self::of(bed, |bed, tools| Installer::Cli(tools.linkerd(bed, TO)))
    }

    fn of(bed: Bed, installer: impl FnOnce(&Bed, &Toolbox) -> Installer) -> Self {
        let tools = mesh_tests::toolbox!();
        let charts = bed.charts(TO).unwrap();
        let requests_before = bed.audit().unwrap().len();
        let installer = installer(&bed, &tools);
        Self {
            bed,
            tools,
            charts,
            installer,
            requests_before,
        }
    }

    /// Returns the user agent that writes the control plane.
    pub(crate) fn writer(&self) -> &'static str {
        match self.installer {
            Installer::Helm => "Helm/",
            Installer::Cli(_) => AGENT,
        }
    }

    pub(crate) fn is_by_helm(&self) -> bool {
        match self.installer {
            Installer::Helm => true,
            Installer::Cli(_) => false,
        }
    }

    /// Returns a stream with a passing verdict for the target, from the real tools.
    pub(crate) fn judged(&self) -> String {
        let pipeline = format!("mesh-survey | mesh-skewcheck --to {TO}");
        let output = self.env(self.tools.shell(&pipeline)).output().unwrap();
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&output.stdout)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn env(&self, mut command: Command) -> Command {
        command.env("KUBECONFIG", self.bed.kubeconfig());
        if let Installer::Cli(linkerd) = &self.installer {
            command.env("LINKERD", linkerd);
        }
        command
    }

    /// Returns the flags that name the charts or the CLI.
    pub(crate) fn source(&self) -> Vec<String> {
        if self.is_by_helm() {
            self.charts_by_flag()
        } else {
            Vec::new()
        }
    }

    pub(crate) fn charts_by_flag(&self) -> Vec<String> {
        let show = |path: &Path| path.display().to_string();
        let Charts {
            crds,
            control_plane,
            values,
            ..
        } = &self.charts;
        vec![
            "--chart".into(),
            show(control_plane),
            "--crds-chart".into(),
            show(crds),
            "-f".into(),
            show(values),
        ]
    }

    /// Makes the tool's command. It does not watch for longer than it must, unless a later flag says so.
    pub(crate) fn tool(&self) -> Command {
        let mut command = self.env(self.tools.run("mesh-cp-upgrade"));
        command.arg("--settle=0s");
        command
    }

    /// Makes the tool's command, with `--yes` unless `more` says otherwise.
    pub(crate) fn command(&self, more: &[&str]) -> Command {
        let mut command = self.tool();
        command.args(self.source()).args(more);
        if !more.iter().any(|arg| {
            ["--yes", "--dry-run", "--preflight"]
                .iter()
                .any(|it| arg.starts_with(it))
        }) {
            command.arg("--yes");
        }
        command
    }

    pub(crate) fn run(&self, judged: &str, more: &[&str]) -> Run {
        run(self.command(more), judged)
    }

    /// Runs with these flags, and checks that the tool fails with a hint and says `part`.
    #[track_caller]
    pub(crate) fn refuses(&self, judged: &str, more: &[&str], part: &str) {
        let run = self.run(judged, more);
        assert_eq!(run.code, Some(2), "{more:?}: {}", run.stderr);
        assert!(run.stderr.contains(part), "{more:?}: {}", run.stderr);
        assert!(run.stderr.contains("hint: "), "{more:?}: {}", run.stderr);
    }

    /// A file of the stage's own, such as one of values.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.tools.folder().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn begin(&self, judged: &str, more: &[&str]) -> Running {
        begin(self.command(more), judged)
    }

    /// Returns identity's pod of the target: the old one may not be gone yet where that is ready.
    pub(crate) fn new_pod_of_identity(&self) -> String {
        let labels = "linkerd.io/control-plane-component%3Didentity";
        let path = format!("/api/v1/namespaces/linkerd/pods?labelSelector={labels}");
        let all = self.bed.get(&path).unwrap();
        let mut all = all["items"].as_array().unwrap().iter();
        let new = all.find(|pod| pod["spec"].to_string().contains(TO));
        new.unwrap()["metadata"]["name"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Returns the version in the configuration.
    pub(crate) fn configured(&self) -> String {
        let config = "/api/v1/namespaces/linkerd/configmaps/linkerd-config";
        let config = self.bed.get(config).unwrap();
        let values = config["data"]["values"].as_str().unwrap();
        let line = values
            .lines()
            .find_map(|line| line.strip_prefix("linkerdVersion: "));
        line.unwrap().to_owned()
    }

    /// Returns a release's newest revision and its status.
    pub(crate) fn revision(&self, release: &str) -> (u64, String) {
        let history = self
            .bed
            .run_helm(["history", release, "-n", "linkerd", "-o", "json"])
            .unwrap();
        let history: Value = serde_json::from_str(&history).unwrap();
        let last = history.as_array().unwrap().last().unwrap();
        (
            last["revision"].as_u64().unwrap(),
            last["status"].as_str().unwrap().to_owned(),
        )
    }

    /// Waits for a Secret with a helm revision.
    pub(crate) fn await_secret(&self, labels: &str) {
        let secrets: Api<Secret> = Api::namespaced(self.bed.client(), "linkerd");
        self.bed
            .until(secrets, labels, labels, |seen| !seen.is_empty())
            .unwrap();
    }

    /// Returns the holder of the lock.
    pub(crate) fn holder(&self) -> Option<String> {
        let lease = self.lease("GET")?;
        lease["spec"]["holderIdentity"].as_str().map(str::to_owned)
    }

    /// Removes the lock of a killed run, so that the test need not wait until it expires.
    pub(crate) fn forget_lock(&self) {
        self.lease("DELETE");
    }

    fn lease(&self, method: &str) -> Option<Value> {
        let path = "/apis/coordination.k8s.io/v1/namespaces/linkerd/leases/mesh-tools";
        let (form, body) = ("application/json", &Value::Null);
        let ask = Ask {
            method,
            path,
            form,
            body,
        };
        match self.bed.ask(ask).unwrap() {
            (200, answer) => Some(answer),
            (404, _) => None,
            other => panic!("{other:?}"),
        }
    }

    /// Checks that nothing was written except locks and dry runs.
    #[track_caller]
    pub(crate) fn assert_unchanged(&self, lock_is_allowed: bool) {
        let written = self.written_after(self.requests_before, lock_is_allowed);
        assert!(written.is_empty(), "{written:#?}");
        assert_eq!(self.configured(), FROM);
        for release in ["linkerd-crds", "linkerd-control-plane"] {
            if self.is_by_helm() {
                assert_eq!(self.revision(release), (1, "deployed".to_owned()));
            }
        }
    }

    /// Returns what the tools and helm have written after so many requests, without dry runs.
    pub(crate) fn written_after(&self, requests: usize, lock_is_allowed: bool) -> Vec<String> {
        let events = self.bed.audit().unwrap();
        let ours = |event: &&AuditEvent| {
            ["mesh-", "Helm/", "helm"]
                .iter()
                .any(|agent| event.user_agent.starts_with(agent))
        };
        let harmless = |event: &&AuditEvent| {
            event.dry_run
                || event.group == "authentication.k8s.io"
                || event.group == "authorization.k8s.io"
                || (lock_is_allowed && event.resource == "leases")
        };
        let written = events[requests..]
            .iter()
            .filter(ours)
            .filter(|event| event.writes() && !harmless(event))
            .map(|event| format!("{} {} {}", event.user_agent, event.verb, event.uri));
        written.collect()
    }
}
