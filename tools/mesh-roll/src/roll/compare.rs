//! Compares a pod that got no proxy with pods of others: is it its template, its namespace or the injector?

use mesh_cluster::Probe;
use mesh_records::{Obstacle, Outcome, WorkloadRef};

use super::event::{Action, Sample};
use super::flight::Awaits;
use super::item::Item;
use super::limits::Stop;
use super::state::Roll;

/// How many other workloads' pods are compared with one that got no proxy.
const MOST_SAMPLES: usize = 3;

impl Roll {
    // Tells a template that the injector declines or denies from a namespace without injection, and both from
    // an injector that gives nobody a proxy.
    pub(super) fn compare(&mut self, key: &WorkloadRef, denied: Option<String>) {
        let samples = self.samples(key);
        if let Some(flight) = self.flight_mut(key) {
            flight.samples = samples;
            flight.denied = denied;
        }
        self.compare_next(key);
    }

    // A plain pod may lack what the webhook's own conditions ask for, so pods of other workloads
    // are tried too: first the one that got its proxy last, then some of other namespaces. Also one that
    // has the right proxy already can show that the injector gives it.
    fn samples(&self, key: &WorkloadRef) -> Vec<Sample> {
        let has_it = |item: &&Item| {
            item.skipped == Some(Obstacle::Current) || item.outcome == Some(Outcome::Proven)
        };
        let others = self
            .waiting
            .values()
            .chain(self.over.values().filter(has_it));
        let others = others.map(|item| &item.task.key);
        let mut others: Vec<&WorkloadRef> = others.filter(|other| *other != key).collect();
        others.sort_by_key(|other| (other.namespace == key.namespace, &other.namespace));
        others.dedup_by_key(|other| &other.namespace);
        let witness = self.witness.iter().filter(|witness| *witness != key);
        let others = witness.chain(others).take(MOST_SAMPLES).cloned();
        let mut samples = vec![Sample::Plain(key.namespace.clone())];
        samples.extend(others.map(Sample::Of));
        samples.reverse();
        samples
    }

    fn compare_next(&mut self, key: &WorkloadRef) {
        let next = self.flight_mut(key).and_then(|flight| flight.samples.pop());
        match next {
            Some(sample) => {
                let compare = Action::Compare(key.clone(), sample);
                self.await_answer(key, Awaits::Comparison, compare);
            }
            None => {
                let namespace = &key.namespace;
                let what = format!("the proxy injector gives no proxy to a new pod in {namespace}");
                let what = match self.flight(key).and_then(|flight| flight.denied.as_ref()) {
                    Some(words) => format!("{what}: {words}"),
                    None => what,
                };
                self.stop_for(key, Stop::Injector(what));
            }
        }
    }

    /// Handles the dry run of another pod, made because the workload's own pod got no proxy.
    pub(super) fn compared(
        &mut self,
        key: &WorkloadRef,
        sample: &Sample,
        answer: &Result<Option<Probe>, String>,
    ) {
        if self.flight(key).map(|flight| flight.awaits) != Some(Awaits::Comparison) {
            return;
        }
        if self.stop.is_some() {
            return self.wait_again(key, None);
        }
        if !matches!(answer, Ok(Some(Probe::Injected(_)))) {
            return self.compare_next(key);
        }
        let other = match sample {
            Sample::Plain(_) => "another pod of its namespace".to_owned(),
            Sample::Of(other) => format!("a new pod of {other}"),
        };
        let denied = self.flight(key).and_then(|flight| flight.denied.clone());
        let (obstacle, words) = match denied {
            Some(words) => (Obstacle::PodRefused, words),
            None => {
                let words = format!("the injector gives {other} a proxy, but none to its own");
                (Obstacle::WouldLoseProxy, words)
            }
        };
        self.skip_for(key, obstacle, &words);
    }
}
