//! One request with the user's credentials, and its answer.

use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use kube::client::Body;

use crate::wire::cause::cause;
use crate::wire::connect::Cluster;
use crate::wire::error::Error;

/// The longest answer but for a list. The API server takes no larger request than 3 MiB and etcd no
/// larger object than 1.5 MiB, so no object, and no list of kinds, comes near it.
pub(crate) const ANSWER: usize = 8 << 20;
/// The longest page of a list: 500 objects of 128 KiB, many times a usual pod. A list with larger
/// objects is read in smaller pages.
pub(crate) const LIST: usize = 64 << 20;

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
        let mut pass = self.pass(what).await?;
        loop {
            let exchange = async {
                let head = self.head(what, call, &pass).await?;
                let status = head.status();
                let retry_after = head.headers().get(header::RETRY_AFTER);
                let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
                let bytes = self.body(what, head.into_body(), cap).await?;
                Ok(Answer {
                    status,
                    retry_after: retry_after.map(Duration::from_secs),
                    bytes,
                })
            };
            let answer = tokio::time::timeout(patience, exchange).await;
            let Ok(answer) = answer else {
                return Err(Error::timed_out(what, self.server(), patience));
            };
            let answer = answer?;
            if answer.status != StatusCode::UNAUTHORIZED || !self.renew(what, &mut pass).await? {
                return Ok(answer);
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

    /// Reads a body that is no longer than `cap` after it was decompressed.
    pub(crate) async fn body(
        &self,
        what: &str,
        mut body: Body,
        cap: usize,
    ) -> Result<Vec<u8>, Error> {
        // A page of pods has megabytes. Reading it frame by frame keeps one copy in memory instead
        // of three.
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| Error::unreachable(what, self.server(), cause(&error)))?;
            let data: &[u8] = frame.data_ref().map_or(&[], |data| data.as_ref());
            if bytes.len().saturating_add(data.len()) > cap {
                return Err(Error::oversized(what, cap));
            }
            bytes.extend_from_slice(data);
        }
        Ok(bytes)
    }
}
