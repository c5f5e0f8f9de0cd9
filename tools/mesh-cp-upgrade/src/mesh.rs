//! The pods of the mesh: where a dry-run pod can be made, and which proxies are newer than the control
//! plane after a rollback.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use mesh_cluster::object::Pod;
use mesh_cluster::workload::owner::owner_of;
use mesh_cluster::workload::proxy;
use mesh_cluster::{Cluster, Error, Selection, label};
use mesh_records::{WorkloadKind, WorkloadRef};
use mesh_versions::{Confidence, Releases, Skew, Version};

use crate::gate::MOST_PLACES;

/// How many workloads with newer proxies are named.
const MOST: usize = 10;

/// Lists the pods that have a proxy of the control plane in a namespace, without its own.
pub(crate) async fn pods(cluster: &Cluster, control_plane: &str) -> Result<Vec<Pod>, Error> {
    let label = format!("{}={control_plane}", label::CONTROL_PLANE_NS);
    let selection = Selection {
        namespace: None,
        labels: Some(&label),
    };
    let mut pods = cluster.pages::<Pod>(selection).all().await?;
    let is_component = |pod: &Pod| pod.meta.labels.contains_key(label::COMPONENT);
    pods.retain(|pod| !is_component(pod) && !pod.is_over() && proxy::sidecar(&pod.spec).is_some());
    Ok(pods)
}

/// Returns a workload of each namespace whose pods could be created again.
pub(crate) fn places(pods: &[Pod]) -> Vec<WorkloadRef> {
    let mut all: BTreeMap<String, WorkloadRef> = BTreeMap::new();
    let is_pinned = |pod: &&Pod| pod.meta.annotations.contains_key(label::PIN_VERSION);
    for pod in pods.iter().filter(|pod| !is_pinned(pod)) {
        let owner = owner_of(&pod.meta).filter(|owner| has_template(&owner.kind));
        if let Some(owner) = owner {
            all.entry(owner.namespace.clone()).or_insert(owner);
        }
    }
    all.into_values().take(MOST_PLACES).collect()
}

/// Returns the uids of the pods that are ready.
pub(crate) fn ready(pods: &[Pod]) -> BTreeSet<String> {
    let ready = pods.iter().filter(|pod| pod.is_ready());
    ready.map(|pod| pod.meta.uid.clone()).collect()
}

/// Returns the pods that were ready, are still there, and are not ready any more.
pub(crate) fn unready(before: &BTreeSet<String>, pods: &[Pod]) -> Vec<String> {
    let was_ready = |pod: &&Pod| before.contains(&pod.meta.uid);
    let lost = pods.iter().filter(was_ready).filter(|pod| !pod.is_ready());
    lost.map(|pod| format!("{}/{}", pod.meta.namespace, pod.meta.name))
        .collect()
}

/// The workloads, and pods without one, by how their proxies compare with a control plane. Its `Display`
/// is a sentence on those that are newer, which no version supports.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    release: String,
    newer: BTreeSet<String>,
    /// Nothing tells whether these are newer.
    unknown: BTreeSet<String>,
}

/// Compares the proxies of pods with a control plane of `release`.
pub(crate) fn compared(pods: &[Pod], release: &str) -> Compared {
    let releases = Releases::embedded();
    let mut all = Compared {
        release: release.to_owned(),
        ..Compared::default()
    };
    for pod in pods {
        let Some(sidecar) = proxy::sidecar(&pod.spec) else {
            continue;
        };
        let version = proxy::version(&sidecar.container.image, &pod.meta.annotations).version;
        let name = match owner_of(&pod.meta) {
            Some(owner) => owner.to_string(),
            None => format!("{}/Pod/{}", pod.meta.namespace, pod.meta.name),
        };
        match version.and_then(|version| is_newer(&releases, &version, release)) {
            Some(true) => all.newer.insert(name),
            None => all.unknown.insert(name),
            Some(false) => continue,
        };
    }
    all
}

// Returns `None` if nothing tells. Two channels of one minor version count as the same version, as
// everywhere, unless the minor version is a guess.
fn is_newer(releases: &Releases, proxy: &str, release: &str) -> Option<bool> {
    let (proxy, release) = (Version::of_tag(proxy), Version::of_tag(release));
    if let Some(order) = releases.order(&proxy, &release) {
        return Some(order == Ordering::Greater);
    }
    match releases.skew(&proxy, &release) {
        (Skew::Same, Confidence::Known | Confidence::Inferred) => Some(false),
        _ => None,
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            release,
            newer,
            unknown,
        } = self;
        let run = |count: usize| match count {
            1 => "1 workload runs".to_owned(),
            count => format!("{count} workloads run"),
        };
        match newer.len() {
            0 if unknown.is_empty() => write!(f, "no proxy is newer than {release}")?,
            0 => {}
            count => write!(
                f,
                "{} newer proxies than the control plane and must be restarted: {}",
                run(count),
                named(newer)
            )?,
        }
        if unknown.is_empty() {
            return Ok(());
        }
        let lead = if newer.is_empty() { "" } else { "; " };
        write!(
            f,
            "{lead}{} proxies that may be newer than {release}, which cannot be told: {}",
            run(unknown.len()),
            named(unknown)
        )
    }
}

fn named(all: &BTreeSet<String>) -> String {
    let first: Vec<&str> = all.iter().take(MOST).map(String::as_str).collect();
    let rest = match all.len().saturating_sub(MOST) {
        0 => String::new(),
        rest => format!(" and {rest} more"),
    };
    format!("{}{rest}", first.join(", "))
}

fn has_template(kind: &WorkloadKind) -> bool {
    matches!(
        kind,
        WorkloadKind::Deployment | WorkloadKind::StatefulSet | WorkloadKind::DaemonSet
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, image: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "namespace": "shop", "name": name },
            "spec": { "containers": [{ "name": "linkerd-proxy", "image": image }] },
        }))
        .unwrap()
    }

    #[test]
    fn newer_proxies_are_named_across_channels_and_so_are_those_that_cannot_be_compared() {
        let (none, newer) = ("no proxy is newer than", "1 workload runs newer proxies");
        let unknown = "1 workload runs proxies that may be newer than";
        for (proxy, release, part) in [
            ("stable-2.14.10", "stable-2.13.7", newer),
            ("stable-2.13.7", "stable-2.14.10", none),
            ("stable-2.14.10-acme", "stable-2.14.10", none),
            ("edge-24.2.4", "stable-2.14.10", newer),
            ("stable-2.14.10", "edge-24.2.4", none),
            ("edge-23.9.1", "stable-2.14.10", none),
            ("edge-98.1.1", "stable-2.14.10", newer),
            ("edge-98.1.1", "enterprise-2.99.0", unknown),
            ("dev-undefined", "stable-2.14.10", unknown),
        ] {
            let pods = [pod("a", &format!("m/proxy:{proxy}"))];
            let said = compared(&pods, release).to_string();
            assert!(said.starts_with(part), "{proxy} {release}: {said}");
            assert_eq!(said.ends_with("shop/Pod/a"), part != none, "{said}");
        }
        let pods =
            ["stable-2.14.10", "dev-undefined"].map(|tag| pod(tag, &format!("m/proxy:{tag}")));
        let said = compared(&pods, "stable-2.13.7").to_string();
        assert!(
            said.starts_with(newer) && said.contains(&format!("; {unknown}")),
            "{said}"
        );
    }
}
