//! Which requests a fault is for, and what happens to them.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use http::{Method, StatusCode, request::Parts, uri::PathAndQuery};
use hyper::body::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{runtime::Handle, sync::watch};

/// How long a test waits for a request that it means to hold.
const PATIENCE: Duration = Duration::from_secs(60);

/// Requests, by what they are; without conditions every one.
#[derive(Clone, Debug, Default)]
pub struct Match {
    methods: Vec<Method>,
    /// Parts of the path, with its query, that must all be there, and such that must not.
    with: Vec<String>,
    without: Vec<String>,
    agent: Option<String>,
    nth: Option<usize>,
}

/// On which side of the server's work a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The server never sees the request.
    BeforeForward,
    /// The server has done it, and the client does not hear so.
    AfterForward,
}

/// A process to be killed, named as soon as it is known.
#[derive(Clone, Debug, Default)]
pub struct Victim {
    pid: Arc<watch::Sender<Option<u32>>>,
}

/// Requests that wait at the proxy until they are released.
#[must_use = "dropping it releases the requests"]
#[derive(Debug)]
pub struct Held {
    pub(super) gate: Gate,
    pub(super) runtime: Handle,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Gate(Arc<watch::Sender<GateState>>);

#[derive(Clone, Copy, Debug, Default)]
struct GateState {
    arrived: usize,
    open: bool,
}

/// What happens to a request.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    Hold(Gate, When),
    Kill(Victim, When),
    /// The answer's body ends after so many bytes, with the connection.
    Cut(usize),
    Answer(StatusCode, Bytes),
}

/// A fault with its address.
#[derive(Debug)]
pub(super) struct Rule {
    matcher: Match,
    fault: Fault,
    seen: usize,
}

// === impl Match ===

impl Match {
    /// Every request.
    pub fn any() -> Self {
        Self::default()
    }

    /// Requests that change something: no dry runs, no questions about access.
    pub fn writes() -> Self {
        let methods = vec![Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        let without = ["dryRun=", "authorization.k8s.io/", "authentication.k8s.io/"];
        Self {
            methods,
            without: without.map(str::to_owned).into(),
            ..Self::default()
        }
    }

    /// Requests of one method.
    pub fn method(method: Method) -> Self {
        Self {
            methods: vec![method],
            ..Self::default()
        }
    }

    /// Watches whose path contains `part`.
    pub fn watches(part: &str) -> Self {
        Self::method(Method::GET).path(part).path("watch=")
    }

    /// Only those whose path, with its query, contains `part`.
    #[must_use]
    pub fn path(mut self, part: &str) -> Self {
        self.with.push(part.to_owned());
        self
    }

    /// Only those whose user agent starts with `prefix`.
    #[must_use]
    pub fn agent(self, prefix: &str) -> Self {
        Self {
            agent: Some(prefix.to_owned()),
            ..self
        }
    }

    /// Only the `n`th of them, counted from one.
    #[must_use]
    pub fn nth(self, n: usize) -> Self {
        Self {
            nth: Some(n),
            ..self
        }
    }

    fn covers(&self, request: &Parts) -> bool {
        let Self {
            methods,
            with,
            without,
            agent,
            nth: _,
        } = self;
        let path = request
            .uri
            .path_and_query()
            .map_or("", PathAndQuery::as_str);
        (methods.is_empty() || methods.contains(&request.method))
            && with.iter().all(|part| path.contains(part.as_str()))
            && !without.iter().any(|part| path.contains(part.as_str()))
            && agent
                .as_ref()
                .is_none_or(|prefix| user_agent(request).starts_with(prefix.as_str()))
    }
}

pub(super) fn user_agent(request: &Parts) -> &str {
    let value = request.headers.get(http::header::USER_AGENT);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

// === impl Rule ===

impl Rule {
    pub(super) fn new(matcher: Match, fault: Fault) -> Self {
        Self {
            matcher,
            fault,
            seen: 0,
        }
    }

    /// The fault, when it is for this request. Counts what it matches.
    pub(super) fn strike(&mut self, request: &Parts) -> Option<Fault> {
        if !self.matcher.covers(request) {
            return None;
        }
        self.seen += 1;
        self.matcher
            .nth
            .is_none_or(|n| n == self.seen)
            .then(|| self.fault.clone())
    }
}

// === impl Victim ===

impl Victim {
    /// Names the process; requests that would kill it wait until then.
    pub fn set(&self, pid: u32) {
        self.pid.send_replace(Some(pid));
    }

    pub(super) async fn kill(&self) -> anyhow::Result<()> {
        let pid = *self.pid.subscribe().wait_for(Option::is_some).await?;
        let pid = pid
            .and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?))
            .context("a pid is positive")?;
        kill_process(pid, Signal::KILL).context("killing the client")
    }
}

// === impl Gate ===

impl Gate {
    pub(super) async fn pass(&self) {
        self.0.send_modify(|state| state.arrived += 1);
        // The gate itself keeps the sender alive.
        drop(self.0.subscribe().wait_for(|state| state.open).await);
    }

    fn open(&self) {
        self.0.send_modify(|state| state.open = true);
    }
}

// === impl Held ===

impl Held {
    /// Waits until a request has arrived.
    ///
    /// # Panics
    ///
    /// When none does: the test waits for something that does not happen.
    #[track_caller]
    pub fn arrived(&self) {
        let mut state = self.gate.0.subscribe();
        let arrival = async {
            tokio::time::timeout(PATIENCE, state.wait_for(|state| state.arrived > 0))
                .await
                .is_ok()
        };
        assert!(
            self.runtime.block_on(arrival),
            "no request arrived that is to be held"
        );
    }

    /// Whether a request is held or has been.
    pub fn has_arrived(&self) -> bool {
        self.gate.0.borrow().arrived > 0
    }

    /// Lets the requests go on, and those that come later too.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gate.open();
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn strikes(matcher: Match, requests: &[(&str, &str)]) -> Vec<bool> {
        let mut rule = Rule::new(matcher, Fault::Cut(0));
        let request = |(method, path): &(&str, &str)| {
            let request = Request::builder()
                .method(*method)
                .uri(*path)
                .header("user-agent", "mesh-roll/1");
            request.body(()).unwrap().into_parts().0
        };
        requests
            .iter()
            .map(|line| rule.strike(&request(line)).is_some())
            .collect()
    }

    #[test]
    fn only_the_requests_that_match_are_counted() {
        let requests = [
            ("GET", "/apis/apps/v1/deployments"),
            ("PATCH", "/apis/apps/v1/deployments/a"),
            ("PATCH", "/apis/apps/v1/deployments/a?dryRun=All"),
            (
                "POST",
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            ),
            ("PATCH", "/apis/apps/v1/deployments/b"),
        ];
        for (matcher, wanted) in [
            (Match::any(), [true, true, true, true, true]),
            (Match::writes(), [false, true, false, false, true]),
            (Match::writes().nth(2), [false, false, false, false, true]),
            (
                Match::method(Method::GET),
                [true, false, false, false, false],
            ),
            (
                Match::any()
                    .path("deployments")
                    .path("dryRun")
                    .agent("mesh-"),
                [false, false, true, false, false],
            ),
            (Match::any().agent("kubectl"), [false; 5]),
        ] {
            assert_eq!(strikes(matcher.clone(), &requests), wanted, "{matcher:?}");
        }
    }
}
