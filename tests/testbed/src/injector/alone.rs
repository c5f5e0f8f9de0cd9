//! A stand-in for a release's injector as a program, as `LINKERD_INJECTOR` starts one.
//!
//! Like the real one it reads its TLS pair once, the configuration and the trust roots anew for
//! each pod, from paths that are constants, and takes its version from its environment.

use std::{fs, net::SocketAddr, path::Path, process::ExitCode, sync::Arc};

use anyhow::{Context as _, bail};
use kube::{Client, Config, config::Kubeconfig};
use tokio::net::TcpListener;

use super::{inject::Mesh, listen::tls_acceptor, owner::Owners, review, values::Values};
use crate::{journal::Journal, webhook};

const MOUNTED: &str = "/var/run/linkerd";

/// Runs the program.
pub fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the program's one error printer")]
fn complain(error: &anyhow::Error) {
    eprintln!("injector: {error:#}");
}

#[tokio::main(flavor = "current_thread")]
async fn run() -> anyhow::Result<()> {
    let address = address(std::env::args().skip(1))?;
    let pair = ["tls/tls.crt", "tls/tls.key"].map(read);
    let [certificate, key] = pair;
    let acceptor = tls_acceptor(certificate?.as_bytes(), key?.as_bytes())?;
    let config = Config::from_custom_kubeconfig(Kubeconfig::read()?, &Default::default()).await?;
    let (client, owners) = (Client::try_from(config)?, Arc::new(Owners::default()));
    let journal = Journal::open(Path::new("/dev/stderr"))?;
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, peer) = listener.accept().await?;
        let (acceptor, journal) = (acceptor.clone(), journal.clone());
        let (client, owners) = (client.clone(), Arc::clone(&owners));
        tokio::spawn(async move {
            let answer = |body: hyper::body::Bytes| {
                let (client, owners) = (&client, &owners);
                async move { review::review(client, owners, Some(Arc::new(mesh()?)), &body).await }
            };
            if let Err(error) = webhook::serve(stream, &acceptor, &journal, answer).await {
                journal.note("injector", format!("{peer}: {error:#}"));
            }
        });
    }
}

// The two flags of the real program that matter here, spelled as Go does.
fn address(args: impl Iterator<Item = String>) -> anyhow::Result<SocketAddr> {
    let mut address = None;
    for arg in args {
        match arg.split_once('=') {
            Some(("-addr", given)) => address = Some(given.parse()?),
            Some(("-metrics-addr", _)) => {}
            Some(_) | None => bail!("no flag of an injector: {arg}"),
        }
    }
    address.context("-addr is missing")
}

fn read(name: &str) -> anyhow::Result<String> {
    let path = Path::new(MOUNTED).join(name);
    fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the real program takes its version from there"
)]
fn mesh() -> anyhow::Result<Mesh> {
    Ok(Mesh {
        values: Values::parse(&read("config/values")?)?,
        trust_roots: read("identity/trust-roots/ca-bundle.crt")?,
        version: std::env::var("LINKERD_CONTAINER_VERSION_OVERRIDE")?,
    })
}
