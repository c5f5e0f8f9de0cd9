//! The faults that can happen to a request.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use jiff::{Timestamp, fmt::rfc2822};
use serde_json::json;

use super::{
    body::{Body, Spoil},
    gate::{Gate, Victim},
};

/// A fault that happens to a request.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    Hold(Gate, When),
    Delay(Duration),
    /// The client does not get the server's answer; the server may have handled the request or not.
    Instead(When, Instead),
    /// The client gets only a damaged answer.
    Spoil(Spoil),
    /// The client gets the answer with a `Date` that is so many seconds off.
    Misdate(i64),
}

/// Moves the `Date` of an answer by some seconds, as from an API server whose clock is wrong.
pub(super) fn misdate(headers: &mut HeaderMap, seconds: i64) {
    let date = headers
        .get(header::DATE)
        .and_then(|date| date.to_str().ok());
    let Some(date) = date.and_then(|date| rfc2822::parse(date).ok()) else {
        return;
    };
    let wrong = date.timestamp().as_second().saturating_add(seconds);
    let wrong = Timestamp::from_second(wrong).ok();
    let wrong = wrong.and_then(|wrong| {
        rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&wrong)
            .ok()
    });
    if let Some(wrong) = wrong.and_then(|wrong| HeaderValue::try_from(wrong).ok()) {
        headers.insert(header::DATE, wrong);
    }
}

/// Whether a fault happens before or after the server handles the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The server does not get the request.
    BeforeForward,
    /// The server handles the request, but the client does not get the answer.
    AfterForward,
}

/// What a client gets instead of an answer.
#[derive(Clone, Debug)]
pub(super) enum Instead {
    Kill(Victim),
    HangUp,
    Silence,
    SilenceAll,
    Answer(Answer),
}

/// An answer that the proxy gives instead of the server.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Bytes,
}

impl Answer {
    pub(super) fn new(status: StatusCode, body: &str) -> Self {
        Self {
            status,
            retry_after: None,
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    /// Makes an error in the API server's form.
    pub(super) fn error(status: StatusCode) -> Self {
        let body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": format!("the test says {status}"), "reason": reason(status), "code": status.as_u16(),
        });
        Self::new(status, &body.to_string())
    }

    pub(super) fn again_after(self, duration: Duration) -> Self {
        Self {
            retry_after: Some(duration),
            ..self
        }
    }

    pub(super) fn response(self) -> Response<Body> {
        let Self {
            status,
            retry_after,
            body,
        } = self;
        let body = Full::new(body).map_err(|never| match never {});
        let mut response = Response::new(body.boxed_unsync());
        *response.status_mut() = status;
        let json = HeaderValue::from_static("application/json");
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(after) = retry_after {
            headers.insert(header::RETRY_AFTER, after.as_secs().into());
        }
        response
    }
}

fn reason(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    }
}
