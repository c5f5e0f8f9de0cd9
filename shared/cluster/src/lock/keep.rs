//! Keeps a control plane's lock: renews it in the background, detects its loss, releases it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::clock::{after, later};
use crate::lock::lease::{Decision, Holder, Lease, RENEWAL, TRUST, decide, renewal, surrender};
use crate::wire::connect::Cluster;
use crate::wire::error::{Error, Why};
use crate::wire::target::{Options, Target};

/// A lock that is held. A background task renews it until it is released or lost.
///
/// If dropped without a release, the lock expires by itself.
#[derive(Debug)]
pub struct Lock {
    grip: Grip,
    place: Arc<Place>,
    stop: Option<oneshot::Sender<()>>,
    renewer: Option<JoinHandle<Result<(), Error>>>,
}

/// Says whether a lock is still held. Can be cloned and passed to other tasks.
#[derive(Clone, Debug)]
pub struct Grip {
    standing: watch::Receiver<Standing>,
}

/// Why a lock was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The lock could not be renewed in time. The field is the error of the last attempt.
    Expired(Option<String>),
    /// Somebody else has the lock.
    Taken(Holder),
    /// Somebody deleted or cleared the lock's Lease.
    Removed,
    /// The run has held the lock for this long, the longest that it may.
    TooLong(Duration),
}

#[derive(Clone, Debug)]
enum Standing {
    Until(Moment),
    Lost(Lost),
}

// A point in time. While a machine sleeps the monotonic clock stops, but the time since boot goes
// on, so both are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    instant: Instant,
    since_boot: Option<Duration>,
}

/// The Lease of a lock, and who holds it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) target: Target,
    pub(crate) me: String,
}

pub(crate) struct Keeper {
    pub(crate) place: Arc<Place>,
    pub(crate) version: String,
    pub(crate) until: Moment,
    pub(crate) longest: Duration,
    /// When the run has held the lock for the longest time.
    pub(crate) ends: Moment,
}

/// The longest that one attempt to renew may take, so that there is time for another attempt.
const ATTEMPT: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(500);

// === impl Lock ===

impl Lock {
    /// Returns a [`Grip`] to pass to other tasks.
    pub fn grip(&self) -> Grip {
        self.grip.clone()
    }

    /// Asks the API server whether the lock is held now; [`Grip::check`] would notice only at the next
    /// renewal that somebody took it. Borrows nothing from the lock.
    ///
    /// # Errors
    /// The API server cannot be reached; the inner error is why the lock was lost.
    pub fn confirm(&self) -> impl Future<Output = Result<Result<(), Lost>, Error>> + use<> {
        let place = Arc::clone(&self.place);
        async move { Ok(place.look().await?.map(drop)) }
    }

    /// Stops renewing, and releases the lock if it is still ours.
    ///
    /// # Errors
    /// The API server cannot be reached; the lock then expires by itself.
    pub async fn release(mut self) -> Result<(), Error> {
        drop(self.stop.take());
        match self.renewer.take() {
            Some(renewer) => renewer.await.unwrap_or(Ok(())),
            None => Ok(()),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(renewer) = &self.renewer {
            renewer.abort();
        }
    }
}

// === impl Grip ===

impl Grip {
    /// Checks that the lock is held now. Call this right before every write.
    ///
    /// # Errors
    /// The lock is lost; [`Lost`] gives the reason.
    pub fn check(&self) -> Result<(), Lost> {
        match &*self.standing.borrow() {
            Standing::Until(moment) if moment.is_over() => Err(Lost::Expired(None)),
            Standing::Until(_) => Ok(()),
            Standing::Lost(lost) => Err(lost.clone()),
        }
    }

    /// Waits until the lock is lost. Never returns if the lock is released first.
    pub async fn lost(&mut self) -> Lost {
        loop {
            let standing = self.standing.borrow_and_update().clone();
            let until = match standing {
                Standing::Lost(lost) => return lost,
                Standing::Until(moment) => moment.instant,
            };
            tokio::select! {
                changed = self.standing.changed() => if changed.is_err() {
                    return std::future::pending().await;
                },
                () = tokio::time::sleep_until(until) => return Lost::Expired(None),
            }
        }
    }
}

// === impl Keeper ===

impl Keeper {
    pub(crate) fn keep(self) -> Lock {
        let (tell, standing) = watch::channel(Standing::Until(self.until));
        let (stop, stopped) = oneshot::channel();
        let place = Arc::clone(&self.place);
        let renewer = tokio::spawn(self.run(tell, stopped));
        Lock {
            grip: Grip { standing },
            place,
            stop: Some(stop),
            renewer: Some(renewer),
        }
    }

    async fn run(
        mut self,
        tell: watch::Sender<Standing>,
        mut stopped: oneshot::Receiver<()>,
    ) -> Result<(), Error> {
        let lost = tokio::select! {
            _ = &mut stopped => None,
            lost = self.renew(&tell) => Some(lost),
        };
        if let Some(lost) = lost {
            tell.send_replace(Standing::Lost(lost));
            // Waits for the release of the lock, or for its drop.
            drop(stopped.await);
        }
        let cluster = Arc::clone(&self.place.cluster);
        let slow = |_| Error::timed_out("releasing the lock", cluster.server(), ATTEMPT);
        tokio::time::timeout(ATTEMPT, self.let_go())
            .await
            .map_err(slow)?
    }

    // Renews the lock until it is lost.
    async fn renew(&mut self, tell: &watch::Sender<Standing>) -> Lost {
        let mut cause = None;
        loop {
            let pause = if cause.is_none() { RENEWAL } else { PAUSE };
            let wake = later(pause).min(self.until.instant);
            tokio::time::sleep_until(wake.min(self.ends.instant)).await;
            if self.ends.is_over() {
                return Lost::TooLong(self.longest);
            }
            if self.until.is_over() {
                return Lost::Expired(cause);
            }
            let most = ATTEMPT.min(self.until.instant.duration_since(Instant::now()));
            cause = match tokio::time::timeout(most, self.renew_once()).await {
                Ok(Ok(None)) => None,
                Ok(Ok(Some(lost))) => return lost,
                Ok(Err(error)) => Some(words(&error)),
                Err(_) => Some("the API server did not answer in time".to_owned()),
            };
            tell.send_replace(Standing::Until(self.until));
        }
    }

    async fn renew_once(&mut self) -> Result<Option<Lost>, Error> {
        let sent = Moment::now();
        let written = self.place.cluster.now().ok_or_else(no_date)?;
        let body = renewal(&self.version, written);
        let Place {
            cluster, target, ..
        } = &*self.place;
        let patched = cluster.patch(target, &body, options());
        let lease: Lease = match patched.await {
            Ok(lease) => lease,
            Err(error) if error.why() == Why::NotFound => return Ok(Some(Lost::Removed)),
            Err(error) if error.why() == Why::Conflict => {
                let lost = self.look().await?;
                let again = || Error::malformed("renewing the lock", "an answer was lost");
                return lost.map(Some).ok_or_else(again);
            }
            Err(error) => return Err(error),
        };
        self.version = lease.meta.resource_version;
        self.until = sent.plus(TRUST);
        Ok(None)
    }

    // A conflict may come from our own earlier write whose answer was lost; renewing then continues
    // from that version.
    async fn look(&mut self) -> Result<Option<Lost>, Error> {
        match self.place.look().await? {
            Ok(version) => {
                self.version = version;
                Ok(None)
            }
            Err(lost) => Ok(Some(lost)),
        }
    }

    // The patch names a version at which the lock was ours, so it cannot change somebody else's
    // lock.
    async fn let_go(mut self) -> Result<(), Error> {
        loop {
            let body = surrender(&self.version);
            let Place {
                cluster, target, ..
            } = &*self.place;
            let patched: Result<Lease, Error> = cluster.patch(target, &body, options()).await;
            match patched {
                Ok(_) => return Ok(()),
                Err(error) if error.why() == Why::NotFound => return Ok(()),
                Err(error) if error.why() == Why::Conflict => {}
                Err(error) => return Err(error),
            }
            if self.look().await?.is_some() {
                return Ok(());
            }
        }
    }
}

// === impl Place ===

impl Place {
    // Returns the Lease's version if the lock is ours.
    async fn look(&self) -> Result<Result<String, Lost>, Error> {
        let lease: Lease = match self.cluster.get_as(&self.target).await {
            Ok(lease) => lease,
            Err(error) if error.why() == Why::NotFound => return Ok(Err(Lost::Removed)),
            Err(error) => return Err(error),
        };
        let now = self.cluster.now().ok_or_else(no_date)?;
        Ok(match decide(Some(&lease), now, Duration::ZERO, &self.me) {
            Decision::Mine => Ok(lease.meta.resource_version),
            Decision::Held(holder)
            | Decision::Expired(holder)
            | Decision::Take {
                expired: Some(holder),
            } => Err(Lost::Taken(holder)),
            Decision::Create | Decision::Take { expired: None } => Err(Lost::Removed),
        })
    }
}

// === impl Moment ===

impl Moment {
    pub(crate) fn now() -> Self {
        Self {
            instant: Instant::now(),
            since_boot: since_boot(),
        }
    }

    pub(crate) fn plus(self, duration: Duration) -> Self {
        Self {
            instant: after(self.instant, duration),
            since_boot: self.since_boot.map(|boot| boot.saturating_add(duration)),
        }
    }

    fn is_over(self) -> bool {
        let slept_through = match (self.since_boot, since_boot()) {
            (Some(end), Some(now)) => now >= end,
            (Some(_), None) | (None, _) => false,
        };
        slept_through || Instant::now() >= self.instant
    }
}

// A right may vanish while the lock is held, so the rule is named.
fn words(error: &Error) -> String {
    let rule = error
        .rule()
        .map(|rule| format!(" (needs the RBAC rule {rule})"));
    format!("{error}: {}{}", error.reason(), rule.unwrap_or_default())
}

// If the time since boot cannot be read, only the monotonic clock counts.
fn since_boot() -> Option<Duration> {
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let seconds: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

pub(crate) fn no_date() -> Error {
    Error::malformed(
        "reading the API server's clock",
        "its answers have no Date header",
    )
}

pub(crate) fn options() -> Options {
    Options {
        field_manager: Some("mesh-tools"),
        ..Options::default()
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired(None) => f.write_str("it was not renewed in time"),
            Self::Expired(Some(cause)) => {
                write!(f, "it was not renewed in time: {cause}")
            }
            Self::Taken(holder) => write!(f, "{holder} holds it now"),
            Self::Removed => f.write_str("somebody deleted or cleared its Lease"),
            Self::TooLong(longest) => {
                let longest = SignedDuration::try_from(*longest).unwrap_or(SignedDuration::MAX);
                write!(
                    f,
                    "this run held it for {longest:#}, the longest that it may"
                )
            }
        }
    }
}
