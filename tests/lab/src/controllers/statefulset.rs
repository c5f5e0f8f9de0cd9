//! StatefulSets: pods with names, one after the other.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde_json::Value;

use super::{
    Plan, Write, delete, number, pod,
    revision::{LABEL, Revisions},
    soonest, status,
};
use crate::{
    object::{count, is_active, is_available, is_going, is_over, is_ready, label, name, text, uid},
    resource::{Key, PODS},
    store::Store,
};

struct Members<'a> {
    set: &'a Value,
    revisions: Revisions,
    /// The name of the template that those below the partition have.
    current: String,
    by_number: BTreeMap<i64, Arc<Value>>,
    now: Timestamp,
}

pub(super) fn plan(store: &Store, key: &Key, set: &Value, now: Timestamp) -> Plan {
    let revisions = Revisions::of(store, set);
    let current = text(set, "/status/currentRevision");
    let current = if current.is_empty() {
        &revisions.update
    } else {
        current
    }
    .to_owned();
    let pods = store.owned_of(uid(set), &PODS);
    let again = soonest(&pods, count(set, "/spec/minReadySeconds"), now);
    let numbered = pods
        .into_iter()
        .filter_map(|pod| Some((name(&pod).rsplit('-').next()?.parse().ok()?, pod)));
    let members = Members {
        set,
        current,
        by_number: numbered.collect(),
        revisions,
        now,
    };
    let mut writes: Vec<Write> = members.revisions.keep(set).into_iter().collect();
    writes.extend(members.step());
    writes.push(Write::Status(key.clone(), members.status()));
    Plan { writes, again }
}

impl Members<'_> {
    fn want(&self) -> i64 {
        count(self.set, "/spec/replicas")
    }

    fn partition(&self) -> i64 {
        count(self.set, "/spec/updateStrategy/rollingUpdate/partition")
    }

    fn is_available(&self, pod: &Value) -> bool {
        !is_going(pod) && is_available(pod, count(self.set, "/spec/minReadySeconds"), self.now)
    }

    fn step(&self) -> Vec<Write> {
        let ordered = self.set["spec"]["podManagementPolicy"] != "Parallel";
        let mut writes = Vec::new();
        for number in 0..self.want() {
            let done = match self.by_number.get(&number) {
                None => Some(self.create(number)),
                Some(pod) if is_over(pod) && !is_going(pod) => Some(delete(pod)),
                Some(pod) if self.is_available(pod) => continue,
                Some(_) => None,
            };
            writes.extend(done);
            if ordered {
                return writes;
            }
        }
        if let Some((_, pod)) = self
            .by_number
            .iter()
            .rev()
            .find(|(number, _)| **number >= self.want())
        {
            writes.extend((!is_going(pod)).then(|| delete(pod)));
            return writes;
        }
        writes.extend(self.update());
        writes
    }

    /// The last pod of an old template, once all after it are available.
    fn update(&self) -> Option<Write> {
        if self.set["spec"]["updateStrategy"]["type"] == "OnDelete" {
            return None;
        }
        for number in (self.partition()..self.want()).rev() {
            let pod = self.by_number.get(&number)?;
            if label(pod, LABEL) != self.revisions.update && !is_going(pod) {
                return Some(delete(pod));
            }
            if !self.is_available(pod) {
                return None;
            }
        }
        None
    }

    fn create(&self, number: i64) -> Write {
        let on_delete = self.set["spec"]["updateStrategy"]["type"] == "OnDelete";
        let old = number < self.partition() && !on_delete;
        let revision = if old {
            &self.current
        } else {
            &self.revisions.update
        };
        let (index, name) = (number.to_string(), format!("{}-{number}", name(self.set)));
        let labels = [
            (LABEL, revision.as_str()),
            ("statefulset.kubernetes.io/pod-name", &name),
            ("apps.kubernetes.io/pod-index", &index),
        ];
        let mut pod = pod(
            self.set,
            self.revisions.template(self.set, revision),
            &labels,
        );
        pod["metadata"]["name"] = name.into();
        Write::Create(&PODS, pod)
    }

    fn status(&self) -> Value {
        let pods = || self.by_number.values();
        let at = |revision: &str| {
            number(pods().filter(|pod| is_active(pod) && label(pod, LABEL) == revision))
        };
        let (all, ready) = (number(pods()), number(pods().filter(|pod| is_ready(pod))));
        let mut updated = at(&self.revisions.update);
        let whole = self.set["spec"]["updateStrategy"]["type"] == "RollingUpdate"
            && [all, ready, updated]
                .iter()
                .all(|count| *count == self.want());
        let current = if whole {
            &self.revisions.update
        } else {
            &self.current
        };
        let in_current = at(current);
        if *current == self.revisions.update {
            updated = in_current;
        }
        let mut status = status(&[
            (
                "observedGeneration",
                count(self.set, "/metadata/generation"),
            ),
            ("readyReplicas", ready),
            ("currentReplicas", in_current),
            ("updatedReplicas", updated),
        ]);
        status["replicas"] = all.into();
        status["availableReplicas"] = number(pods().filter(|pod| self.is_available(pod))).into();
        status["currentRevision"] = current.as_str().into();
        status["updateRevision"] = self.revisions.update.as_str().into();
        status
    }
}
