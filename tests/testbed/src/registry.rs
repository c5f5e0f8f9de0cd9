//! A registry of charts on loopback, as helm pulls from one (the OCI distribution protocol), with TLS.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::{bed::Bed, injector::tls_acceptor, journal::Journal, pki::Authority};

/// A registry that runs until its bed ends.
#[derive(Debug)]
pub struct Registry {
    /// Where the charts are; `/NAME` follows.
    pub charts: String,
    /// The authority that clients must trust, in PEM.
    pub authority: PathBuf,
}

// What is served, by its path: the media type and the bytes.
type Contents = BTreeMap<String, (String, Bytes)>;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
const ARCHIVE: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

impl Bed {
    /// Serves these archives of charts, each called `NAME-VERSION.tgz`.
    pub fn registry(&self, archives: &[PathBuf]) -> anyhow::Result<Registry> {
        let mut contents = Contents::new();
        for archive in archives {
            let name = archive.file_stem().and_then(|name| name.to_str());
            let (name, version) = name
                .and_then(|name| name.rsplit_once('-'))
                .with_context(|| format!("{} is not NAME-VERSION.tgz", archive.display()))?;
            contents.extend(stored(name, version, fs::read(archive)?));
        }
        let folder = archives.first().and_then(|path| path.parent());
        let file = folder.context("no archive")?.join("registry-ca.pem");
        let authority = Authority::new("registry")?;
        fs::write(&file, authority.certificate())?;
        let pair = authority.admin("registry", &[[127, 0, 0, 1].into()])?;
        let acceptor = tls_acceptor(pair.certificate.as_bytes(), pair.key.as_bytes())?;
        let listener = self.block_on(TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))))?;
        let address = listener.local_addr()?;
        let (contents, journal) = (Arc::new(contents), self.journal.clone());
        self.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (contents, acceptor) = (Arc::clone(&contents), acceptor.clone());
                tokio::spawn(served(stream, acceptor, contents, journal.clone()));
            }
        });
        Ok(Registry {
            charts: format!("oci://{address}/charts"),
            authority: file,
        })
    }
}

async fn served(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    contents: Arc<Contents>,
    journal: Journal,
) {
    let serving = async {
        let stream = acceptor.accept(stream).await.context("TLS")?;
        let respond = service_fn(|request: Request<Incoming>| {
            let response = answer(&contents, request.uri().path());
            async { response }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), respond);
        connection.await.context("serving")
    };
    if let Err(error) = serving.await {
        journal.note("registry", format!("{error:#}"));
    }
}

fn answer(contents: &Contents, path: &str) -> http::Result<Response<Full<Bytes>>> {
    let (status, kind, body) = match contents.get(path) {
        Some((kind, body)) => (StatusCode::OK, kind.as_str(), body.clone()),
        None => {
            let error = json!({ "errors": [{ "code": "MANIFEST_UNKNOWN", "message": path }] });
            let body = Bytes::from(error.to_string());
            (StatusCode::NOT_FOUND, "application/json", body)
        }
    };
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, kind)
        .header("Docker-Content-Digest", digest(&body))
        .body(Full::new(body))
}

// A chart is a manifest that names two blobs by their digests.
fn stored(name: &str, version: &str, archive: Vec<u8>) -> Contents {
    let config = json!({ "name": name, "version": version, "apiVersion": "v2" });
    let config = Bytes::from(config.to_string());
    let archive = Bytes::from(archive);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": described(CONFIG, &config),
        "layers": [described(ARCHIVE, &archive)],
    });
    let manifest = Bytes::from(manifest.to_string());
    let path = |kind: &str, reference: &str| format!("/v2/charts/{name}/{kind}/{reference}");
    let blob = |body: Bytes| {
        let kind = "application/octet-stream".to_owned();
        (path("blobs", &digest(&body)), (kind, body))
    };
    let manifest = |reference: &str| {
        let served = (MANIFEST.to_owned(), manifest.clone());
        (path("manifests", reference), served)
    };
    let by_digest = manifest(&digest(&manifest(version).1.1));
    [blob(config), blob(archive), manifest(version), by_digest].into()
}

fn described(kind: &str, body: &Bytes) -> Value {
    json!({ "mediaType": kind, "digest": digest(body), "size": body.len() })
}

fn digest(body: &[u8]) -> String {
    let hash = Sha256::digest(body);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
