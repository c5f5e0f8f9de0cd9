//! The lab: an API server within this process, with exactly the resources and verbs that the mesh
//! tools and their tests use.
//!
//! It does what Kubernetes does, controllers, scheduler and admission webhooks included; where it
//! differs it is wrong. What it does not know it answers with 501, and says it in
//! [`Lab::unknown`], so that a test fails on it.

mod admit;
mod budget;
mod call;
mod controllers;
mod core;
mod defaults;
mod fill;
mod http;
mod object;
mod patch;
mod read;
mod record;
mod refusal;
mod resource;
mod selector;
mod store;
mod watch;
mod write;

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{net::TcpListener, runtime::Runtime};

use crate::core::Core;
pub use crate::record::AuditEvent;

/// What a lab is like.
#[derive(Clone, Debug)]
pub struct Options {
    /// The Kubernetes version that it says it is.
    pub kubernetes: String,
}

/// A lab, which ends when it is dropped.
pub struct Lab {
    core: Arc<Core>,
    address: SocketAddr,
    runtime: Option<Runtime>,
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self {
            kubernetes: "v1.34.5".to_owned(),
        }
    }
}

// === impl Lab ===

impl Lab {
    /// Starts a lab at a loopback port of its own.
    pub fn start(options: Options) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let core = Arc::new(Core::new(options.kubernetes));
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
        let address = listener.local_addr()?;
        let events = core.store().listen(None);
        core.furnish();
        runtime.spawn(controllers::run(Arc::clone(&core), events));
        runtime.spawn(http::serve(Arc::clone(&core), listener));
        Ok(Self {
            core,
            address,
            runtime: Some(runtime),
        })
    }

    /// Where it serves plain HTTP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every request so far, in the order of arrival.
    pub fn audit(&self) -> Vec<AuditEvent> {
        self.core.record.events()
    }

    /// What was asked of it that it does not know.
    pub fn unknown(&self) -> Vec<String> {
        self.core.record.unknown()
    }

    /// Forgets what has happened: a watch from an earlier version and the rest of a list are gone.
    pub fn compact(&self) {
        self.core.store().compact();
    }

    /// Forgets the lists that are half read.
    pub fn expire_tokens(&self) {
        self.core.store().expire_lists();
    }

    /// Says where the webhook of a Service listens.
    pub fn route_service(&self, namespace: &str, name: &str, address: SocketAddr) {
        self.core.set_route(namespace, name, address);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Lab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lab")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
