//! What the parts of the lab share: the store, who watches it, and where the Services are.

use std::{
    collections::HashMap,
    fmt::Debug,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::{StatusCode, request::Parts};
use tokio::sync::watch::Sender;

use crate::{refusal::Refusal, store::Store};

/// Records the requests to the lab.
pub trait Witness: Debug + Send + Sync {
    /// Records a request and returns its number.
    fn arrived(&self, request: &Parts, body: &[u8]) -> usize;

    /// Records the answer to a request.
    fn answered(&self, number: usize, status: StatusCode);
}

/// A lab. It ends with the runtime that it runs on.
#[derive(Debug)]
pub struct Lab {
    pub(crate) address: SocketAddr,
    pub(crate) witness: Arc<dyn Witness>,
    pub(crate) store: Mutex<Store>,
    /// The newest version.
    pub(crate) changed: Sender<u64>,
    /// The addresses of Services, by their DNS names in the cluster.
    pub(crate) routes: Mutex<HashMap<String, SocketAddr>>,
    pub(crate) unknown: Mutex<Vec<String>>,
    /// Whether the controllers stand still.
    pub(crate) stalled: Sender<bool>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Lab ===

impl Lab {
    /// Returns the lab's address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the unsupported requests so far.
    pub fn unknown(&self) -> Vec<String> {
        lock(&self.unknown).clone()
    }

    /// Forgets the history, so that older versions of watches and continue tokens of lists have
    /// expired.
    pub fn compact(&self) {
        self.store().compact();
    }

    /// Sets the address at which a Service's webhook listens.
    pub fn route_service(&self, namespace: &str, name: &str, address: SocketAddr) {
        let host = format!("{name}.{namespace}.svc");
        lock(&self.routes).insert(host, address);
    }

    /// Makes the controllers and the scheduler stand still, or work again.
    pub fn stall_controllers(&self, stalled: bool) {
        self.stalled.send_replace(stalled);
    }

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }

    /// Changes the store; a dry run changes only a copy.
    pub(crate) fn write<T>(
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
