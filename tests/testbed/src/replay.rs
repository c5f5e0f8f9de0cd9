//! Answers as a cluster that is many times larger: each object of the long lists comes again under
//! other names of the same length.

use std::{collections::BTreeMap, convert::Infallible, net::Ipv4Addr, path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use futures::stream;
use http::{HeaderValue, Request, Response, header, response::Parts};
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Bytes, Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use kube::{Client, client::Body};
use tokio::net::TcpListener;

use crate::{kubeconfig, load::ROUND};

/// The lists that grow with a cluster.
const LONG: [&str; 4] = [
    "/api/v1/namespaces",
    "/api/v1/pods",
    "/apis/apps/v1/deployments",
    "/apis/apps/v1/replicasets",
];
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const MAGIC: &[u8] = b"k8s\0";

/// A server that gives each answer of another one, and the long ones many times.
pub(crate) struct Replay {
    client: Client,
    times: u8,
    long: BTreeMap<&'static str, List>,
}

/// A list in protobuf, in parts.
#[derive(Clone, Debug)]
struct List {
    head: Bytes,
    meta: Bytes,
    items: Bytes,
    tail: Bytes,
}

// === impl Replay ===

impl Replay {
    /// Reads the long lists. They are kept as they are; what is sent is made while it is sent.
    pub(crate) async fn of(client: Client, times: u8) -> anyhow::Result<Self> {
        let mut long = BTreeMap::new();
        for path in LONG {
            let (head, body) = ask(&client, path, PROTOBUF).await?;
            if !head.status.is_success() {
                bail!("{path}: {}", head.status);
            }
            let list = List::of(&body).with_context(|| format!("reading {path}"))?;
            long.insert(path, list);
        }
        Ok(Self {
            client,
            times,
            long,
        })
    }

    /// Writes a kubeconfig and serves until the program ends.
    pub(crate) async fn serve(self, kubeconfig: &Path) -> anyhow::Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let server = format!("http://{}", listener.local_addr()?);
        let text = kubeconfig::render("replay", &server, "", kubeconfig::Credentials::None);
        std::fs::write(kubeconfig, text)?;
        let replay = Arc::new(self);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let replay = Arc::clone(&replay);
            tokio::spawn(async move {
                let answer = service_fn(|request| replay.answer(request));
                let connection = hyper::server::conn::http1::Builder::new();
                // A client that hangs up needs no answer.
                drop(
                    connection
                        .serve_connection(TokioIo::new(stream), answer)
                        .await,
                );
            });
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> anyhow::Result<Response<UnsyncBoxBody<Bytes, Infallible>>> {
        let accept = request.headers().get(header::ACCEPT);
        let accept = accept
            .and_then(|form| form.to_str().ok())
            .unwrap_or_default();
        if let Some(list) = self.long.get(request.uri().path()) {
            let frames = list
                .clone()
                .times(self.times)
                .map(|bytes| Ok(Frame::data(bytes)));
            let mut response = Response::new(StreamBody::new(stream::iter(frames)).boxed_unsync());
            let form = HeaderValue::from_static(PROTOBUF);
            response.headers_mut().insert(header::CONTENT_TYPE, form);
            return Ok(response);
        }
        let path = request.uri().path_and_query().map_or("/", |it| it.as_str());
        let (head, body) = ask(&self.client, path, accept).await?;
        let frame = stream::iter([Ok(Frame::data(body))]);
        let mut response = Response::new(StreamBody::new(frame).boxed_unsync());
        *response.status_mut() = head.status;
        for name in [header::CONTENT_TYPE, header::DATE] {
            if let Some(value) = head.headers.get(&name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        Ok(response)
    }
}

async fn ask(client: &Client, path: &str, accept: &str) -> anyhow::Result<(Parts, Bytes)> {
    let request = Request::get(path).header(header::ACCEPT, accept);
    let (head, body) = client
        .send(request.body(Body::empty())?)
        .await?
        .into_parts();
    let body = body.collect().await?.to_bytes();
    Ok((head, body))
}

// === impl List ===

impl List {
    /// Takes a list apart: `k8s\0`, a type, the list in the field 2, and two short texts. Of the list
    /// the metadata is the field 1, and all that follows is objects.
    fn of(body: &Bytes) -> anyhow::Result<Self> {
        let mut at = MAGIC.len();
        let kind = field(body, &mut at)?;
        let head = body.slice(..at);
        let raw = field(body, &mut at)?;
        if kind.0 != 0x0a || raw.0 != 0x12 {
            bail!("this is no list");
        }
        let (list, mut end) = (body.slice(raw.1.clone()), 0);
        field(&list, &mut end)?;
        Ok(Self {
            head,
            meta: list.slice(..end),
            items: list.slice(end..),
            tail: body.slice(raw.1.end..),
        })
    }

    /// The parts of the list with all objects so many times.
    fn times(self, times: u8) -> impl Iterator<Item = Bytes> {
        let Self {
            head,
            meta,
            items,
            tail,
        } = self;
        let length = meta.len() + items.len() * usize::from(times);
        let mut raw = vec![0x12];
        varint(&mut raw, length);
        let copies = (0..times).flat_map(move |round| pieces(items.clone(), round));
        [head, raw.into(), meta]
            .into_iter()
            .chain(copies)
            .chain([tail])
    }
}

/// Every piece ends before a name.
fn pieces(items: Bytes, round: u8) -> impl Iterator<Item = Bytes> {
    const PIECE: usize = 1 << 18;
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = items.get(at..).filter(|rest| !rest.is_empty())?;
        let mut length = rest.len().min(PIECE);
        let name = ROUND.as_bytes();
        while length < rest.len()
            && (1..name.len()).any(|part| rest[..length].ends_with(&name[..part]))
        {
            length += 1;
        }
        at += length;
        Some(renamed(&rest[..length], round))
    })
}

fn renamed(bytes: &[u8], round: u8) -> Bytes {
    let (from, to) = (ROUND.as_bytes(), format!("round-{round:02}"));
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(from.len()).position(|it| it == from) {
        bytes[at + found..at + found + from.len()].copy_from_slice(to.as_bytes());
        at += found + from.len();
    }
    bytes.into()
}

/// Returns the tag of a field with a length, and where its bytes are; `at` is then after it.
fn field(bytes: &[u8], at: &mut usize) -> anyhow::Result<(u8, std::ops::Range<usize>)> {
    let tag = *bytes.get(*at).context("it is cut")?;
    *at += 1;
    let (mut length, mut shift) = (0, 0);
    loop {
        let byte = *bytes.get(*at).context("it is cut")?;
        *at += 1;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            break;
        }
    }
    let range = *at..*at + length;
    *at = range.end;
    if range.end > bytes.len() {
        bail!("it is cut");
    }
    Ok((tag, range))
}

fn varint(bytes: &mut Vec<u8>, mut number: usize) {
    while number > 0x7f {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}
