//! The validators of the control plane: they accept everything, while the destination component has
//! a ready pod. With failurePolicy Fail nothing that they check can be written while none answers.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use anyhow::Context as _;
use hyper::body::Bytes;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{Secret, Service},
        discovery::v1::EndpointSlice,
    },
};
use kube::{Api, Client, Resource, runtime::watcher};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::{
    injector::{NAMESPACE, acceptor, has_ready_endpoint},
    journal::Journal,
    wait, webhook,
};

/// The Services of the validators.
pub(crate) const SERVICES: [&str; 2] = ["linkerd-sp-validator", "linkerd-policy-validator"];

/// Answers for one of the validators at its Service's address.
pub(crate) struct Validator {
    client: Client,
    journal: Journal,
    service: &'static str,
    world: watch::Sender<World>,
}

#[derive(Clone, Default)]
struct World {
    address: Option<IpAddr>,
    is_ready: bool,
    acceptor: Option<TlsAcceptor>,
}

impl Validator {
    pub(crate) fn new(client: Client, journal: Journal, service: &'static str) -> Self {
        let world = watch::Sender::default();
        Self {
            client,
            journal,
            service,
            world,
        }
    }

    /// Watches the cluster, and listens while the injector should, until a watch or the listener
    /// fails.
    pub(crate) async fn run(&self) -> anyhow::Result<()> {
        let named = |name: &str| {
            let field = format!("metadata.name={name}");
            watcher::Config::default().fields(&field)
        };
        let own = format!("kubernetes.io/service-name={}", self.service);
        let slices = watcher::Config::default().labels(&own);
        let secret = named(&format!("{}-k8s-tls", self.service));
        tokio::try_join!(
            wait::follow(self.api::<Service>(), named(self.service), |seen| {
                let spec = seen.values().next().and_then(|it| it.spec.as_ref());
                let address = spec.and_then(|spec| spec.cluster_ip.as_ref()?.parse().ok());
                self.world.send_modify(|world| world.address = address);
            }),
            wait::follow(self.api::<EndpointSlice>(), slices, |seen| {
                let ready = seen.values().any(has_ready_endpoint);
                self.world.send_modify(|world| world.is_ready = ready);
            }),
            wait::follow(
                self.api::<Secret>(),
                secret,
                |seen: &BTreeMap<_, Secret>| {
                    let pair = seen
                        .values()
                        .next()
                        .and_then(|secret| acceptor(secret).ok());
                    self.world.send_modify(|world| world.acceptor = pair);
                }
            ),
            self.listen(),
        )?;
        Ok(())
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    async fn listen(&self) -> anyhow::Result<()> {
        let mut world = self.world.subscribe();
        let mut serving = JoinSet::new();
        let mut at = None;
        loop {
            let wanted = world.borrow_and_update().wanted();
            if wanted != at {
                serving.shutdown().await;
                if let Some(address) = wanted {
                    let listener = TcpListener::bind(address).await;
                    let listener = listener.with_context(|| format!("listening at {address}"))?;
                    serving.spawn(accept(
                        listener,
                        self.world.subscribe(),
                        self.journal.clone(),
                    ));
                }
                self.journal
                    .note(self.service, format!("listening: {wanted:?}"));
                at = wanted;
            }
            world.changed().await.context("the validator is gone")?;
        }
    }
}

impl World {
    fn wanted(&self) -> Option<SocketAddr> {
        let address = self
            .address
            .filter(|_| self.is_ready && self.acceptor.is_some())?;
        Some(SocketAddr::new(address, 443))
    }
}

async fn accept(listener: TcpListener, world: watch::Receiver<World>, journal: Journal) {
    // Dropped with this task, so no connection outlives the listener.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let acceptor = world.borrow().acceptor.clone();
                    let journal = journal.clone();
                    connections.spawn(async move {
                        let Some(acceptor) = acceptor else { return };
                        let served = webhook::serve(stream, &acceptor, &journal, yes).await;
                        if let Err(error) = served {
                            journal.note("validator", format!("{peer}: {error:#}"));
                        }
                    });
                }
                Err(error) => journal.note("validator", error),
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn yes(body: Bytes) -> anyhow::Result<Vec<u8>> {
    let review: Value = serde_json::from_slice(&body).context("reading the admission review")?;
    let response = json!({ "uid": review["request"]["uid"], "allowed": true });
    let answer =
        json!({ "apiVersion": review["apiVersion"], "kind": review["kind"], "response": response });
    Ok(answer.to_string().into_bytes())
}
