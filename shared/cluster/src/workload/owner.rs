//! Owners of pods: which workload a pod belongs to, and which tool decides over an object.

use mesh_records::{WorkloadKind, WorkloadRef};

use crate::object::label::{REVISION, ROLLOUT_HASH, TEMPLATE_HASH};
use crate::object::{Meta, OwnerReference};

/// Returns the GitOps tool that syncs an object from its source.
pub fn gitops(meta: &Meta) -> Option<&'static str> {
    const SIGNS: [(&str, &str); 6] = [
        ("argocd.argoproj.io/tracking-id", "argocd"),
        ("argocd.argoproj.io/instance", "argocd"),
        ("kustomize.toolkit.fluxcd.io/name", "flux"),
        ("helm.toolkit.fluxcd.io/name", "flux"),
        ("fluxcd.io/sync-checksum", "flux"),
        ("helm.fluxcd.io/antecedent", "flux"),
    ];
    let bears = |key| meta.labels.contains_key(key) || meta.annotations.contains_key(key);
    SIGNS
        .into_iter()
        .find(|(key, _)| bears(*key))
        .map(|(_, tool)| tool)
}

/// Returns the workload that a pod belongs to, or `None` for a bare pod.
pub fn owner_of(pod: &Meta) -> Option<WorkloadRef> {
    let owner = pod.controller()?;
    let (kind, name) = match deployment_name(pod) {
        Some(name) => (WorkloadKind::Deployment, name),
        None => (kind_of(owner), owner.name.as_str()),
    };
    Some(WorkloadRef {
        namespace: pod.namespace.clone(),
        kind,
        name: name.to_owned(),
    })
}

/// Returns the workload that a pod is rolled with. For a pod of an Argo Rollout that is the Rollout:
/// the `ReplicaSet` in between is found by its name, as that of a Deployment.
pub fn rolled_with(pod: &Meta) -> Option<WorkloadRef> {
    let name = name_before_hash(pod, ROLLOUT_HASH);
    let rollout = name.map(|name| WorkloadRef {
        namespace: pod.namespace.clone(),
        kind: WorkloadKind::Rollout,
        name: name.to_owned(),
    });
    rollout.or_else(|| owner_of(pod))
}

/// Returns the `ReplicaSet` that controls a pod, if one does.
pub fn replica_set(pod: &Meta) -> Option<WorkloadRef> {
    let owner = pod.controller()?;
    let kind = kind_of(owner);
    (kind == WorkloadKind::ReplicaSet).then(|| WorkloadRef {
        namespace: pod.namespace.clone(),
        kind,
        name: owner.name.clone(),
    })
}

/// Returns the Deployment that a pod of a `ReplicaSet` belongs to. The name of the `ReplicaSet` is
/// the Deployment's name, a dash and the template's hash; pods have the hash as a label.
pub fn deployment_name(pod: &Meta) -> Option<&str> {
    name_before_hash(pod, TEMPLATE_HASH)
}

fn name_before_hash<'a>(pod: &'a Meta, label: &str) -> Option<&'a str> {
    let owner = pod.controller()?;
    if kind_of(owner) != WorkloadKind::ReplicaSet {
        return None;
    }
    let hash = pod.labels.get(label)?;
    owner.name.strip_suffix(hash.as_str())?.strip_suffix('-')
}

/// Returns true if a `ReplicaSet` is that of a Deployment's newest template.
pub fn is_newest_set(set: &Meta, deployment: &Meta) -> bool {
    let number = deployment.annotations.get(REVISION);
    let owner = set.controller();
    owner.is_some_and(|owner| owner.uid == deployment.uid)
        && number.is_some()
        && set.annotations.get(REVISION) == number
}

/// Returns the kind that an owner reference names. A kind of another API group with a built-in name
/// is written with its group, so that it is not confused with the built-in kind.
pub fn kind_of(owner: &OwnerReference) -> WorkloadKind {
    let (group, _) = owner
        .api_version
        .split_once('/')
        .unwrap_or(("", &owner.api_version));
    let kind = WorkloadKind::from(owner.kind.clone());
    let own_group = match &kind {
        WorkloadKind::Deployment
        | WorkloadKind::StatefulSet
        | WorkloadKind::DaemonSet
        | WorkloadKind::ReplicaSet => "apps",
        WorkloadKind::ReplicationController | WorkloadKind::Pod => "",
        WorkloadKind::Job | WorkloadKind::CronJob => "batch",
        WorkloadKind::Rollout => "argoproj.io",
        WorkloadKind::Other(_) => return kind,
    };
    if group == own_group {
        kind
    } else {
        WorkloadKind::Other(format!("{}.{group}", owner.kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_of_writes_a_foreign_group_into_the_kind() {
        let table = [
            ("apps/v1", "StatefulSet", WorkloadKind::StatefulSet),
            (
                "apps.kruise.io/v1beta1",
                "StatefulSet",
                WorkloadKind::Other("StatefulSet.apps.kruise.io".into()),
            ),
            ("argoproj.io/v1alpha1", "Rollout", WorkloadKind::Rollout),
            (
                "v1",
                "ReplicationController",
                WorkloadKind::ReplicationController,
            ),
            ("v1", "Node", WorkloadKind::Other("Node".into())),
            (
                "core.strimzi.io/v1beta2",
                "StrimziPodSet",
                WorkloadKind::Other("StrimziPodSet".into()),
            ),
        ];
        for (version, kind, expected) in table {
            let owner = OwnerReference {
                api_version: version.to_owned(),
                kind: kind.to_owned(),
                ..OwnerReference::default()
            };
            let read = kind_of(&owner);
            assert_eq!(read, expected);
            let again = WorkloadKind::from(String::from(read));
            assert_eq!(again, expected, "the record reads back as it was written");
        }
    }

    #[test]
    fn owner_of_finds_the_deployment_behind_a_replica_set() {
        let mut pod = Meta {
            owner_references: vec![OwnerReference {
                api_version: "apps/v1".to_owned(),
                kind: "ReplicaSet".to_owned(),
                name: "web-front-6c5f7d9b8c".to_owned(),
                uid: "r".to_owned(),
                controller: true,
            }],
            ..Meta::default()
        };
        assert_eq!(owner_of(&pod).unwrap().kind, WorkloadKind::ReplicaSet);
        let hash = "6c5f7d9b8c".to_owned();
        pod.labels.insert(TEMPLATE_HASH.to_owned(), hash);
        let owned = owner_of(&pod).unwrap();
        assert_eq!(
            (owned.kind, owned.name.as_str()),
            (WorkloadKind::Deployment, "web-front")
        );
        let set = replica_set(&pod).unwrap();
        let name = "web-front-6c5f7d9b8c";
        assert_eq!(
            (set.kind, set.name.as_str()),
            (WorkloadKind::ReplicaSet, name)
        );
    }
}
