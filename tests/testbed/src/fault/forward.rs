//! The proxy's connections: requests in, requests out, bodies streamed both ways.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, anyhow, bail};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Bytes, Frame, Incoming},
    client::conn::http1::{SendRequest, handshake},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Mutex,
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{
        ClientConfig, RootCertStore, crypto,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    },
};

use super::{
    Shared,
    rule::{Fault, When},
};
use crate::{journal::Journal, pki::Pair};

type Body = UnsyncBoxBody<Bytes, anyhow::Error>;

/// The API server, as the administrator and as whoever a bearer token names.
#[derive(Clone)]
pub(super) struct Upstream {
    address: SocketAddr,
    /// None for the lab, which speaks plain HTTP.
    tls: Option<Connectors>,
}

#[derive(Clone)]
struct Connectors {
    admin: TlsConnector,
    anonymous: TlsConnector,
}

/// The connection to the server that belongs to one connection of a client.
struct Link {
    upstream: Upstream,
    sender: Mutex<Option<SendRequest<Incoming>>>,
}

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

    async fn connect(&self, has_token: bool) -> anyhow::Result<SendRequest<Incoming>> {
        let stream = TcpStream::connect(self.address)
            .await
            .context("connecting to the API server")?;
        stream.set_nodelay(true)?;
        let Some(Connectors { admin, anonymous }) = &self.tls else {
            return start(stream).await;
        };
        // A client certificate would outweigh the token.
        let connector = if has_token { anonymous } else { admin };
        let name = ServerName::from(self.address.ip());
        start(connector.connect(name, stream).await?).await
    }
}

async fn start(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> anyhow::Result<SendRequest<Incoming>> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Takes connections until the proxy is dropped.
pub(super) async fn run(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    upstream: Upstream,
    shared: Arc<Shared>,
    journal: Journal,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let link = Link { upstream: upstream.clone(), sender: Mutex::new(None) };
                    let (acceptor, shared, journal) = (acceptor.clone(), Arc::clone(&shared), journal.clone());
                    connections.spawn(async move {
                        if let Err(error) = serve(stream, &acceptor, &link, &shared).await {
                            journal.note("proxy", format!("{error:#}"));
                        }
                    });
                }
                Err(error) => journal.note("proxy", error),
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn serve(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    link: &Link,
    shared: &Shared,
) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    let service = service_fn(|request| pass(request, link, shared));
    hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

/// One request. An error ends the client's connection without an answer.
async fn pass(
    request: Request<Incoming>,
    link: &Link,
    shared: &Shared,
) -> anyhow::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let (number, fault) = shared.arrive(&parts);
    let request = Request::from_parts(parts, body);
    let response = match fault {
        None => link.forward(request).await?.map(whole),
        Some(Fault::Answer(status, body)) => answer(status, body),
        Some(Fault::Cut(bytes)) => link.forward(request).await?.map(|body| cut(body, bytes)),
        Some(Fault::Hold(gate, When::BeforeForward)) => {
            gate.pass().await;
            link.forward(request).await?.map(whole)
        }
        Some(Fault::Hold(gate, When::AfterForward)) => {
            let response = link.forward(request).await?;
            gate.pass().await;
            response.map(whole)
        }
        Some(Fault::Kill(victim, when)) => {
            if when == When::AfterForward {
                // The head of an answer to a write comes when the write is done.
                link.forward(request).await?;
            }
            victim.kill().await?;
            bail!("the client was killed at its request {number}");
        }
    };
    shared.answered(number, response.status());
    Ok(response)
}

impl Link {
    async fn forward(&self, mut request: Request<Incoming>) -> anyhow::Result<Response<Incoming>> {
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

fn whole(body: Incoming) -> Body {
    body.map_err(anyhow::Error::from).boxed_unsync()
}

fn answer(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(
        Full::new(body)
            .map_err(|never| match never {})
            .boxed_unsync(),
    );
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

/// The first `bytes` bytes, and then an error, which ends the connection.
fn cut(body: Incoming, bytes: usize) -> Body {
    let frames =
        futures::stream::unfold((body, bytes, false), |(mut body, left, ended)| async move {
            if ended {
                return None;
            }
            if left == 0 {
                return Some((Err(anyhow!("the answer was cut")), (body, 0, true)));
            }
            let frame = match body.frame().await? {
                Ok(frame) => frame,
                Err(error) => return Some((Err(error.into()), (body, 0, true))),
            };
            let mut data = frame.into_data().unwrap_or_default();
            data.truncate(left);
            let left = left - data.len();
            Some((Ok(Frame::data(data)), (body, left, false)))
        });
    StreamBody::new(frames).boxed_unsync()
}
