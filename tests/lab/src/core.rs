//! What every part of the lab shares.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::json;

use crate::{fill, record::Record, resource::NAMESPACES, store::Store};

pub(crate) struct Core {
    store: Mutex<Store>,
    /// Where the Services are, by `namespace/name`.
    routes: Mutex<HashMap<String, SocketAddr>>,
    pub(crate) record: Arc<Record>,
    /// The Kubernetes version that the lab says it is.
    pub(crate) kubernetes: String,
}

const NAMESPACES_AT_FIRST: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

// === impl Core ===

impl Core {
    pub(crate) fn new(kubernetes: String) -> Self {
        Self {
            store: Mutex::new(Store::new()),
            routes: Mutex::default(),
            record: Arc::default(),
            kubernetes,
        }
    }

    /// Creates what every cluster has.
    pub(crate) fn furnish(&self) {
        for name in NAMESPACES_AT_FIRST {
            let made = fill::fresh(&NAMESPACES, "", &json!({ "metadata": { "name": name } }));
            let made = made.and_then(|(key, object)| self.store().create(&key, object, false));
            made.expect("a namespace of the lab's own is one");
        }
    }

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn route(&self, namespace: &str, name: &str) -> Option<SocketAddr> {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.get(&format!("{namespace}/{name}")).copied()
    }

    pub(crate) fn set_route(&self, namespace: &str, name: &str, address: SocketAddr) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.insert(format!("{namespace}/{name}"), address);
    }
}
