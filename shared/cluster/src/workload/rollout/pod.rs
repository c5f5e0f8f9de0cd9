//! What is kept of a pod while its workload is rolled.

use jiff::Timestamp;
use mesh_records::{Trouble, WorkloadRef};

use super::problem::{Passes, Problem};
use crate::object::Pod;
use crate::object::label::{RESTARTED_AT, REVISION_HASH, TEMPLATE_HASH};
use crate::wire::store::Stored;
use crate::workload::owner::owner_of;
use crate::workload::proxy::{self, ProxyVersion};

/// A pod, as far as a rollout needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct PodSeen {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// The workload that it belongs to.
    pub owner: Option<WorkloadRef>,
    /// The node that it is bound to.
    pub node: Option<String>,
    /// The hash of the template that it was created from, as its controller labels it.
    pub template: Option<String>,
    /// The restart that it was created for, as its template said.
    pub restarted_at: Option<String>,
    /// Its proxy, if it has one.
    pub proxy: Option<ProxySeen>,
    /// SHA-256 of the trust bundle that it was started with.
    pub anchors: Option<String>,
    /// Its Ready condition is true.
    pub ready: bool,
    /// It has ended or is about to.
    pub over: bool,
    /// The first of its containers that is not ready.
    pub unready: Option<String>,
    /// What is wrong with it.
    pub problem: Option<Problem>,
}

/// A pod's proxy.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxySeen {
    /// Its version.
    pub version: ProxyVersion,
    /// The container is ready.
    pub ready: bool,
}

// === impl PodSeen ===

impl PodSeen {
    /// What a rollout needs of `pod`.
    pub fn of(pod: &Pod) -> Self {
        let proxy = proxy::sidecar(&pod.spec).map(|sidecar| ProxySeen {
            version: proxy::version(&sidecar.container.image, &pod.meta.annotations),
            ready: proxy::is_ready(pod),
        });
        let labels = &pod.meta.labels;
        let template = labels.get(TEMPLATE_HASH).or(labels.get(REVISION_HASH));
        let mut unready = pod.container_statuses().filter(|status| !status.ready);
        Self {
            namespace: pod.meta.namespace.clone(),
            name: pod.meta.name.clone(),
            uid: pod.meta.uid.clone(),
            created: pod.meta.creation_timestamp,
            owner: owner_of(&pod.meta),
            node: pod.spec.node_name.clone(),
            template: template.cloned(),
            restarted_at: pod.meta.annotations.get(RESTARTED_AT).cloned(),
            proxy,
            anchors: proxy::trust_anchors(&pod.meta).map(str::to_owned),
            ready: pod.is_ready(),
            over: pod.is_over(),
            unready: unready.next().map(|status| status.name.clone()),
            problem: Problem::of_pod(pod),
        }
    }

    /// Why it is not ready; none if it is, or on its way out.
    pub fn lack(&self) -> Option<Problem> {
        if self.problem.is_some() || self.ready || self.over {
            return self.problem.clone();
        }
        Some(Problem {
            trouble: Trouble::TimedOut,
            pod: Some(self.name.clone()),
            container: self.unready.clone(),
            said: "not ready".to_owned(),
            passes: Passes::Maybe,
        })
    }
}

/// The pods of one workload stand side by side.
impl Stored for PodSeen {
    type Key = (Option<WorkloadRef>, String);

    fn key(&self) -> Self::Key {
        (self.owner.clone(), self.name.clone())
    }

    fn resource_version(&self) -> &str {
        ""
    }
}
