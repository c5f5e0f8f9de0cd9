//! One request with the user's credentials, and its answer.

use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use kube::client::Body;
use tokio::time::Instant;

use crate::wire::cause::cause;
use crate::wire::connect::Cluster;
use crate::wire::error::Error;

/// The longest answer but for a list. The API server takes no larger request than 3 MiB and etcd no
/// larger object than 1.5 MiB, so no object, and no list of kinds, comes near it.
pub(crate) const ANSWER: usize = 8 << 20;
/// The longest page of a list: 500 objects of 128 KiB, many times a usual pod. A list with larger
/// objects is read in smaller pages.
pub(crate) const LIST: usize = 64 << 20;

/// The form in which the API server keeps objects of built-in kinds.
pub(crate) const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// A request before it has credentials.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) accept: &'a str,
    /// Its form and its bytes.
    pub(crate) body: Option<(&'a str, &'a [u8])>,
}

/// The credentials of one request.
pub(crate) struct Pass {
    header: Option<HeaderValue>,
    is_renewed: bool,
}

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    retry_after: Option<Duration>,
    pub(crate) bytes: Vec<u8>,
}

/// An answer whose head has come.
pub(crate) struct Opened<'a> {
    cluster: &'a Cluster,
    what: &'a str,
    limit: Limit,
    head: http::Response<Body>,
}

/// How long an exchange may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    since: Instant,
    patience: Duration,
}

// === impl Call ===

impl<'a> Call<'a> {
    /// A read.
    pub(crate) fn get(path: &'a str, accept: &'a str) -> Self {
        Self {
            method: Method::GET,
            path,
            accept,
            body: None,
        }
    }
}

// === impl Answer ===

impl Answer {
    /// The error of an answer without a success status.
    pub(crate) fn error(&self, what: &str, rule: Option<String>) -> Error {
        Error::answered(what, rule, self.status, self.retry_after, &self.bytes)
    }
}

// === impl Cluster ===

impl Cluster {
    /// Sends a request with the user's credentials and reads the whole answer.
    pub(crate) async fn exchange(
        &self,
        what: &str,
        call: &Call<'_>,
        patience: Duration,
        cap: usize,
    ) -> Result<Answer, Error> {
        self.open(what, call, patience).await?.whole(cap).await
    }

    /// Sends a request with the user's credentials and waits for the head of its answer.
    pub(crate) async fn open<'a>(
        &'a self,
        what: &'a str,
        call: &Call<'_>,
        patience: Duration,
    ) -> Result<Opened<'a>, Error> {
        let mut pass = self.pass(what).await?;
        loop {
            let limit = Limit::after(patience);
            let head = limit.wait(what, self, self.head(what, call, &pass)).await?;
            let is_refused = head.status() == StatusCode::UNAUTHORIZED;
            if !is_refused || !self.renew(what, &mut pass).await? {
                return Ok(Opened {
                    cluster: self,
                    what,
                    limit,
                    head,
                });
            }
        }
    }

    /// Returns the credentials for a request.
    pub(crate) async fn pass(&self, what: &str) -> Result<Pass, Error> {
        let header = self.credentials.header(self.now()).await;
        let header = header.map_err(|error| Error::without_credentials(what, error))?;
        Ok(Pass {
            header,
            is_renewed: false,
        })
    }

    /// Renews credentials that the API server refused, once for a request.
    pub(crate) async fn renew(&self, what: &str, pass: &mut Pass) -> Result<bool, Error> {
        if std::mem::replace(&mut pass.is_renewed, true) {
            return Ok(false);
        }
        let renewed = self.credentials.renewed(pass.header.as_ref()).await;
        let renewed = renewed.map_err(|error| Error::without_credentials(what, error))?;
        let is_new = renewed.is_some();
        pass.header = renewed.or_else(|| pass.header.take());
        Ok(is_new)
    }

    /// Sends a request and waits for the head of its answer, without a time limit.
    pub(crate) async fn head(
        &self,
        what: &str,
        call: &Call<'_>,
        pass: &Pass,
    ) -> Result<http::Response<Body>, Error> {
        let mut request = http::Request::builder()
            .method(call.method.clone())
            .uri(call.path)
            .header(header::ACCEPT, call.accept);
        if let Some(header) = &pass.header {
            request = request.header(header::AUTHORIZATION, header);
        }
        // Without this the client asks for gzip, and a list of pods takes the API server several
        // times as long: only a network that is slower than its processor makes up for that.
        if self.is_near {
            request = request.header(header::ACCEPT_ENCODING, "identity");
        }
        let request = match call.body {
            Some((form, body)) => request
                .header(header::CONTENT_TYPE, form)
                .body(Body::from(body.to_vec())),
            None => request.body(Body::empty()),
        };
        let request = request.map_err(|_| Error::malformed(what, "the request has no address"))?;
        let answer = self.client.send(request).await;
        let answer =
            answer.map_err(|error| Error::unreachable(what, self.server(), cause(&error)))?;
        self.read_clock(answer.headers());
        Ok(answer)
    }

    /// Waits for the next bytes of a body; `None` after the last.
    pub(crate) async fn bytes_of(
        &self,
        what: &str,
        body: &mut Body,
    ) -> Result<Option<impl AsRef<[u8]> + use<>>, Error> {
        match body.frame().await {
            Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
            Some(Err(error)) => Err(Error::unreachable(what, self.server(), cause(&error))),
            None => Ok(None),
        }
    }
}

// === impl Opened ===

impl Opened<'_> {
    pub(crate) fn status(&self) -> StatusCode {
        self.head.status()
    }

    /// Returns true if the answer is in protobuf.
    pub(crate) fn is_protobuf(&self) -> bool {
        let form = self.head.headers().get(header::CONTENT_TYPE);
        form.is_some_and(|form| form.as_bytes().starts_with(PROTOBUF.as_bytes()))
    }

    /// Returns the time limit of the exchange.
    pub(crate) fn limit(&self) -> Limit {
        self.limit
    }

    pub(crate) fn into_body(self) -> Body {
        self.head.into_body()
    }

    /// Reads the body, which is no longer than `cap` after it was decompressed.
    pub(crate) async fn whole(self, cap: usize) -> Result<Answer, Error> {
        let Self {
            cluster,
            what,
            limit,
            head,
        } = self;
        let status = head.status();
        let retry_after = head.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        let mut body = head.into_body();
        // A page of pods has megabytes. Reading it frame by frame keeps one copy in memory instead
        // of three.
        let mut bytes = Vec::new();
        while let Some(data) = limit
            .wait(what, cluster, cluster.bytes_of(what, &mut body))
            .await?
        {
            let data = data.as_ref();
            if bytes.len().saturating_add(data.len()) > cap {
                return Err(Error::oversized(what, cap));
            }
            bytes.extend_from_slice(data);
        }
        Ok(Answer {
            status,
            retry_after: retry_after.map(Duration::from_secs),
            bytes,
        })
    }
}

// === impl Limit ===

impl Limit {
    /// A time limit from this moment on.
    pub(crate) fn after(patience: Duration) -> Self {
        Self {
            since: Instant::now(),
            patience,
        }
    }

    /// The same time from this moment on.
    pub(crate) fn again(self) -> Self {
        Self::after(self.patience)
    }

    /// Waits for a step of an exchange, until the limit.
    pub(crate) async fn wait<T>(
        &self,
        what: &str,
        cluster: &Cluster,
        step: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let left = self.patience.saturating_sub(self.since.elapsed());
        match tokio::time::timeout(left, step).await {
            Ok(done) => done,
            Err(_) => Err(Error::timed_out(what, cluster.server(), self.patience)),
        }
    }
}
