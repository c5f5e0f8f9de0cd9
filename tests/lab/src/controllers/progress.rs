//! How a Deployment's rollout gets on.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::deployment::paused;
use crate::object::{condition, count, name, stamp, text, time};

/// A deadline that never passes, for which there is no condition either.
const NO_DEADLINE: i64 = i32::MAX as i64;

/// A Deployment with the status that it had, and the counts that it has.
pub(super) struct Progress<'a> {
    pub(super) deployment: &'a Value,
    pub(super) new: &'a Value,
    pub(super) want: i64,
    pub(super) now: Timestamp,
}

impl Progress<'_> {
    /// The condition of the rollout, and when to look whether its deadline has passed.
    pub(super) fn condition(&self, created: bool) -> (Option<Value>, Option<Duration>) {
        let deadline = count(self.deployment, "/spec/progressDeadlineSeconds");
        if deadline == NO_DEADLINE {
            return (None, None);
        }
        let known = condition(self.deployment, "Progressing");
        let reason = known.map_or("", |known| text(known, "/reason"));
        if created {
            return (self.set("True", "NewReplicaSetCreated"), None);
        }
        let settled = self.has("replicas") == self.has("updatedReplicas");
        if settled && reason == "NewReplicaSetAvailable" {
            return (known.cloned(), None);
        }
        let whole = ["replicas", "updatedReplicas", "availableReplicas"];
        if whole.iter().all(|field| self.has(field) == self.want) {
            return (self.set("True", "NewReplicaSetAvailable"), None);
        }
        if self.got_on() {
            let whole = Duration::from_secs(u64::try_from(deadline).unwrap_or_default() + 1);
            return (self.set("True", "ReplicaSetUpdated"), Some(whole));
        }
        let over = matches!(
            reason,
            "" | "NewReplicaSetAvailable" | "ProgressDeadlineExceeded"
        );
        let since = known.and_then(|known| time(known, "/lastUpdateTime"));
        let since = since.filter(|_| !over && !paused(self.deployment));
        let left = since.map(|since| since + SignedDuration::from_secs(deadline) - self.now);
        match left.map(Duration::try_from) {
            None => (known.cloned(), None),
            Some(Ok(left)) if !left.is_zero() => {
                (known.cloned(), Some(left + Duration::from_millis(50)))
            }
            Some(Ok(_) | Err(_)) => (self.set("False", "ProgressDeadlineExceeded"), None),
        }
    }

    fn has(&self, field: &str) -> i64 {
        count(self.new, &format!("/{field}"))
    }

    fn had(&self, field: &str) -> i64 {
        count(self.deployment, &format!("/status/{field}"))
    }

    /// More new pods than before, or fewer old ones.
    fn got_on(&self) -> bool {
        let more = ["updatedReplicas", "readyReplicas", "availableReplicas"];
        let old = self.has("replicas") - self.has("updatedReplicas");
        let was = self.had("replicas") - self.had("updatedReplicas");
        old < was || more.iter().any(|field| self.has(field) > self.had(field))
    }

    fn set(&self, holds: &str, reason: &str) -> Option<Value> {
        Some(stated(
            self.deployment,
            "Progressing",
            holds,
            reason,
            self.now,
        ))
    }
}

/// A condition, whose time is that of its last change.
pub(super) fn stated(
    deployment: &Value,
    kind: &str,
    holds: &str,
    reason: &str,
    now: Timestamp,
) -> Value {
    let known = condition(deployment, kind).filter(|known| known["status"] == holds);
    let since = known.map_or_else(|| stamp(now), |known| known["lastTransitionTime"].clone());
    let same = known.filter(|known| known["reason"] == reason && kind == "Available");
    let updated = same.map_or_else(|| stamp(now), |known| known["lastUpdateTime"].clone());
    let message = format!("Deployment {:?}: {reason}", name(deployment));
    json!({
        "type": kind, "status": holds, "reason": reason, "message": message,
        "lastTransitionTime": since, "lastUpdateTime": updated,
    })
}
