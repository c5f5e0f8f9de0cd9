//! Jobs: pods one after the other until enough have succeeded.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Plan, Write, number, pod, status};
use crate::{
    object::{condition, count, is_active, is_ready, stamp, text, uid},
    resource::{Key, PODS},
    store::Store,
};

pub(super) fn plan(store: &Store, key: &Key, job: &Value, now: Timestamp) -> Plan {
    if condition(job, "Complete").is_some() {
        return Plan::default();
    }
    let pods = store.owned_of(uid(job), &PODS);
    let ended = |phase: &str| {
        number(
            pods.iter()
                .filter(|pod| text(pod, "/status/phase") == phase),
        )
    };
    let active: Vec<_> = pods.iter().filter(|pod| is_active(pod)).collect();
    let (succeeded, wanted) = (ended("Succeeded"), count(job, "/spec/completions"));
    let open = (wanted - succeeded).min(count(job, "/spec/parallelism"));
    let mut writes: Vec<Write> = Vec::new();
    for _ in number(&active)..open {
        writes.push(Write::Create(
            &PODS,
            pod(job, &job["spec"]["template"], &[]),
        ));
    }
    let mut new = status(&[
        ("active", number(&active)),
        ("succeeded", succeeded),
        ("failed", ended("Failed")),
    ]);
    new["ready"] = number(active.iter().filter(|pod| is_ready(pod))).into();
    let began = &job["status"]["startTime"];
    new["startTime"] = if began.is_null() {
        stamp(now)
    } else {
        began.clone()
    };
    if succeeded >= wanted {
        new["completionTime"] = stamp(now);
        new["conditions"] =
            json!([{ "type": "Complete", "status": "True", "lastTransitionTime": stamp(now) }]);
    }
    writes.push(Write::Status(key.clone(), new));
    Plan {
        writes,
        again: None,
    }
}
