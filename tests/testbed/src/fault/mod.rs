//! A proxy between clients and the API server that makes faults on request.
//!
//! A fault is chosen by the request, never by time or chance. Other requests pass unchanged,
//! watches too.

mod body;
mod forward;
mod gate;
mod harm;
mod log;
mod rule;
mod shared;
mod upstream;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use http::StatusCode;
use tokio::{net::TcpListener, task::JoinHandle};

pub(crate) use self::log::Log;
use self::{
    body::Spoil,
    forward::Door,
    gate::Gate,
    harm::{Answer, Fault, Instead},
    rule::Rule,
    shared::Shared,
    upstream::Upstream,
};
pub use self::{
    gate::{Held, Victim},
    harm::When,
    rule::Match,
};
use crate::{
    bed::Bed,
    event::AuditEvent,
    ground::Ground,
    injector::tls_acceptor,
    kubeconfig::{self, Credentials},
    lock::lock,
};

/// A proxy in front of a bed's API server. It ends when it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    shared: Arc<Shared>,
    kubeconfig: PathBuf,
    authority: String,
    server: String,
    address: SocketAddr,
    runtime: tokio::runtime::Handle,
    task: JoinHandle<()>,
}

/// Attaches a fault to the requests of a [`Match`].
#[must_use = "a match does nothing without a fault"]
#[derive(Debug)]
pub struct On<'a> {
    proxy: &'a FaultProxy,
    matcher: Match,
}

impl Bed {
    /// Starts a proxy in front of the API server, with its own kubeconfig.
    pub fn proxy(&self) -> anyhow::Result<FaultProxy> {
        let upstream = self.ground.address();
        let (door, upstream) = match &self.ground {
            Ground::Real(_) => {
                let (certificate, key) = (&self.admin.certificate, &self.admin.key);
                let acceptor = tls_acceptor(certificate.as_bytes(), key.as_bytes())?;
                let authority = self.authority.certificate();
                let upstream = Upstream::new(upstream, authority, &self.admin)?;
                (Door::Tls(acceptor), upstream)
            }
            Ground::Lab { .. } => (Door::Plain, Upstream::plain(upstream)),
        };
        let shared = Arc::<Shared>::default();
        let listener = self
            .block_on(TcpListener::bind((self.ground.home(), 0)))
            .context("listening")?;
        let address = listener.local_addr()?;
        let server = format!("{}://{address}", door.scheme());
        let text = self.kubeconfig_text("testbed", &server);
        let kubeconfig = self.write_kubeconfig(&format!("proxy-{}", address.port()), &text)?;
        let task = self.spawn(forward::run(
            listener,
            door,
            upstream,
            Arc::clone(&shared),
            self.journal.clone(),
        ));
        Ok(FaultProxy {
            shared,
            kubeconfig,
            authority: self.authority.certificate().to_owned(),
            server,
            address,
            runtime: self.handle(),
            task,
        })
    }
}

// === impl FaultProxy ===

impl FaultProxy {
    /// Returns a kubeconfig whose server is the proxy; its context is `testbed`.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Writes a kubeconfig with a bearer token and the proxy as its server.
    pub fn kubeconfig_with_token(&self, name: &str, token: &str) -> anyhow::Result<PathBuf> {
        let credentials = Credentials::Token(token);
        let text = kubeconfig::render("testbed", &self.server, &self.authority, credentials);
        let path = self
            .kubeconfig
            .with_file_name(format!("kubeconfig-proxy-{name}"));
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Returns the proxy's address. It speaks TLS with the bed's certificate authority, or plain
    /// HTTP in front of the lab.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Selects requests for a fault. If several faults match a request, the first one that was set
    /// applies.
    pub fn on(&self, matcher: Match) -> On<'_> {
        On {
            proxy: self,
            matcher,
        }
    }

    /// Returns every request so far in the order of arrival, with the code that its client got.
    pub fn log(&self) -> Vec<AuditEvent> {
        self.shared.log.clients()
    }

    /// Returns the requests so far that the server got, with the code that it gave, as in the
    /// server's audit log.
    pub fn served(&self) -> Vec<AuditEvent> {
        self.shared.log.servers()
    }

    /// Returns how many requests had a fault.
    pub fn struck(&self) -> usize {
        *self.shared.struck.borrow()
    }

    /// Removes all faults, also silence. Held requests stay held.
    pub fn clear(&self) {
        lock(&self.shared.rules).clear();
        self.shared.silent.send_replace(false);
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

    /// Delays requests.
    pub fn delay(self, duration: Duration) {
        self.set(Fault::Delay(duration));
    }

    /// Kills a process, so that it never gets the answer.
    pub fn kill(self, victim: &Victim, when: When) {
        self.set(Fault::Instead(when, Instead::Kill(victim.clone())));
    }

    /// Ends the connection without an answer.
    pub fn hang_up(self, when: When) {
        self.set(Fault::Instead(when, Instead::HangUp));
    }

    /// Keeps the connection and never answers.
    pub fn silence(self, when: When) {
        self.set(Fault::Instead(when, Instead::Silence));
    }

    /// Makes the proxy silent from this request on, also on open watches.
    pub fn silence_from_here(self) {
        self.set(Fault::Instead(When::BeforeForward, Instead::SilenceAll));
    }

    /// Answers with an error instead of the server.
    pub fn answer(self, status: StatusCode) {
        self.answer_once(status, When::BeforeForward);
    }

    /// Answers once with an error, before or after the server handles the request.
    pub fn answer_once(self, status: StatusCode, when: When) {
        let answer = Answer::error(status);
        self.set(Fault::Instead(when, Instead::Answer(answer)));
    }

    /// Answers with 429 and `Retry-After`.
    pub fn busy(self, retry_after: Duration) {
        let answer = Answer::error(StatusCode::TOO_MANY_REQUESTS).again_after(retry_after);
        self.set(Fault::Instead(When::BeforeForward, Instead::Answer(answer)));
    }

    /// Answers with a JSON body instead of the server, such as a watch event.
    pub fn answer_with(self, status: StatusCode, body: &str) {
        let answer = Answer::new(status, body);
        self.set(Fault::Instead(When::BeforeForward, Instead::Answer(answer)));
    }

    /// Ends the answer and the connection after `bytes` bytes of the body.
    pub fn cut(self, bytes: usize) {
        self.set(Fault::Spoil(Spoil::Cut(bytes)));
    }

    /// Ends the answer and the connection in the middle of the body, or of a watch's first event.
    pub fn cut_in_the_middle(self) {
        self.set(Fault::Spoil(Spoil::CutInTheMiddle));
    }

    /// Leaves out the second half of the body, but lets the answer look complete. Of a watch only
    /// half an event comes.
    pub fn halve(self) {
        self.set(Fault::Spoil(Spoil::Halve));
    }

    /// Replaces the body with text that is not JSON.
    pub fn garble(self) {
        self.set(Fault::Spoil(Spoil::Garble));
    }

    /// Replaces the body with a small one that grows to 65 MiB when it is decompressed.
    pub fn bomb(self) {
        self.set(Fault::Spoil(Spoil::Bomb));
    }

    /// Moves the `Date` of the answer by some seconds; the rest of the answer stays as it is.
    pub fn misdate(self, seconds: i64) {
        self.set(Fault::Misdate(seconds));
    }

    fn set(self, fault: Fault) {
        lock(&self.proxy.shared.rules).push(Rule::new(self.matcher, fault));
    }
}
