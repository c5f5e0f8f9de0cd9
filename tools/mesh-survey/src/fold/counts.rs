//! Counts proxies by version.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use mesh_cluster::workload::proxy::ProxyVersion;
use mesh_records::ProxyCount;
use mesh_versions::{Confidence, Releases, Version};

/// What many owners have in common, kept once for all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Common {
    proxies: BTreeSet<Arc<ProxyCount>>,
    names: BTreeSet<Arc<str>>,
}

/// The proxies of one owner, counted by version.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counts(Vec<(Arc<ProxyCount>, u32)>);

// === impl Common ===

impl Common {
    /// Returns a proxy of this version, as one that is counted.
    pub(crate) fn proxy(&mut self, version: ProxyVersion, native: bool) -> Arc<ProxyCount> {
        let ProxyVersion {
            version,
            tag,
            source,
        } = version;
        let proxy = ProxyCount {
            version,
            line: None,
            tag,
            source,
            native,
            count: 1,
        };
        match self.proxies.get(&proxy) {
            Some(known) => Arc::clone(known),
            None => {
                let new = Arc::new(proxy);
                self.proxies.insert(Arc::clone(&new));
                new
            }
        }
    }

    /// Returns the name of a control plane's namespace.
    pub(crate) fn name(&mut self, name: &str) -> Arc<str> {
        match self.names.get(name) {
            Some(known) => Arc::clone(known),
            None => {
                let new: Arc<str> = name.into();
                self.names.insert(Arc::clone(&new));
                new
            }
        }
    }

    /// Adds what another list had in common.
    pub(crate) fn merge(&mut self, other: Self) {
        self.proxies.extend(other.proxies);
        self.names.extend(other.names);
    }
}

// === impl Counts ===

impl Counts {
    /// Adds so many pods with this proxy.
    pub(crate) fn add(&mut self, proxy: Arc<ProxyCount>, pods: u32) {
        match self.0.iter_mut().find(|(known, _)| *known == proxy) {
            Some((_, known)) => *known += pods,
            // Nearly always there is one.
            None => {
                self.0.reserve_exact(1);
                self.0.push((proxy, pods));
            }
        }
    }

    /// Adds the counts of another list.
    pub(crate) fn merge(&mut self, other: Self) {
        for (proxy, pods) in other.0 {
            self.add(proxy, pods);
        }
    }

    /// Sorts the counts, so that the order of the pods does not matter.
    pub(crate) fn settle(&mut self) {
        self.0.sort();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many pods are counted.
    pub(crate) fn pods(&self) -> u32 {
        self.0.iter().map(|(_, pods)| pods).sum()
    }

    /// Returns the records, with the minor version of each so far as the releases file knows it: a
    /// guess from the number of an edge is left out.
    pub(crate) fn records(&self) -> Vec<ProxyCount> {
        static RELEASES: LazyLock<Releases> = LazyLock::new(Releases::embedded);
        let line = |version: &String| {
            let minor = RELEASES.minor_of(&Version::of_tag(version))?;
            let is_known = minor.confidence > Confidence::Guessed;
            is_known.then(|| minor.minor.to_string())
        };
        let counts = self.0.iter().map(|(proxy, pods)| ProxyCount {
            line: proxy.version.as_ref().and_then(line),
            count: *pods,
            ..ProxyCount::clone(proxy)
        });
        counts.collect()
    }
}
