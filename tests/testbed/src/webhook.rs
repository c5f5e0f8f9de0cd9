//! One connection of an admission webhook.

use anyhow::Context as _;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::journal::Journal;

/// Answers each review of a connection; where `answer` fails, with status 500.
pub(crate) async fn serve<A>(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    journal: &Journal,
    answer: impl Fn(Bytes) -> A,
) -> anyhow::Result<()>
where
    A: Future<Output = anyhow::Result<Vec<u8>>>,
{
    let stream = acceptor.accept(stream).await.context("TLS")?;
    let respond = service_fn(|request: Request<Incoming>| {
        let answer = &answer;
        async move {
            let body = request.into_body().collect().await?.to_bytes();
            Ok::<_, hyper::Error>(response(answer(body).await, journal))
        }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), respond);
    connection.await.context("serving")
}

fn response(answered: anyhow::Result<Vec<u8>>, journal: &Journal) -> Response<Full<Bytes>> {
    let (status, body) = match answered {
        Ok(review) => (StatusCode::OK, review),
        Err(error) => {
            journal.note("webhook", format!("{error:#}"));
            let text = format!("{error:#}").into_bytes();
            (StatusCode::INTERNAL_SERVER_ERROR, text)
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
