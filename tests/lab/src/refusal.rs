//! The answers that are no success.

use serde_json::{Value, json};

use crate::resource::{Key, Resource};

/// An answer that refuses.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    reason: &'static str,
    pub(crate) message: String,
    details: Value,
}

// === impl Refusal ===

impl Refusal {
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            code,
            reason,
            message,
            details: json!({}),
        }
    }

    fn about(mut self, key: &Key) -> Self {
        let Resource { group, plural, .. } = key.resource;
        self.details = json!({ "name": key.name(), "group": group, "kind": plural });
        self
    }

    /// The lab does not know how; a test that asked for it fails.
    pub(crate) fn unsupported(what: impl std::fmt::Display) -> Self {
        Self::new(
            501,
            "NotImplemented",
            format!("the lab does not know {what}"),
        )
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(crate) fn not_found(key: &Key) -> Self {
        let message = format!("{} \"{}\" not found", key.resource.qualified(), key.name());
        Self::new(404, "NotFound", message).about(key)
    }

    /// What no server knows, which is said in plain text.
    pub(crate) fn no_such_path() -> Self {
        Self::new(404, "", "404 page not found\n")
    }

    pub(crate) fn is_plain(&self) -> bool {
        self.reason.is_empty()
    }

    pub(crate) fn exists(key: &Key) -> Self {
        let message = format!(
            "{} \"{}\" already exists",
            key.resource.qualified(),
            key.name()
        );
        Self::new(409, "AlreadyExists", message).about(key)
    }

    pub(crate) fn conflict(key: &Key, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{}\": {why}",
            key.resource.qualified(),
            key.name()
        );
        Self::new(409, "Conflict", message).about(key)
    }

    pub(crate) fn outdated(key: &Key) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(key, why)
    }

    pub(crate) fn invalid(key: &Key, why: &str) -> Self {
        let Resource { kind, group, .. } = key.resource;
        let kind = [kind, *group].join(".");
        let message = format!(
            "{} \"{}\" is invalid: {why}",
            kind.trim_end_matches('.'),
            key.name()
        );
        Self::new(422, "Invalid", message).about(key)
    }

    pub(crate) fn expired(message: &str) -> Self {
        Self::new(410, "Expired", message)
    }

    /// A budget that spares no pod.
    pub(crate) fn no_disruption(budget: &str, message: &str) -> Self {
        let cause = json!({ "reason": "DisruptionBudget", "message": message });
        let text = "Cannot evict pod as it would violate the pod's disruption budget.";
        let mut refusal = Self::new(429, "TooManyRequests", text);
        refusal.details = json!({ "name": budget, "causes": [cause] });
        refusal
    }

    pub(crate) fn body(&self) -> Value {
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "details": self.details, "code": self.code,
        })
    }
}

/// The body of a success that has no object to show.
pub(crate) fn success(key: &Key, uid: &str, code: u16) -> Value {
    let details = json!({ "name": key.name(), "group": key.resource.group, "kind": key.resource.plural, "uid": uid });
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details, "code": code })
}
