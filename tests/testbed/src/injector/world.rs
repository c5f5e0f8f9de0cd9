//! The injector as a test holds it, and what the injector sees of the cluster.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use kube::Client;
use mesh_lab::Lab;
use tokio::{runtime::Handle, sync::watch};
use tokio_rustls::TlsAcceptor;

use super::{inject::Mesh, process::Processes};
use crate::journal::Journal;

/// The injector of a bed.
#[derive(Clone)]
pub struct Injector {
    pub(super) client: Client,
    pub(super) journal: Journal,
    pub(super) runtime: Handle,
    pub(super) whose: Where,
    pub(super) world: watch::Sender<World>,
    /// The listener's current state.
    pub(super) listening: watch::Sender<Listening>,
}

/// Who answers, and at which address.
#[derive(Clone)]
pub(crate) enum Where {
    /// The bed, at the Service's own address.
    Cluster,
    /// The bed, at a loopback port that the lab is told, because its Services have no addresses.
    Lab(Arc<Lab>),
    /// The processes of the injector's pods, through the Service's own address.
    Processes(Arc<Processes>),
}

/// What the injector sees in the cluster, and what the test has set.
#[derive(Clone, Default)]
pub(super) struct World {
    pub(super) address: Option<IpAddr>,
    pub(super) has_ready_endpoint: bool,
    pub(super) acceptor: Option<TlsAcceptor>,
    pub(super) mesh: Option<Arc<Mesh>>,
    pub(super) frozen: Option<Arc<Mesh>>,
    pub(super) closed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Listening {
    pub(super) closed: bool,
    pub(super) at: Option<SocketAddr>,
}

impl Injector {
    pub(crate) fn new(client: Client, journal: Journal, runtime: Handle, whose: Where) -> Self {
        let (world, listening) = (watch::Sender::default(), watch::Sender::default());
        Self {
            client,
            journal,
            runtime,
            whose,
            world,
            listening,
        }
    }

    /// Stops listening while the injector's pods stay ready. New pods then get no proxy, or are
    /// refused if the webhook's failure policy is `Fail`.
    pub fn close(&self) {
        self.set_closed(true);
    }

    /// Listens again, if the control plane has a ready injector.
    pub fn open(&self) {
        self.set_closed(false);
    }

    fn set_closed(&self, closed: bool) {
        let mut listening = self.listening.subscribe();
        self.world.send_modify(|world| world.closed = closed);
        let settled = self
            .runtime
            .block_on(listening.wait_for(|now| now.closed == closed));
        settled.expect("the injector holds the sender itself");
    }

    /// Keeps the current configuration, like an injector whose kubelet has not yet updated the
    /// mounted ConfigMap.
    pub fn freeze_config(&self) {
        self.world
            .send_modify(|world| world.frozen = world.mesh.clone());
        if let Some(processes) = self.processes() {
            processes.freeze(true);
        }
    }

    /// Uses the cluster's configuration again.
    pub fn thaw_config(&self) {
        self.world.send_modify(|world| world.frozen = None);
        if let Some(processes) = self.processes() {
            processes.freeze(false);
        }
    }

    /// Sets how long a change of the configuration takes to reach the pods, where
    /// `LINKERD_INJECTOR` runs them.
    pub fn set_mount_delay(&self, pause: Duration) {
        if let Some(processes) = self.processes() {
            processes.set_delay(pause);
        }
    }

    /// Who the bed's own machinery is to the API server.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    pub(super) fn processes(&self) -> Option<&Arc<Processes>> {
        match &self.whose {
            Where::Processes(processes) => Some(processes),
            Where::Cluster | Where::Lab(_) => None,
        }
    }

    /// Returns the webhook's address while it listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listening.borrow().at
    }

    /// Waits until the webhook listens.
    pub fn await_open(&self) -> anyhow::Result<()> {
        let mut listening = self.listening.subscribe();
        let open = async {
            let open = listening.wait_for(|now| now.at.is_some());
            tokio::time::timeout(Duration::from_secs(60), open)
                .await
                .map(drop)
        };
        self.runtime
            .block_on(open)
            .context("waiting for a ready proxy injector")
    }
}

impl World {
    pub(super) fn wanted(&self, in_lab: bool) -> Option<SocketAddr> {
        let open = self.has_ready_endpoint && !self.closed && self.acceptor.is_some();
        let address = self.address.filter(|_| open)?;
        if in_lab {
            return Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        }
        Some(SocketAddr::new(address, 443))
    }

    pub(super) fn mesh(&self) -> Option<Arc<Mesh>> {
        self.frozen.clone().or_else(|| self.mesh.clone())
    }
}

impl std::fmt::Debug for Injector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Injector")
            .field("listening", &*self.listening.borrow())
            .finish_non_exhaustive()
    }
}
