//! The proxy injector: a real admission webhook at the address of the chart's own Service.
//!
//! It answers while the injector's Service has a ready endpoint and the test has not closed it,
//! with the certificate and the configuration that the chart put into the cluster.

mod inject;
mod listen;
mod owner;
mod review;
mod values;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use anyhow::Context as _;
use k8s_openapi::api::{
    core::v1::{ConfigMap, Secret, Service},
    discovery::v1::EndpointSlice,
};
use kube::{Api, Client, ResourceExt as _, runtime::watcher};
use mesh_lab::Lab;
use tokio::{runtime::Handle, sync::watch};
use tokio_rustls::TlsAcceptor;

pub(crate) use self::listen::tls_acceptor;
use self::{inject::Mesh, values::Values};
use crate::{journal::Journal, wait};

/// The control plane's namespace.
pub(crate) const NAMESPACE: &str = "linkerd";
const SERVICE: &str = "linkerd-proxy-injector";

/// The injector of a bed.
#[derive(Clone)]
pub struct Injector {
    client: Client,
    journal: Journal,
    runtime: Handle,
    /// Where it is said at which loopback port the webhook is, where no Service has an address.
    lab: Option<Arc<Lab>>,
    world: watch::Sender<World>,
    /// What the listener made of the world so far.
    listening: watch::Sender<Listening>,
}

/// What the injector sees of the cluster, and what the test asked of it.
#[derive(Clone, Default)]
struct World {
    address: Option<IpAddr>,
    has_ready_endpoint: bool,
    acceptor: Option<TlsAcceptor>,
    mesh: Option<Arc<Mesh>>,
    frozen: Option<Arc<Mesh>>,
    closed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Listening {
    closed: bool,
    at: Option<SocketAddr>,
}

impl Injector {
    pub(crate) fn new(
        client: Client,
        journal: Journal,
        runtime: Handle,
        lab: Option<Arc<Lab>>,
    ) -> Self {
        let (world, listening) = (watch::Sender::default(), watch::Sender::default());
        Self {
            client,
            journal,
            runtime,
            lab,
            world,
            listening,
        }
    }

    /// Stops listening, though the injector's pods stay ready. New pods come up without a proxy, or
    /// not at all where the webhook's failure policy says so.
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

    /// Keeps answering with the configuration of this moment, as an injector does whose kubelet has
    /// not yet brought it the new one.
    pub fn freeze_config(&self) {
        self.world
            .send_modify(|world| world.frozen = world.mesh.clone());
    }

    /// Answers with the cluster's configuration again.
    pub fn thaw_config(&self) {
        self.world.send_modify(|world| world.frozen = None);
    }

    /// Where the webhook can be called, when it can.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listening.borrow().at
    }

    /// Waits until the webhook can be called.
    pub fn await_open(&self) -> anyhow::Result<()> {
        let mut listening = self.listening.subscribe();
        let open = async {
            let open = listening.wait_for(|now| now.at.is_some());
            tokio::time::timeout(std::time::Duration::from_secs(60), open)
                .await
                .map(drop)
        };
        self.runtime
            .block_on(open)
            .context("waiting for a ready proxy injector")
    }

    /// Follows the cluster and listens accordingly, until a watch or the listener ends.
    pub(crate) async fn run(&self) -> anyhow::Result<()> {
        let named =
            |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
        let of_service = format!("kubernetes.io/service-name={SERVICE}");
        tokio::try_join!(
            wait::follow(self.api::<Service>(), named(SERVICE), |seen| {
                let address = seen
                    .values()
                    .next()
                    .and_then(|service| service.spec.as_ref()?.cluster_ip.as_ref()?.parse().ok());
                self.update(|world| world.address = address);
            }),
            wait::follow(
                self.api::<EndpointSlice>(),
                watcher::Config::default().labels(&of_service),
                |seen| {
                    let ready = seen.values().any(has_ready_endpoint);
                    self.update(|world| world.has_ready_endpoint = ready);
                }
            ),
            wait::follow(
                self.api::<Secret>(),
                named("linkerd-proxy-injector-k8s-tls"),
                |seen| {
                    let acceptor = seen.values().next().map(listen::acceptor).transpose();
                    self.update(|world| world.acceptor = self.noted(acceptor).flatten());
                }
            ),
            wait::follow(
                self.api::<ConfigMap>(),
                watcher::Config::default(),
                |seen| {
                    let mesh = mesh(seen).transpose();
                    self.update(|world| world.mesh = self.noted(mesh).flatten().map(Arc::new));
                }
            ),
            listen::run(self),
        )?;
        Ok(())
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    fn update(&self, change: impl FnOnce(&mut World)) {
        self.world.send_modify(change);
    }

    fn noted<T>(&self, result: anyhow::Result<T>) -> Option<T> {
        result
            .map_err(|error| self.journal.note("injector", format!("{error:#}")))
            .ok()
    }
}

impl World {
    fn wanted(&self, in_lab: bool) -> Option<SocketAddr> {
        let open = self.has_ready_endpoint && !self.closed && self.acceptor.is_some();
        let address = self.address.filter(|_| open)?;
        if in_lab {
            return Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        }
        Some(SocketAddr::new(address, 443))
    }

    fn mesh(&self) -> Option<Arc<Mesh>> {
        self.frozen.clone().or_else(|| self.mesh.clone())
    }
}

fn has_ready_endpoint(slice: &EndpointSlice) -> bool {
    let mut endpoints = slice.endpoints.iter();
    endpoints.any(|endpoint| {
        endpoint
            .conditions
            .as_ref()
            .and_then(|conditions| conditions.ready)
            .unwrap_or(false)
    })
}

fn mesh(maps: &BTreeMap<String, ConfigMap>) -> Option<anyhow::Result<Mesh>> {
    let entry = |name: &str, key: &str| {
        let map = maps.values().find(|map| map.name_any() == name)?;
        map.data.as_ref()?.get(key).cloned()
    };
    let (values, trust_roots) = (
        entry("linkerd-config", "values")?,
        entry("linkerd-identity-trust-roots", "ca-bundle.crt")?,
    );
    let values = Values::parse(&values).context("reading linkerd-config");
    Some(values.map(|values| Mesh {
        values,
        trust_roots,
    }))
}

impl std::fmt::Debug for Injector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Injector")
            .field("listening", &*self.listening.borrow())
            .finish_non_exhaustive()
    }
}
