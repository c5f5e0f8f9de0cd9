//! What one run that wants the lock has seen of its Lease, and for how long the run waits.
//!
//! The dates in a Lease come from API servers whose clocks may differ, so no date alone is enough
//! to take a lock from its holder. The Lease must also have been seen unchanged for its whole length
//! on this machine's own monotonic clock.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::clock::{after, later};
use crate::lock::lease::{Decision, Lease, decide};

/// One attempt to take the lock.
#[derive(Debug)]
pub(crate) struct Wait {
    me: String,
    /// When the run no longer waits for a lock that is held.
    give_up: Instant,
    seen: Option<Seen>,
    has_changed: bool,
}

// A version of the Lease, and when this run saw it first.
#[derive(Debug)]
struct Seen {
    lease: Lease,
    since: Instant,
}

/// An expired lock is watched for its whole length even without `--if-locked wait`. A Lease with a
/// greater length is not one of these tools', and a run waits for it only as `--if-locked` says.
const LONGEST: Duration = Duration::from_secs(60);
// The server's clock is read in whole seconds, so the date may change a moment later than expected.
const MOMENT: Duration = Duration::from_millis(100);

// === impl Wait ===

impl Wait {
    /// Begins an attempt of the run named `me` that gives up at `give_up`.
    pub(crate) fn new(me: String, give_up: Instant) -> Self {
        Self {
            me,
            give_up,
            seen: None,
            has_changed: false,
        }
    }

    /// Takes note of the Lease as it is now; `None` if it does not exist.
    pub(crate) fn see(&mut self, lease: Option<Lease>) {
        let Some(lease) = lease else {
            self.has_changed |= self.seen.take().is_some();
            return;
        };
        if let Some(seen) = &mut self.seen
            && seen.lease.meta.resource_version == lease.meta.resource_version
        {
            seen.lease = lease;
            return;
        }
        self.has_changed |= self.seen.is_some();
        self.seen = Some(Seen {
            lease,
            since: Instant::now(),
        });
    }

    /// Returns the Lease as it was last seen.
    pub(crate) fn lease(&self) -> Option<&Lease> {
        self.seen.as_ref().map(|seen| &seen.lease)
    }

    /// Decides what to do at the server's time `now`.
    pub(crate) fn decide(&self, now: Timestamp) -> Decision {
        let unchanged = self.seen.as_ref().map(|seen| seen.since.elapsed());
        decide(self.lease(), now, unchanged.unwrap_or_default(), &self.me)
    }

    /// Returns until when to wait for a change of the Lease before the next decision, or `None` if
    /// the run does not wait: the lock can be taken, or the run has waited long enough.
    pub(crate) fn until(&self, decision: &Decision, now: Timestamp) -> Option<Instant> {
        let since = self.seen.as_ref()?.since;
        match decision {
            Decision::Create | Decision::Take { .. } | Decision::Mine => None,
            Decision::Held(holder) => {
                let expires = holder.expires.map(|expires| later(left(now, expires)));
                let expires = expires.unwrap_or(self.give_up);
                self.at_most(expires.max(after(since, holder.length)))
            }
            Decision::Expired(holder) => {
                let ready = after(since, holder.length);
                let is_quiet = !self.has_changed && holder.length <= LONGEST;
                match is_quiet {
                    true => Some(ready),
                    false => self.at_most(ready),
                }
            }
        }
    }

    fn at_most(&self, until: Instant) -> Option<Instant> {
        (Instant::now() < self.give_up).then(|| until.min(self.give_up))
    }
}

fn left(now: Timestamp, expires: Timestamp) -> Duration {
    let left = Duration::try_from(expires.duration_since(now));
    left.unwrap_or(Duration::ZERO).saturating_add(MOMENT)
}
