//! A kubelet for all fake nodes: it writes the status of pods through the API and runs no
//! containers.

mod behaviour;
mod hold;
mod play;
mod rule;
mod status;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64},
    },
};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use tokio::{
    sync::{Semaphore, watch},
    task::AbortHandle,
};

use self::rule::HoldRule;
pub(crate) use self::status::faltered;
pub use self::{
    behaviour::{BEHAVIOUR, READY_DELAY, STOP_DELAY, WITH_PROXY},
    hold::Hold,
};
use crate::{injector::Processes, journal::Journal, wait::Soon};

/// How many writes the API server handles at once without becoming slower.
const CONCURRENT_WRITES: usize = 32;
/// The kubelet of a bed's nodes.
#[derive(Clone)]
pub struct Kubelet {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    journal: Journal,
    /// What runs the injector pods, where they run at all.
    processes: Option<Arc<Processes>>,
    holds: watch::Sender<Vec<HoldRule>>,
    next_hold: AtomicU64,
    next_address: AtomicU32,
    writes: Semaphore,
}

// === impl Kubelet ===

impl Kubelet {
    pub(crate) fn new(client: Client, journal: Journal, processes: Option<Arc<Processes>>) -> Self {
        let shared = Shared {
            client,
            journal,
            processes,
            holds: watch::Sender::default(),
            next_hold: AtomicU64::default(),
            next_address: AtomicU32::default(),
            writes: Semaphore::new(CONCURRENT_WRITES),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Plays every pod that is bound to a node, until the watch fails.
    pub(crate) async fn run(&self) -> anyhow::Result<()> {
        let pods: Api<Pod> = Api::all(self.shared.client.clone());
        let config = watcher::Config::default().fields("spec.nodeName!=");
        let mut events = std::pin::pin!(watcher(pods, config).backoff(Soon));
        let mut playing: HashMap<String, Playing> = HashMap::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Apply(pod) | Event::InitApply(pod)) => self.see(&mut playing, pod),
                Ok(Event::Delete(pod)) => {
                    if let Some(gone) = pod.uid().and_then(|uid| playing.remove(&uid)) {
                        gone.task.abort();
                    }
                }
                Ok(Event::Init | Event::InitDone) => {}
                Err(error) => self.shared.journal.note("kubelet", &error),
            }
        }
        anyhow::bail!("the watch of pods ended")
    }

    fn see(&self, playing: &mut HashMap<String, Playing>, pod: Pod) {
        let Some(uid) = pod.uid() else { return };
        let stopping = pod.metadata.deletion_timestamp.is_some();
        match playing.get(&uid) {
            Some(known) if known.stopping || !stopping => return,
            Some(known) => known.task.abort(),
            None => {}
        }
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(async move { shared.play(&pod, stopping).await });
        playing.insert(
            uid,
            Playing {
                stopping,
                task: task.abort_handle(),
            },
        );
    }
}

impl std::fmt::Debug for Kubelet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubelet")
            .field("holds", &*self.shared.holds.borrow())
            .finish_non_exhaustive()
    }
}

struct Playing {
    stopping: bool,
    task: AbortHandle,
}
