//! Takes a control plane's lock, or waits for it.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use mesh_records::parse_duration;

use crate::clock::later;
use crate::lock::keep::{Keeper, Lock, Moment, Place, no_date, options};
use crate::lock::lease::{Claim, Decision, Holder, LABEL, Lease, NAME, TRUST, decide, renewal};
use crate::lock::wait::Wait;
use crate::object::{Namespace, Object as _};
use crate::wire::connect::Cluster;
use crate::wire::error::{Error, Why};
use crate::wire::page::Selection;
use crate::wire::rights::Right;
use crate::wire::target::Target;
use crate::wire::watch::Change;

/// What to do when somebody else holds the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfLocked {
    /// Stop: exit code 3.
    Fail,
    /// Do nothing: exit code 0.
    Skip,
    /// Wait for the lock for this long, then stop.
    Wait(Duration),
}

/// The result of an attempt to take the lock.
#[derive(Debug)]
pub enum Taking {
    /// The lock is ours.
    Taken {
        /// The lock.
        lock: Lock,
        /// The earlier holder whose lock had expired, if any.
        expired: Option<Holder>,
    },
    /// Somebody else holds the lock.
    Held(Holder),
}

impl Cluster {
    /// Takes the lock of the control plane in `namespace`. Waits at most `patience` for a lock that
    /// is held. A lock that has expired is watched for its whole length first; `watching` is called
    /// with its holder when that begins.
    pub async fn lock(
        self: &Arc<Self>,
        namespace: &str,
        claim: &Claim,
        patience: Duration,
        watching: impl Fn(&Holder),
    ) -> Result<Taking, Error> {
        let mut wait = Wait::new(claim.identity(), later(patience));
        let mut watching = Some(watching);
        loop {
            wait.see(self.lease(namespace).await?);
            let now = self.now().ok_or_else(no_date)?;
            let decision = wait.decide(now);
            let waits = wait.until(&decision, now).is_some();
            if let (Decision::Expired(holder), true) = (&decision, waits)
                && let Some(watching) = watching.take()
            {
                watching(holder);
            }
            match decision {
                Decision::Held(_) | Decision::Expired(_) if waits => {
                    self.until_free(namespace, &mut wait).await?;
                }
                Decision::Held(holder) | Decision::Expired(holder) => {
                    return Ok(Taking::Held(holder));
                }
                free @ (Decision::Create | Decision::Take { .. } | Decision::Mine) => {
                    let lease = wait.lease();
                    // Somebody else may have written the Lease first: then read it again.
                    if let Some(taken) = self.take(namespace, claim, free, lease).await? {
                        return Ok(taken);
                    }
                }
            }
        }
    }

    /// Returns the rights for the lock of the control plane in `namespace` that this user does not
    /// have.
    ///
    /// # Errors
    /// The API server cannot be reached, or refuses to show the Lease.
    pub async fn lacks_for_lock(&self, namespace: &str) -> Result<Vec<Right>, Error> {
        let right = |verb, name: Option<&str>| Right {
            verb,
            resource: Lease::RESOURCE.into(),
            namespace: Some(namespace.to_owned()),
            name: name.map(str::to_owned),
        };
        let lacking = self.lacking(vec![right("get", Some(NAME)), right("patch", Some(NAME))]);
        let lacking = lacking.await?;
        if lacking.is_empty() && self.lease(namespace).await?.is_none() {
            return self.lacking(vec![right("create", None)]).await;
        }
        Ok(lacking)
    }

    /// Returns who holds the lock of the control plane in `namespace`, by the dates in its Lease.
    ///
    /// # Errors
    /// The API server cannot be reached, or refuses to show the Lease.
    pub async fn lock_holder(&self, namespace: &str) -> Result<Option<Holder>, Error> {
        let lease = self.lease(namespace).await?;
        let now = self.now().ok_or_else(no_date)?;
        Ok(match decide(lease.as_ref(), now, Duration::ZERO, "") {
            Decision::Held(holder) => Some(holder),
            Decision::Create | Decision::Take { .. } | Decision::Mine | Decision::Expired(_) => {
                None
            }
        })
    }

    async fn lease(&self, namespace: &str) -> Result<Option<Lease>, Error> {
        match self.get::<Lease>(Some(namespace), NAME).await {
            Ok(lease) => Ok(Some(lease)),
            Err(error) if error.why() == Why::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    // Returns `None` if somebody else wrote the Lease first.
    async fn take(
        self: &Arc<Self>,
        namespace: &str,
        claim: &Claim,
        decision: Decision,
        lease: Option<&Lease>,
    ) -> Result<Option<Taking>, Error> {
        let sent = Moment::now();
        let written = self.now().ok_or_else(no_date)?;
        let target = Target::one(Lease::RESOURCE, Some(namespace), NAME);
        let (answer, expired) = match (decision, lease) {
            (Decision::Create, _) => {
                let all = Target::within(Lease::RESOURCE, namespace);
                let body = claim.lease(namespace, written);
                (self.create(&all, &body, options()).await, None)
            }
            (Decision::Take { expired }, Some(lease)) => {
                let body = claim.takeover(lease, written);
                (self.patch(&target, &body, options()).await, expired)
            }
            // An earlier write took the lock, but its answer was lost.
            (Decision::Mine, Some(lease)) => {
                let body = renewal(&lease.meta.resource_version, written);
                (self.patch(&target, &body, options()).await, None)
            }
            (Decision::Take { .. } | Decision::Mine, None)
            | (Decision::Held(_) | Decision::Expired(_), _) => return Ok(None),
        };
        let lease: Lease = match answer {
            Ok(lease) => lease,
            Err(error) if matches!(error.why(), Why::Conflict | Why::NotFound) => {
                return self.gone_or_raced(namespace, error).await;
            }
            Err(error) => return Err(error),
        };
        let keeper = Keeper {
            place: Arc::new(Place {
                cluster: Arc::clone(self),
                target,
                me: claim.identity(),
            }),
            version: lease.meta.resource_version,
            until: sent.plus(TRUST),
            longest: claim.longest,
            ends: sent.plus(claim.longest),
        };
        let lock = keeper.keep();
        Ok(Some(Taking::Taken { lock, expired }))
    }

    // "Not found" may also mean that the namespace is missing, which a new attempt cannot fix.
    async fn gone_or_raced(&self, namespace: &str, error: Error) -> Result<Option<Taking>, Error> {
        if error.why() == Why::NotFound {
            let found = self.get::<Namespace>(None, namespace).await;
            found.map_err(|_| error)?;
        }
        Ok(None)
    }

    // Watches the Lease until the lock can be taken, or the run has waited long enough.
    async fn until_free(&self, namespace: &str, wait: &mut Wait) -> Result<(), Error> {
        let (label, value) = LABEL;
        let labels = format!("{label}={value}");
        let selection = Selection {
            namespace: Some(namespace),
            labels: Some(&labels),
        };
        let mut changes = std::pin::pin!(self.watch::<Lease>(selection).into_stream());
        let mut is_listed = false;
        loop {
            let now = self.now().ok_or_else(no_date)?;
            let Some(until) = wait.until(&wait.decide(now), now) else {
                return Ok(());
            };
            let change = tokio::select! {
                change = next(&mut changes) => change?,
                () = tokio::time::sleep_until(until) => continue,
            };
            match change {
                Change::Began => is_listed = false,
                Change::Listed { .. } if is_listed => {}
                Change::Listed { .. } => wait.see(None),
                Change::Deleted(lease) if lease.meta.name == NAME => wait.see(None),
                Change::Seen(lease) | Change::Applied(lease) if lease.meta.name == NAME => {
                    is_listed = true;
                    wait.see(Some(lease));
                }
                Change::Seen(_) | Change::Applied(_) | Change::Deleted(_) => {}
            }
        }
    }
}

async fn next<T>(
    changes: &mut (impl Stream<Item = Result<Change<T>, Error>> + Unpin),
) -> Result<Change<T>, Error> {
    match changes.next().await {
        Some(change) => change,
        None => std::future::pending().await,
    }
}

// === impl IfLocked ===

impl IfLocked {
    /// Returns how long to wait for the lock.
    pub fn patience(self) -> Duration {
        match self {
            Self::Fail | Self::Skip => Duration::ZERO,
            Self::Wait(duration) => duration,
        }
    }
}

impl FromStr for IfLocked {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || "use `fail`, `skip` or `wait=5m`".to_owned();
        match text.split_once('=') {
            None if text == "fail" => Ok(Self::Fail),
            None if text == "skip" => Ok(Self::Skip),
            Some(("wait", duration)) => {
                Ok(Self::Wait(parse_duration(duration).map_err(|_| usage())?))
            }
            None | Some(_) => Err(usage()),
        }
    }
}
