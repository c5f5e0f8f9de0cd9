//! A bed with a control plane that is to be upgraded, and the tool that upgrades it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use mesh_testbed::{AuditEvent, Bed, Charts};
use mesh_tests::Toolbox;
use serde_json::Value;

pub(crate) const FROM: &str = "stable-2.13.7";
pub(crate) const TO: &str = "stable-2.14.10";

pub(crate) struct Stage {
    pub(crate) bed: Bed,
    pub(crate) tools: Toolbox,
    pub(crate) charts: Charts,
    requests_before: usize,
}

/// A run that has ended.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) records: Vec<Value>,
    pub(crate) stderr: String,
}

/// A run that has not.
pub(crate) struct Running {
    pub(crate) child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Stage {
    pub(crate) fn new() -> Option<Self> {
        let bed = Bed::for_test()?;
        bed.install_linkerd(FROM).unwrap();
        Some(Self::on(bed))
    }

    /// On a bed that has a control plane already.
    pub(crate) fn on(bed: Bed) -> Self {
        let tools = mesh_tests::toolbox!();
        tools.link("helm", bed.helm());
        let charts = bed.charts(TO).unwrap();
        let requests_before = bed.audit().unwrap().len();
        Self {
            bed,
            tools,
            charts,
            requests_before,
        }
    }

    /// What a passing verdict on going there looks like, from the real tools.
    pub(crate) fn judged(&self) -> String {
        let pipeline = format!("mesh-survey | mesh-skewcheck --to {TO}");
        let output = self.env(self.tools.shell(&pipeline)).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn env(&self, mut command: Command) -> Command {
        command.env("KUBECONFIG", self.bed.kubeconfig());
        command
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

    /// The tool with this cluster's charts, and leave to act unless `more` says otherwise.
    pub(crate) fn command(&self, more: &[&str]) -> Command {
        let mut command = self.env(self.tools.run("mesh-cp-upgrade"));
        command.args(self.charts_by_flag()).args(more);
        if !more
            .iter()
            .any(|arg| arg.starts_with("--yes") || arg.starts_with("--dry-run"))
        {
            command.arg("--yes");
        }
        command
    }

    pub(crate) fn run(&self, judged: &str, more: &[&str]) -> Run {
        run(self.command(more), judged)
    }

    pub(crate) fn begin(&self, judged: &str, more: &[&str]) -> Running {
        begin(self.command(more), judged)
    }

    /// The version that the configuration names.
    pub(crate) fn configured(&self) -> String {
        let values = self
            .bed
            .kubectl([
                "get",
                "configmap",
                "-n",
                "linkerd",
                "linkerd-config",
                "-o",
                "jsonpath={.data.values}",
            ])
            .unwrap();
        let line = values
            .lines()
            .find_map(|line| line.strip_prefix("linkerdVersion: "));
        line.unwrap().to_owned()
    }

    /// A release's newest revision and its status.
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

    /// Waits for one of the Secrets in which helm keeps its revisions.
    pub(crate) fn await_secret(&self, labels: &str) {
        let secrets: Api<Secret> = Api::namespaced(self.bed.client(), "linkerd");
        self.bed
            .until(secrets, labels, labels, |seen| !seen.is_empty())
            .unwrap();
    }

    /// Who holds the lock.
    pub(crate) fn holder(&self) -> Option<String> {
        let path = "jsonpath={.spec.holderIdentity}";
        let holder = self
            .bed
            .kubectl(["get", "lease", "-n", "linkerd", "mesh-tools", "-o", path]);
        holder.ok().filter(|holder| !holder.is_empty())
    }

    /// Removes the lock of a run that was killed, to save the time until it expires.
    pub(crate) fn forget_lock(&self) {
        let args = [
            "delete",
            "lease",
            "-n",
            "linkerd",
            "mesh-tools",
            "--ignore-not-found",
        ];
        self.bed.kubectl(args).unwrap();
    }

    /// Nothing was written since the beginning but locks and dry runs.
    #[track_caller]
    pub(crate) fn assert_unchanged(&self, lock_is_allowed: bool) {
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
        let written: Vec<String> = events[self.requests_before..]
            .iter()
            .filter(ours)
            .filter(|event| event.writes() && !harmless(event))
            .map(|event| format!("{} {} {}", event.user_agent, event.verb, event.uri))
            .collect();
        assert!(written.is_empty(), "{written:#?}");
        assert_eq!(self.configured(), FROM);
        for release in ["linkerd-crds", "linkerd-control-plane"] {
            assert_eq!(self.revision(release), (1, "deployed".to_owned()));
        }
    }
}

pub(crate) fn run(command: Command, judged: &str) -> Run {
    let mut command = assert_cmd::Command::from_std(command);
    let output = command.write_stdin(judged).output().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        records: records(&output.stdout),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub(crate) fn begin(mut command: Command, judged: &str) -> Running {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(judged.as_bytes()).unwrap();
    drop(stdin);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    Running { child, lines }
}

pub(crate) fn records(stdout: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

impl Run {
    pub(crate) fn step(&self, step: &str, state: &str) -> Option<&Value> {
        let mut records = self.records.iter();
        records.find(|record| record["step"] == step && record["state"] == state)
    }

    pub(crate) fn end(&self) -> &Value {
        let last = self.records.last().expect("a run says something");
        assert_eq!(last["type"], "end");
        assert_eq!(last["exit"], self.code);
        last
    }
}

impl Running {
    /// Reads on until a record comes that is meant.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, meant: impl Fn(&Value) -> bool) -> Value {
        for line in self.lines.by_ref() {
            let record: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if meant(&record) {
                return record;
            }
        }
        let mut stderr = String::new();
        if let Some(mut pipe) = self.child.stderr.take() {
            std::io::Read::read_to_string(&mut pipe, &mut stderr).unwrap();
        }
        panic!("it ended before {what}: {stderr}");
    }

    #[track_caller]
    pub(crate) fn until_step(&mut self, step: &str) {
        self.until(step, |record| {
            record["step"] == step && record["state"] == "started"
        });
    }

    /// The processes that it has started and that still run.
    pub(crate) fn children(&self) -> Vec<u32> {
        let tasks = format!("/proc/{}/task", self.child.id());
        let tasks = std::fs::read_dir(tasks).unwrap();
        let lists =
            tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("children")));
        let all: Vec<String> = lists.map(|list| list.unwrap_or_default()).collect();
        all.iter()
            .flat_map(|list| list.split_whitespace())
            .map(|pid| pid.parse().unwrap())
            .collect()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Reads to the end.
    pub(crate) fn finish(mut self) -> Run {
        let lines = self.lines.by_ref().map(|line| line.unwrap());
        let records = lines
            .map(|line| serde_json::from_str(&line).unwrap())
            .collect();
        let output = self.child.wait_with_output().unwrap();
        Run {
            code: output.status.code().unwrap_or(-1),
            records,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// Serves the files of a folder over HTTP until the test's process ends.
pub(crate) fn serve(folder: &str) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let folder = std::path::PathBuf::from(folder);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = request.next().unwrap().unwrap();
            // The rest of the head is read, or the client may see a reset.
            while request.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            let name = first.split(' ').nth(1).unwrap().trim_start_matches('/');
            let (status, body) = match std::fs::read(folder.join(name)) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            )
            .unwrap();
            stream.write_all(&body).unwrap();
        }
    });
    address
}
