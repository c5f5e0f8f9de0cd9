//! Makes a bed on the lab, with the same kubelet and injector but no real servers.

use std::{fs, sync::Arc};

use anyhow::Context as _;
use mesh_lab::Lab;

use crate::{
    bed::Bed,
    fault::Log,
    ground::Ground,
    injector::{Injector, Where},
    journal::Journal,
    kubeconfig::{self, Credentials},
    kubelet::Kubelet,
    nodes,
    pki::{Authority, MeshIdentity},
    start::client_of,
};

impl Bed {
    /// Starts a bed on the lab, with nodes, kubelet and injector.
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
        let kubelet = Kubelet::new(client.clone(), journal.clone(), None);
        let handle = runtime.handle().clone();
        let injector = Injector::new(client.clone(), journal.clone(), handle, Where::Lab(lab));
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

    /// Starts another cluster of the same kind.
    pub fn another(&self) -> anyhow::Result<Self> {
        match &self.ground {
            Ground::Real(_) => Self::start(),
            Ground::Lab { .. } => Self::lab(),
        }
    }
}
