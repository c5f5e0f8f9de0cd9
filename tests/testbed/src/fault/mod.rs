//! A proxy between clients and the API server that does harm on request.
//!
//! A fault is addressed by the request that it is for, never by time or chance. What no fault is
//! for goes through as it is, watches included.

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

/// A proxy in front of a bed's API server, which ends when it is dropped.
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

/// Where a fault is attached to its requests.
#[must_use = "a match does nothing without a fault"]
#[derive(Debug)]
pub struct On<'a> {
    proxy: &'a FaultProxy,
    matcher: Match,
}

impl Bed {
    /// A proxy in front of the API server with a kubeconfig of its own.
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
    /// A kubeconfig whose server is the proxy; its context is `testbed`.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The kubeconfig of a bearer token, with the proxy as its server.
    pub fn kubeconfig_with_token(&self, name: &str, token: &str) -> anyhow::Result<PathBuf> {
        let credentials = Credentials::Token(token);
        let text = kubeconfig::render("testbed", &self.server, &self.authority, credentials);
        let path = self
            .kubeconfig
            .with_file_name(format!("kubeconfig-proxy-{name}"));
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Where the proxy listens: with TLS by the bed's authority, or plainly before the lab.
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

    /// Every request so far, in the order of arrival, with the code that its client was told.
    pub fn log(&self) -> Vec<AuditEvent> {
        self.shared.log.clients()
    }

    /// The requests so far that the server has seen, with the code that it gave. This is what the
    /// server's own audit log says.
    pub fn served(&self) -> Vec<AuditEvent> {
        self.shared.log.servers()
    }

    /// How many requests a fault has struck.
    pub fn struck(&self) -> usize {
        *self.shared.struck.borrow()
    }

    /// Takes all faults off, silence too; requests that are held stay held.
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

    /// Lets requests wait before they go on.
    pub fn delay(self, duration: Duration) {
        self.set(Fault::Delay(duration));
    }

    /// Kills a process, so that it never hears the answer.
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

    /// From this request on nothing comes through any more, not even on the watches that are open.
    pub fn silence_from_here(self) {
        self.set(Fault::Instead(When::BeforeForward, Instead::SilenceAll));
    }

    /// Answers with an error in the server's place.
    pub fn answer(self, status: StatusCode) {
        self.answer_once(status, When::BeforeForward);
    }

    /// Answers with an error, before the server has seen the request or though it has done it.
    pub fn answer_once(self, status: StatusCode, when: When) {
        let answer = Answer::error(status);
        self.set(Fault::Instead(when, Instead::Answer(answer)));
    }

    /// Answers that there is too much to do, and when to come again.
    pub fn busy(self, retry_after: Duration) {
        let answer = Answer::error(StatusCode::TOO_MANY_REQUESTS).again_after(retry_after);
        self.set(Fault::Instead(When::BeforeForward, Instead::Answer(answer)));
    }

    /// Answers with a JSON body in the server's place, such as a watch event.
    pub fn answer_with(self, status: StatusCode, body: &str) {
        let answer = Answer::new(status, body);
        self.set(Fault::Instead(When::BeforeForward, Instead::Answer(answer)));
    }

    /// Ends the answer after `bytes` bytes of its body, with the connection.
    pub fn cut(self, bytes: usize) {
        self.set(Fault::Spoil(Spoil::Cut(bytes)));
    }

    /// Ends the answer in the middle of its body, with the connection; a watch's within its first
    /// event.
    pub fn cut_in_the_middle(self) {
        self.set(Fault::Spoil(Spoil::CutInTheMiddle));
    }

    /// Leaves the second half of the answer's body out, as if it were whole; of a watch only a half
    /// event comes.
    pub fn halve(self) {
        self.set(Fault::Spoil(Spoil::Halve));
    }

    /// Puts something that is no JSON in the place of the answer's body.
    pub fn garble(self) {
        self.set(Fault::Spoil(Spoil::Garble));
    }

    fn set(self, fault: Fault) {
        lock(&self.proxy.shared.rules).push(Rule::new(self.matcher, fault));
    }
}
