//! Asks for consent, takes the lock of a control plane, and releases it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use mesh_cli::{CANCELLED, Declined, Leave, consent, warn};
use mesh_cluster::{Claim, Holder, IfLocked, Lock, Right, Taking};
use mesh_records::{Explained, Intent, Paste};

use crate::ending::{Ending, Outcome, refused, stopped};
use crate::interruption::Interruption;
use crate::run::Run;

/// The time for what has no flag of its own: reading, rendering, and requests that are slow.
const REST: Duration = Duration::from_secs(600);

/// What to do about a lock that somebody holds.
const WAIT: &str = "run the pipeline again later, or wait for the lock: --if-locked wait=5m";
/// What a run that does not take the lock says: it does not wait for it either.
const WOULD_WAIT: &str =
    "run the pipeline again later; the run that writes can wait for the lock: --if-locked wait=5m";

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
    ) -> impl Future<Output = Outcome<Leave>> + use<> {
        let (label, server) = (self.cluster.label(), self.cluster.server());
        let summary = format!("cluster {label} ({server})\n{summary}");
        let args = self.args.consent.clone();
        async move {
            let asking = tokio::task::spawn_blocking(move || consent(&args, &intent, &summary));
            match asking.await.context("cannot ask for confirmation")? {
                Ok(leave) => Ok(leave),
                Err(Declined::Because(why)) => Err(why.into()),
                Err(Declined::HungUp) => Err(stopped(
                    "the terminal went away before anybody answered; nothing was changed",
                )),
            }
        }
    }

    /// Asks for consent, and waits for the answer.
    ///
    /// # Errors
    /// As [`Run::consent`], or the run was interrupted.
    pub async fn ask(&mut self, intent: Intent, summary: &str) -> Outcome<Leave> {
        let asking = self.consent(intent, summary);
        match self.unless_stopped(asking).await {
            Ok(answer) => answer,
            Err(Interruption::Signal(_)) => Err(stopped(CANCELLED)),
            Err(other) => Err(other.into()),
        }
    }

    /// Checks that this user has the rights for the lock of the control plane in `namespace`.
    ///
    /// # Errors
    /// A right is missing, the run was interrupted, or the API server cannot be reached.
    pub async fn may_lock(&mut self, namespace: &str) -> Outcome<()> {
        let cluster = Arc::clone(&self.cluster);
        let lacking = self
            .unless_stopped(cluster.lacks_for_lock(namespace))
            .await??;
        if lacking.is_empty() {
            return Ok(());
        }
        let rules: Vec<String> = lacking.iter().map(Right::rule).collect();
        Err(refused(
            format!("this user may not take the lock of the control plane in {namespace}"),
            format!("allow it with the RBAC rule {}", rules.join("; ")),
        ))
    }

    /// Checks that nobody holds the lock of the control plane in `namespace`, for a run that does not
    /// take it.
    ///
    /// # Errors
    /// Somebody holds the lock, the run was interrupted, or the API server cannot be reached.
    pub async fn lock_is_free(&mut self, namespace: &str) -> Outcome<()> {
        match self.lock_held(namespace).await? {
            None => Ok(()),
            Some(held) => Err(held.into()),
        }
    }

    /// Returns who holds the lock of the control plane in `namespace`, and what to do about it, for a
    /// run that does not take it; `None` if nobody does.
    ///
    /// # Errors
    /// The run was interrupted, or the API server cannot be reached.
    pub async fn lock_held(&mut self, namespace: &str) -> Outcome<Option<Explained>> {
        let cluster = Arc::clone(&self.cluster);
        let reading = cluster.lock_holder(namespace);
        let holder = self.unless_stopped(reading).await??;
        Ok(holder.map(|holder| {
            let ahead = cluster.now().is_some_and(|now| holder.is_ahead_of(now));
            held(&cluster.paste(), namespace, &holder, ahead, WOULD_WAIT)
        }))
    }

    /// Takes the lock of the control plane in `namespace`, as `--if-locked` says, for a run whose
    /// own time limits end after `timeout`. Borrows nothing from the run.
    ///
    /// # Errors
    /// Somebody else holds the lock, or the API server cannot be reached.
    pub fn take_lock(
        &self,
        namespace: &str,
        target: &str,
        timeout: Duration,
    ) -> impl Future<Output = Outcome<Taken>> + use<> {
        let claim = Claim {
            by: self.by.clone(),
            run: self.voice.run.clone(),
            target: target.to_owned(),
            longest: longest(self.args.max_age, timeout),
        };
        let tool = self.voice.actor.tool.name();
        let (cluster, if_locked) = (Arc::clone(&self.cluster), self.args.if_locked);
        let namespace = namespace.to_owned();
        async move {
            let watching = |holder: &Holder| {
                let what = format!(
                    "the lock of the control plane in {namespace} has expired, left behind by \
                     {holder}; taking it over if it stays unchanged for {}s",
                    holder.length.as_secs()
                );
                warn(tool, &anyhow::anyhow!(what));
            };
            let taking = cluster.lock(&namespace, &claim, if_locked.patience(), watching);
            match taking.await.context("cannot take the lock")? {
                Taking::Taken { lock, expired } => Ok(Taken { lock, expired }),
                Taking::Held(holder) => {
                    let ahead = cluster.now().is_some_and(|now| holder.is_ahead_of(now));
                    let paste = cluster.paste();
                    let error = held(&paste, &namespace, &holder, ahead, WAIT);
                    Err(match if_locked {
                        IfLocked::Skip => Ending::Skipped(error.with_hint("")),
                        IfLocked::Fail | IfLocked::Wait(_) => Ending::Stopped(error),
                    })
                }
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

// A run that its own time limits do not end, such as one whose output nobody reads, must not keep
// others from the lock forever.
fn longest(max_age: Duration, timeout: Duration) -> Duration {
    let limits = timeout.saturating_mul(4).saturating_add(REST);
    max_age.saturating_add(limits)
}

fn held(paste: &Paste, namespace: &str, holder: &Holder, is_ahead: bool, wait: &str) -> Explained {
    let what = format!("the lock of the control plane in {namespace} is held by {holder}");
    let mut hint = wait.to_owned();
    if is_ahead || holder.expires.is_none() {
        let release = paste.kubectl(&["-n", namespace, "delete", "lease", "mesh-tools"]);
        hint = format!(
            "its dates are not of this API server's clock; if that run is gone, release the lock: \
             {release}"
        );
    }
    Explained::new(what, hint)
}
