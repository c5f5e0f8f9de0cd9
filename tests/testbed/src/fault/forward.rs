//! The proxy's connections: forwards requests and answers as streams.

use std::sync::Arc;

use anyhow::bail;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::{
    body::{self, Body},
    harm::{Fault, Instead, When, misdate},
    shared::Shared,
    upstream::{Link, Upstream},
};
use crate::journal::Journal;

/// How clients connect.
#[derive(Clone)]
pub(super) enum Door {
    Tls(TlsAcceptor),
    Plain,
}

/// One request in the proxy.
struct Errand<'a> {
    request: Request<Full<Bytes>>,
    number: usize,
    is_watch: bool,
    link: &'a Link,
    shared: &'a Shared,
}

impl Door {
    pub(super) fn scheme(&self) -> &'static str {
        match self {
            Self::Tls(_) => "https",
            Self::Plain => "http",
        }
    }
}

/// Accepts connections until the proxy is dropped.
pub(super) async fn run(
    listener: TcpListener,
    door: Door,
    upstream: Upstream,
    shared: Arc<Shared>,
    journal: Journal,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let link = Link::new(upstream.clone());
                    let (door, shared, journal) = (door.clone(), Arc::clone(&shared), journal.clone());
                    connections.spawn(async move {
                        if let Err(error) = welcome(stream, &door, &link, &shared).await {
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

async fn welcome(
    stream: TcpStream,
    door: &Door,
    link: &Link,
    shared: &Shared,
) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    match door {
        Door::Tls(acceptor) => serve(acceptor.accept(stream).await?, link, shared).await,
        Door::Plain => serve(stream, link, shared).await,
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    link: &Link,
    shared: &Shared,
) -> anyhow::Result<()> {
    let service = service_fn(|request| pass(request, link, shared));
    hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

/// Handles one request. An error ends the client's connection without an answer.
async fn pass(
    request: Request<Incoming>,
    link: &Link,
    shared: &Shared,
) -> anyhow::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let (number, fault) = shared.arrive(&parts, &body);
    let query = parts.uri.query().unwrap_or_default();
    let errand = Errand {
        is_watch: query.contains("watch=true") || query.contains("watch=1"),
        request: Request::from_parts(parts, Full::new(body)),
        number,
        link,
        shared,
    };
    let response = shared.unless_silent(errand.run(fault)).await?;
    shared.log.told(number, response.status());
    Ok(response)
}

impl Errand<'_> {
    async fn run(self, fault: Option<Fault>) -> anyhow::Result<Response<Body>> {
        match fault {
            None => self.through().await,
            Some(Fault::Delay(duration)) => {
                tokio::time::sleep(duration).await;
                self.through().await
            }
            Some(Fault::Hold(gate, When::BeforeForward)) => {
                gate.pass().await;
                self.through().await
            }
            Some(Fault::Hold(gate, When::AfterForward)) => {
                let response = self.through().await?;
                gate.pass().await;
                Ok(response)
            }
            Some(Fault::Misdate(seconds)) => {
                let mut response = self.through().await?;
                misdate(response.headers_mut(), seconds);
                Ok(response)
            }
            Some(Fault::Spoil(spoil)) => {
                let is_watch = self.is_watch;
                body::spoil(self.forward().await?, spoil, is_watch).await
            }
            Some(Fault::Instead(when, instead)) => {
                let (number, shared) = (self.number, self.shared);
                if when == When::AfterForward {
                    // When the head of the answer has arrived, the server has done the write.
                    self.forward().await?;
                }
                replace(instead, number, shared).await
            }
        }
    }

    async fn through(self) -> anyhow::Result<Response<Body>> {
        let silence = self.shared.silent.subscribe();
        Ok(body::whole(self.forward().await?, silence))
    }

    async fn forward(self) -> anyhow::Result<Response<Incoming>> {
        let log = &self.shared.log;
        log.forwarded(self.number);
        let response = self.link.forward(self.request).await?;
        log.served(self.number, response.status());
        Ok(response)
    }
}

async fn replace(
    instead: Instead,
    number: usize,
    shared: &Shared,
) -> anyhow::Result<Response<Body>> {
    match instead {
        Instead::Answer(answer) => Ok(answer.response()),
        Instead::HangUp => bail!("the fault proxy closed the connection of request {number}"),
        Instead::Silence => std::future::pending().await,
        Instead::SilenceAll => {
            shared.silent.send_replace(true);
            std::future::pending().await
        }
        Instead::Kill(victim) => {
            victim.kill().await?;
            bail!("the client was killed at its request {number}");
        }
    }
}
