//! Takes a control plane's lock, or waits for it.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use mesh_records::parse_duration;
use tokio::time::Instant;

use crate::lock::keep::{Keeper, Lock, Moment, no_date, options};
use crate::lock::lease::{Claim, Decision, Holder, LABEL, Lease, NAME, decide, renewal, term};
use crate::object::{Namespace, Object as _};
use crate::wire::connect::Cluster;
use crate::wire::error::{Error, Why};
use crate::wire::page::Selection;
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
    /// Takes the lock of the control plane in `namespace`; waits at most `patience` for it.
    pub async fn lock(
        self: &Arc<Self>,
        namespace: &str,
        claim: &Claim,
        patience: Duration,
    ) -> Result<Taking, Error> {
        let give_up = Instant::now() + patience;
        let me = claim.identity();
        loop {
            let holder = match self.try_lock(namespace, claim).await? {
                Some(Taking::Held(holder)) => holder,
                Some(taken @ Taking::Taken { .. }) => return Ok(taken),
                // Somebody else wrote the Lease first: read it again.
                None => continue,
            };
            if Instant::now() >= give_up {
                return Ok(Taking::Held(holder));
            }
            let free = self.until_free(namespace, &me, holder.expires);
            if let Ok(done) = tokio::time::timeout_at(give_up, free).await {
                done?;
            }
        }
    }

    async fn try_lock(
        self: &Arc<Self>,
        namespace: &str,
        claim: &Claim,
    ) -> Result<Option<Taking>, Error> {
        let lease = match self.get::<Lease>(Some(namespace), NAME).await {
            Ok(lease) => Some(lease),
            Err(error) if error.why() == Why::NotFound => None,
            Err(error) => return Err(error),
        };
        let sent = Moment::now();
        let written = self.now().ok_or_else(no_date)?;
        let target = Target::one(Lease::RESOURCE, Some(namespace), NAME);
        let (answer, expired) = match decide(lease.as_ref(), written, &claim.identity()) {
            Decision::Held(holder) => return Ok(Some(Taking::Held(holder))),
            Decision::Create => {
                let all = Target::within(Lease::RESOURCE, namespace);
                let body = claim.lease(namespace, written);
                (self.create(&all, &body, options()).await, None)
            }
            Decision::Take { expired } => {
                let body = claim.takeover(&lease.unwrap_or_default(), written);
                let patched = self.patch(&target, &body, options());
                (patched.await, expired)
            }
            // An earlier write took the lock, but its answer was lost.
            Decision::Mine => {
                let body = renewal(&lease.unwrap_or_default().meta.resource_version, written);
                let patched = self.patch(&target, &body, options());
                (patched.await, None)
            }
        };
        let lease: Lease = match answer {
            Ok(lease) => lease,
            Err(error) if matches!(error.why(), Why::Conflict | Why::NotFound) => {
                return self.gone_or_raced(namespace, error).await;
            }
            Err(error) => return Err(error),
        };
        let keeper = Keeper {
            cluster: Arc::clone(self),
            target,
            me: claim.identity(),
            version: lease.meta.resource_version,
            until: sent.plus(term(written, self.now().ok_or_else(no_date)?)),
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

    // Watches the Lease until the lock seems free or expired.
    async fn until_free(
        &self,
        namespace: &str,
        me: &str,
        expires: Option<Timestamp>,
    ) -> Result<(), Error> {
        let (label, value) = LABEL;
        let labels = format!("{label}={value}");
        let selection = Selection {
            namespace: Some(namespace),
            labels: Some(&labels),
        };
        let mut changes = std::pin::pin!(self.watch::<Lease>(selection).into_stream());
        let mut expires = expires;
        let mut seen = false;
        loop {
            let now = self.now().ok_or_else(no_date)?;
            let left = expires.map(|expires| left(now, expires));
            let change = tokio::select! {
                change = next(&mut changes) => change?,
                () = sleep(left) => return Ok(()),
            };
            let lease = match change {
                Change::Began => {
                    seen = false;
                    continue;
                }
                Change::Listed { .. } if seen => continue,
                Change::Listed { .. } => return Ok(()),
                Change::Deleted(lease) if lease.meta.name == NAME => return Ok(()),
                Change::Seen(lease) | Change::Applied(lease) if lease.meta.name == NAME => lease,
                Change::Seen(_) | Change::Applied(_) | Change::Deleted(_) => continue,
            };
            seen = true;
            match decide(Some(&lease), now, me) {
                Decision::Held(holder) => expires = holder.expires,
                Decision::Create | Decision::Take { .. } | Decision::Mine => return Ok(()),
            }
        }
    }
}

// The reading of the server's clock may be up to a second late, so this wait may be up to a second
// too long.
fn left(now: Timestamp, expires: Timestamp) -> Duration {
    let left = expires.duration_since(now) + SignedDuration::from_millis(100);
    Duration::try_from(left).unwrap_or(Duration::ZERO)
}

async fn next<T>(
    changes: &mut (impl Stream<Item = Result<Change<T>, Error>> + Unpin),
) -> Result<Change<T>, Error> {
    match changes.next().await {
        Some(change) => change,
        None => std::future::pending().await,
    }
}

async fn sleep(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
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
