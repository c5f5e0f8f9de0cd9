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
    /// The API group; empty for a path that is not a resource, such as `/version`.
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
    /// Returns true if the request could change something: it is not a dry run and not an access
    /// review in the form of a create.
    pub fn writes(&self) -> bool {
        let reads = matches!(self.verb.as_str(), "get" | "list" | "watch");
        let asks = matches!(
            self.group.as_str(),
            "authorization.k8s.io" | "authentication.k8s.io"
        );
        !reads && !asks && !self.dry_run
    }

    /// Returns true for a request that may last as long as its client, such as a watch.
    pub fn is_long_running(&self) -> bool {
        self.verb == "watch" || self.uri.contains("watch=true") || self.uri.contains("watch=1")
    }
}
