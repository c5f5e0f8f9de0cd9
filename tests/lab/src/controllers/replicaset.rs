//! ReplicaSets: as many pods as wanted.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Plan, Write, delete, number, pod, soonest, status};
use crate::{
    object::{
        condition, count, is_active, is_available, is_ready, now as present, stamp, text, uid,
    },
    resource::{Key, PODS, REPLICA_SETS},
    store::{Part, Store},
};

const FAILURE: &str = "ReplicaFailure";

pub(super) fn plan(store: &Store, key: &Key, set: &Value, now: Timestamp) -> Plan {
    let mut pods = store.owned_of(uid(set), &PODS);
    pods.retain(|pod| is_active(pod));
    let (wanted, patience) = (
        count(set, "/spec/replicas"),
        count(set, "/spec/minReadySeconds"),
    );
    let missing = wanted - number(&pods);
    let mut writes: Vec<Write> = Vec::new();
    for _ in 0..missing {
        writes.push(Write::Create(
            &PODS,
            pod(set, &set["spec"]["template"], &[]),
        ));
    }
    let mut new = status(&[
        (
            "readyReplicas",
            number(pods.iter().filter(|pod| is_ready(pod))),
        ),
        (
            "availableReplicas",
            number(pods.iter().filter(|pod| is_available(pod, patience, now))),
        ),
        ("fullyLabeledReplicas", number(&pods)),
        ("observedGeneration", count(set, "/metadata/generation")),
    ]);
    new["replicas"] = number(&pods).into();
    if missing > 0
        && let Some(failure) = condition(set, FAILURE)
    {
        new["conditions"] = json!([failure]);
    }
    let again = soonest(&pods, patience, now);
    pods.sort_by_key(rank);
    let surplus = usize::try_from(-missing).unwrap_or_default();
    writes.extend(pods.iter().take(surplus).map(|pod| delete(pod)));
    writes.push(Write::Status(key.clone(), new));
    Plan { writes, again }
}

/// Who goes first: what is not ready, then what is youngest.
fn rank(pod: &Arc<Value>) -> (bool, std::cmp::Reverse<String>) {
    let since = condition(pod, "Ready").map(|ready| text(ready, "/lastTransitionTime").to_owned());
    (is_ready(pod), std::cmp::Reverse(since.unwrap_or_default()))
}

/// Says in a ReplicaSet's status why there is no pod.
pub(super) fn note_failure(store: &mut Store, key: &Key, message: &str) {
    if *key.resource != REPLICA_SETS {
        return;
    }
    let since = store
        .get(key)
        .and_then(|set| condition(set, FAILURE).cloned());
    let since = since.map_or_else(
        || stamp(present()),
        |known| known["lastTransitionTime"].clone(),
    );
    let failure = json!([{ "type": FAILURE, "status": "True", "reason": "FailedCreate", "message": message, "lastTransitionTime": since }]);
    let note = |set: &mut Value| {
        set["status"]["conditions"] = failure;
        Ok(())
    };
    // A set that is gone needs no reason.
    drop(store.update(key, Part::Status, false, note));
}
