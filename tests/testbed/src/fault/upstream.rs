//! The proxy's connections to the server.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Mutex,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore, crypto,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    },
};

use crate::pki::Pair;

/// Connects to the API server as the administrator, or as the user of a bearer token.
#[derive(Clone)]
pub(super) struct Upstream {
    address: SocketAddr,
    /// `None` for the lab, which speaks plain HTTP.
    tls: Option<Connectors>,
}

#[derive(Clone)]
struct Connectors {
    admin: TlsConnector,
    anonymous: TlsConnector,
}

/// The connection to the server for one connection of a client.
pub(super) struct Link {
    upstream: Upstream,
    sender: Mutex<Option<Sender>>,
}

type Sender = SendRequest<Full<Bytes>>;

// === impl Upstream ===

impl Upstream {
    pub(super) fn new(address: SocketAddr, authority: &str, admin: &Pair) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes())?)?;
        let builder = || {
            let builder =
                ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()));
            builder
                .with_safe_default_protocol_versions()
                .map(|builder| builder.with_root_certificates(roots.clone()))
        };
        let certificate = CertificateDer::from_pem_slice(admin.certificate.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(admin.key.as_bytes())?;
        let as_admin = builder()?.with_client_auth_cert(vec![certificate], key)?;
        let as_nobody = builder()?.with_no_client_auth();
        let connector = |config| TlsConnector::from(Arc::new(config));
        let tls = Connectors {
            admin: connector(as_admin),
            anonymous: connector(as_nobody),
        };
        Ok(Self {
            address,
            tls: Some(tls),
        })
    }

    pub(super) fn plain(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }

    async fn connect(&self, has_token: bool) -> anyhow::Result<Sender> {
        let stream = TcpStream::connect(self.address)
            .await
            .context("connecting to the API server")?;
        stream.set_nodelay(true)?;
        let Some(Connectors { admin, anonymous }) = &self.tls else {
            return start(stream).await;
        };
        // A client certificate would take precedence over the token.
        let connector = if has_token { anonymous } else { admin };
        let name = ServerName::from(self.address.ip());
        start(connector.connect(name, stream).await?).await
    }
}

async fn start(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> anyhow::Result<Sender> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

// === impl Link ===

impl Link {
    pub(super) fn new(upstream: Upstream) -> Self {
        Self {
            upstream,
            sender: Mutex::new(None),
        }
    }

    pub(super) async fn forward(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> anyhow::Result<Response<Incoming>> {
        let mut sender = self.sender.lock().await;
        let mut usable = sender.take().filter(|sender| !sender.is_closed());
        if let Some(kept) = usable.as_mut()
            && kept.ready().await.is_err()
        {
            usable = None;
        }
        let mut link = match usable {
            Some(kept) => kept,
            None => {
                self.upstream
                    .connect(request.headers().contains_key(header::AUTHORIZATION))
                    .await?
            }
        };
        let host = HeaderValue::from_str(&self.upstream.address.to_string())?;
        request.headers_mut().insert(header::HOST, host);
        let response = link
            .send_request(request)
            .await
            .context("forwarding to the API server")?;
        *sender = Some(link);
        Ok(response)
    }
}
