//! The pods of the mesh: where a dry-run pod can be made, and which proxies are newer than the control
//! plane after a rollback.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use mesh_cluster::object::Pod;
use mesh_cluster::workload::owner::owner_of;
use mesh_cluster::workload::proxy;
use mesh_cluster::{Cluster, Error, Selection, label};
use mesh_records::{WorkloadKind, WorkloadRef};
use mesh_versions::Version;

use crate::gate::MOST_PLACES;

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

/// Returns the workloads, and pods without one, whose proxies are newer than `release`.
pub(crate) fn ahead(pods: &[Pod], release: &str) -> Vec<String> {
    let release = Version::of_tag(release);
    let is_ahead = |pod: &&Pod| {
        let image = proxy::sidecar(&pod.spec).map(|sidecar| &sidecar.container.image);
        let version = image.and_then(|image| proxy::version(image, &pod.meta.annotations).version);
        let order = version.and_then(|version| Version::of_tag(&version).order(&release));
        order == Some(Ordering::Greater)
    };
    let name = |pod: &Pod| match owner_of(&pod.meta) {
        Some(owner) => owner.to_string(),
        None => format!("{}/Pod/{}", pod.meta.namespace, pod.meta.name),
    };
    let all: BTreeSet<String> = pods.iter().filter(is_ahead).map(name).collect();
    all.into_iter().collect()
}

fn has_template(kind: &WorkloadKind) -> bool {
    matches!(
        kind,
        WorkloadKind::Deployment | WorkloadKind::StatefulSet | WorkloadKind::DaemonSet
    )
}
