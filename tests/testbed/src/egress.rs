//! The API server's way into the cluster. Every connection that it opens to a Service or a pod goes
//! through here, so none leaves this machine, and the injector can be reached at its pods'
//! addresses as well as at its Service's.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpStream, UnixListener, UnixStream},
    task::JoinSet,
};

use crate::{injector::Injector, journal::Journal, place::Place};

/// The socket at which the API server asks for connections.
const SOCKET: &str = "egress.sock";
const REQUEST_LIMIT: usize = 4096;

/// Opens connections for the API server.
#[derive(Clone, Debug)]
pub(crate) struct Egress {
    socket: PathBuf,
    injector: Injector,
    journal: Journal,
}

/// Returns the configuration that sends the API server's connections into the cluster through this
/// proxy.
pub(crate) fn configuration(place: &Place) -> String {
    let socket = place.path(SOCKET);
    format!(
        "apiVersion: apiserver.k8s.io/v1beta1\n\
         kind: EgressSelectorConfiguration\n\
         egressSelections:\n\
         - name: cluster\n\
         \x20 connection:\n\
         \x20   proxyProtocol: HTTPConnect\n\
         \x20   transport: {{uds: {{udsName: {}}}}}\n",
        socket.display()
    )
}

impl Egress {
    pub(crate) fn new(place: &Place, injector: Injector, journal: Journal) -> Self {
        Self {
            socket: place.path(SOCKET),
            injector,
            journal,
        }
    }

    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let listener = UnixListener::bind(&self.socket)
            .with_context(|| format!("listening at {}", self.socket.display()))?;
        let mut tunnels = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, _) = accepted.context("accepting the API server")?;
                    let egress = self.clone();
                    tunnels.spawn(async move {
                        if let Err(error) = egress.tunnel(stream).await {
                            egress.journal.note("egress", format!("{error:#}"));
                        }
                    });
                }
                Some(_) = tunnels.join_next(), if !tunnels.is_empty() => {}
            }
        }
    }

    async fn tunnel(&self, mut from: UnixStream) -> anyhow::Result<()> {
        let wanted = requested(&mut from).await?;
        let reached = match self.resolve(wanted) {
            Some(address) => TcpStream::connect(address).await.ok(),
            None => None,
        };
        let Some(mut to) = reached else {
            from.write_all(b"HTTP/1.1 502 connection refused\r\n\r\n")
                .await?;
            bail!("nobody listens at {wanted}");
        };
        from.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
        // Both sides may close the connection at any time.
        drop(copy_bidirectional(&mut from, &mut to).await);
        Ok(())
    }

    // A Service's address is loopback. Any other address is a pod's, and only the injector's pods
    // serve.
    fn resolve(&self, wanted: SocketAddr) -> Option<SocketAddr> {
        match wanted.ip() {
            IpAddr::V4(address) if address.is_loopback() => Some(wanted),
            IpAddr::V4(_) | IpAddr::V6(_) => self.injector.address(),
        }
    }
}

// Reads a request `CONNECT HOST:PORT HTTP/1.1`, headers, and a blank line.
async fn requested(stream: &mut UnixStream) -> anyhow::Result<SocketAddr> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if request.len() > REQUEST_LIMIT {
            bail!("the CONNECT request has no end");
        }
        request.push(stream.read_u8().await?);
    }
    let request = String::from_utf8(request).context("a CONNECT request")?;
    let address = request
        .strip_prefix("CONNECT ")
        .and_then(|rest| rest.split(' ').next())
        .with_context(|| format!("not a CONNECT request: {request}"))?;
    address
        .parse()
        .with_context(|| format!("connecting to {address}"))
}
