//! The lab: an API server within this process, with exactly the resources and verbs that the mesh
//! tools and their tests use.
//!
//! It does what Kubernetes does, controllers, scheduler and admission webhooks included; where it
//! differs it is wrong. What it does not know it answers with 501, and says it in
//! [`Lab::unknown`], so that a test fails on it.

mod admit;
mod budget;
mod controllers;
mod discovery;
mod fresh;
mod kind;
mod list;
mod object;
mod refusal;
mod request;
mod server;
mod store;
mod watch;
mod write;

use std::{
    collections::HashMap,
    fmt::Debug,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::{StatusCode, request::Parts};
use serde_json::json;
use tokio::{net::TcpListener, sync::watch::Sender};

use crate::{kind::Kind, refusal::Refusal, store::Store};

/// Who keeps a record of what the lab is asked.
pub trait Witness: Debug + Send + Sync {
    /// A request has come; the number stands for it from then on.
    fn arrived(&self, request: &Parts, body: &[u8]) -> usize;

    /// Its answer goes out.
    fn answered(&self, number: usize, status: StatusCode);
}

/// A lab, which ends with the runtime that it runs on.
#[derive(Debug)]
pub struct Lab {
    address: SocketAddr,
    witness: Arc<dyn Witness>,
    store: Mutex<Store>,
    /// The newest version.
    changed: Sender<u64>,
    /// Where the Services are, by the names that they have within the cluster.
    routes: Mutex<HashMap<String, SocketAddr>>,
    unknown: Mutex<Vec<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Lab ===

impl Lab {
    /// Starts a lab at a loopback port of its own, which speaks plain HTTP.
    pub async fn start(witness: Arc<dyn Witness>) -> io::Result<Arc<Self>> {
        let mut store = Store::default();
        for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            let made = fresh::object(
                Kind::Namespace,
                "",
                &json!({ "metadata": { "name": name } }),
            );
            let made = made.and_then(|(key, object)| store.create(&key, object));
            made.expect("a namespace of the lab's own is one");
        }
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let lab = Arc::new(Self {
            address: listener.local_addr()?,
            witness,
            store: Mutex::new(store),
            changed: Sender::default(),
            routes: Mutex::default(),
            unknown: Mutex::default(),
        });
        tokio::spawn(controllers::run(Arc::clone(&lab)));
        tokio::spawn(server::serve(Arc::clone(&lab), listener));
        Ok(lab)
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was asked of it that it does not know.
    pub fn unknown(&self) -> Vec<String> {
        lock(&self.unknown).clone()
    }

    /// Forgets what has happened: watches from an earlier version and the rests of lists are gone.
    pub fn compact(&self) {
        self.store().compact();
    }

    /// Says where the webhook of a Service listens.
    pub fn route_service(&self, namespace: &str, name: &str, address: SocketAddr) {
        let host = format!("{name}.{namespace}.svc");
        lock(&self.routes).insert(host, address);
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }

    /// Changes the store, or for a dry run a copy that nobody sees.
    fn write<T>(
        &self,
        dry_run: bool,
        change: impl FnOnce(&mut Store) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut store = self.store();
        if dry_run {
            return change(&mut store.clone());
        }
        let done = change(&mut store);
        let version = store.version;
        self.changed
            .send_if_modified(|newest| std::mem::replace(newest, version) != version);
        done
    }
}
