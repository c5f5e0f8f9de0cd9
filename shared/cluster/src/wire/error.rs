//! Why a request failed, and what to do about it.

use std::time::Duration;

use http::StatusCode;
use mesh_records::Explained;
use serde::Deserialize;

/// A request that did not get the answer it wanted.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Error {
    what: String,
    why: Why,
    retry_after: Option<Duration>,
    rule: Option<String>,
    is_invalid: bool,
    #[source]
    cause: Explained,
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// No answer at all.
    Unreachable,
    /// No answer in time.
    TimedOut,
    /// 401.
    Unauthorized,
    /// 403; [`Error::rule`] says what would allow it.
    Forbidden,
    /// 404.
    NotFound,
    /// 409: somebody else was faster.
    Conflict,
    /// 410: the version or token is too old.
    Gone,
    /// 429 or 503: later perhaps.
    Busy,
    /// Any other 4xx: this request is wrong, or an admission webhook said no.
    Refused,
    /// Any other 5xx.
    Broken,
    /// An answer that is not what it should be.
    Malformed,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    message: String,
}

// === impl Error ===

impl Error {
    /// Why it failed.
    pub fn why(&self) -> Why {
        self.why
    }

    /// What was asked.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What the API server said.
    pub fn reason(&self) -> String {
        self.cause.to_string()
    }

    /// The RBAC rule that would allow it.
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }

    /// When the API server wants to be asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether the object that was sent would not be valid (422).
    pub fn is_invalid(&self) -> bool {
        self.is_invalid
    }

    pub(crate) fn new(what: &str, why: Why, message: &str, hint: &str) -> Self {
        let cause = Explained::new(message, hint);
        Self {
            what: what.to_owned(),
            why,
            retry_after: None,
            rule: None,
            is_invalid: false,
            cause,
        }
    }

    pub(crate) fn malformed(what: &str, message: &str) -> Self {
        Self::new(
            what,
            Why::Malformed,
            message,
            "is something between here and the API server?",
        )
    }

    pub(crate) fn timed_out(what: &str, server: &str, deadline: Duration) -> Self {
        let message = format!("no answer from {server} within {}s", deadline.as_secs());
        Self::new(
            what,
            Why::TimedOut,
            &message,
            "is it the right context? see --request-timeout",
        )
    }

    pub(crate) fn unreachable(what: &str, server: &str, cause: &str) -> Self {
        let message = format!("no answer from {server}: {cause}");
        Self::new(
            what,
            Why::Unreachable,
            &message,
            "is it the right context, and does it run?",
        )
    }

    pub(crate) fn answered(
        what: &str,
        rule: Option<String>,
        status: StatusCode,
        retry_after: Option<Duration>,
        body: &[u8],
    ) -> Self {
        let said: Status = serde_json::from_slice(body).unwrap_or_default();
        let message = if said.message.is_empty() {
            status.to_string()
        } else {
            said.message
        };
        let why = Why::of(status);
        let hint = match (why, &rule) {
            (Why::Forbidden, Some(rule)) => format!("allow it with the RBAC rule {rule}"),
            (Why::Unauthorized, _) => {
                "are the credentials of the kubeconfig still valid?".to_owned()
            }
            (Why::Busy, _) => "the API server is busy; try again later".to_owned(),
            (_, _) => String::new(),
        };
        let cause = Explained::new(message, hint);
        let rule = rule.filter(|_| why == Why::Forbidden);
        Self {
            what: what.to_owned(),
            why,
            retry_after,
            rule,
            is_invalid: status == StatusCode::UNPROCESSABLE_ENTITY,
            cause,
        }
    }
}

// === impl Why ===

impl Why {
    fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            409 => Self::Conflict,
            410 => Self::Gone,
            429 | 503 => Self::Busy,
            400..=499 => Self::Refused,
            _ => Self::Broken,
        }
    }
}

/// An error with all of its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
