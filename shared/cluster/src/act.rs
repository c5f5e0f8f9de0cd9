//! The writes that bring new pods, and the read of the same workload before and after them.

use mesh_records::{WorkloadKind, WorkloadRef};
use serde_json::{Value, json};

use crate::object::label::RESTARTED_AT;
use crate::object::{
    DaemonSet, Deployment, Object, Pod, ReplicaSet, ReplicationController, Resource, Rollout,
    StatefulSet,
};
use crate::wire::connect::Cluster;
use crate::wire::error::{Error, Why};
use crate::wire::target::{Options, Target};
use crate::workload::rollout::{Observed, Restartable};

/// A restart of a workload: one annotation on its pod template, or the field `restartAt` of an Argo
/// Rollout; nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    /// The workload.
    pub key: WorkloadRef,
    /// The resourceVersion that the decision was based on. At any other version the API server
    /// refuses the write.
    pub resource_version: String,
    /// The value of the annotation or the field.
    pub value: String,
    /// Whether the API server only checks the write and stores nothing (`dryRun=All`).
    pub dry_run: bool,
}

/// An eviction of one pod. It is never turned into a delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eviction {
    /// The workload that the pod belongs to.
    pub key: WorkloadRef,
    /// The pod's name.
    pub pod: String,
    /// The pod's uid. The API server refuses to evict another pod of this name.
    pub uid: String,
    /// Whether the API server only checks the eviction (`dryRun=All`).
    pub dry_run: bool,
}

/// The subresource of a pod that evicts it, as RBAC names it.
pub const EVICTION: Resource = Resource {
    group: "",
    version: "v1",
    plural: "pods/eviction",
    kind: "Eviction",
};

/// The field manager of a restart.
pub const MANAGER: &str = "mesh-roll";

impl Cluster {
    /// Restarts a Deployment, a `StatefulSet`, a `DaemonSet` or an Argo Rollout.
    ///
    /// # Errors
    /// The request fails; [`Why`] gives the reason. After a failure without an answer the write may
    /// have happened.
    pub async fn restart(&self, restart: &Restart) -> Result<Observed, Error> {
        match &restart.key.kind {
            WorkloadKind::Deployment => self.restart_as::<Deployment>(restart).await,
            WorkloadKind::StatefulSet => self.restart_as::<StatefulSet>(restart).await,
            WorkloadKind::DaemonSet => self.restart_as::<DaemonSet>(restart).await,
            WorkloadKind::Rollout => self.restart_as::<Rollout>(restart).await,
            kind @ (WorkloadKind::ReplicaSet
            | WorkloadKind::ReplicationController
            | WorkloadKind::Job
            | WorkloadKind::CronJob
            | WorkloadKind::Pod
            | WorkloadKind::Other(_)) => Err(no_restart(kind)),
        }
    }

    /// Evicts a pod through the Eviction API (`policy/v1`), which asks its PodDisruptionBudget.
    ///
    /// # Errors
    /// The request fails; [`Error::budget`] says whether a budget does not allow it. After a failure
    /// without an answer the eviction may have happened.
    pub async fn evict(&self, eviction: &Eviction) -> Result<(), Error> {
        let Eviction {
            key,
            pod,
            uid,
            dry_run,
        } = eviction;
        let target = Target::one(Pod::RESOURCE, Some(&key.namespace), pod).subresource("eviction");
        let options = Options {
            dry_run: *dry_run,
            field_manager: None,
        };
        let body = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": { "name": pod, "namespace": key.namespace },
            "deleteOptions": { "preconditions": { "uid": uid } },
        });
        self.post(&target, &body, options).await
    }

    /// Reads a workload that can be rolled; returns `None` if it does not exist.
    pub async fn observe(&self, key: &WorkloadRef) -> Result<Option<Observed>, Error> {
        let observed = match &key.kind {
            WorkloadKind::Deployment => self.observe_as::<Deployment>(key).await,
            WorkloadKind::StatefulSet => self.observe_as::<StatefulSet>(key).await,
            WorkloadKind::DaemonSet => self.observe_as::<DaemonSet>(key).await,
            WorkloadKind::ReplicaSet => self.observe_as::<ReplicaSet>(key).await,
            WorkloadKind::ReplicationController => {
                self.observe_as::<ReplicationController>(key).await
            }
            WorkloadKind::Rollout => self.observe_as::<Rollout>(key).await,
            kind @ (WorkloadKind::Job
            | WorkloadKind::CronJob
            | WorkloadKind::Pod
            | WorkloadKind::Other(_)) => Err(no_restart(kind)),
        };
        match observed {
            Ok(observed) => Ok(Some(observed)),
            Err(error) if error.why() == Why::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn restart_as<K: Restartable>(&self, restart: &Restart) -> Result<Observed, Error> {
        let options = Options {
            dry_run: restart.dry_run,
            field_manager: Some(MANAGER),
        };
        let target = target::<K>(&restart.key);
        let object: K = self.patch(&target, &body(restart), options).await?;
        Ok(Observed::of(&object))
    }

    async fn observe_as<K: Restartable>(&self, key: &WorkloadRef) -> Result<Observed, Error> {
        let object: K = self.get_as(&target::<K>(key)).await?;
        Ok(Observed::of(&object))
    }
}

/// Returns the resource of a kind whose pods can be replaced, by a restart or by eviction.
pub fn rollable(kind: &WorkloadKind) -> Option<Resource> {
    match kind {
        WorkloadKind::ReplicaSet => Some(ReplicaSet::RESOURCE),
        WorkloadKind::ReplicationController => Some(ReplicationController::RESOURCE),
        WorkloadKind::Rollout => Some(Rollout::RESOURCE),
        WorkloadKind::Deployment
        | WorkloadKind::StatefulSet
        | WorkloadKind::DaemonSet
        | WorkloadKind::Job
        | WorkloadKind::CronJob
        | WorkloadKind::Pod
        | WorkloadKind::Other(_) => restartable(kind),
    }
}

/// Returns the resource of a kind that a restart annotation rolls out.
pub fn restartable(kind: &WorkloadKind) -> Option<Resource> {
    match kind {
        WorkloadKind::Deployment => Some(Deployment::RESOURCE),
        WorkloadKind::StatefulSet => Some(StatefulSet::RESOURCE),
        WorkloadKind::DaemonSet => Some(DaemonSet::RESOURCE),
        WorkloadKind::ReplicaSet
        | WorkloadKind::ReplicationController
        | WorkloadKind::Job
        | WorkloadKind::CronJob
        | WorkloadKind::Rollout
        | WorkloadKind::Pod
        | WorkloadKind::Other(_) => None,
    }
}

/// Returns the field that a restart writes, as jq spells it.
pub fn restart_path(kind: &WorkloadKind) -> String {
    if *kind == WorkloadKind::Rollout {
        return ".spec.restartAt".to_owned();
    }
    format!(r#".spec.template.metadata.annotations["{RESTARTED_AT}"]"#)
}

fn target<K: Object>(key: &WorkloadRef) -> Target {
    Target::one(K::RESOURCE, Some(&key.namespace), &key.name)
}

fn body(restart: &Restart) -> Value {
    let value = &restart.value;
    let spec = if restart.key.kind == WorkloadKind::Rollout {
        json!({ "restartAt": value })
    } else {
        json!({ "template": { "metadata": { "annotations": { RESTARTED_AT: value } } } })
    };
    json!({ "metadata": { "resourceVersion": restart.resource_version }, "spec": spec })
}

fn no_restart(kind: &WorkloadKind) -> Error {
    Error::malformed("restarting", &format!("cannot restart a {kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_patches_only_restarted_at_or_restart_at_with_the_resource_version_as_precondition()
    {
        let restart = Restart {
            key: WorkloadRef {
                namespace: "shop".to_owned(),
                kind: WorkloadKind::Deployment,
                name: "web".to_owned(),
            },
            resource_version: "7".to_owned(),
            value: "2026-01-02T03:04:05Z".to_owned(),
            dry_run: false,
        };
        let expected = r#"{"metadata":{"resourceVersion":"7"},"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"2026-01-02T03:04:05Z"}}}}}"#;
        assert_eq!(body(&restart).to_string(), expected);
        let mut rollout = restart;
        rollout.key.kind = WorkloadKind::Rollout;
        let expected =
            r#"{"metadata":{"resourceVersion":"7"},"spec":{"restartAt":"2026-01-02T03:04:05Z"}}"#;
        assert_eq!(body(&rollout).to_string(), expected);
        let paths = [WorkloadKind::Deployment, WorkloadKind::Rollout].map(|it| restart_path(&it));
        assert_eq!(
            paths,
            [
                r#".spec.template.metadata.annotations["kubectl.kubernetes.io/restartedAt"]"#,
                ".spec.restartAt"
            ]
        );
    }
}
