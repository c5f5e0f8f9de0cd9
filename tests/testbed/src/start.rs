//! Starts a bed.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::{
    assets::{Assets, Missing, Requirement},
    bed::Bed,
    capability::Capability,
    children::Children,
    egress::{self, Egress},
    ground::{Ground, Real},
    injector::{Injector, Processes, Where},
    journal::Journal,
    kubeconfig::{self, Credentials},
    kubelet::Kubelet,
    nodes,
    pki::{Authority, MeshIdentity, Pair},
    place::Place,
    servers::{self, Server},
    validator::{self, Validator},
};

/// How long the API server may take to become ready on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often it is looked whether a server is ready, or has ended.
const GLANCE: Duration = Duration::from_millis(50);

impl Bed {
    /// Starts a bed for a test. Returns `None` if real servers are turned off or missing; the test
    /// should then return. With `MESH_TEST_REAL=require` a missing part fails the test.
    #[track_caller]
    pub fn for_test() -> Option<Self> {
        let requirement = Requirement::from_env();
        if requirement == Requirement::Off {
            return None;
        }
        match usable() {
            Ok(assets) => Some(Self::start_with(assets).expect("the bed starts")),
            Err(missing) if requirement == Requirement::Require => panic!("{missing}"),
            Err(missing) => {
                leave_out(&missing);
                None
            }
        }
    }

    /// Checks that real servers can run here.
    pub fn check() -> Result<(), Missing> {
        usable().map(drop)
    }

    /// Starts the servers, the nodes, the kubelet and the injector.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(usable()?)
    }

    fn start_with(assets: Assets) -> anyhow::Result<Self> {
        let place = Place::take()?;
        let journal = Journal::open(&place.path("testbed.log"))?;
        let authority = Authority::new("testbed")?;
        let admin = authority.admin("testbed-admin", &[place.address()])?;
        let kubeconfig = write_files(&place, &authority, &admin)?;
        let children = Children::new(place.dir());
        Server::Etcd.start(&children, &assets, &place)?;
        Server::ApiServer.start(&children, &assets, &place)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let (client, machinery) = runtime.block_on(async {
            let machinery = client_of(&place.path("kubeconfig-machinery")).await?;
            ready(&machinery, &children).await?;
            nodes::create(&machinery).await.context("creating nodes")?;
            nodes::publish_api_server(&machinery)
                .await
                .context("creating the endpoint of the API server")?;
            anyhow::Ok((client_of(&kubeconfig).await?, machinery))
        })?;
        let processes = Processes::from_env(&place, &journal)?;
        let kubelet = Kubelet::new(machinery.clone(), journal.clone(), processes.clone());
        let whose = processes.map_or(Where::Cluster, Where::Processes);
        let handle = runtime.handle().clone();
        let injector = Injector::new(machinery, journal.clone(), handle, whose);
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
            ground: Ground::Real(Box::new(Real {
                assets,
                children,
                place,
            })),
        };
        bed.start_server(Server::ControllerManager)?;
        bed.start_server(Server::Scheduler)?;
        bed.start_tasks();
        bed.await_controllers()?;
        Ok(bed)
    }

    // The controllers make the service account; a controller manager of another version may refuse its
    // flags and end.
    fn await_controllers(&self) -> anyhow::Result<()> {
        let children = &self.real(Capability::Servers).children;
        let servers = [Server::ControllerManager, Server::Scheduler];
        self.block_on(unless_ended(
            children,
            servers,
            self.service_account("default"),
        ))
    }

    /// Waits until the API server reports that it is ready.
    pub fn await_ready(&self) -> anyhow::Result<()> {
        self.block_on(ready(
            &self.client,
            &self.real(Capability::Servers).children,
        ))
    }

    pub(crate) fn start_tasks(&self) {
        if let Ground::Real(real) = &self.ground {
            for service in validator::SERVICES {
                let (client, journal) = (self.injector.client(), self.journal.clone());
                let validator = Validator::new(client, journal.clone(), service);
                self.spawn(async move {
                    if let Err(error) = validator.run().await {
                        journal.note(service, format!("{error:#}"));
                    }
                });
            }
            let egress = Egress::new(&real.place, self.injector.clone(), self.journal.clone());
            let for_egress = self.journal.clone();
            self.spawn(async move {
                if let Err(error) = egress.run().await {
                    for_egress.note("egress", format!("{error:#}"));
                }
            });
        }
        let (kubelet, injector) = (self.kubelet.clone(), self.injector.clone());
        let (for_kubelet, for_injector) = (self.journal.clone(), self.journal.clone());
        self.spawn(async move {
            if let Err(error) = kubelet.run().await {
                for_kubelet.note("kubelet", format!("{error:#}"));
            }
        });
        self.spawn(async move {
            if let Err(error) = injector.run().await {
                for_injector.note("injector", format!("{error:#}"));
            }
        });
    }
}

fn write_files(place: &Place, authority: &Authority, admin: &Pair) -> anyhow::Result<PathBuf> {
    fs::write(place.path("ca.crt"), authority.certificate())?;
    fs::write(place.path("audit-policy.yaml"), servers::AUDIT_POLICY)?;
    fs::write(place.path("egress.yaml"), egress::configuration(place))?;
    admin.write(place.dir(), "admin")?;
    let write = |name: &str, pair: &Pair| {
        let (server, credentials) = (place.api_server(), Credentials::Certificate(pair));
        let text = kubeconfig::render("testbed", &server, authority.certificate(), credentials);
        fs::write(place.path(name), text).with_context(|| format!("writing {name}"))
    };
    write("kubeconfig", admin)?;
    write(
        "kubeconfig-machinery",
        &authority.admin(servers::MACHINERY, &[])?,
    )?;
    Ok(place.path("kubeconfig"))
}

pub(crate) async fn client_of(path: &Path) -> anyhow::Result<Client> {
    let config =
        Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &KubeConfigOptions::default())
            .await?;
    Ok(Client::try_from(config)?)
}

async fn ready(client: &Client, children: &Children) -> anyhow::Result<()> {
    let wait = async {
        loop {
            let request = http::Request::get("/readyz").body(Vec::new())?;
            if client.request_text(request).await.is_ok() {
                return Ok(());
            }
            // Polls, because nothing can be watched before the server runs.
            tokio::time::sleep(GLANCE).await;
        }
    };
    let wait = unless_ended(children, [Server::Etcd, Server::ApiServer], wait);
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(result) => result,
        Err(_) => bail!(
            "the API server is not ready: {}",
            tail(&children.log(Server::ApiServer.name()))
        ),
    }
}

// Fails as soon as one of the servers has ended, with the end of its log.
async fn unless_ended(
    children: &Children,
    servers: [Server; 2],
    wait: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let ended = async {
        loop {
            let mut names = servers.iter().map(|server| server.name());
            if let Some(name) = names.find(|name| children.has_ended(name)) {
                bail!("{name} ended: {}", tail(&children.log(name)));
            }
            // Polls, because a process that ends tells only its parent, which is a thread of its own.
            tokio::time::sleep(GLANCE).await;
        }
    };
    tokio::select! {
        made = wait => made,
        ended = ended => ended,
    }
}

fn tail(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_else(|error| error.to_string());
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

/// Returns the programs if this machine can run them.
fn usable() -> Result<Assets, Missing> {
    let assets = Assets::find()?;
    Place::check()?;
    Ok(assets)
}

#[expect(clippy::print_stderr, reason = "a test that was left out says so")]
fn leave_out(missing: &Missing) {
    static SAID: std::sync::Once = std::sync::Once::new();
    SAID.call_once(|| eprintln!("skipping the tests on real servers: {missing}"));
}
