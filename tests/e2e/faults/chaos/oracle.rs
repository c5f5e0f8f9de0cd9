//! What must hold in every chaos.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use mesh_testbed::AuditEvent;
use serde_json::Value;

use super::world::{Body, World, told};
use crate::fleet::{NEW, OLD, is_ready, proxy};

/// What a run says of itself while it goes on.
pub(super) struct Stream {
    most: usize,
    /// How many workloads may fail before nothing else is started.
    max_failures: usize,
    failures: usize,
    in_flight: BTreeSet<String>,
    /// All that it said it would write to.
    announced: BTreeSet<String>,
    wrong: Vec<String>,
}

impl Stream {
    pub(super) fn new(most: usize, max_failures: usize) -> Self {
        Self {
            most,
            max_failures,
            failures: 0,
            in_flight: BTreeSet::new(),
            announced: BTreeSet::new(),
            wrong: Vec::new(),
        }
    }

    pub(super) fn see(&mut self, world: &World, record: &Value) {
        let Some(reference) = record["ref"].as_str() else {
            return;
        };
        match record["type"].as_str() {
            Some("progress") if begins(record) => self.begin(reference),
            Some("progress") if !is_not_begun(record) => return,
            // It may have been announced, and was not written to.
            Some("progress" | "skipped") => {
                self.in_flight.remove(reference);
            }
            Some("rolled") => {
                // What others roll out, or what was not changed, uses up none of the run's failures.
                let is_theirs = world.body(reference).is_some_and(|body| body.is_disturbed);
                let is_ours = self.in_flight.remove(reference) && record["reason"] != "refused";
                let is_ours = is_ours && !is_theirs;
                self.failures += usize::from(is_ours && record["outcome"] == "failed");
                self.wrong.extend(world.lie(&[record]));
            }
            _ => return,
        }
        if self.in_flight.len() > self.most {
            let (most, all) = (self.most, &self.in_flight);
            self.wrong
                .push(format!("more than {most} in flight: {all:?}"));
        }
        let mut homes = BTreeMap::new();
        for body in self.in_flight.iter().filter_map(|one| world.body(one)) {
            if body.has_budget && homes.insert(body.home, &body.name).is_some() {
                self.wrong
                    .push(format!("two share a budget: {:?}", self.in_flight));
            }
        }
    }

    // One whose pods are evicted begins once, and has an announcement for each.
    fn begin(&mut self, reference: &str) {
        self.announced.insert(reference.to_owned());
        if self.in_flight.insert(reference.to_owned()) && self.failures > self.max_failures {
            let number = self.failures;
            self.wrong
                .push(format!("{reference} is begun after {number} failures"));
        }
    }

    /// Returns what the run said or did wrong; `written` are its writes.
    pub(super) fn wrong(&self, world: &World, written: &[AuditEvent]) -> Option<String> {
        if let Some(wrong) = self.wrong.first() {
            return Some(wrong.clone());
        }
        written.iter().find_map(|event| {
            let body = world.written_to(event);
            let is_said = body.is_some_and(|body| self.announced.contains(&body.reference()));
            (!is_said).then(|| format!("not announced: {} {}", event.verb, event.uri))
        })
    }
}

/// Whether a record says that a write follows; one may also wait for its turn.
fn begins(progress: &Value) -> bool {
    let message = progress["message"].as_str().unwrap();
    let words = ["restarting ", "trying again to restart ", "evicting "];
    words.iter().any(|word| message.starts_with(word))
}

/// Whether a record says that nothing was written after the announcement.
fn is_not_begun(progress: &Value) -> bool {
    let message = progress["message"].as_str().unwrap();
    message.contains(" was not restarted")
        || message.starts_with("the API server is busy and did not take ")
}

impl World {
    /// Returns a workload that is said to be proven and is not.
    pub(super) fn lie(&self, rolled: &[&Value]) -> Option<String> {
        let proven = rolled.iter().filter(|rolled| rolled["outcome"] == "proven");
        let mut proven = proven.filter_map(|rolled| self.body(rolled["ref"].as_str()?));
        proven.find_map(|body| {
            let pods = self.pods(body);
            let has = |version: Option<&str>| pods.iter().any(|pod| proxy(pod) == version);
            let is_wrong = has(Some(OLD)) || has(None) && !self.lacked_proxies;
            let is_whole = is_whole(body, &pods);
            let may_be_short = body.is_disturbed || self.lost_a_node || self.lacked_proxies;
            let said = || format!("{} is said to be proven", body.reference());
            (is_wrong || !is_whole && !may_be_short)
                .then(|| format!("{}: {:?}", said(), told(&pods)))
        })
    }

    /// Returns a workload that was restarted without need or twice, or whose pods were evicted so.
    pub(super) fn needless(&self) -> Option<String> {
        if self.lacked_proxies {
            return None;
        }
        let written = self.written();
        self.bodies.iter().find_map(|body| {
            let of_it = |event: &&AuditEvent| {
                let to = self.written_to(event);
                to.is_some_and(|to| to.reference() == body.reference())
            };
            let (evictions, restarts): (Vec<_>, Vec<_>) = written
                .iter()
                .filter(of_it)
                .partition(|event| event.subresource == "eviction");
            let most = usize::from(!body.is_current);
            let is_wrong = restarts.len() > most || evictions.len() > most * body.most_pods;
            let (restarts, evictions) = (restarts.len(), evictions.len());
            is_wrong.then(|| {
                let name = body.reference();
                format!("{name} was restarted {restarts} times, and {evictions} pods were evicted")
            })
        })
    }

    /// Returns the tool's writes so far, without its lock and what changes nothing.
    pub(super) fn written(&self) -> Vec<AuditEvent> {
        let mut events = self.bed.audit_of("mesh-roll/").unwrap();
        events.retain(|event| {
            let is_done = event.code.is_some_and(|code| (200..300).contains(&code));
            let is_asked = event.group == "authorization.k8s.io";
            event.writes() && is_done && !is_asked && event.resource != "leases"
        });
        events
    }

    /// Returns the workload that a restart or an eviction is for; nothing else is written.
    fn written_to(&self, event: &AuditEvent) -> Option<&Body> {
        let mut bodies = self.bodies.iter();
        let path = event.uri.split('?').next().unwrap();
        match (&*event.verb, &*event.subresource) {
            ("patch", "") => bodies.find(|body| body.path() == path),
            ("create", "eviction") => bodies.find(|body| {
                let pod = event.name.strip_prefix(&body.name);
                event.namespace == body.home && pod.is_some_and(|pod| pod.starts_with('-'))
            }),
            _ => None,
        }
    }

    /// Returns a workload that is not up to date.
    pub(super) fn unfinished(&self) -> Option<String> {
        self.bodies.iter().find_map(|body| {
            let pods = self.pods(body);
            (!is_whole(body, &pods))
                .then(|| format!("{} is not done: {:?}", body.reference(), told(&pods)))
        })
    }
}

/// Whether a workload has all its pods, ready and with the new proxy.
fn is_whole(body: &Body, pods: &[Pod]) -> bool {
    let mut all = pods.iter();
    pods.len() == body.pods && all.all(|pod| is_ready(pod) && proxy(pod) == Some(NEW))
}
