//! What the connections of a proxy share: the faults, the log, and whether anything comes through.

use std::sync::Mutex;

use http::request::Parts;
use tokio::sync::watch;

use super::{
    body,
    harm::Fault,
    log::{self, Log},
    rule::Rule,
};
use crate::lock::lock;

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) rules: Mutex<Vec<Rule>>,
    pub(super) log: Log,
    /// Nothing comes through any more.
    pub(super) silent: watch::Sender<bool>,
    pub(super) struck: watch::Sender<usize>,
}

impl Shared {
    /// Logs a request and finds its fault.
    pub(super) fn arrive(&self, request: &Parts, body: &[u8]) -> (usize, Option<Fault>) {
        let event = log::event(request, body);
        // Every rule must count the request, even if an earlier rule already gives the fault.
        let struck: Vec<Fault> = lock(&self.rules)
            .iter_mut()
            .filter_map(|rule| rule.strike(request, &event))
            .collect();
        let number = self.log.arrive(event);
        let fault = struck.into_iter().next();
        if fault.is_some() {
            self.struck.send_modify(|struck| *struck += 1);
        }
        (number, fault)
    }

    /// Never comes to an end once nothing comes through any more.
    pub(super) async fn unless_silent<F: Future>(&self, future: F) -> F::Output {
        body::unless_silent(&mut self.silent.subscribe(), future).await
    }
}
