//! Test cases: a request of a run without faults, and the fault for it in another run.

use std::collections::BTreeMap;
use std::fmt;

use mesh_testbed::{AuditEvent, FaultProxy, Match, Victim};

use crate::harm::Harm;

/// Identifies a request: its kind, and its number among equal ones.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    event: AuditEvent,
    nth: usize,
}

/// One test case: a run with one fault.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) request: Address,
    pub(crate) harm: Harm,
}

/// Returns the requests of a run without faults.
pub(crate) fn addresses(log: Vec<AuditEvent>) -> Vec<Address> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    log.into_iter()
        .map(|event| {
            let nth = seen.entry(likeness(&event)).or_default();
            *nth += 1;
            Address { nth: *nth, event }
        })
        .collect()
}

/// Returns every fault at every request.
pub(crate) fn all_pairs(requests: &[Address]) -> Vec<Case> {
    let pairs = requests.iter().flat_map(|request| {
        Harm::ALL.map(|harm| Case {
            request: request.clone(),
            harm,
        })
    });
    pairs.collect()
}

/// Returns cases in which every request and every fault occurs at least once.
pub(crate) fn diagonal(requests: &[Address]) -> Vec<Case> {
    let longest = requests.len().max(Harm::ALL.len());
    let pairs = requests.iter().cycle().zip(Harm::ALL.into_iter().cycle());
    let pairs = pairs.take(longest).map(|(request, harm)| Case {
        request: request.clone(),
        harm,
    });
    pairs.collect()
}

/// Returns every `step`th pair, so that each request and each fault still occurs.
pub(crate) fn thinned(pairs: Vec<Case>, step: usize) -> Vec<Case> {
    let faults = Harm::ALL.len();
    let pairs = pairs.into_iter().enumerate();
    let kept = pairs.filter(|(number, _)| (number / faults + number % faults).is_multiple_of(step));
    kept.map(|(_, case)| case).collect()
}

/// Returns one request per kind of object, verb and client.
pub(crate) fn one_of_each_kind(requests: &[Address]) -> Vec<Address> {
    let mut kinds: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (number, request) in requests.iter().enumerate() {
        kinds.entry(request.kind()).or_default().push(number);
    }
    let mut numbers: Vec<usize> = kinds.values().map(|all| all[all.len() / 2]).collect();
    numbers.sort_unstable();
    numbers
        .into_iter()
        .map(|number| requests[number].clone())
        .collect()
}

/// Returns true if all pairs should run (`MESH_TEST_FAULTS`).
pub(crate) fn every() -> bool {
    extent().is_some()
}

/// Returns the cases that `MESH_TEST_FAULTS` selects: `all`, or those whose name contains its text.
pub(crate) fn asked_for(cases: Vec<Case>) -> Vec<Case> {
    let text = extent().filter(|text| text != "all").unwrap_or_default();
    let asked = cases
        .into_iter()
        .filter(|case| case.to_string().contains(&text));
    asked.collect()
}

fn extent() -> Option<String> {
    std::env::var_os("MESH_TEST_FAULTS")?.into_string().ok()
}

fn likeness(event: &AuditEvent) -> String {
    let path = event.uri.split('?').next().unwrap_or_default();
    let dry = if event.dry_run { " (dry run)" } else { "" };
    let agent = event.user_agent.split('/').next().unwrap_or_default();
    format!("{agent} {} {path}{dry}", event.verb)
}

impl Address {
    fn kind(&self) -> String {
        let AuditEvent {
            user_agent,
            verb,
            group,
            resource,
            uri,
            dry_run,
            ..
        } = &self.event;
        let what = if resource.is_empty() { uri } else { resource };
        format!("{user_agent} {verb} {group} {what} {dry_run}")
    }

    /// Returns the same request in another namespace.
    pub(crate) fn moved(&self, from: &str, to: &str) -> Self {
        let mut moved = self.clone();
        let (from, to) = (format!("/namespaces/{from}/"), format!("/namespaces/{to}/"));
        moved.event.uri = moved.event.uri.replace(&from, &to);
        moved
    }
}

impl Case {
    /// Sets the fault; if the fault kills a process, it is `client`.
    pub(crate) fn set(&self, proxy: &FaultProxy, client: &Victim) {
        let request = Match::like(&self.request.event).nth(self.request.nth);
        self.harm.befall(proxy.on(request), client);
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} #{}", likeness(&self.event), self.nth)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {}", self.harm, self.request)
    }
}
