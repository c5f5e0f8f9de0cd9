//! A bed on the lab: the same kubelet and injector, and no real server.

use std::{fs, sync::Arc};

use anyhow::Context as _;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
};
use mesh_lab::Lab;
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::{
    bed::Bed,
    fault::Log,
    ground::Ground,
    injector::Injector,
    journal::Journal,
    kubeconfig::{self, Credentials},
    kubectl::run,
    kubelet::Kubelet,
    linkerd::home,
    manifest::{self, Chart},
    nodes,
    pki::{Authority, MeshIdentity},
    start::client_of,
};

/// The kinds that belong to no namespace.
const CLUSTER_WIDE: [&str; 7] = [
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "ValidatingWebhookConfiguration",
];
const MANAGER: &str = "testbed";

impl Bed {
    /// A bed on the lab, with nodes, kubelet and injector.
    pub fn lab() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let log = Arc::<Log>::default();
        let lab = runtime.block_on(Lab::start(Arc::clone(&log) as _));
        let lab = lab.context("starting the lab")?;
        let dir = tempfile::Builder::new().prefix("mesh-lab-").tempdir()?;
        let journal = Journal::open(&dir.path().join("testbed.log"))?;
        let authority = Authority::new("testbed")?;
        let ground = Ground::Lab {
            lab: Arc::clone(&lab),
            log,
            dir,
        };
        let admin = authority.admin("testbed-admin", &[ground.home()])?;
        let kubeconfig = ground.dir().join("kubeconfig");
        let text = kubeconfig::render("testbed", &ground.server(), "", Credentials::None);
        fs::write(&kubeconfig, text).context("writing the kubeconfig")?;
        let client = runtime.block_on(async {
            let client = client_of(&kubeconfig).await?;
            nodes::create(&client).await.context("creating nodes")?;
            nodes::publish_api_server(&client)
                .await
                .context("creating the endpoint of the API server")?;
            anyhow::Ok(client)
        })?;
        let kubelet = Kubelet::new(client.clone(), journal.clone());
        let handle = runtime.handle().clone();
        let injector = Injector::new(client.clone(), journal.clone(), handle, Some(lab));
        let bed = Self {
            identity: MeshIdentity::new()?,
            authority,
            admin,
            client,
            journal,
            kubeconfig,
            kubelet,
            injector,
            runtime: Some(runtime),
            ground,
        };
        bed.start_tasks();
        Ok(bed)
    }

    /// Installs or upgrades a control plane as the `linkerd` CLI and kubectl would, and waits until
    /// it is available and injects. `flags` are helm's flags of values.
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

    /// Applies manifests without kubectl.
    pub(crate) fn apply_over_the_api(&self, manifests: &str) -> anyhow::Result<()> {
        self.block_on(apply(&self.client, manifests))
    }

    fn apply_one(&self, manifest: &Value) -> anyhow::Result<()> {
        self.block_on(apply_one(&self.client, manifest))
    }
}

/// Applies manifests as kubectl does, YAML or JSON.
pub(crate) async fn apply(client: &Client, manifests: &str) -> anyhow::Result<()> {
    for document in serde_norway::Deserializer::from_str(manifests) {
        let manifest = Value::deserialize(document).context("reading a manifest")?;
        match manifest["items"].as_array() {
            Some(items) if manifest["kind"] == "List" => {
                for item in items {
                    apply_one(client, item).await?;
                }
            }
            Some(_) | None if manifest.is_null() => {}
            Some(_) | None => apply_one(client, &manifest).await?,
        }
    }
    Ok(())
}

async fn apply_one(client: &Client, manifest: &Value) -> anyhow::Result<()> {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str);
    let kind = text("/kind").context("a manifest without a kind")?;
    let name = text("/metadata/name").context("a manifest without a name")?;
    let version = text("/apiVersion").context("a manifest without an apiVersion")?;
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> = if CLUSTER_WIDE.contains(&kind) {
        Api::all_with(client.clone(), &resource)
    } else {
        let namespace = text("/metadata/namespace").unwrap_or("default");
        Api::namespaced_with(client.clone(), namespace, &resource)
    };
    let params = PatchParams::apply(MANAGER).force();
    let applied = api.patch(name, &params, &Patch::Apply(manifest)).await;
    applied
        .map(drop)
        .with_context(|| format!("applying the {kind} {name}"))
}
