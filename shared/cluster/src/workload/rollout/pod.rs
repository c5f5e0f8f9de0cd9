//! A pod of a workload that is being rolled.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use mesh_records::{Paste, Trouble, WorkloadRef};

use super::problem::{Passes, Problem};
use crate::object::Pod;
use crate::object::label::{RESTARTED_AT, REVISION_HASH, ROLLOUT_HASH, TEMPLATE_HASH};
use crate::wire::store::Stored;
use crate::workload::owner::{replica_set, rolled_with};
use crate::workload::proxy::{self, ProxyVersion};

/// A pod, with only what a rollout needs.
#[derive(Clone, Debug, PartialEq)]
pub struct PodSeen {
    /// The workload's namespace.
    pub namespace: String,
    /// The workload's name.
    pub name: String,
    /// The owner's uid.
    pub uid: String,
    /// The pod's labels, also those that admission added.
    pub labels: BTreeMap<String, String>,
    /// When the pod was created.
    pub created: Option<Timestamp>,
    /// The workload that the pod belongs to.
    pub owner: Option<WorkloadRef>,
    /// The `ReplicaSet` that controls the pod, if one does.
    pub set: Option<WorkloadRef>,
    /// The node that the pod is bound to.
    pub node: Option<String>,
    /// The hash of the pod's template, from the label that its controller sets.
    pub template: Option<String>,
    /// The value of [`RESTARTED_AT`] in the pod's annotations.
    pub restarted_at: Option<String>,
    /// The pod's proxy, if it has one.
    pub proxy: Option<ProxySeen>,
    /// SHA-256 of the trust bundle that the pod was started with.
    pub anchors: Option<String>,
    /// Whether the pod's Ready condition is true.
    pub ready: bool,
    /// Since when the pod is ready.
    pub ready_since: Option<Timestamp>,
    /// Since when the pod is not ready.
    pub unready_since: Option<Timestamp>,
    /// Whether the pod has ended or is being deleted.
    pub over: bool,
    /// The finalizers of a pod that is being deleted.
    pub leaves_after: Option<Vec<String>>,
    /// The pod's first container that is not ready.
    pub unready: Option<String>,
    /// What is wrong with the pod.
    pub problem: Option<Problem>,
}

/// A pod's proxy.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxySeen {
    /// The proxy's version.
    pub version: ProxyVersion,
    /// The image in the pod's spec.
    pub image: String,
    /// Whether the proxy's container is ready.
    pub ready: bool,
}

// === impl PodSeen ===

impl PodSeen {
    /// Takes from `pod` what a rollout needs.
    pub fn of(pod: &Pod) -> Self {
        let proxy = proxy::sidecar(&pod.spec).map(|sidecar| ProxySeen {
            version: proxy::version(&sidecar.container.image, &pod.meta.annotations),
            image: sidecar.container.image.clone(),
            ready: proxy::is_ready(pod),
        });
        let labels = &pod.meta.labels;
        let hashes = [TEMPLATE_HASH, REVISION_HASH, ROLLOUT_HASH];
        let template = hashes.into_iter().find_map(|hash| labels.get(hash));
        let mut unready = pod.container_statuses().filter(|status| !status.ready);
        Self {
            namespace: pod.meta.namespace.clone(),
            name: pod.meta.name.clone(),
            uid: pod.meta.uid.clone(),
            labels: labels.clone(),
            created: pod.meta.creation_timestamp,
            owner: rolled_with(&pod.meta),
            set: replica_set(&pod.meta),
            node: pod.spec.node_name.clone(),
            template: template.cloned(),
            restarted_at: pod.meta.annotations.get(RESTARTED_AT).cloned(),
            proxy,
            anchors: proxy::trust_anchors(&pod.meta).map(str::to_owned),
            ready: pod.is_ready(),
            ready_since: pod.ready_since(),
            unready_since: pod.unready_since(),
            over: pod.is_over(),
            leaves_after: pod
                .meta
                .deletion_timestamp
                .map(|_| pod.meta.finalizers.clone()),
            unready: unready.next().map(|status| status.name.clone()),
            problem: Problem::of_pod(pod),
        }
    }

    /// Files the pod under its own `ReplicaSet` if that is rolled by itself. The name of a set that a
    /// Deployment left behind (`kubectl delete --cascade=orphan`) still looks like that of the
    /// Deployment's.
    #[must_use]
    pub fn filed(self, is_rolled: impl Fn(&WorkloadRef) -> bool) -> Self {
        let owner = self.set.clone().filter(is_rolled).or(self.owner);
        Self { owner, ..self }
    }

    /// Returns how long the pod took to get ready; longer than that if it lost its readiness since.
    pub fn got_ready_in(&self) -> Option<SignedDuration> {
        let took = self.ready_since?.duration_since(self.created?);
        (!took.is_negative()).then_some(took)
    }

    /// Returns why the pod is not ready, or `None` if it is ready or being deleted.
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

    /// Returns the problem of a pod that is being deleted and still there.
    pub fn lingers(&self) -> Option<Problem> {
        let finalizers = self.leaves_after.as_ref()?;
        let node = self.node.as_deref().unwrap_or("its node");
        let said = match finalizers.is_empty() {
            true => format!("it is being deleted and does not stop on {node}"),
            false => format!(
                "it is being deleted and waits for its finalizers ({})",
                finalizers.join(", ")
            ),
        };
        Some(Problem {
            trouble: Trouble::TimedOut,
            pod: Some(self.name.clone()),
            container: None,
            said,
            passes: Passes::Maybe,
        })
    }

    /// Returns the problem of a pod whose node, `node`, is not ready. `others` says what that means for
    /// the other pods.
    pub fn stranded(&self, node: &str, others: &str, paste: &Paste) -> Problem {
        let see = paste.kubectl(&["describe", "node", node]);
        Problem {
            trouble: Trouble::NodeNotReady,
            pod: Some(self.name.clone()),
            container: None,
            said: format!("its node {node} is not ready{others}; see {see}"),
            passes: Passes::Maybe,
        }
    }
}

/// Keys sort the pods of one namespace, and in it those of one workload, next to each other.
impl Stored for PodSeen {
    type Key = (String, Option<WorkloadRef>, String);

    fn key(&self) -> Self::Key {
        let (namespace, owner) = (self.namespace.clone(), self.owner.clone());
        (namespace, owner, self.name.clone())
    }

    fn resource_version(&self) -> &str {
        ""
    }
}
