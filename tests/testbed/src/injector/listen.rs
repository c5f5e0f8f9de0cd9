//! The webhook's listener, opened and closed as the cluster's state demands.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use hyper::body::Bytes;
use k8s_openapi::api::core::v1::Secret;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig, crypto,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

use super::{
    owner::Owners,
    review,
    values::{NAMESPACE, SERVICE},
    world::{Injector, Listening, Where},
};
use crate::webhook;

/// Makes the TLS acceptor of a `kubernetes.io/tls` Secret.
pub(crate) fn acceptor(secret: &Secret) -> anyhow::Result<TlsAcceptor> {
    let entry = |key: &str| {
        let data = secret.data.as_ref().and_then(|data| data.get(key));
        data.map(|bytes| bytes.0.as_slice())
            .with_context(|| format!("the injector's Secret has no {key}"))
    };
    tls_acceptor(entry("tls.crt")?, entry("tls.key")?).context("reading the injector's Secret")
}

/// Makes a TLS acceptor from a certificate and a key in PEM.
pub(crate) fn tls_acceptor(certificate: &[u8], key: &[u8]) -> anyhow::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key)?;
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Listens while the world wants it, and closes all connections when it does not.
pub(super) async fn run(injector: &Injector) -> anyhow::Result<()> {
    let owners = Arc::new(Owners::default());
    let mut world = injector.world.subscribe();
    let mut serving = JoinSet::new();
    let (mut asked, mut at) = (None, None);
    loop {
        let (wanted, closed) = {
            let world = world.borrow_and_update();
            (
                world.wanted(matches!(injector.whose, Where::Lab(_))),
                world.closed,
            )
        };
        if wanted != asked {
            serving.shutdown().await;
            at = None;
            if let Some(address) = wanted {
                let listener = TcpListener::bind(address)
                    .await
                    .with_context(|| format!("listening at {address}"))?;
                let here = listener.local_addr()?;
                if let Where::Lab(lab) = &injector.whose {
                    lab.route_service(NAMESPACE, SERVICE, here);
                }
                at = Some(here);
                serving.spawn(accept(injector.clone(), Arc::clone(&owners), listener));
            }
            injector
                .journal
                .note("injector", format!("listening: {at:?}"));
            asked = wanted;
        }
        let now = Listening { closed, at };
        injector
            .listening
            .send_if_modified(|before| std::mem::replace(before, now) != now);
        world.changed().await.context("the injector is gone")?;
    }
}

async fn accept(injector: Injector, owners: Arc<Owners>, listener: TcpListener) {
    // Dropped with this task, so no connection outlives the listener.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => drop(connections.spawn(serve(injector.clone(), Arc::clone(&owners), stream, peer))),
                Err(error) => injector.journal.note("injector", error),
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn serve(injector: Injector, owners: Arc<Owners>, mut stream: TcpStream, peer: SocketAddr) {
    if let Some(processes) = injector.processes() {
        if let Some(mut process) = processes.connect().await {
            // Either side hangs up as it likes.
            drop(copy_bidirectional(&mut stream, &mut process).await);
        }
        return;
    }
    let acceptor = injector.world.borrow().acceptor.clone();
    let Some(acceptor) = acceptor else { return };
    let answer = |body: Bytes| {
        let (injector, owners) = (&injector, &owners);
        async move {
            let mesh = injector.world.borrow().mesh();
            review::review(&injector.client, owners, mesh, &body).await
        }
    };
    if let Err(error) = webhook::serve(stream, &acceptor, &injector.journal, answer).await {
        let note = format!("{peer}: {error:#}");
        injector.journal.note("injector", note);
    }
}
