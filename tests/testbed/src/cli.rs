//! A stand-in for the `linkerd` CLI that needs neither helm nor kubectl: it renders what its
//! version's charts render, and an upgrade starts from the values stored in the cluster.

use std::{
    fs,
    io::{Write as _, stdout},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use k8s_openapi::{
    api::core::v1::Secret,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};

use crate::{injector::NAMESPACE, linkerd::home, manifest::Chart};

const OVERRIDES: &str = "linkerd-config-overrides";

/// Render the control plane of one Linkerd version
#[derive(Debug, Parser)]
#[command(name = "linkerd")]
struct Cli {
    /// The Linkerd version of this stand-in
    #[arg(
        long,
        env = "STANDIN_LINKERD_VERSION",
        hide = true,
        global = true,
        default_value = ""
    )]
    standin_version: String,
    #[arg(long, global = true)]
    kubeconfig: Option<PathBuf>,
    #[arg(long, global = true)]
    context: Option<String>,
    #[arg(long = "as", global = true)]
    as_user: Option<String>,
    #[arg(long = "as-group", global = true)]
    as_groups: Vec<String>,
    /// The stand-in knows one namespace
    #[arg(short = 'L', long, global = true, default_value = NAMESPACE, value_parser = [NAMESPACE])]
    linkerd_namespace: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say which version this is
    Version {
        #[arg(long)]
        client: bool,
        #[arg(long)]
        short: bool,
    },
    /// Render a new installation
    Install(Render),
    /// Render an upgrade of the installation in the cluster
    Upgrade(Render),
    /// Render the objects in the cluster that this version no longer renders
    Prune,
}

/// The kinds that `prune` looks for: group, version, kind.
const PRUNABLE: [(&str, &str, &str); 12] = [
    ("", "v1", "ConfigMap"),
    ("", "v1", "Secret"),
    ("", "v1", "Service"),
    ("", "v1", "ServiceAccount"),
    (
        "admissionregistration.k8s.io",
        "v1",
        "MutatingWebhookConfiguration",
    ),
    (
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingWebhookConfiguration",
    ),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
    ("apps", "v1", "Deployment"),
    ("batch", "v1", "CronJob"),
    ("policy", "v1", "PodDisruptionBudget"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding"),
];

#[derive(Debug, Default, Args)]
struct Render {
    /// Render the custom resource definitions instead
    #[arg(long)]
    crds: bool,
    #[arg(short = 'f', long)]
    values: Vec<PathBuf>,
    #[arg(long)]
    set: Vec<String>,
}

/// Runs the stand-in for the CLI.
pub fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the program's one error printer")]
fn complain(error: &anyhow::Error) {
    eprintln!("{error:#}");
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let version = cli.standin_version.as_str();
    match &cli.command {
        Command::Version {
            client: true,
            short,
        } => {
            let label = if *short { "" } else { "Client version: " };
            writeln!(stdout(), "{label}{version}")?;
            Ok(())
        }
        Command::Version { .. } => bail!("this stand-in supports only `version --client`"),
        Command::Install(render) | Command::Upgrade(render) if render.crds => {
            print(&render.definitions(version)?)
        }
        Command::Install(render) => {
            run_to_end(cli.require_definitions(&render.definitions(version)?, "install"))?;
            print(&render.manifests(version, Vec::new())?)
        }
        Command::Upgrade(render) => {
            run_to_end(cli.require_definitions(&render.definitions(version)?, "upgrade"))?;
            let stored = run_to_end(cli.stored_values())?;
            print(&render.manifests(version, vec![stored])?)
        }
        Command::Prune => {
            let stored = run_to_end(cli.stored_values())?;
            let mut wanted = Render::default().manifests(version, vec![stored])?;
            wanted.extend(Chart::crds(version, &[])?.render_crds());
            print(&run_to_end(cli.surplus(&wanted))?)
        }
    }
}

fn run_to_end<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build()?;
    runtime.block_on(future)
}

fn print(manifests: &[Value]) -> anyhow::Result<()> {
    let mut text = String::new();
    for manifest in manifests {
        text.push_str("---\n");
        text.push_str(&serde_norway::to_string(manifest)?);
    }
    stdout()
        .write_all(text.as_bytes())
        .context("writing the manifests")
}

// === impl Render ===

impl Render {
    fn definitions(&self, version: &str) -> anyhow::Result<Vec<Value>> {
        let values = self.with_flags(version, Vec::new())?;
        Ok(Chart::crds(version, &values)?.render_crds())
    }

    fn manifests(&self, version: &str, stored: Vec<Value>) -> anyhow::Result<Vec<Value>> {
        let values = self.with_flags(version, stored)?;
        let mut manifests = vec![home()];
        manifests.extend(Chart::control_plane(version, &values)?.render_control_plane()?);
        Ok(manifests)
    }

    fn with_flags(&self, version: &str, mut values: Vec<Value>) -> anyhow::Result<Vec<Value>> {
        values.push(json!({ "cliVersion": format!("linkerd/cli {version}") }));
        for path in &self.values {
            let text = fs::read_to_string(path);
            let text = text.with_context(|| format!("reading {}", path.display()))?;
            values.push(serde_norway::from_str(&text)?);
        }
        let flags: Vec<&str> = self.set.iter().flat_map(|pair| ["--set", pair]).collect();
        values.extend(crate::manifest::values_of_flags(&flags)?);
        Ok(values)
    }
}

// === impl Cli ===

impl Cli {
    /// Fails if a definition that this version renders, or one of its versions, is missing in the
    /// cluster.
    async fn require_definitions(&self, wanted: &[Value], command: &str) -> anyhow::Result<()> {
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client().await?);
        let there = definitions.list(&ListParams::default()).await?;
        let mut missing = Vec::new();
        for definition in wanted {
            let name = definition["metadata"]["name"].as_str().unwrap_or_default();
            let Some(there) = there.iter().find(|one| one.name_any() == name) else {
                missing.push(format!("missing {name}"));
                continue;
            };
            let versions = definition["spec"]["versions"].as_array();
            let versions = versions.into_iter().flatten();
            for version in versions.filter_map(|version| version["name"].as_str()) {
                if !there.spec.versions.iter().any(|one| one.name == version) {
                    missing.push(format!("CRD {name} is missing version {version}"));
                }
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let what = match command {
            "upgrade" => format!(":\n{}", missing.join(", ")),
            _ => ".".to_owned(),
        };
        bail!(
            "Linkerd CRDs must be installed first. Run linkerd {command} with the --crds flag{what}"
        )
    }

    /// Reads the values that the installation stored.
    async fn stored_values(&self) -> anyhow::Result<Value> {
        let client = self.client().await?;
        let secrets: Api<Secret> = Api::namespaced(client, NAMESPACE);
        let Some(secret) = secrets.get_opt(OVERRIDES).await? else {
            bail!(
                "Could not find the {OVERRIDES} secret. Please note this command is only intended for instances of Linkerd that were installed via the CLI"
            );
        };
        let data = secret.data.unwrap_or_default();
        let stored = data.get(OVERRIDES);
        let stored =
            stored.with_context(|| format!("secret {OVERRIDES} has no data {OVERRIDES}"))?;
        serde_norway::from_slice(&stored.0).with_context(|| format!("reading {OVERRIDES}"))
    }

    /// Lists objects that have the control plane's label and are not in `wanted`.
    async fn surplus(&self, wanted: &[Value]) -> anyhow::Result<Vec<Value>> {
        let client = self.client().await?;
        let labelled = ListParams::default().labels("linkerd.io/control-plane-ns");
        let mut surplus = Vec::new();
        for (group, version, kind) in PRUNABLE {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            for there in api.list(&labelled).await? {
                let name = there.name_any();
                let same = |one: &Value| one["kind"] == kind && one["metadata"]["name"] == *name;
                if !wanted.iter().any(same) {
                    let mut metadata = json!({ "name": name });
                    if let Some(namespace) = there.namespace() {
                        metadata["namespace"] = namespace.into();
                    }
                    surplus.push(json!({ "apiVersion": resource.api_version, "kind": kind, "metadata": metadata }));
                }
            }
        }
        Ok(surplus)
    }

    async fn client(&self) -> anyhow::Result<Client> {
        let kubeconfig = match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path)?,
            None => Kubeconfig::read()?,
        };
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        config.auth_info.impersonate.clone_from(&self.as_user);
        let groups = self.as_groups.clone();
        config.auth_info.impersonate_groups = Some(groups).filter(|groups| !groups.is_empty());
        Ok(Client::try_from(config)?)
    }
}
