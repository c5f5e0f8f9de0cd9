//! Asks for consent, takes the lock of a control plane, and releases it.

use std::sync::Arc;

use anyhow::Context as _;
use mesh_cli::{Leave, consent, warn};
use mesh_cluster::{Claim, Holder, IfLocked, Lock, Taking};
use mesh_records::{Explained, Intent};

use crate::ending::{Ending, Outcome};
use crate::run::Run;

/// A lock that was taken, for [`Run::hold`].
#[derive(Debug)]
pub struct Taken {
    /// The lock.
    pub lock: Lock,
    /// The earlier holder whose lock had expired, if any.
    pub expired: Option<Holder>,
}

// === impl Run ===

impl Run {
    /// Asks for consent on its own thread, because a person may take long to answer while the lock
    /// must be renewed. Borrows nothing from the run.
    ///
    /// # Errors
    /// Nobody agreed.
    pub fn consent(
        &self,
        intent: Intent,
        summary: &str,
    ) -> impl Future<Output = anyhow::Result<Leave>> + use<> {
        let (label, server) = (self.cluster.label(), self.cluster.server());
        let summary = format!("cluster {label} ({server})\n{summary}");
        let args = self.args.consent.clone();
        async move {
            let asking = tokio::task::spawn_blocking(move || consent(&args, &intent, &summary));
            Ok(asking.await.context("cannot ask for confirmation")??)
        }
    }

    /// Takes the lock of the control plane in `namespace`, as `--if-locked` says. Borrows nothing
    /// from the run.
    ///
    /// # Errors
    /// Somebody else holds the lock, or the API server cannot be reached.
    pub fn take_lock(
        &self,
        namespace: &str,
        target: &str,
    ) -> impl Future<Output = Outcome<Taken>> + use<> {
        let claim = Claim {
            by: self.by.clone(),
            run: self.voice.run.clone(),
            target: target.to_owned(),
        };
        let (cluster, if_locked) = (Arc::clone(&self.cluster), self.args.if_locked);
        let namespace = namespace.to_owned();
        async move {
            let taking = cluster.lock(&namespace, &claim, if_locked.patience());
            match taking.await.context("cannot take the lock")? {
                Taking::Taken { lock, expired } => Ok(Taken { lock, expired }),
                Taking::Held(holder) => Err(held(&namespace, &holder, if_locked)),
            }
        }
    }

    /// Keeps the lock until the run ends.
    pub fn hold(&mut self, lock: Lock) {
        self.lock = Some(lock);
    }

    // A run that ends at once may have a write in progress, so its lock is left to expire.
    pub(crate) async fn release(&mut self, ending: &Ending) {
        let Some(lock) = self.lock.take() else { return };
        if matches!(ending, Ending::Left { .. }) {
            return;
        }
        // A second signal does not wait for it.
        if let Ok(Err(error)) = self.see_out(lock.release()).await {
            let error =
                anyhow::Error::new(error).context("cannot release the lock; it expires by itself");
            warn(self.voice.actor.tool.name(), &error);
        }
    }
}

fn held(namespace: &str, holder: &Holder, if_locked: IfLocked) -> Ending {
    let what = format!("the lock of the control plane in {namespace} is held by {holder}");
    let hint = "run the pipeline again later, or wait for the lock: --if-locked wait=5m";
    match if_locked {
        IfLocked::Skip => Ending::Skipped(Explained::new(what, "")),
        IfLocked::Fail | IfLocked::Wait(_) => Ending::Stopped(Explained::new(what, hint)),
    }
}
