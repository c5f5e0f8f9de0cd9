//! A request as tests see it, wherever it was written down.

use jiff::Timestamp;
use serde_json::Value;

/// One request, from its arrival to its end.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    pub id: String,
    pub user: String,
    pub user_agent: String,
    /// `get`, `list`, `watch`, `create`, `patch`, …
    pub verb: String,
    /// Empty for what is no resource, such as `/version`.
    pub group: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    pub uri: String,
    pub dry_run: bool,
    pub received: Timestamp,
    pub completed: Option<Timestamp>,
    pub code: Option<u16>,
    /// The body of a patch of a workload or of an eviction.
    pub body: Option<Value>,
}

impl AuditEvent {
    /// Whether the request could change something: not a dry run, and no question in the form of
    /// a create.
    pub fn writes(&self) -> bool {
        let reads = matches!(self.verb.as_str(), "get" | "list" | "watch");
        let asks = matches!(
            self.group.as_str(),
            "authorization.k8s.io" | "authentication.k8s.io"
        );
        !reads && !asks && !self.dry_run
    }

    /// Whether the request may go on for as long as its client does.
    pub fn is_long_running(&self) -> bool {
        self.verb == "watch" || self.uri.contains("watch=true") || self.uri.contains("watch=1")
    }
}
