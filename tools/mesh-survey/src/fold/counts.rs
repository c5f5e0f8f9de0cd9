//! Counts proxies by version.

use std::sync::LazyLock;

use mesh_cluster::workload::proxy::ProxyVersion;
use mesh_records::ProxyCount;
use mesh_versions::{Confidence, Releases, Version};

/// Adds pods of one version to the counts.
pub(crate) fn add_count(proxies: &mut Vec<ProxyCount>, proxy: ProxyCount) {
    let alike = proxies.iter_mut().find(|known| {
        known.version == proxy.version
            && known.tag == proxy.tag
            && known.source == proxy.source
            && known.native == proxy.native
    });
    match alike {
        Some(known) => known.count += proxy.count,
        // Nearly always there is one.
        None => {
            proxies.reserve_exact(1);
            proxies.push(proxy);
        }
    }
}

/// Sorts the counts and adds the minor version of each, so far as the releases file knows it: a
/// guess from the number of an edge is left out.
pub(crate) fn settle_counts(proxies: &mut [ProxyCount]) {
    static RELEASES: LazyLock<Releases> = LazyLock::new(Releases::embedded);
    proxies.sort();
    for proxy in proxies {
        let version = proxy.version.as_deref().map(Version::of_tag);
        let minor = version.and_then(|version| RELEASES.minor_of(&version));
        let known = minor.filter(|minor| minor.confidence > Confidence::Guessed);
        proxy.line = known.map(|minor| minor.minor.to_string());
    }
}

/// Makes a count of one proxy.
pub(crate) fn count(version: ProxyVersion, native: bool) -> ProxyCount {
    let ProxyVersion {
        version,
        tag,
        source,
    } = version;
    ProxyCount {
        version,
        line: None,
        tag,
        source,
        native,
        count: 1,
    }
}
