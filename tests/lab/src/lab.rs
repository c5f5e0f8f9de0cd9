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
    pub(crate) address: SocketAddr,
    pub(crate) witness: Arc<dyn Witness>,
    pub(crate) store: Mutex<Store>,
    /// The newest version.
    pub(crate) changed: Sender<u64>,
    /// Where the Services are, by the names that they have within the cluster.
    pub(crate) routes: Mutex<HashMap<String, SocketAddr>>,
    pub(crate) unknown: Mutex<Vec<String>>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Lab ===

impl Lab {
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

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }

    /// Changes the store, or for a dry run a copy that nobody sees.
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
