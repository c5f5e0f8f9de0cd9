//! Why a request failed, and what to do about it.

use std::time::Duration;

use http::StatusCode;
use mesh_records::Explained;

use crate::wire::said::{Said, said};

/// A request that failed.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Error {
    what: String,
    why: Why,
    retry_after: Option<Duration>,
    rule: Option<String>,
    is_invalid: bool,
    is_oversized: bool,
    may_be_too_long: bool,
    is_untaken: bool,
    is_terminating: bool,
    budget: Option<String>,
    #[source]
    cause: Explained,
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The API server did not answer.
    Unreachable,
    /// The API server did not answer in time.
    TimedOut,
    /// 401.
    Unauthorized,
    /// 403; [`Error::rule`] is the RBAC rule that would allow the request.
    Forbidden,
    /// 404.
    NotFound,
    /// 409: somebody else changed the object first.
    Conflict,
    /// 410: the resourceVersion or continue token has expired.
    Gone,
    /// 429 or 503: a later attempt may succeed.
    Busy,
    /// Any other 4xx: the request is invalid, or an admission webhook refused it.
    Refused,
    /// Any other 5xx.
    Broken,
    /// The answer does not have the expected form.
    Malformed,
}

/// What the API server says of a pod that it cannot evict, because two budgets count it.
const TWO_BUDGETS: &str = "more than one PodDisruptionBudget";

// === impl Error ===

impl Error {
    /// Returns why the request failed.
    pub fn why(&self) -> Why {
        self.why
    }

    /// Returns what the request was for.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Returns the API server's message.
    pub fn reason(&self) -> String {
        self.cause.to_string()
    }

    /// Returns the RBAC rule that would allow the request.
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }

    /// Returns true if the user lacks a right. Admission refuses with the same status, but not in the
    /// words of an authorizer.
    pub fn lacks_a_right(&self) -> bool {
        let reason = self.reason();
        self.why == Why::Forbidden
            && reason.contains("forbidden: User \"")
            && reason.contains("\" cannot ")
            && !self.is_of_admission()
    }

    /// Returns how long the API server asks to wait before the next attempt (`Retry-After`).
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns what the API server says of the PodDisruptionBudget that does not allow an eviction now.
    pub fn budget(&self) -> Option<&str> {
        self.budget.as_deref()
    }

    /// Returns true if the API server can never evict this pod, because two budgets count it.
    pub fn has_two_budgets(&self) -> bool {
        self.why == Why::Broken && self.reason().contains(TWO_BUDGETS)
    }

    /// Returns true if an admission webhook or policy denied the request, which it does with any status
    /// that it likes, or could not be called: nothing was written.
    pub fn is_of_admission(&self) -> bool {
        let reason = self.reason();
        let denied = [" denied the request", " denied request: "];
        denied.iter().any(|words| reason.contains(words))
            || self.why == Why::Broken && reason.contains("failed calling webhook ")
    }

    /// Returns true if the API server had too many requests and did not take this one (429): nothing was
    /// written.
    pub fn is_untaken(&self) -> bool {
        self.is_untaken
    }

    /// Returns true if the API server creates nothing in the namespace any more, because it is being
    /// deleted.
    pub fn is_of_a_terminating_namespace(&self) -> bool {
        self.is_terminating
    }

    /// Returns true if the API server found the object invalid (422).
    pub fn is_invalid(&self) -> bool {
        self.is_invalid
    }

    /// Leaves out the API server's message, which may quote what was sent.
    #[must_use]
    pub fn hushed(self) -> Self {
        let cause = Explained::new("the API server failed", self.cause.hint());
        Self { cause, ..self }
    }

    pub(crate) fn new(what: &str, why: Why, message: &str, hint: &str) -> Self {
        let cause = Explained::new(message, hint);
        Self {
            what: what.to_owned(),
            why,
            retry_after: None,
            rule: None,
            is_invalid: false,
            is_oversized: false,
            may_be_too_long: false,
            is_untaken: false,
            is_terminating: false,
            budget: None,
            cause,
        }
    }

    // Only of a request that was sent.
    fn maybe_too_long(self) -> Self {
        Self {
            may_be_too_long: true,
            ..self
        }
    }

    pub(crate) fn malformed(what: &str, message: &str) -> Self {
        Self::new(
            what,
            Why::Malformed,
            message,
            "check for a proxy or gateway between this machine and the API server",
        )
    }

    /// The answer ended before it was whole.
    pub(crate) fn cut(what: &str, message: &str) -> Self {
        Self::malformed(what, message).maybe_too_long()
    }

    pub(crate) fn timed_out(what: &str, server: &str, deadline: Duration) -> Self {
        let message = format!("no answer from {server} within {}s", deadline.as_secs());
        Self::new(
            what,
            Why::TimedOut,
            &message,
            "check --context, or allow more time with --request-timeout",
        )
        .maybe_too_long()
    }

    pub(crate) fn unreachable(what: &str, server: &str, cause: &str) -> Self {
        let message = format!("no answer from {server}: {cause}");
        Self::new(
            what,
            Why::Unreachable,
            &message,
            "check --context, and that the API server is running",
        )
        .maybe_too_long()
    }

    pub(crate) fn oversized(what: &str, cap: usize) -> Self {
        let message = format!("the answer is larger than {} MiB", cap >> 20);
        Self {
            is_oversized: true,
            ..Self::cut(what, &message)
        }
    }

    /// Returns true if the answer was longer than it may be, here or on the way (413).
    pub(crate) fn is_oversized(&self) -> bool {
        self.is_oversized
    }

    /// Returns true if the length of the answer may be the cause, so that a shorter one may arrive: it
    /// broke off, took too long, or the API server or a gateway failed over it.
    pub(crate) fn may_be_too_long(&self) -> bool {
        self.may_be_too_long
    }

    /// The request was not sent, because the user's credentials cannot be had now.
    pub(crate) fn without_credentials(what: &str, cause: Explained) -> Self {
        Self {
            cause,
            ..Self::new(what, Why::Unreachable, "", "")
        }
    }

    pub(crate) fn answered(
        what: &str,
        rule: Option<String>,
        status: StatusCode,
        retry_after: Option<Duration>,
        body: &[u8],
    ) -> Self {
        let Said { message, details } = said(body);
        let is_terminating = status == StatusCode::FORBIDDEN && details.is_terminating();
        let budget = details.budget();
        let message = if message.is_empty() {
            status.to_string()
        } else {
            message
        };
        let why = Why::of(status);
        let hint = match (why, &rule) {
            (Why::Forbidden, Some(rule)) => format!("allow it with the RBAC rule {rule}"),
            (Why::Unauthorized, _) => {
                "renew the credentials in the kubeconfig; they may have expired".to_owned()
            }
            (Why::Busy, _) => "try again later: the API server is busy".to_owned(),
            (_, _) => String::new(),
        };
        let cause = Explained::new(message, hint);
        let rule = rule.filter(|_| why == Why::Forbidden);
        let is_oversized = status == StatusCode::PAYLOAD_TOO_LARGE;
        Self {
            what: what.to_owned(),
            why,
            retry_after,
            rule,
            is_invalid: status == StatusCode::UNPROCESSABLE_ENTITY,
            is_oversized,
            may_be_too_long: is_oversized || why == Why::Broken,
            is_untaken: status == StatusCode::TOO_MANY_REQUESTS,
            is_terminating,
            budget,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_429_with_the_cause_of_a_budget_is_a_budgets() {
        let answered = |code: u16, body: &str| {
            let status = StatusCode::from_u16(code).unwrap();
            Error::answered("evicting", None, status, None, body.as_bytes())
        };
        let said = "The disruption budget tight needs 2 healthy pods and has 2 currently";
        let body = format!(
            r#"{{"message": "Cannot evict pod", "details": {{"causes": [{{"reason": "DisruptionBudget", "message": "{said}"}}]}}}}"#
        );
        assert_eq!(answered(429, &body).budget(), Some(said));
        let busy = answered(
            429,
            r#"{"message": "too many requests, please try again later"}"#,
        );
        assert_eq!((busy.budget(), busy.why()), (None, Why::Busy));
        assert!(busy.is_untaken());
        let away = answered(503, r#"{"message": "the server is currently unable"}"#);
        assert!(
            !away.is_untaken(),
            "somebody behind it may have taken the request"
        );
        let ends = r#"{"message": "forbidden", "details": {"causes": [{"reason": "NamespaceTerminating", "message": "namespace shop is being terminated"}]}}"#;
        assert!(answered(403, ends).is_of_a_terminating_namespace());
        assert!(!answered(403, "{}").is_of_a_terminating_namespace());
        let two = r#"{"message": "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."}"#;
        assert!(answered(500, two).has_two_budgets());
        let etcd = answered(500, r#"{"message": "etcd"}"#);
        assert!(!etcd.has_two_budgets() && !etcd.is_of_admission());
        let hook =
            r#"{"message": "Internal error occurred: failed calling webhook \"a.test\": timeout"}"#;
        assert!(answered(500, hook).is_of_admission());
    }

    #[test]
    fn a_denial_is_admissions_whatever_its_status_and_is_no_missing_right() {
        let of = |code: u16, reason: &str| {
            let status = StatusCode::from_u16(code).unwrap();
            let body = serde_json::json!({ "message": reason }).to_string();
            let error = Error::answered("patching", None, status, None, body.as_bytes());
            (error.is_of_admission(), error.lacks_a_right())
        };
        let webhook =
            r#"admission webhook "p.example.com" denied the request: container "web" cannot run"#;
        for code in [400, 403, 404, 409, 429, 500] {
            assert_eq!(of(code, webhook), (true, false), "{code}");
        }
        let policy = r#"deployments.apps "web" is forbidden: ValidatingAdmissionPolicy 'no' with binding 'no' denied request: user "x" cannot do it"#;
        assert_eq!(of(403, policy), (true, false));
        let in_tree = r#"pods "p" is forbidden: container "web" cannot run as root"#;
        assert_eq!(of(403, in_tree), (false, false));
        let right =
            r#"deployments.apps "web" is forbidden: User "u" cannot patch resource "deployments""#;
        assert_eq!(of(403, right), (false, true));
        assert_eq!(
            of(404, r#"deployments.apps "web" not found"#),
            (false, false)
        );
    }
}
