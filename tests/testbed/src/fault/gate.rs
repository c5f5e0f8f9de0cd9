//! Processes to kill, and requests that wait.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{runtime::Handle, sync::watch};

/// How long a test waits for a request that it wants to hold.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process to kill, set once its id is known.
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

// === impl Victim ===

impl Victim {
    /// Sets the process. Requests that would kill it wait until then.
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
        // Cannot fail: the gate itself keeps the sender alive.
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
    /// If no request arrives in time.
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
            "the request to hold did not arrive"
        );
    }

    /// Returns true if a request is held or was held.
    pub fn has_arrived(&self) -> bool {
        self.gate.0.borrow().arrived > 0
    }

    /// Releases the held requests and lets later ones pass.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gate.open();
    }
}
