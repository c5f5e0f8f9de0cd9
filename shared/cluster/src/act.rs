//! The write that starts a rollout, and the read of the same workload before and after it.

use mesh_records::{WorkloadKind, WorkloadRef};
use serde_json::{Value, json};

use crate::object::label::RESTARTED_AT;
use crate::object::{DaemonSet, Deployment, Object, Resource, StatefulSet};
use crate::wire::connect::Cluster;
use crate::wire::error::{Error, Why};
use crate::wire::target::{Options, Target};
use crate::workload::rollout::{Observed, Restartable};

/// A restart of a workload: one annotation on its pod template, nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    /// The workload.
    pub key: WorkloadRef,
    /// The resourceVersion that the decision was based on. At any other version the API server
    /// refuses the write.
    pub resource_version: String,
    /// The annotation's value.
    pub value: String,
    /// Whether the API server only checks the write and stores nothing (`dryRun=All`).
    pub dry_run: bool,
}

const MANAGER: &str = "mesh-roll";

impl Cluster {
    /// Restarts a Deployment, a `StatefulSet` or a `DaemonSet`.
    ///
    /// # Errors
    /// The request fails; [`Why`] gives the reason. After a failure without an answer the write may
    /// have happened.
    pub async fn restart(&self, restart: &Restart) -> Result<Observed, Error> {
        match &restart.key.kind {
            WorkloadKind::Deployment => self.restart_as::<Deployment>(restart).await,
            WorkloadKind::StatefulSet => self.restart_as::<StatefulSet>(restart).await,
            WorkloadKind::DaemonSet => self.restart_as::<DaemonSet>(restart).await,
            kind @ (WorkloadKind::ReplicaSet
            | WorkloadKind::ReplicationController
            | WorkloadKind::Job
            | WorkloadKind::CronJob
            | WorkloadKind::Rollout
            | WorkloadKind::Pod
            | WorkloadKind::Other(_)) => Err(no_restart(kind)),
        }
    }

    /// Reads a Deployment, a `StatefulSet` or a `DaemonSet`; returns `None` if it does not exist.
    pub async fn observe(&self, key: &WorkloadRef) -> Result<Option<Observed>, Error> {
        let observed = match &key.kind {
            WorkloadKind::Deployment => self.observe_as::<Deployment>(key).await,
            WorkloadKind::StatefulSet => self.observe_as::<StatefulSet>(key).await,
            WorkloadKind::DaemonSet => self.observe_as::<DaemonSet>(key).await,
            kind @ (WorkloadKind::ReplicaSet
            | WorkloadKind::ReplicationController
            | WorkloadKind::Job
            | WorkloadKind::CronJob
            | WorkloadKind::Rollout
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

/// Returns the resource of a kind that [`Cluster::restart`] can restart.
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

fn target<K: Object>(key: &WorkloadRef) -> Target {
    Target::one(K::RESOURCE, Some(&key.namespace), &key.name)
}

fn body(restart: &Restart) -> Value {
    json!({
        "metadata": { "resourceVersion": restart.resource_version },
        "spec": { "template": { "metadata": { "annotations": { RESTARTED_AT: restart.value } } } },
    })
}

fn no_restart(kind: &WorkloadKind) -> Error {
    Error::malformed("restarting", &format!("cannot restart a {kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_patches_only_restarted_at_with_the_resource_version_as_precondition() {
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
    }
}
