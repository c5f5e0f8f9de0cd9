//! Installs a Linkerd control plane in the bed, with the charts and the real helm.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, runtime::watcher};
use serde_json::{Value, json};

use crate::{
    assets::{self, Assets, of_version},
    bed::Bed,
    injector::NAMESPACE,
    kubectl::run,
    manifest::{self, Chart},
    wait,
};

/// The names of the Helm releases in Linkerd's documentation.
const CRDS: &str = "linkerd-crds";
const CONTROL_PLANE: &str = "linkerd-control-plane";
const COMPONENTS: usize = 3;
/// Keeps helm from reading all schemas of the API server, for charts that are known to be right.
const UNCHECKED: &str = "--disable-openapi-validation";

impl Bed {
    /// Installs a control plane with helm 3 and waits until it is available and injects.
    pub fn install_linkerd(&self, version: &str) -> anyhow::Result<()> {
        self.install_linkerd_with(version, &[])
    }

    /// Like [`Bed::install_linkerd`], with more arguments for the control plane's `helm install`.
    pub fn install_linkerd_with(&self, version: &str, args: &[&str]) -> anyhow::Result<()> {
        if self.as_lab().is_some() {
            return self.apply_linkerd(version, args);
        }
        self.install_linkerd_by(self.helm(), version, args)
    }

    /// Like [`Bed::install_linkerd_with`], with this helm; needs real servers.
    pub fn install_linkerd_by(
        &self,
        helm: &Path,
        version: &str,
        args: &[&str],
    ) -> anyhow::Result<()> {
        let charts = self.charts(version)?;
        self.apply(&home().to_string())?;
        let helm = |args: &[&str]| run(self.tool(helm).args(args), "");
        let crds = charts.crds.display().to_string();
        helm(&["install", CRDS, &crds, "-n", NAMESPACE, UNCHECKED])?;
        let (chart, values) = (
            charts.control_plane.display().to_string(),
            charts.values.display().to_string(),
        );
        let install = [
            "install",
            CONTROL_PLANE,
            &chart,
            "-n",
            NAMESPACE,
            "-f",
            &values,
            UNCHECKED,
        ];
        helm(&[&install, args].concat())?;
        self.await_linkerd(version)?;
        self.injector().await_open()
    }

    /// Installs or upgrades a control plane like the `linkerd` CLI with kubectl, and waits until it
    /// is available and injects. `flags` are helm's flags for values.
    pub(crate) fn apply_linkerd(&self, version: &str, flags: &[&str]) -> anyhow::Result<()> {
        let tls = json!({ "crtPEM": self.identity.issuer.certificate, "keyPEM": self.identity.issuer.key });
        let mut values = vec![json!({
            "cliVersion": format!("linkerd/cli {version}"),
            "identityTrustAnchorsPEM": self.identity.anchors,
            "identity": { "issuer": { "tls": tls } },
        })];
        values.extend(manifest::values_of_flags(flags)?);
        let mut manifests = vec![home()];
        manifests.extend(Chart::crds(version, &values)?.render_crds());
        manifests.extend(Chart::control_plane(version, &values)?.render_control_plane()?);
        for manifest in &manifests {
            self.apply_one(manifest)?;
        }
        self.await_linkerd(version)?;
        self.injector().await_open()
    }

    /// Applies the definitions of a version, as the CLI demands before it renders a control plane.
    pub fn apply_definitions(&self, version: &str) -> anyhow::Result<()> {
        if self.as_lab().is_none() {
            let mut cli = self.tool(&self.linkerd_cli(version)?);
            return self.apply(&run(cli.args(["upgrade", "--crds"]), "")?);
        }
        let values = json!({ "cliVersion": format!("linkerd/cli {version}") });
        let definitions = Chart::crds(version, &[values])?.render_crds();
        definitions.iter().try_for_each(|one| self.apply_one(one))
    }

    /// The `linkerd` CLI of a version: `LINKERD_BIN` where it names one of this version, else a
    /// stand-in that renders what the version's charts render.
    pub fn linkerd_cli(&self, version: &str) -> anyhow::Result<PathBuf> {
        if let Some(real) = self.real_cli(version)? {
            return Ok(real);
        }
        let charts = self.charts(version)?;
        let folder = charts
            .values
            .parent()
            .context("the values lie in a folder")?;
        let (cli, Assets { helm, kubectl, .. }) = (folder.join("linkerd"), self.assets());
        let program = assets::root().join("tests/testbed/linkerd");
        let script = format!(
            "#!/bin/sh\nVERSION={version} CHARTS={} HELM={} KUBECTL={} exec {} \"$@\"\n",
            folder.display(),
            helm.display(),
            kubectl.display(),
            program.display(),
        );
        fs::write(&cli, script).with_context(|| format!("writing {}", cli.display()))?;
        fs::set_permissions(&cli, Permissions::from_mode(0o755))?;
        Ok(cli)
    }

    // The CLI of `LINKERD_BIN`, where that is of this version.
    fn real_cli(&self, version: &str) -> anyhow::Result<Option<PathBuf>> {
        let named = std::env::var_os("LINKERD_BIN").map(PathBuf::from);
        let Some(real) = named.and_then(|named| of_version(&named, version)) else {
            return Ok(None);
        };
        let mut asked = self.tool(&real);
        let said = run(asked.args(["version", "--client", "--short"]), "")?;
        Ok((said.trim() == version).then_some(real))
    }

    /// Installs a control plane with the CLI, and waits until it is available and injects.
    pub fn install_linkerd_by_cli(&self, version: &str) -> anyhow::Result<()> {
        self.install_linkerd_by_cli_with(version, &[])
    }

    /// Like [`Self::install_linkerd_by_cli`], with flags for values.
    pub fn install_linkerd_by_cli_with(&self, version: &str, flags: &[&str]) -> anyhow::Result<()> {
        if self.as_lab().is_some() {
            return self.apply_linkerd(version, flags);
        }
        let (cli, values) = (self.linkerd_cli(version)?, self.charts(version)?.values);
        let rendered = |args: &[&str]| {
            run(
                self.tool(&cli)
                    .arg("install")
                    .args(args)
                    .arg("-f")
                    .arg(&values)
                    .args(flags),
                "",
            )
        };
        self.apply(&rendered(&["--crds"])?)?;
        self.apply(&rendered(&[])?)?;
        self.await_linkerd(version)?;
        self.injector().await_open()
    }

    /// Upgrades CRDs and control plane with helm 3 and waits until all components are at `version`.
    pub fn upgrade_linkerd(&self, version: &str) -> anyhow::Result<()> {
        if self.as_lab().is_some() {
            return self.apply_linkerd(version, &[]);
        }
        let charts = self.charts(version)?;
        self.run_helm([
            "upgrade",
            CRDS,
            &charts.crds.display().to_string(),
            "-n",
            NAMESPACE,
            UNCHECKED,
        ])?;
        let (chart, values) = (
            charts.control_plane.display().to_string(),
            charts.values.display().to_string(),
        );
        self.run_helm([
            "upgrade",
            CONTROL_PLANE,
            &chart,
            "-n",
            NAMESPACE,
            "--reset-values",
            "-f",
            &values,
            UNCHECKED,
        ])?;
        self.await_linkerd(version)?;
        self.injector().await_open()
    }

    /// Waits until every component of the control plane is available at `version` and no old pod
    /// serves requests.
    pub fn await_linkerd(&self, version: &str) -> anyhow::Result<()> {
        let deployments: Api<Deployment> = Api::namespaced(self.client(), NAMESPACE);
        let config = watcher::Config::default().labels("linkerd.io/control-plane-component");
        let there = |seen: &BTreeMap<String, Deployment>| {
            seen.len() == COMPONENTS
                && seen
                    .values()
                    .all(|one| has_version(one, version) && is_available(one))
        };
        self.block_on(wait::until(
            deployments,
            config,
            &format!("the control plane {version}"),
            there,
        ))?;
        Ok(())
    }
}

/// Makes the control plane's namespace.
pub(crate) fn home() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": NAMESPACE,
            "annotations": { "linkerd.io/inject": "disabled" },
            "labels": {
                "linkerd.io/is-control-plane": "true",
                "linkerd.io/control-plane-ns": NAMESPACE,
                "config.linkerd.io/admission-webhooks": "disabled",
                "pod-security.kubernetes.io/enforce": "privileged",
            },
        },
    })
}

fn has_version(deployment: &Deployment, version: &str) -> bool {
    let labels = deployment.metadata.labels.iter().flatten();
    labels
        .into_iter()
        .any(|(key, value)| key == "app.kubernetes.io/version" && value == version)
}

pub(crate) fn is_available(deployment: &Deployment) -> bool {
    let wanted = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    deployment.status.as_ref().is_some_and(|status| {
        status.observed_generation >= deployment.metadata.generation
            && [
                status.replicas,
                status.updated_replicas,
                status.available_replicas,
            ]
            .iter()
            .all(|count| count.unwrap_or(0) == wanted)
    })
}
