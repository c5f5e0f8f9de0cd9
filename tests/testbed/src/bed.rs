//! A bed: a whole control plane on loopback, from start to end.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::watcher,
};
use tokio::runtime::Runtime;

use crate::{
    assets::{Assets, Missing, Requirement},
    children::Children,
    injector::Injector,
    journal::Journal,
    kubeconfig::{self, Credentials},
    kubelet::Kubelet,
    nodes,
    pki::{Authority, MeshIdentity, Pair},
    place::Place,
    servers, wait,
};

/// How long the API server may take to be ready on a loaded machine.
const START_PATIENCE: Duration = Duration::from_secs(90);

/// A running cluster, which ends when it is dropped.
pub struct Bed {
    pub(crate) assets: Assets,
    pub(crate) identity: MeshIdentity,
    pub(crate) authority: Authority,
    pub(crate) admin: Pair,
    pub(crate) client: Client,
    pub(crate) journal: Journal,
    kubeconfig: PathBuf,
    kubelet: Kubelet,
    injector: Injector,
    // The order of the last three is the order in which they end.
    runtime: Option<Runtime>,
    pub(crate) children: Children,
    pub(crate) place: Place,
}

impl Bed {
    /// A bed for a test, or none when real servers are off or cannot be had here; then the test is
    /// to return. Under `MESH_TEST_REAL=require` what is missing fails the test.
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

    /// Starts servers, nodes, kubelet and injector.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(usable()?)
    }

    fn start_with(assets: Assets) -> anyhow::Result<Self> {
        let place = Place::take()?;
        let journal = Journal::open(&place.path("testbed.log"))?;
        let authority = Authority::new("testbed")?;
        let admin = authority.admin(&[place.address()])?;
        let kubeconfig = write_files(&place, &authority, &admin)?;
        let children = Children::new(place.dir());
        children.start("etcd", &assets.etcd, &servers::etcd(&place))?;
        children.start(
            "kube-apiserver",
            &assets.kube_apiserver,
            &servers::api_server(&place),
        )?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let client = runtime.block_on(async {
            let client = client_of(&kubeconfig).await?;
            ready(&client, &children).await?;
            nodes::create(&client).await.context("creating nodes")?;
            anyhow::Ok(client)
        })?;
        children.start(
            "kube-controller-manager",
            &assets.kube_controller_manager,
            &servers::controller_manager(&place),
        )?;
        children.start(
            "kube-scheduler",
            &assets.kube_scheduler,
            &servers::scheduler(&place),
        )?;
        let kubelet = Kubelet::new(client.clone(), journal.clone());
        let injector = Injector::new(client.clone(), journal.clone(), runtime.handle().clone());
        let bed = Self {
            assets,
            identity: MeshIdentity::new()?,
            authority,
            admin,
            client,
            journal,
            kubeconfig,
            kubelet,
            injector,
            runtime: Some(runtime),
            children,
            place,
        };
        bed.start_tasks();
        bed.await_service_account("default")?;
        Ok(bed)
    }

    fn start_tasks(&self) {
        let (kubelet, injector) = (self.kubelet.clone(), self.injector.clone());
        let (for_kubelet, for_injector) = (self.journal.clone(), self.journal.clone());
        self.runtime().spawn(async move {
            if let Err(error) = kubelet.run().await {
                for_kubelet.note("kubelet", format!("{error:#}"));
            }
        });
        self.runtime().spawn(async move {
            if let Err(error) = injector.run().await {
                for_injector.note("injector", format!("{error:#}"));
            }
        });
    }

    fn runtime(&self) -> &Runtime {
        self.runtime
            .as_ref()
            .expect("the runtime lives until the bed is dropped")
    }

    /// Runs `future` to its end on the bed's own runtime.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime().block_on(future)
    }

    /// Runs `future` in the background until it or the bed ends.
    pub fn spawn<F>(&self, future: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.runtime().spawn(future)
    }

    /// The administrator's kubeconfig; its context is `testbed`.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A kubeconfig whose context is called `context`.
    pub fn kubeconfig_named(&self, context: &str) -> anyhow::Result<PathBuf> {
        let text = self.kubeconfig_text(context, &self.place.api_server());
        self.write_kubeconfig(context, &text)
    }

    /// The kubeconfig of a bearer token, such as a service account's.
    pub fn kubeconfig_with_token(&self, name: &str, token: &str) -> anyhow::Result<PathBuf> {
        let credentials = Credentials::Token(token);
        let text = kubeconfig::render(
            "testbed",
            &self.place.api_server(),
            self.authority.certificate(),
            credentials,
        );
        self.write_kubeconfig(name, &text)
    }

    pub(crate) fn kubeconfig_text(&self, context: &str, server: &str) -> Vec<u8> {
        kubeconfig::render(
            context,
            server,
            self.authority.certificate(),
            Credentials::Certificate(&self.admin),
        )
    }

    pub(crate) fn write_kubeconfig(&self, name: &str, text: &[u8]) -> anyhow::Result<PathBuf> {
        let path = self.place.path(&format!("kubeconfig-{name}"));
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// An administrator's client for the test's own looks.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The kubelet of the fake nodes.
    pub fn kubelet(&self) -> &Kubelet {
        &self.kubelet
    }

    /// The proxy injector.
    pub fn injector(&self) -> &Injector {
        &self.injector
    }

    /// The real programs in use.
    pub fn assets(&self) -> &Assets {
        &self.assets
    }

    /// A folder of the bed's own, which the next bed in its place clears.
    pub fn dir(&self) -> &Path {
        self.place.dir()
    }

    /// The servers' process ids by name.
    pub fn pids(&self) -> std::collections::BTreeMap<String, u32> {
        self.children.pids()
    }

    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", self.place.path("kube-cache"));
        for kind in ["CACHE", "CONFIG", "DATA"] {
            command.env(format!("HELM_{kind}_HOME"), self.place.path("helm"));
        }
        command
    }

    /// Waits until pods can be created in a namespace.
    pub fn await_service_account(&self, namespace: &str) -> anyhow::Result<()> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let config = watcher::Config::default().fields("metadata.name=default");
        self.block_on(wait::until(
            accounts,
            config,
            "the default service account",
            |seen| !seen.is_empty(),
        ))?;
        Ok(())
    }
}

impl std::fmt::Debug for Bed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bed")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        if std::thread::panicking() {
            self.keep_logs();
        }
    }
}

impl Bed {
    fn keep_logs(&self) {
        let name = format!("{}-{}", std::process::id(), self.place.range());
        let kept = crate::assets::root().join("target/testbed-logs").join(name);
        let copied = fs::create_dir_all(&kept).and_then(|()| copy_logs(self.place.dir(), &kept));
        if let Err(error) = copied {
            self.journal.note("logs", format!("not kept: {error}"));
        }
    }
}

fn copy_logs(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log")
            && let Some(name) = path.file_name()
        {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

fn write_files(place: &Place, authority: &Authority, admin: &Pair) -> anyhow::Result<PathBuf> {
    fs::write(place.path("ca.crt"), authority.certificate())?;
    fs::write(place.path("audit-policy.yaml"), servers::AUDIT_POLICY)?;
    admin.write(place.dir(), "admin")?;
    let path = place.path("kubeconfig");
    let credentials = Credentials::Certificate(admin);
    fs::write(
        &path,
        kubeconfig::render(
            "testbed",
            &place.api_server(),
            authority.certificate(),
            credentials,
        ),
    )?;
    Ok(path)
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
            for name in ["etcd", "kube-apiserver"] {
                ensure!(
                    !children.has_ended(name),
                    "{name} ended: {}",
                    tail(&children.log(name))
                );
            }
            // There is nothing to watch before the server is there.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    match tokio::time::timeout(START_PATIENCE, wait).await {
        Ok(result) => result,
        Err(_) => bail!(
            "the API server is not ready: {}",
            tail(&children.log("kube-apiserver"))
        ),
    }
}

fn tail(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_else(|error| error.to_string());
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

/// The programs, where this machine can run them.
fn usable() -> Result<Assets, Missing> {
    let assets = Assets::find()?;
    Place::check()?;
    Ok(assets)
}

#[expect(clippy::print_stderr, reason = "a test that was left out says so")]
fn leave_out(missing: &Missing) {
    static SAID: std::sync::Once = std::sync::Once::new();
    SAID.call_once(|| eprintln!("tests on real servers are left out: {missing}"));
}
