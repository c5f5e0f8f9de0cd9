//! Starts a lab: its namespaces, its controllers and its server.

use std::{
    io,
    sync::{Arc, Mutex},
};

use serde_json::json;
use tokio::{net::TcpListener, sync::watch::Sender};

use crate::{
    controllers, fresh,
    kind::Kind,
    lab::{Lab, Witness},
    server,
    store::Store,
};

impl Lab {
    /// Starts a lab on its own loopback port, with plain HTTP.
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
            stalled: Sender::default(),
        });
        tokio::spawn(controllers::run(Arc::clone(&lab)));
        tokio::spawn(server::serve(Arc::clone(&lab), listener));
        Ok(lab)
    }
}
