//! A bed: a Kubernetes control plane on loopback.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use anyhow::Context as _;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client, Resource, runtime::watcher};
use mesh_lab::Lab;
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use tokio::runtime::{Handle, Runtime};

use crate::{
    assets::Assets,
    capability::Capability,
    ground::{Ground, Real},
    injector::Injector,
    journal::Journal,
    kubeconfig::{self, Credentials},
    kubelet::Kubelet,
    pki::{Authority, MeshIdentity, Pair},
    servers::Server,
    wait,
};

/// A running cluster. It ends when it is dropped.
pub struct Bed {
    pub(crate) identity: MeshIdentity,
    pub(crate) authority: Authority,
    pub(crate) admin: Pair,
    pub(crate) client: Client,
    pub(crate) journal: Journal,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) kubelet: Kubelet,
    pub(crate) injector: Injector,
    // Fields are dropped in order: the runtime must end before the servers.
    pub(crate) runtime: Option<Runtime>,
    pub(crate) ground: Ground,
}

impl Bed {
    fn runtime(&self) -> &Runtime {
        self.runtime
            .as_ref()
            .expect("the runtime lives until the bed is dropped")
    }

    pub(crate) fn handle(&self) -> Handle {
        self.runtime().handle().clone()
    }

    /// Runs `future` to its end on the bed's runtime.
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

    /// Returns the administrator's kubeconfig; its context is `testbed`.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Writes a kubeconfig whose context is called `context`.
    pub fn kubeconfig_named(&self, context: &str) -> anyhow::Result<PathBuf> {
        let text = self.kubeconfig_text(context, &self.ground.server());
        self.write_kubeconfig(context, &text)
    }

    /// Writes a kubeconfig with a bearer token, such as a service account's.
    pub fn kubeconfig_with_token(&self, name: &str, token: &str) -> anyhow::Result<PathBuf> {
        let credentials = Credentials::Token(token);
        let text = kubeconfig::render(
            "testbed",
            &self.ground.server(),
            self.authority.certificate(),
            credentials,
        );
        self.write_kubeconfig(name, &text)
    }

    pub(crate) fn kubeconfig_text(&self, context: &str, server: &str) -> Vec<u8> {
        let credentials = match &self.ground {
            Ground::Real(_) => Credentials::Certificate(&self.admin),
            Ground::Lab { .. } => Credentials::None,
        };
        kubeconfig::render(context, server, self.authority.certificate(), credentials)
    }

    pub(crate) fn write_kubeconfig(&self, name: &str, text: &[u8]) -> anyhow::Result<PathBuf> {
        let path = self.dir().join(format!("kubeconfig-{name}"));
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Returns an administrator's client for the test itself.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Returns the kubelet of the fake nodes.
    pub fn kubelet(&self) -> &Kubelet {
        &self.kubelet
    }

    /// Returns the proxy injector.
    pub fn injector(&self) -> &Injector {
        &self.injector
    }

    /// Returns the real programs in use.
    pub fn assets(&self) -> &Assets {
        &self.real(Capability::Servers).assets
    }

    /// Returns the bed's folder. The next bed on the same range clears it.
    pub fn dir(&self) -> &Path {
        self.ground.dir()
    }

    /// Returns the servers' process ids by name.
    pub fn pids(&self) -> BTreeMap<String, u32> {
        self.real(Capability::Servers).children.pids()
    }

    /// Stops a server with SIGSTOP: it does not answer until it is resumed.
    pub fn pause(&self, server: Server) -> anyhow::Result<()> {
        self.real(Capability::Servers)
            .children
            .signal(server.name(), Signal::STOP)
    }

    /// Resumes a paused server.
    pub fn resume(&self, server: Server) -> anyhow::Result<()> {
        self.real(Capability::Servers)
            .children
            .signal(server.name(), Signal::CONT)
    }

    /// Kills a server and starts it again with its data. Returns before it is ready.
    pub fn restart(&self, server: Server) -> anyhow::Result<()> {
        self.real(Capability::Servers).children.end(server.name())?;
        self.start_server(server)
    }

    pub(crate) fn start_server(&self, server: Server) -> anyhow::Result<()> {
        let Real {
            assets,
            children,
            place,
        } = self.real(Capability::Servers);
        server.start(children, assets, place)
    }

    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", self.dir().join("kube-cache"));
        for kind in ["CACHE", "CONFIG", "DATA"] {
            command.env(format!("HELM_{kind}_HOME"), self.dir().join("helm"));
        }
        command
    }

    /// Returns the lab, if the bed runs on it.
    pub fn as_lab(&self) -> Option<&Arc<Lab>> {
        match &self.ground {
            Ground::Real(_) => None,
            Ground::Lab { lab, .. } => Some(lab),
        }
    }

    /// Returns the real servers and programs. Panics on the lab: a test that needs them must be
    /// registered with a capability.
    #[track_caller]
    pub(crate) fn real(&self, need: Capability) -> &Real {
        match &self.ground {
            Ground::Real(real) => real,
            Ground::Lab { .. } => panic!("the lab lacks this: {need:?}"),
        }
    }

    /// Watches objects until `done` is true, and returns them by `NAMESPACE/NAME`. `labels` is a
    /// label selector; `what` names the objects in the error after a timeout.
    pub fn until<K>(
        &self,
        api: Api<K>,
        labels: &str,
        what: &str,
        done: impl FnMut(&BTreeMap<String, K>) -> bool,
    ) -> anyhow::Result<BTreeMap<String, K>>
    where
        K: Resource<DynamicType: Default> + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        self.block_on(wait::until(
            api,
            watcher::Config::default().labels(labels),
            what,
            done,
        ))
    }

    /// Waits until pods can be created in a namespace.
    pub fn await_service_account(&self, namespace: &str) -> anyhow::Result<()> {
        // The lab needs no service account.
        if self.as_lab().is_some() {
            return Ok(());
        }
        self.block_on(self.service_account(namespace))
    }

    pub(crate) async fn service_account(&self, namespace: &str) -> anyhow::Result<()> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let config = watcher::Config::default().fields("metadata.name=default");
        let what = "the default service account";
        wait::until(accounts, config, what, |seen| !seen.is_empty()).await?;
        Ok(())
    }
}

impl std::fmt::Debug for Bed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bed")
            .field("ground", &self.ground)
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
        let name = format!("{}-{}", std::process::id(), self.ground.name());
        let kept = crate::assets::root().join("target/testbed-logs").join(name);
        let copied = fs::create_dir_all(&kept).and_then(|()| copy_logs(self.dir(), &kept));
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
