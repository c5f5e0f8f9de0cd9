//! Asks before the first change which workloads this user may roll.

use std::collections::BTreeMap;

use mesh_cluster::act::{EVICTION, restartable, rollable};
use mesh_cluster::object::{Object as _, Pod, Resource};
use mesh_cluster::{Cluster, Error, Right};
use mesh_records::{RollBy, WorkloadRef};

use crate::roll::{Task, Wanted};

/// Returns the workloads that this user may not roll, or whose injector this user may not check with
/// a dry-run pod; each with the RBAC rule that is missing.
pub(crate) async fn forbidden(
    cluster: &Cluster,
    tasks: &[&Task],
    strategy: Wanted,
) -> Result<BTreeMap<WorkloadRef, String>, Error> {
    let wanted: Vec<(&WorkloadRef, Right)> = tasks
        .iter()
        .flat_map(|task| {
            let rights = needed(task, strategy).into_iter();
            rights.map(|right| (&task.key, right))
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

// What a roll of this workload needs, as far as the survey tells how it is rolled.
fn needed(task: &Task, strategy: Wanted) -> Vec<Right> {
    let key = &task.key;
    let Some(resource) = rollable(&key.kind) else {
        return Vec::new();
    };
    let evicts = match strategy {
        Wanted::Auto => task.by == RollBy::Evict,
        Wanted::Restart => false,
        Wanted::Evict => true,
    };
    let within = |verb, resource: Resource| Right {
        verb,
        resource: resource.into(),
        namespace: Some(key.namespace.clone()),
        name: None,
    };
    let own = |verb| Right {
        name: Some(key.name.clone()),
        ..within(verb, resource)
    };
    let mut rights = vec![own("get")];
    if evicts {
        rights.push(within("create", EVICTION));
    } else {
        rights.push(own("patch"));
    }
    rights.push(within("create", Pod::RESOURCE));
    if restartable(&key.kind).is_none() {
        rights.extend(["list", "watch"].map(|verb| everywhere(verb, resource)));
    }
    rights
}

fn everywhere(verb: &'static str, resource: Resource) -> Right {
    Right {
        verb,
        resource: resource.into(),
        namespace: None,
        name: None,
    }
}

#[cfg(test)]
mod tests {
    use mesh_records::WorkloadKind;

    use super::*;

    #[test]
    fn an_eviction_needs_no_right_to_patch_and_an_uncommon_kind_is_watched_everywhere() {
        let rules = |kind, by, strategy| {
            let key = WorkloadRef {
                namespace: "shop".to_owned(),
                kind,
                name: "x".to_owned(),
            };
            let (uid, stale_at) = (String::new(), None);
            let task = Task {
                key,
                uid,
                stale_at,
                by,
                managed_by: None,
            };
            let rights = needed(&task, strategy).into_iter();
            let rights = rights.map(|right| format!("{} {}", right.verb, right.resource.plural));
            rights.collect::<Vec<_>>()
        };
        use WorkloadKind::{Job, ReplicaSet, StatefulSet};
        assert_eq!(
            rules(StatefulSet, RollBy::Evict, Wanted::Auto),
            ["get statefulsets", "create pods/eviction", "create pods"]
        );
        assert_eq!(
            rules(StatefulSet, RollBy::Restart, Wanted::Auto),
            ["get statefulsets", "patch statefulsets", "create pods"]
        );
        assert_eq!(
            rules(ReplicaSet, RollBy::Evict, Wanted::Auto)[3..],
            ["list replicasets", "watch replicasets"]
        );
        assert_eq!(rules(Job, RollBy::Itself, Wanted::Evict), [""; 0]);
    }
}
