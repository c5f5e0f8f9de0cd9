//! What must hold in every chaos.

use std::collections::{BTreeMap, BTreeSet};

use mesh_testbed::AuditEvent;
use serde_json::Value;

use super::world::{World, told};
use crate::fleet::{NEW, OLD, is_ready, proxy};

/// What a run says of itself while it goes on.
pub(super) struct Stream {
    most: usize,
    in_flight: BTreeSet<String>,
    wrong: Vec<String>,
}

impl Stream {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            in_flight: BTreeSet::new(),
            wrong: Vec::new(),
        }
    }

    pub(super) fn see(&mut self, world: &World, record: &Value) {
        let Some(reference) = record["ref"].as_str() else {
            return;
        };
        match record["type"].as_str() {
            Some("progress") if begins(record) => {
                self.in_flight.insert(reference.to_owned());
            }
            Some("rolled") => {
                self.in_flight.remove(reference);
                self.wrong.extend(world.lie(&[record]));
            }
            _ => return,
        }
        if self.in_flight.len() > self.most {
            self.wrong.push(format!(
                "more than {} in flight: {:?}",
                self.most, self.in_flight
            ));
        }
        let mut homes = BTreeMap::new();
        for body in self.in_flight.iter().filter_map(|one| world.body(one)) {
            if body.has_budget && homes.insert(body.home, &body.name).is_some() {
                self.wrong
                    .push(format!("two share a budget: {:?}", self.in_flight));
            }
        }
    }

    pub(super) fn wrong(&self) -> Option<String> {
        self.wrong.first().cloned()
    }
}

/// Whether a record says that a write follows; one may also wait for its turn.
fn begins(progress: &Value) -> bool {
    let message = progress["message"].as_str().unwrap_or_default();
    message.starts_with("restarting ") || message.starts_with("evicting ")
}

impl World {
    /// Returns a workload that is said to be proven and is not.
    pub(super) fn lie(&self, rolled: &[&Value]) -> Option<String> {
        let proven = rolled.iter().filter(|rolled| rolled["outcome"] == "proven");
        let mut proven = proven.filter_map(|rolled| self.body(rolled["ref"].as_str()?));
        proven.find_map(|body| {
            let pods = self.pods(body);
            let has_old = pods.iter().any(|pod| proxy(pod) == Some(OLD));
            let is_whole = pods.len() == body.pods
                && pods
                    .iter()
                    .all(|pod| is_ready(pod) && proxy(pod) == Some(NEW));
            let may_be_short = body.is_disturbed || self.lost_a_node;
            (has_old || !is_whole && !may_be_short).then(|| {
                format!(
                    "{} is said to be proven: {:?}",
                    body.reference(),
                    told(&pods)
                )
            })
        })
    }

    /// Returns a workload that was restarted without need, or twice.
    pub(super) fn needless(&self) -> Option<String> {
        let mut restarts: BTreeMap<String, usize> = BTreeMap::new();
        for event in self.writes() {
            *restarts
                .entry(event.uri.split('?').next()?.to_owned())
                .or_default() += 1;
        }
        self.bodies.iter().find_map(|body| {
            let times = restarts.get(&body.path()).copied().unwrap_or_default();
            let most = usize::from(!body.is_current);
            (times > most && !self.lacked_proxies)
                .then(|| format!("{} was restarted {times} times", body.reference()))
        })
    }

    /// Returns the tool's restarts and evictions so far.
    pub(super) fn writes(&self) -> Vec<AuditEvent> {
        let mut events = self.bed.audit_of("mesh-roll/").unwrap();
        events.retain(|event| {
            let is_ours = event.group == "apps" || event.subresource == "eviction";
            let is_done = event.code.is_some_and(|code| (200..300).contains(&code));
            event.writes() && is_ours && is_done
        });
        events
    }

    /// Returns a workload that is not up to date.
    pub(super) fn unfinished(&self) -> Option<String> {
        self.bodies.iter().find_map(|body| {
            let pods = self.pods(body);
            let is_whole = pods.len() == body.pods
                && pods
                    .iter()
                    .all(|pod| is_ready(pod) && proxy(pod) == Some(NEW));
            (!is_whole).then(|| format!("{} is not done: {:?}", body.reference(), told(&pods)))
        })
    }
}
