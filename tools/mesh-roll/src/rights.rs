//! Asks before the first change which workloads this user may restart.

use std::collections::BTreeMap;

use mesh_cluster::act::restartable;
use mesh_cluster::object::{Object as _, Pod, Resource};
use mesh_cluster::{Cluster, Error, Right};
use mesh_records::WorkloadRef;

use crate::roll::Task;
use crate::select::Choice;

/// Returns the selected workloads that this user may not restart, or whose injector this user may
/// not check with a dry-run pod; each with the RBAC rule that is missing.
pub(crate) async fn forbidden(
    cluster: &Cluster,
    tasks: &[Task],
    choice: &Choice,
) -> Result<BTreeMap<WorkloadRef, String>, Error> {
    let keys = tasks.iter().map(|task| &task.key);
    let wanted: Vec<(&WorkloadRef, Right)> = keys
        .filter(|key| choice.takes(key))
        .filter_map(|key| Some((key, restartable(&key.kind)?)))
        .flat_map(|(key, resource)| {
            let own = ["get", "patch"].map(|verb| (key, own(verb, key, resource)));
            own.into_iter().chain([(key, probe(key))])
        })
        .collect();
    let rights = wanted.iter().map(|(_, right)| right.clone()).collect();
    let lacking = cluster.lacking(rights).await?;
    let lacking = wanted
        .into_iter()
        .filter(|(_, right)| lacking.contains(right));
    let mut forbidden = BTreeMap::new();
    for (key, right) in lacking {
        forbidden.entry(key.clone()).or_insert_with(|| right.rule());
    }
    Ok(forbidden)
}

fn own(verb: &'static str, key: &WorkloadRef, resource: Resource) -> Right {
    Right {
        verb,
        resource,
        namespace: Some(key.namespace.clone()),
        name: Some(key.name.clone()),
    }
}

fn probe(key: &WorkloadRef) -> Right {
    Right {
        verb: "create",
        resource: Pod::RESOURCE,
        namespace: Some(key.namespace.clone()),
        name: None,
    }
}
