//! A proxy between clients and the API server that does harm on request.
//!
//! A fault is addressed by the request that it is for, never by time or chance. What no fault is
//! for goes through as it is, watches included.

mod forward;
mod rule;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Context as _;
use http::{Method, StatusCode, request::Parts};
use hyper::body::Bytes;
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};

pub use self::rule::{Held, Match, Victim, When};
use self::{
    forward::Upstream,
    rule::{Fault, Gate, Rule},
};
use crate::{
    bed::Bed,
    ground::Ground,
    injector::tls_acceptor,
    kubeconfig::{self, Credentials},
};

/// A proxy in front of a bed's API server, which ends when it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    shared: Arc<Shared>,
    kubeconfig: PathBuf,
    authority: String,
    address: SocketAddr,
    runtime: tokio::runtime::Handle,
    task: JoinHandle<()>,
}

/// One request that came by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub method: Method,
    /// The path with its query.
    pub path: String,
    pub user_agent: String,
    /// None while it is on its way, and for good when the client never got an answer.
    pub status: Option<StatusCode>,
}

/// Where a fault is attached to its requests.
#[must_use = "a match does nothing without a fault"]
#[derive(Debug)]
pub struct On<'a> {
    proxy: &'a FaultProxy,
    matcher: Match,
}

#[derive(Debug, Default)]
struct Shared {
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<Seen>>,
}

impl Bed {
    /// A proxy in front of the API server with a kubeconfig of its own.
    pub fn proxy(&self) -> anyhow::Result<FaultProxy> {
        let acceptor = tls_acceptor(self.admin.certificate.as_bytes(), self.admin.key.as_bytes())?;
        let server = self.ground.address();
        let upstream = match &self.ground {
            Ground::Real(_) => Upstream::new(server, self.authority.certificate(), &self.admin)?,
            Ground::Lab { .. } => Upstream::plain(server),
        };
        let shared = Arc::<Shared>::default();
        let listener = self
            .block_on(TcpListener::bind((self.ground.home(), 0)))
            .context("listening")?;
        let address = listener.local_addr()?;
        let text = self.kubeconfig_text("testbed", &format!("https://{address}"));
        let kubeconfig = self.write_kubeconfig(&format!("proxy-{}", address.port()), &text)?;
        let task = self.spawn(forward::run(
            listener,
            acceptor,
            upstream,
            Arc::clone(&shared),
            self.journal.clone(),
        ));
        Ok(FaultProxy {
            shared,
            kubeconfig,
            authority: self.authority.certificate().to_owned(),
            address,
            runtime: self.handle(),
            task,
        })
    }
}

// === impl FaultProxy ===

impl FaultProxy {
    /// A kubeconfig whose server is the proxy; its context is `testbed`.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The kubeconfig of a bearer token, with the proxy as its server.
    pub fn kubeconfig_with_token(&self, name: &str, token: &str) -> anyhow::Result<PathBuf> {
        let (server, credentials) = (
            format!("https://{}", self.address),
            Credentials::Token(token),
        );
        let text = kubeconfig::render("testbed", &server, &self.authority, credentials);
        let path = self
            .kubeconfig
            .with_file_name(format!("kubeconfig-proxy-{name}"));
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Where the proxy listens, with TLS by the bed's authority.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Picks requests for a fault. Where several faults are for one request, the first set wins.
    pub fn on(&self, matcher: Match) -> On<'_> {
        On {
            proxy: self,
            matcher,
        }
    }

    /// Every request so far, in the order of arrival.
    pub fn log(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// Takes all faults off; requests that are held stay held.
    pub fn clear(&self) {
        lock(&self.shared.rules).clear();
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === impl On ===

impl On<'_> {
    /// Holds requests until they are released.
    pub fn hold(self, when: When) -> Held {
        let gate = Gate::default();
        let runtime = self.proxy.runtime.clone();
        self.set(Fault::Hold(gate.clone(), when));
        Held { gate, runtime }
    }

    /// Kills a process, so that it never hears the answer.
    pub fn kill(self, victim: &Victim, when: When) {
        self.set(Fault::Kill(victim.clone(), when));
    }

    /// Ends the answer after `bytes` bytes of its body, with the connection.
    pub fn cut(self, bytes: usize) {
        self.set(Fault::Cut(bytes));
    }

    /// Answers with an error in the server's place.
    pub fn answer(self, status: StatusCode) {
        let reason = reason(status);
        let body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": format!("the test says {status}"), "reason": reason, "code": status.as_u16(),
        });
        self.answer_with(status, &body.to_string());
    }

    /// Answers with a JSON body in the server's place, such as a watch event.
    pub fn answer_with(self, status: StatusCode, body: &str) {
        self.set(Fault::Answer(
            status,
            Bytes::copy_from_slice(body.as_bytes()),
        ));
    }

    fn set(self, fault: Fault) {
        lock(&self.proxy.shared.rules).push(Rule::new(self.matcher, fault));
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

// === impl Shared ===

impl Shared {
    /// Writes a request down, and finds the fault that is for it.
    fn arrive(&self, request: &Parts) -> (usize, Option<Fault>) {
        let path = request
            .uri
            .path_and_query()
            .map_or_else(String::new, ToString::to_string);
        let user_agent = rule::user_agent(request).to_owned();
        let number = {
            let mut seen = lock(&self.seen);
            seen.push(Seen {
                method: request.method.clone(),
                path,
                user_agent,
                status: None,
            });
            seen.len() - 1
        };
        // Every rule counts, also those that a former one leaves nothing to do.
        let mut rules = lock(&self.rules);
        let struck: Vec<Fault> = rules
            .iter_mut()
            .filter_map(|rule| rule.strike(request))
            .collect();
        (number, struck.into_iter().next())
    }

    fn answered(&self, number: usize, status: StatusCode) {
        if let Some(seen) = lock(&self.seen).get_mut(number) {
            seen.status = Some(status);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
