//! A cluster that stands still: objects with their statuses on a lab, without a kubelet, an injector
//! or nodes that pods could be bound to.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, anyhow};
use mesh_lab::Lab;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{
    fault::Log,
    kubeconfig::{self, Credentials},
    linkerd::home,
    manifest::{Chart, values_of_flags},
    pki::MeshIdentity,
};

/// A cluster that stands still. It ends when it is dropped.
#[derive(Debug)]
pub struct Still {
    lab: Arc<Lab>,
    kubeconfig: PathBuf,
    _folder: TempDir,
    _runtime: Runtime,
}

// === impl Still ===

impl Still {
    /// Starts a cluster with these objects, beside the namespaces that every cluster has.
    pub fn of(objects: &[Value]) -> anyhow::Result<Self> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build()?;
        let lab = runtime.block_on(Lab::start(Arc::<Log>::default()));
        let lab = lab.context("starting the lab")?;
        lab.keep(objects).map_err(|error| anyhow!(error))?;
        let folder = tempfile::Builder::new().prefix("mesh-still-").tempdir()?;
        let kubeconfig = folder.path().join("kubeconfig");
        let server = format!("http://{}", lab.address());
        let text = kubeconfig::render("still", &server, "", Credentials::None);
        fs::write(&kubeconfig, text).context("writing the kubeconfig")?;
        Ok(Self {
            lab,
            kubeconfig,
            _folder: folder,
            _runtime: runtime,
        })
    }

    /// Returns the administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Returns all objects as the server has them.
    pub fn objects(&self) -> Vec<Arc<Value>> {
        self.lab.objects()
    }

    /// Returns the requests that the lab does not support.
    pub fn unknown(&self) -> Vec<String> {
        self.lab.unknown()
    }
}

/// Renders a control plane as its Helm chart does, with its namespace and an identity of its own.
/// `flags` are helm's flags for values.
pub fn rendered(version: &str, flags: &[&str]) -> anyhow::Result<Vec<Value>> {
    let MeshIdentity { anchors, issuer } = MeshIdentity::new()?;
    let tls = json!({ "crtPEM": issuer.certificate, "keyPEM": issuer.key });
    let identity = json!({
        "identityTrustAnchorsPEM": anchors,
        "identity": { "issuer": { "tls": tls } },
    });
    let mut values = vec![identity];
    values.extend(values_of_flags(flags)?);
    let mut objects = vec![home()];
    objects.extend(Chart::control_plane(version, &values)?.render_control_plane()?);
    Ok(objects)
}
