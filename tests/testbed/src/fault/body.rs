//! Bodies of answers: whole, or damaged by a fault.

use std::io::Write as _;
use std::sync::LazyLock;

use anyhow::anyhow;
use flate2::{Compression, write::GzEncoder};
use futures::stream;
use http::{HeaderValue, Response, header, response::Parts};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use tokio::sync::watch;

pub(super) type Body = UnsyncBoxBody<Bytes, anyhow::Error>;

/// Becomes true when no more data passes through the proxy.
pub(super) type Silence = watch::Receiver<bool>;

/// The length of a bomb when it is decompressed, in MiB: more than any answer has.
const GROWN: usize = 65;
const GARBAGE: &[u8] = b"<html>it works!</html>\n";

/// How an answer's body is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoil {
    Cut(usize),
    CutInTheMiddle,
    Halve,
    Garble,
    /// Replaced by a small body that grows when it is decompressed.
    Bomb,
}

/// Runs `future`, but never returns once the proxy is silent.
pub(super) async fn unless_silent<F: Future>(silence: &mut Silence, future: F) -> F::Output {
    let silent = async {
        if silence.wait_for(|silent| *silent).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        () = silent => std::future::pending().await,
        output = future => output,
    }
}

/// Passes the body on until the proxy is silent.
pub(super) fn whole(response: Response<Incoming>, silence: Silence) -> Response<Body> {
    response.map(|body| {
        let frames = stream::unfold((body, silence), |(mut body, mut silence)| async move {
            let frame = unless_silent(&mut silence, body.frame()).await?;
            Some((frame.map_err(anyhow::Error::from), (body, silence)))
        });
        StreamBody::new(frames).boxed_unsync()
    })
}

/// Damages an answer. Reads all of it first, unless it is a watch's.
pub(super) async fn spoil(
    response: Response<Incoming>,
    spoil: Spoil,
    is_watch: bool,
) -> anyhow::Result<Response<Body>> {
    let (mut head, mut body) = response.into_parts();
    if let Spoil::Cut(bytes) = spoil {
        return Ok(Response::from_parts(head, cut(body, bytes)));
    }
    if spoil == Spoil::Garble {
        return Ok(replaced(head, Bytes::from_static(GARBAGE)));
    }
    if spoil == Spoil::Bomb {
        let mut answer = replaced(head, bomb());
        let gzip = HeaderValue::from_static("gzip");
        answer.headers_mut().insert(header::CONTENT_ENCODING, gzip);
        return Ok(answer);
    }
    let data = if is_watch {
        first_frame(&mut body).await?
    } else {
        body.collect().await?.to_bytes()
    };
    let half = data.slice(..data.len() / 2);
    if spoil == Spoil::Halve {
        return Ok(replaced(head, half));
    }
    if is_watch {
        head.headers.remove(header::CONTENT_LENGTH);
    }
    let frames = stream::unfold(Some(half), broken_off);
    let body = StreamBody::new(frames).boxed_unsync();
    Ok(Response::from_parts(head, body))
}

/// Returns a gzip body that grows a hundredfold, to spaces.
fn bomb() -> Bytes {
    static BOMB: LazyLock<Bytes> = LazyLock::new(|| {
        let mut body = GzEncoder::new(Vec::new(), Compression::fast());
        for _ in 0..GROWN {
            body.write_all(&[b' '; 1 << 20])
                .expect("memory can be written");
        }
        body.finish().expect("memory can be written").into()
    });
    BOMB.clone()
}

async fn first_frame(body: &mut Incoming) -> anyhow::Result<Bytes> {
    match body.frame().await {
        Some(frame) => Ok(frame?.into_data().unwrap_or_default()),
        None => Ok(Bytes::new()),
    }
}

/// Makes an answer with another body and the matching length.
fn replaced(mut head: Parts, body: Bytes) -> Response<Body> {
    for name in [
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONTENT_ENCODING,
    ] {
        head.headers.remove(name);
    }
    let body = Full::new(body).map_err(|never| match never {});
    Response::from_parts(head, body.boxed_unsync())
}

type Broken = Result<Frame<Bytes>, anyhow::Error>;

/// Sends the data and then an error, which ends the connection.
async fn broken_off(data: Option<Bytes>) -> Option<(Broken, Option<Bytes>)> {
    match data {
        Some(data) if !data.is_empty() => {
            let left = Some(Bytes::new());
            Some((Ok(Frame::data(data)), left))
        }
        Some(_) => Some((Err(out().await), None)),
        None => None,
    }
}

// Data before an error is sent only if the connection gets a turn before the error.
async fn out() -> anyhow::Error {
    tokio::task::yield_now().await;
    anyhow!("the answer was cut")
}

/// Sends the first `bytes` bytes and then an error, which ends the connection.
fn cut(body: Incoming, bytes: usize) -> Body {
    let frames = stream::unfold((body, bytes, false), |(mut body, left, ended)| async move {
        if ended {
            return None;
        }
        if left == 0 {
            return Some((Err(out().await), (body, 0, true)));
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
