//! Runs a credential plugin (`exec` in the kubeconfig), as kubectl does, but with a time limit and
//! without passing on what it prints.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use kube::config::{Cluster, ExecAuthCluster, ExecConfig, ExecInteractiveMode as Mode};
use mesh_records::Explained;
use rustix::process::getpgrp;
use serde::Deserialize;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use crate::group::Group;
use crate::wire::kubeconfig::{NO_CLUSTER, filled};

/// A credential plugin.
pub(crate) struct Plugin {
    exec: ExecConfig,
    command: String,
    api_version: String,
    /// What a plugin that asks for it learns about the cluster.
    cluster: Option<ExecAuthCluster>,
    patience: Duration,
    /// A command that shows what the plugin says.
    see: String,
}

/// What a plugin issued.
#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Issued {
    pub(crate) token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
    expiration_timestamp: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    kind: String,
    api_version: String,
    status: Option<Issued>,
}

/// How long a plugin may ask a person on the terminal.
const PROMPT: Duration = Duration::from_secs(300);
/// After which time a person is told that the plugin is waited for.
const QUIET: Duration = Duration::from_secs(3);
/// The most that a plugin may print.
const LONGEST: u64 = 1 << 20;
/// How long before its end a token counts as expired: a request may take its time.
const MARGIN: i64 = 10;
const VERSIONS: [&str; 2] = [
    "client.authentication.k8s.io/v1",
    "client.authentication.k8s.io/v1beta1",
];

// === impl Plugin ===

impl Plugin {
    /// Reads a kubeconfig's `exec` section.
    ///
    /// # Errors
    /// Its section cannot be used.
    pub(crate) fn new(
        mut exec: ExecConfig,
        cluster: &Cluster,
        patience: Duration,
        see: String,
    ) -> Result<Self, Explained> {
        let Some(command) = filled(exec.command.take()) else {
            let what = "the `exec` section of the kubeconfig has no `command`";
            return Err(Explained::new(what, NO_CLUSTER));
        };
        let version = exec.api_version.take();
        let version = version.filter(|it| VERSIONS.contains(&it.as_str()));
        let Some(api_version) = version else {
            let what = format!(
                "the credentials plugin `{command}` has an apiVersion that is not supported"
            );
            let hint = "set its apiVersion in the kubeconfig to client.authentication.k8s.io/v1";
            return Err(Explained::new(what, hint));
        };
        let cluster = exec.provide_cluster_info.then(|| cluster.try_into());
        let cluster = cluster.transpose().map_err(|_| {
            let what = "the cluster's certificate authority in the kubeconfig is not base64";
            Explained::new(what, NO_CLUSTER)
        })?;
        Ok(Self {
            exec,
            command,
            api_version,
            cluster,
            patience,
            see,
        })
    }

    /// Runs it. It `may_ask` on the terminal, if its kubeconfig lets it and there is one.
    ///
    /// # Errors
    /// It is missing, fails, takes too long, or prints no credentials. Dropping the future kills it.
    pub(crate) async fn run(&self, may_ask: bool) -> Result<Issued, Explained> {
        let terminal = match self.exec.interactive_mode {
            Some(Mode::Never) => None,
            Some(Mode::IfAvailable | Mode::Always) | None if may_ask => terminal(),
            Some(Mode::IfAvailable | Mode::Always) | None => None,
        };
        if terminal.is_none() && self.exec.interactive_mode == Some(Mode::Always) {
            let hint = "run it on a terminal, or use another plugin for unattended runs";
            return Err(self.error("must ask on a terminal, and there is none", hint));
        }
        let patience = match &terminal {
            Some(_) => PROMPT.max(self.patience),
            None => self.patience,
        };
        let child = self
            .start(terminal.as_ref())
            .map_err(|error| self.unstarted(&error))?;
        // On a terminal it belongs to our own group.
        let group = terminal.is_none().then(|| Group::of(&child));
        let output = tokio::select! {
            output = tokio::time::timeout(patience, output(child)) => output,
            never = remark(terminal, &self.command, patience) => match never {},
        };
        if let (Some(group), Ok(Ok(_))) = (group, &output) {
            group.ended();
        }
        match output {
            Err(_) => {
                let why = format!("gave no credentials within {}s", patience.as_secs());
                Err(self.to_see(&why))
            }
            Ok(Err(error)) => Err(self.to_see(&format!("cannot be read: {}", error.kind()))),
            Ok(Ok((status, _))) if !status.success() => {
                Err(self.to_see(&format!("failed ({status})")))
            }
            Ok(Ok((_, printed))) => self.issued(&printed),
        }
    }

    fn start(&self, terminal: Option<&File>) -> io::Result<Child> {
        let mut command = Command::new(&self.command);
        command.args(self.exec.args.iter().flatten());
        for variable in self.exec.env.iter().flatten() {
            if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
                command.env(name, value);
            }
        }
        let mut spec = json!({ "interactive": terminal.is_some() });
        if let Some(cluster) = &self.cluster {
            spec["cluster"] = json!(cluster);
        }
        let information = json!({
            "kind": "ExecCredential", "apiVersion": self.api_version, "spec": spec,
        });
        command.env("KUBERNETES_EXEC_INFO", information.to_string());
        command.stdout(Stdio::piped()).kill_on_drop(true);
        match terminal {
            // Only the terminal's foreground group may read from it, and that is ours.
            Some(terminal) => command
                .stdin(terminal.try_clone()?)
                .stderr(terminal.try_clone()?),
            None => command
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .process_group(0),
        };
        command.spawn()
    }

    fn issued(&self, printed: &[u8]) -> Result<Issued, Explained> {
        let answer = serde_json::from_slice::<Answer>(printed).ok();
        let answer = answer.filter(|answer| {
            answer.kind == "ExecCredential" && answer.api_version == self.api_version
        });
        let issued = answer.and_then(|answer| answer.status);
        let has = |part: &Option<String>| part.as_ref().is_some_and(|part| !part.trim().is_empty());
        let issued = issued.filter(|issued| {
            let certificate = has(&issued.client_certificate_data);
            certificate == has(&issued.client_key_data) && (certificate || has(&issued.token))
        });
        issued.ok_or_else(|| {
            let what = format!("printed no credentials of {}", self.api_version);
            self.to_see(&what)
        })
    }

    fn unstarted(&self, error: &io::Error) -> Explained {
        let command = &self.command;
        let why = if error.kind() == io::ErrorKind::NotFound {
            format!("is not installed: {}", self.sought())
        } else {
            format!("cannot be started: {}", error.kind())
        };
        let install = self.exec.install_hint.iter();
        let install: Vec<&str> = install.flat_map(|hint| hint.split_whitespace()).collect();
        let install = match install.is_empty() {
            true => format!("install `{command}`"),
            false => format!("install it, as the kubeconfig says: {}", install.join(" ")),
        };
        let path = match self.is_a_path() {
            true => "",
            false => ", put its folder into $PATH",
        };
        let hint = format!("{install}{path}, or correct its `command` in the kubeconfig");
        self.error(&why, &hint)
    }

    // Says where the program was looked for. The section's own PATH may hold a secret, as all of its
    // environment.
    fn sought(&self) -> String {
        let has_path = |variable: &HashMap<String, String>| {
            variable.get("name").is_some_and(|name| name == "PATH")
        };
        if self.is_a_path() {
            return match Path::new(&self.command).exists() {
                true => "the program that the first line of this file names is missing".to_owned(),
                false => "there is no such file".to_owned(),
            };
        }
        if self.exec.env.iter().flatten().any(has_path) {
            return "no folder of the PATH in its `env` in the kubeconfig has it".to_owned();
        }
        match std::env::var_os("PATH") {
            Some(path) => format!("no folder of $PATH has it ({})", path.display()),
            None => "$PATH is not set".to_owned(),
        }
    }

    fn is_a_path(&self) -> bool {
        self.command.contains('/')
    }

    fn to_see(&self, what: &str) -> Explained {
        let hint = format!("run `{}` to see what the plugin says", self.see);
        self.error(what, &hint)
    }

    fn error(&self, what: &str, hint: &str) -> Explained {
        let command = &self.command;
        Explained::new(format!("the credentials plugin `{command}` {what}"), hint)
    }
}

// === impl Issued ===

impl Issued {
    /// Returns the client certificate and its key, in PEM.
    pub(crate) fn certificate(&self) -> Option<(&str, &str)> {
        self.client_certificate_data
            .as_deref()
            .zip(self.client_key_data.as_deref())
    }

    /// Returns true if the credentials end `now`, by the API server's clock, or very soon.
    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        let soon = now.as_second().saturating_add(MARGIN);
        self.expiration_timestamp
            .is_some_and(|end| end.as_second() <= soon)
    }
}

async fn output(mut child: Child) -> io::Result<(ExitStatus, Vec<u8>)> {
    let mut printed = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(LONGEST).read_to_end(&mut printed).await?;
    }
    Ok((child.wait().await?, printed))
}

// The terminal, if there is one and this process is in its foreground.
fn terminal() -> Option<File> {
    let mut options = File::options();
    let terminal = options.read(true).write(true).open("/dev/tty").ok()?;
    let foreground = rustix::termios::tcgetpgrp(&terminal).ok()?;
    (foreground == getpgrp()).then_some(terminal)
}

async fn remark(terminal: Option<File>, command: &str, patience: Duration) -> Infallible {
    if let Some(mut terminal) = terminal {
        tokio::time::sleep(QUIET).await;
        let seconds = patience.as_secs();
        let text = format!(
            "waiting up to {seconds}s for the credentials plugin `{command}`; it may ask here\r\n"
        );
        // A terminal may block; if it cannot be written, nobody is there to read.
        tokio::task::spawn_blocking(move || drop(terminal.write_all(text.as_bytes())));
    }
    std::future::pending().await
}
