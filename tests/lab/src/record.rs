//! What clients asked, in the shape of the real server's audit log.

use std::sync::{Arc, Mutex, PoisonError};

use http::{header, request::Parts};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    call::{Call, Place},
    object,
};

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

/// Every request so far.
#[derive(Debug, Default)]
pub(crate) struct Record {
    events: Mutex<Vec<AuditEvent>>,
    unknown: Mutex<Vec<String>>,
}

/// A request that is being answered; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Pending {
    record: Arc<Record>,
    at: usize,
}

// === impl AuditEvent ===

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

// === impl Record ===

impl Record {
    pub(crate) fn arrive(self: &Arc<Self>, parts: &Parts, user: &str) -> Pending {
        let header = parts.headers.get(header::USER_AGENT);
        let user_agent = header
            .and_then(|agent| agent.to_str().ok())
            .unwrap_or_default();
        let uri = parts.uri.to_string();
        let place = Place::parse(parts.uri.path()).unwrap_or_default();
        let is_namespace = place.plural == "namespaces";
        let home = if is_namespace {
            place.name.clone()
        } else {
            place.namespace
        };
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let at = events.len();
        events.push(AuditEvent {
            id: at.to_string(),
            user: user.to_owned(),
            user_agent: user_agent.to_owned(),
            verb: parts.method.as_str().to_lowercase(),
            group: place.group,
            resource: place.plural,
            subresource: place.subresource,
            namespace: home,
            name: place.name,
            dry_run: uri.contains("dryRun="),
            uri,
            received: object::now(),
            completed: None,
            code: None,
            body: None,
        });
        let record = Arc::clone(self);
        Pending { record, at }
    }

    pub(crate) fn events(&self) -> Vec<AuditEvent> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.clone()
    }

    pub(crate) fn unknown(&self) -> Vec<String> {
        let unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        unknown.clone()
    }

    pub(crate) fn note_unknown(&self, what: &str) {
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        unknown.push(what.to_owned());
    }
}

// === impl Pending ===

impl Pending {
    fn change(&self, change: impl FnOnce(&mut AuditEvent)) {
        let mut events = self
            .record
            .events
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        change(&mut events[self.at]);
    }

    pub(crate) fn is_call(&self, call: &Call) {
        self.change(|event| call.verb.name().clone_into(&mut event.verb));
    }

    /// Notes the body of the requests that tests look into.
    pub(crate) fn has_body(&self, body: &[u8]) {
        self.change(|event| {
            let patch = event.verb == "patch" && event.group == "apps";
            if patch || event.subresource == "eviction" {
                event.body = serde_json::from_slice(body).ok();
            }
        });
    }

    /// Notes the name that what was created has got.
    pub(crate) fn is_named(&self, name: &str) {
        self.change(|event| name.clone_into(&mut event.name));
    }

    pub(crate) fn answered(&self, code: u16) {
        self.change(|event| event.code = Some(code));
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.change(|event| event.completed = Some(object::now()));
    }
}
