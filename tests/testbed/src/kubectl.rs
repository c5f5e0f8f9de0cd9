//! Runs kubectl and helm.

use std::{
    ffi::OsStr,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

use crate::{bed::Bed, capability::Capability};

impl Bed {
    /// Runs kubectl as the administrator and returns its output.
    pub fn kubectl<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> anyhow::Result<String> {
        run(self.command(self.kubectl_program()).args(args), "")
    }

    /// Runs kubectl with `input` on its standard input.
    pub fn kubectl_with_input(&self, args: &[&str], input: &str) -> anyhow::Result<String> {
        run(self.command(self.kubectl_program()).args(args), input)
    }

    /// Applies manifests, YAML or JSON.
    pub fn apply(&self, manifests: &str) -> anyhow::Result<()> {
        if self.as_lab().is_some() {
            return self.apply_over_the_api(manifests);
        }
        let mut command = self.command(self.kubectl_program());
        run(
            command.args(["apply", "--server-side", "--force-conflicts", "-f", "-"]),
            manifests,
        )
        .map(drop)
    }

    /// Creates a namespace with annotations and waits until pods can be created in it.
    pub fn namespace(&self, name: &str, annotations: &[(&str, &str)]) -> anyhow::Result<()> {
        let annotations: serde_json::Map<_, _> = annotations
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).into()))
            .collect();
        let metadata = serde_json::json!({ "name": name, "annotations": annotations });
        self.apply(
            &serde_json::json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata })
                .to_string(),
        )?;
        self.await_service_account(name)
    }

    /// Returns the path of helm 3.
    pub fn helm(&self) -> &Path {
        &self.real(Capability::Helm).assets.helm
    }

    /// Returns the path of helm 4.
    pub fn helm4(&self) -> &Path {
        &self.real(Capability::Helm).assets.helm4
    }

    fn kubectl_program(&self) -> &Path {
        &self.real(Capability::Kubectl).assets.kubectl
    }

    /// Makes a command with `KUBECONFIG` and its own cache and configuration folders. Beds use the
    /// same address one after another, and clients cache what they discovered there.
    pub fn tool(&self, program: &Path) -> Command {
        self.command(program)
    }

    /// Runs helm 3 and returns its output.
    pub fn run_helm<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> anyhow::Result<String> {
        run(self.command(self.helm()).args(args), "")
    }
}

pub(crate) fn run(command: &mut Command, input: &str) -> anyhow::Result<String> {
    let name = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("the input is piped")?;
    let written = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{name}: {}: {}",
        output.status,
        said.trim()
    );
    written.with_context(|| format!("{name}: writing its input"))?;
    String::from_utf8(output.stdout).with_context(|| format!("{name}: its output"))
}
