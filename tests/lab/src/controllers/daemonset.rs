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

struct Daemons<'a> {
    set: &'a Value,
    hash: String,
    seats: Vec<Seat>,
    now: Timestamp,
}

pub(super) fn plan(store: &Store, key: &Key, set: &Value, now: Timestamp) -> Plan {
    let revisions = Revisions::of(store, set);
    let hash = revisions
        .update
        .rsplit('-')
        .next()
        .unwrap_or_default()
        .to_owned();
    let pods = store.owned_of(uid(set), &PODS);
    let seats = seats(store, set, &pods, &hash);
    let daemons = Daemons {
        set,
        hash,
        seats,
        now,
    };
    let mut writes: Vec<Write> = revisions.keep(set).into_iter().collect();
    let over = pods.iter().filter(|pod| is_over(pod) && !is_going(pod));
    writes.extend(over.map(|pod| delete(pod)));
    writes.extend(daemons.steps());
    writes.push(Write::Status(key.clone(), daemons.status()));
    let again = soonest(&pods, count(set, "/spec/minReadySeconds"), now);
    Plan { writes, again }
}

fn seats(store: &Store, set: &Value, pods: &[Arc<Value>], hash: &str) -> Vec<Seat> {
    let nodes = store.all(&NODES, "").map(|(_, node)| node);
    let nodes = nodes.filter(|node| schedule::wants(&set["spec"]["template"]["spec"], node));
    let seat = |node: &Arc<Value>| {
        let here = |new: bool| {
            let mine = |pod: &&Arc<Value>| {
                let bound = text(pod, "/spec/nodeName") == name(node);
                bound && (label(pod, LABEL) == hash) == new && !is_over(pod)
            };
            pods.iter().find(mine).cloned()
        };
        Seat {
            old: here(false),
            new: here(true),
            node: name(node).to_owned(),
        }
    };
    nodes.map(seat).collect()
}

impl Daemons<'_> {
    fn serves(&self, pod: Option<&Arc<Value>>) -> bool {
        let patience = count(self.set, "/spec/minReadySeconds");
        pod.is_some_and(|pod| !is_going(pod) && is_available(pod, patience, self.now))
    }

    fn count(&self, of: impl Fn(&Seat) -> bool) -> i64 {
        number(self.seats.iter().filter(|seat| of(seat)))
    }

    fn away(&self) -> i64 {
        self.count(|seat| !self.serves(seat.old.as_ref()) && !self.serves(seat.new.as_ref()))
    }

    fn create(&self, seat: &Seat) -> Write {
        let mut pod = pod(
            self.set,
            &self.set["spec"]["template"],
            &[(LABEL, &self.hash)],
        );
        pod["spec"]["nodeName"] = seat.node.as_str().into();
        Write::Create(&PODS, pod)
    }

    /// New pods where there are none, and as many old ones replaced as may be.
    fn steps(&self) -> Vec<Write> {
        let strategy = &self.set["spec"]["updateStrategy"];
        let bound =
            |field: &str| share(&strategy["rollingUpdate"][field], number(&self.seats), true);
        let rolls = strategy["type"] == "RollingUpdate";
        let surge = bound("maxSurge");
        let least = i64::from(surge == 0);
        let mut room = bound("maxUnavailable").max(least) - self.away();
        let mut extra = surge - self.count(|seat| seat.old.is_some() && seat.new.is_some());
        let mut writes = Vec::new();
        for seat in &self.seats {
            let Some(old) = &seat.old else {
                writes.extend(seat.new.is_none().then(|| self.create(seat)));
                continue;
            };
            if !rolls || is_going(old) {
                continue;
            }
            let idle = seat.new.is_none() && !self.serves(Some(old));
            if idle || self.serves(seat.new.as_ref()) {
                writes.push(delete(old));
            } else if surge == 0 && room > 0 {
                room -= 1;
                writes.push(delete(old));
            } else if seat.new.is_none() && extra > 0 {
                extra -= 1;
                writes.push(self.create(seat));
            }
        }
        writes
    }

    fn status(&self) -> Value {
        let ready = |pod: &Option<Arc<Value>>| pod.as_ref().is_some_and(|pod| is_ready(pod));
        let (total, away) = (number(&self.seats), self.away());
        let mut new = status(&[
            (
                "observedGeneration",
                count(self.set, "/metadata/generation"),
            ),
            (
                "updatedNumberScheduled",
                self.count(|seat| seat.new.is_some()),
            ),
            ("numberAvailable", total - away),
            ("numberUnavailable", away),
        ]);
        let scheduled = self.count(|seat| seat.old.is_some() || seat.new.is_some());
        new["currentNumberScheduled"] = scheduled.into();
        new["desiredNumberScheduled"] = total.into();
        new["numberMisscheduled"] = 0.into();
        new["numberReady"] = self
            .count(|seat| ready(&seat.old) || ready(&seat.new))
            .into();
        new
    }
}
