//! DaemonSets: a pod on each node.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    Plan, Write, delete, number, pod,
    revision::{LABEL, Revisions},
    schedule, soonest, status,
};
use crate::{
    object::{count, is_available, is_going, is_over, is_ready, label, name, share, text, uid},
    resource::{Key, NODES, PODS},
    store::Store,
};

/// A DaemonSet's pods on one node.
struct Seat {
    node: String,
    old: Option<Arc<Value>>,
    new: Option<Arc<Value>>,
}

pub(super) fn plan(store: &Store, key: &Key, set: &Value, now: Timestamp) -> Plan {
    let revisions = Revisions::of(store, set);
    let hash = revisions
        .update
        .rsplit('-')
        .next()
        .unwrap_or_default()
        .to_owned();
    let patience = count(set, "/spec/minReadySeconds");
    let pods = store.owned_of(uid(set), &PODS);
    let seats: Vec<Seat> = seats(store, set, &pods, &hash);
    let serves = |pod: &Option<Arc<Value>>| {
        pod.as_ref()
            .is_some_and(|pod| !is_going(pod) && is_available(pod, patience, now))
    };
    let mut writes: Vec<Write> = revisions.keep(set).into_iter().collect();
    for pod in pods.iter().filter(|pod| is_over(pod) && !is_going(pod)) {
        writes.push(delete(pod));
    }
    let strategy = &set["spec"]["updateStrategy"];
    let rolls = strategy["type"] == "RollingUpdate";
    let total = number(&seats);
    let surge = share(&strategy["rollingUpdate"]["maxSurge"], total, true);
    let most = share(&strategy["rollingUpdate"]["maxUnavailable"], total, true);
    let most = if surge == 0 { most.max(1) } else { most };
    let away = number(
        seats
            .iter()
            .filter(|seat| !serves(&seat.old) && !serves(&seat.new)),
    );
    let (mut room, mut extra) = (
        most - away,
        surge
            - number(
                seats
                    .iter()
                    .filter(|seat| seat.old.is_some() && seat.new.is_some()),
            ),
    );
    for seat in &seats {
        let create = || {
            let mut pod = pod(set, &set["spec"]["template"], &[(LABEL, &hash)]);
            pod["spec"]["nodeName"] = seat.node.as_str().into();
            Write::Create(&PODS, pod)
        };
        match (&seat.old, &seat.new) {
            (None, None) => writes.push(create()),
            (Some(old), new) if rolls && !is_going(old) => {
                let replaced = serves(new) || new.is_none() && !serves(&seat.old);
                if replaced || surge == 0 && room > 0 {
                    room -= i64::from(!replaced);
                    writes.push(delete(old));
                } else if new.is_none() && extra > 0 {
                    extra -= 1;
                    writes.push(create());
                }
            }
            (_, _) => {}
        }
    }
    let ready = |pod: &Option<Arc<Value>>| pod.as_ref().is_some_and(|pod| is_ready(pod));
    let served = total - away;
    let mut new = status(&[
        ("observedGeneration", count(set, "/metadata/generation")),
        (
            "updatedNumberScheduled",
            number(seats.iter().filter(|seat| seat.new.is_some())),
        ),
        ("numberAvailable", served),
        ("numberUnavailable", away),
    ]);
    new["currentNumberScheduled"] = number(
        seats
            .iter()
            .filter(|seat| seat.old.is_some() || seat.new.is_some()),
    )
    .into();
    new["desiredNumberScheduled"] = total.into();
    new["numberMisscheduled"] = 0.into();
    new["numberReady"] = number(
        seats
            .iter()
            .filter(|seat| ready(&seat.old) || ready(&seat.new)),
    )
    .into();
    writes.push(Write::Status(key.clone(), new));
    Plan {
        writes,
        again: soonest(&pods, patience, now),
    }
}

fn seats(store: &Store, set: &Value, pods: &[Arc<Value>], hash: &str) -> Vec<Seat> {
    let nodes = store.all(&NODES, "").map(|(_, node)| node);
    let nodes = nodes.filter(|node| schedule::wants(&set["spec"]["template"]["spec"], node));
    let seat = |node: &Arc<Value>| {
        let node = name(node).to_owned();
        let here = |new: bool| {
            let mine = |pod: &&Arc<Value>| {
                text(pod, "/spec/nodeName") == node
                    && (label(pod, LABEL) == hash) == new
                    && !is_over(pod)
            };
            pods.iter().find(mine).cloned()
        };
        Seat {
            old: here(false),
            new: here(true),
            node,
        }
    };
    nodes.map(seat).collect()
}
