//! The Deployment controller: one ReplicaSet per template, and the rollout from one to the next.

use serde_json::{Value, json};

use super::wish::{Wish, create, owned, set, status};
use crate::{
    kind::Kind,
    object::{condition, count, hash, is_active, is_ready, name, share, tally},
    store::Store,
};

const HASH: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";
const DONE: &str = "NewReplicaSetAvailable";

/// A ReplicaSet with its pods.
struct Set<'a> {
    object: &'a Value,
    wanted: i64,
    pods: i64,
    ready: i64,
    is_empty: bool,
}

pub(super) fn plan(store: &Store, deployment: &Value) -> Vec<Wish> {
    let spec = &deployment["spec"];
    let (wanted, hash) = (count(spec, "/replicas"), hash(&spec["template"]));
    let bound = |field, up| share(&spec["strategy"]["rollingUpdate"][field], wanted, up);
    let surge = bound("maxSurge", true);
    let least = wanted - bound("maxUnavailable", false).max(i64::from(surge == 0));

    let sets = owned(store, deployment, Kind::ReplicaSet);
    let sets: Vec<Set<'_>> = sets.into_iter().map(|set| Set::of(store, set)).collect();
    let is_new = |set: &&Set<'_>| set.object["metadata"]["labels"][HASH] == hash;
    let new = sets.iter().find(is_new);
    let old: Vec<&Set<'_>> = sets.iter().filter(|set| !is_new(set)).collect();
    let sum = |of: fn(&Set<'_>) -> i64| sets.iter().map(of).sum::<i64>();
    let (all, ready) = (sum(|set| set.wanted), sum(|set| set.ready));

    let before = old.iter().map(|set| revision(set.object)).max();
    let revision = new.map_or(1, |set| revision(set.object));
    let revision = revision.max(before.unwrap_or_default() + 1).to_string();
    let mark = json!({ "annotations": { REVISION: revision } });

    let recreates = spec["strategy"]["type"] == "Recreate";
    let now = new.map_or(0, |set| set.wanted);
    let room = (wanted - now).min(wanted + surge - all).max(0);
    let target = wanted.min(now + room);
    let is_paused = spec["paused"] == true;
    let wishes: Vec<Wish> = if is_paused {
        resize(&sets, wanted).into_iter().collect()
    } else if recreates && !old.iter().all(|set| set.is_empty) {
        old.iter().filter_map(|set| set.scale(0)).collect()
    } else {
        let more = match new {
            None => Some(replica_set(deployment, &hash, target, mark.clone())),
            Some(new) => new.scale(target).or(set(new.object, "metadata", &mark)),
        };
        let may_go = all - now - least + new.map_or(0, |set| set.ready);
        let fewer = scale_down(&old, may_go, ready - least);
        more.into_iter().chain(fewer).collect()
    };
    if !wishes.is_empty() {
        return wishes;
    }

    let (pods, updated) = (sum(|set| set.pods), new.map_or(0, |set| set.pods));
    // A complete rollout stays complete, even if pods fail later.
    let known = condition(deployment, "Progressing");
    let stays = known.is_some_and(|known| known["reason"] == DONE) && updated == pods;
    let is_done = stays || [pods, updated, ready] == [wanted; 3];
    let counts = json!({
        "replicas": pods, "updatedReplicas": updated, "readyReplicas": ready,
        "availableReplicas": ready, "unavailableReplicas": (all - ready).max(0),
        "conditions": [progressing(is_paused, is_done)],
    });
    let mut wish = status(deployment, counts);
    if let Some(Wish::Merge(_, patch)) = wish.as_mut().filter(|_| !is_paused) {
        patch["metadata"] = mark;
    }
    wish.into_iter().collect()
}

fn progressing(is_paused: bool, is_done: bool) -> Value {
    let (status, reason) = match (is_paused, is_done) {
        (true, _) => ("Unknown", "DeploymentPaused"),
        (false, true) => ("True", DONE),
        (false, false) => ("True", "ReplicaSetUpdated"),
    };
    json!({ "type": "Progressing", "status": status, "reason": reason })
}

/// Scales a paused Deployment: that its one set with pods gets another size is all that is done.
fn resize(sets: &[Set<'_>], wanted: i64) -> Option<Wish> {
    let mut with_pods = sets.iter().filter(|set| set.wanted > 0);
    match (with_pods.next(), with_pods.next()) {
        (Some(set), None) => set.scale(wanted),
        _ => None,
    }
}

fn revision(object: &Value) -> i64 {
    let revision = object["metadata"]["annotations"][REVISION].as_str();
    revision
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

/// Reduces old pods: first those that are not ready, then as many others as may be unavailable.
fn scale_down(old: &[&Set<'_>], mut may_go: i64, mut spare: i64) -> Vec<Wish> {
    let mut wishes = Vec::new();
    for set in old {
        let idle = (set.wanted - set.ready).min(may_go).max(0);
        may_go -= idle;
        let go = set.ready.min(spare).min(may_go).max(0);
        (may_go, spare) = (may_go - go, spare - go);
        wishes.extend(set.scale(set.wanted - idle - go));
    }
    wishes
}

fn replica_set(deployment: &Value, hash: &str, replicas: i64, mut metadata: Value) -> Wish {
    let spec = &deployment["spec"];
    let (mut template, mut selector) = (spec["template"].clone(), spec["selector"].clone());
    template["metadata"]["labels"][HASH] = hash.into();
    selector["matchLabels"][HASH] = hash.into();
    metadata["labels"] = template["metadata"]["labels"].clone();
    let spec = json!({ "replicas": replicas, "selector": selector, "template": template });
    let set = json!({ "metadata": metadata, "spec": spec });
    let name = format!("{}-{hash}", name(deployment));
    create(Kind::ReplicaSet, deployment, &name, set)
}

// === impl Set ===

impl<'a> Set<'a> {
    fn of(store: &Store, object: &'a Value) -> Self {
        let pods = owned(store, object, Kind::Pod);
        let wanted = count(object, "/spec/replicas");
        Self {
            object,
            wanted,
            pods: tally(&pods, is_active),
            ready: tally(&pods, |pod| is_active(pod) && is_ready(pod)),
            is_empty: wanted == 0 && pods.is_empty(),
        }
    }

    /// Returns the change that scales the set, unless it already has this size.
    fn scale(&self, replicas: i64) -> Option<Wish> {
        set(self.object, "spec", &json!({ "replicas": replicas }))
    }
}
