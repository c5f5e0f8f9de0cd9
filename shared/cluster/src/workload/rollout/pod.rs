//! What is kept of a pod while its workload is rolled.

use mesh_records::{Trouble, WorkloadKind};

use super::{RESTARTED_AT, State};
use crate::object::label::TEMPLATE_HASH;
use crate::object::{ContainerStatus, Pod, PodStatus};
use crate::workload::owner::kind_of;
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
    /// The workload that it belongs to.
    pub owner: Option<Owner>,
    /// The node that it is bound to.
    pub node: Option<String>,
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
    /// What is wrong with it.
    pub ailment: Option<Ailment>,
}

/// The workload that a pod belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
    /// Its uid, where the pod names it: a Deployment's pods name their ReplicaSet.
    pub uid: Option<String>,
}

/// A pod's proxy.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxySeen {
    /// Its version.
    pub version: ProxyVersion,
    /// The container is ready.
    pub ready: bool,
}

/// What is wrong with a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ailment {
    /// It will not mend.
    Fatal(Trouble),
    /// It may mend itself: images flap, programs crash once.
    Passing(Trouble),
    /// It is not the pod's fault.
    Outside(Trouble),
}

/// From this many restarts on, a crash is no accident.
const RESTARTS: i32 = 2;

// === impl PodSeen ===

impl PodSeen {
    /// What a rollout needs of `pod`.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let proxy = proxy::sidecar(&pod.spec).map(|sidecar| ProxySeen {
            version: proxy::version(&sidecar.container.image, &pod.meta.annotations),
            ready: proxy::is_ready(pod),
        });
        Self {
            namespace: pod.meta.namespace.clone(),
            name: pod.meta.name.clone(),
            uid: pod.meta.uid.clone(),
            owner: Owner::of(pod),
            node: pod.spec.node_name.clone(),
            restarted_at: pod.meta.annotations.get(RESTARTED_AT).cloned(),
            proxy,
            anchors: proxy::trust_anchors(&pod.meta).map(str::to_owned),
            ready: pod.is_ready(),
            over: pod.is_over(),
            ailment: ailment(&pod.status),
        }
    }

    /// What it makes of the rollout that created it; nothing while nothing is wrong.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        if self.ready || self.over {
            return None;
        }
        self.ailment.map(|ailment| match ailment {
            Ailment::Fatal(trouble) => State::Failed(trouble),
            Ailment::Passing(trouble) => State::Ailing(trouble),
            Ailment::Outside(trouble) => State::Blocked(trouble),
        })
    }
}

// === impl Owner ===

impl Owner {
    /// The workload that `pod` belongs to. The ReplicaSet of a Deployment bears the Deployment's
    /// name and the hash that the pod is labelled with.
    #[must_use]
    pub fn of(pod: &Pod) -> Option<Self> {
        let owner = pod.meta.controller()?;
        let kind = kind_of(owner);
        if kind == WorkloadKind::ReplicaSet
            && let Some(hash) = pod.meta.labels.get(TEMPLATE_HASH)
            && let Some(name) = owner.name.strip_suffix(hash.as_str())
            && let Some(name) = name.strip_suffix('-')
        {
            return Some(Self {
                kind: WorkloadKind::Deployment,
                name: name.to_owned(),
                uid: None,
            });
        }
        Some(Self {
            kind,
            name: owner.name.clone(),
            uid: Some(owner.uid.clone()),
        })
    }
}

fn statuses(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let containers = status.container_statuses.iter();
    containers.chain(&status.init_container_statuses)
}

fn ailment(status: &PodStatus) -> Option<Ailment> {
    let unschedulable = status.conditions.iter().any(|condition| {
        condition.kind == "PodScheduled"
            && condition.status == "False"
            && condition.reason == "Unschedulable"
    });
    if unschedulable {
        return Some(Ailment::Outside(Trouble::Unschedulable));
    }
    statuses(status).find_map(container_ailment)
}

fn container_ailment(status: &ContainerStatus) -> Option<Ailment> {
    let waiting = status.state.waiting.as_ref()?;
    match waiting.reason.as_str() {
        "CrashLoopBackOff" if status.restart_count >= RESTARTS => {
            Some(Ailment::Fatal(Trouble::CrashLoop))
        }
        "CrashLoopBackOff" => Some(Ailment::Passing(Trouble::CrashLoop)),
        "InvalidImageName" => Some(Ailment::Fatal(Trouble::ImagePull)),
        "ImagePullBackOff"
        | "ErrImagePull"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable" => Some(Ailment::Passing(Trouble::ImagePull)),
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "PreCreateHookError"
        | "PreStartHookError"
        | "PostStartHookError" => Some(Ailment::Passing(Trouble::CreateContainer)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Condition, ContainerState, OwnerReference, Waiting};

    fn waiting(reason: &str, restart_count: i32) -> PodStatus {
        let waiting = Waiting {
            reason: reason.to_owned(),
            message: String::new(),
        };
        let state = ContainerState {
            waiting: Some(waiting),
        };
        PodStatus {
            init_container_statuses: vec![ContainerStatus {
                restart_count,
                state,
                ..ContainerStatus::default()
            }],
            ..PodStatus::default()
        }
    }

    #[test]
    fn a_crash_or_a_missing_image_may_pass_and_a_second_restart_does_not() {
        use Trouble::{CrashLoop, CreateContainer, ImagePull};
        let table = [
            ("CrashLoopBackOff", 1, Some(Ailment::Passing(CrashLoop))),
            ("CrashLoopBackOff", 2, Some(Ailment::Fatal(CrashLoop))),
            ("ImagePullBackOff", 0, Some(Ailment::Passing(ImagePull))),
            ("InvalidImageName", 0, Some(Ailment::Fatal(ImagePull))),
            (
                "CreateContainerConfigError",
                0,
                Some(Ailment::Passing(CreateContainer)),
            ),
            ("ContainerCreating", 0, None),
            ("PodInitializing", 0, None),
        ];
        for (reason, restarts, expected) in table {
            assert_eq!(ailment(&waiting(reason, restarts)), expected, "{reason}");
        }
    }

    #[test]
    fn a_pod_that_no_node_takes_is_held_up_from_outside() {
        let scheduled = Condition {
            kind: "PodScheduled".to_owned(),
            status: "False".to_owned(),
            reason: "Unschedulable".to_owned(),
            ..Condition::default()
        };
        let status = PodStatus {
            conditions: vec![scheduled],
            ..PodStatus::default()
        };
        let expected = Ailment::Outside(Trouble::Unschedulable);
        assert_eq!(ailment(&status), Some(expected));
    }

    #[test]
    fn a_replicasets_pod_belongs_to_the_deployment_whose_name_and_hash_it_bears() {
        let mut pod = Pod::default();
        pod.meta.owner_references = vec![OwnerReference {
            api_version: "apps/v1".to_owned(),
            kind: "ReplicaSet".to_owned(),
            name: "web-front-6c5f7d9b8c".to_owned(),
            uid: "r".to_owned(),
            controller: true,
        }];
        let bare = Owner::of(&pod).unwrap();
        assert_eq!(bare.kind, WorkloadKind::ReplicaSet);
        pod.meta
            .labels
            .insert(TEMPLATE_HASH.to_owned(), "6c5f7d9b8c".to_owned());
        let owned = Owner::of(&pod).unwrap();
        assert_eq!(
            (owned.kind, owned.name.as_str()),
            (WorkloadKind::Deployment, "web-front")
        );
    }
}
