//! Deployments: a ReplicaSet for each template, and the way from one to the next.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Plan, Write,
    progress::{Progress, stated},
    reference, status,
};
use crate::{
    object::{condition, count, hash, label, name, namespace, share, uid},
    resource::{Key, PODS, REPLICA_SETS},
    store::Store,
};

const HASH: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";

/// A Deployment's ReplicaSets.
struct Fleet {
    want: i64,
    surge: i64,
    unavailable: i64,
    hash: String,
    new: Option<Arc<Value>>,
    /// The oldest first.
    old: Vec<Arc<Value>>,
    /// Pods of old ReplicaSets are left, even if they are going.
    old_pods: bool,
}

pub(super) fn plan(store: &Store, key: &Key, deployment: &Value, now: Timestamp) -> Plan {
    let fleet = Fleet::of(store, deployment);
    let mut writes = fleet.step(deployment);
    let created = matches!(writes[..], [Write::Create(..)]);
    let (status, again) = fleet.status(deployment, created, now);
    let revision = fleet.revision().to_string();
    if let Some(new) = &fleet.new
        && new["metadata"]["annotations"][REVISION] != revision
    {
        writes.push(mark(&set_key(new), &revision));
    }
    if !paused(deployment) && deployment["metadata"]["annotations"][REVISION] != revision {
        writes.push(mark(key, &revision));
    }
    writes.push(Write::Status(key.clone(), status));
    Plan { writes, again }
}

pub(super) fn paused(deployment: &Value) -> bool {
    deployment["spec"]["paused"] == true
}

fn mark(key: &Key, revision: &str) -> Write {
    Write::Merge(
        key.clone(),
        json!({ "metadata": { "annotations": { REVISION: revision } } }),
    )
}

fn set_key(set: &Value) -> Key {
    Key::new(&REPLICA_SETS, namespace(set), name(set))
}

fn revision_of(set: &Value) -> i64 {
    set["metadata"]["annotations"][REVISION]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

fn replicas(set: &Value) -> i64 {
    count(set, "/spec/replicas")
}

fn available(set: &Value) -> i64 {
    count(set, "/status/availableReplicas")
}

fn scale(set: &Value, replicas: i64) -> Write {
    Write::Merge(set_key(set), json!({ "spec": { "replicas": replicas } }))
}

// === impl Fleet ===

impl Fleet {
    fn of(store: &Store, deployment: &Value) -> Self {
        let hash = hash(&deployment["spec"]["template"]);
        let mut sets = store.owned_of(uid(deployment), &REPLICA_SETS);
        sets.sort_by_key(|set| revision_of(set));
        let (mut new, old): (Vec<_>, Vec<_>) =
            sets.into_iter().partition(|set| label(set, HASH) == hash);
        let want = replicas(deployment);
        let rolling = &deployment["spec"]["strategy"]["rollingUpdate"];
        let surge = share(&rolling["maxSurge"], want, true);
        let away = share(&rolling["maxUnavailable"], want, false);
        let unavailable = if surge == 0 { away.max(1) } else { away }.min(want);
        let old_pods = old
            .iter()
            .any(|set| !store.owned_of(uid(set), &PODS).is_empty());
        Self {
            want,
            surge,
            unavailable,
            hash,
            new: new.pop(),
            old,
            old_pods,
        }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.old.iter().chain(&self.new)
    }

    fn sum(&self, of: impl Fn(&Value) -> i64) -> i64 {
        self.all().map(|set| of(set)).sum()
    }

    fn revision(&self) -> i64 {
        let oldest = self
            .old
            .iter()
            .map(|set| revision_of(set))
            .max()
            .unwrap_or_default();
        let new = self.new.as_ref().map_or(0, |set| revision_of(set));
        if new > oldest { new } else { oldest + 1 }
    }

    /// One step towards the wanted pods.
    fn step(&self, deployment: &Value) -> Vec<Write> {
        if paused(deployment) {
            let active: Vec<_> = self.all().filter(|set| replicas(set) > 0).collect();
            return match active[..] {
                [one] if replicas(one) != self.want => vec![scale(one, self.want)],
                _ => Vec::new(),
            };
        }
        let recreate = deployment["spec"]["strategy"]["type"] == "Recreate";
        let running: Vec<_> = self.old.iter().filter(|set| replicas(set) > 0).collect();
        if recreate && !running.is_empty() {
            return running.into_iter().map(|set| scale(set, 0)).collect();
        }
        if recreate && self.old_pods {
            return Vec::new();
        }
        let target = if recreate {
            self.want
        } else {
            self.new_replicas()
        };
        match &self.new {
            None => vec![self.create(deployment, target)],
            Some(new) if replicas(new) != target => vec![scale(new, target)],
            Some(new) => self.scale_down(new),
        }
    }

    /// How many new pods there may be, given the surge.
    fn new_replicas(&self) -> i64 {
        let new = self.new.as_ref().map_or(0, |set| replicas(set));
        let room = self.want + self.surge - self.sum(replicas);
        if new > self.want {
            self.want
        } else {
            new + room.clamp(0, self.want - new)
        }
    }

    /// Fewer old pods: first those that serve nobody, then as many as may be away.
    fn scale_down(&self, new: &Value) -> Vec<Write> {
        let least = self.want - self.unavailable;
        let new_away = replicas(new) - available(new);
        let mut may_go = self.sum(replicas) - least - new_away;
        let mut spare = self.sum(available) - least;
        let mut left: Vec<i64> = self.old.iter().map(|set| replicas(set)).collect();
        for (set, left) in self.old.iter().zip(&mut left) {
            let idle = (replicas(set) - available(set)).clamp(0, may_go.max(0));
            *left -= idle;
            may_go -= idle;
        }
        for left in &mut left {
            let go = (*left).min(spare).min(may_go).max(0);
            *left -= go;
            spare -= go;
            may_go -= go;
        }
        let changed = self
            .old
            .iter()
            .zip(left)
            .filter(|(set, left)| replicas(set) != *left);
        changed.map(|(set, left)| scale(set, left)).collect()
    }

    fn create(&self, deployment: &Value, replicas: i64) -> Write {
        let spec = &deployment["spec"];
        let (mut template, mut selector) = (spec["template"].clone(), spec["selector"].clone());
        template["metadata"]["labels"][HASH] = self.hash.as_str().into();
        selector["matchLabels"][HASH] = self.hash.as_str().into();
        let metadata = json!({
            "name": format!("{}-{}", name(deployment), self.hash),
            "namespace": namespace(deployment),
            "labels": template["metadata"]["labels"],
            "annotations": { REVISION: self.revision().to_string() },
            "ownerReferences": reference(deployment),
        });
        let spec = json!({
            "replicas": replicas,
            "minReadySeconds": count(deployment, "/spec/minReadySeconds"),
            "selector": selector,
            "template": template,
        });
        Write::Create(&REPLICA_SETS, json!({ "metadata": metadata, "spec": spec }))
    }

    fn status(
        &self,
        deployment: &Value,
        created: bool,
        now: Timestamp,
    ) -> (Value, Option<Duration>) {
        let all_available = self.sum(available);
        let mut status = status(&[
            (
                "observedGeneration",
                count(deployment, "/metadata/generation"),
            ),
            ("replicas", self.sum(|set| count(set, "/status/replicas"))),
            (
                "updatedReplicas",
                self.new
                    .as_ref()
                    .map_or(0, |set| count(set, "/status/replicas")),
            ),
            (
                "readyReplicas",
                self.sum(|set| count(set, "/status/readyReplicas")),
            ),
            ("availableReplicas", all_available),
            (
                "unavailableReplicas",
                (self.sum(replicas) - all_available).max(0),
            ),
        ]);
        let enough = all_available >= self.want - self.unavailable;
        let (holds, reason) = if enough {
            ("True", "MinimumReplicasAvailable")
        } else {
            ("False", "MinimumReplicasUnavailable")
        };
        let mut conditions = vec![stated(deployment, "Available", holds, reason, now)];
        let step = Progress {
            deployment,
            new: &status,
            want: self.want,
            now,
        };
        let (progress, again) = step.condition(created);
        conditions.extend(progress);
        let failure = self
            .new
            .as_ref()
            .and_then(|set| condition(set, "ReplicaFailure"));
        conditions.extend(failure.cloned());
        status["conditions"] = conditions.into();
        (status, again)
    }
}
