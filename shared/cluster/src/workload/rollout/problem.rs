//! Finds what is wrong with a rollout, where, and whether it may still succeed. Pure.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use mesh_records::{Trouble, after};

use crate::object::{ContainerStatus, Pod};

/// What is wrong with a rollout, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub trouble: Trouble,
    /// The pod with the problem.
    pub pod: Option<String>,
    /// The container with the problem.
    pub container: Option<String>,
    /// The reason and the message of Kubernetes, on one line.
    pub said: String,
    /// Whether the problem may resolve itself.
    pub passes: Passes,
}

/// Whether a problem may resolve itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passes {
    /// It may resolve itself at any time.
    Maybe,
    /// It may resolve itself until this time.
    Until(Timestamp),
    /// It does not resolve itself.
    Never,
}

/// From this many restarts on, a container's crash loop may be a failure.
const RESTARTS: i32 = 3;
/// How old a pod must be before its crash loop counts as lasting.
const LASTING: SignedDuration = SignedDuration::from_secs(30);

// === impl Problem ===

impl Problem {
    /// Makes a problem from the status of a workload.
    pub(super) fn of_workload(trouble: Trouble, said: &[&str]) -> Self {
        Self {
            trouble,
            pod: None,
            container: None,
            said: on_one_line(said),
            passes: Passes::Maybe,
        }
    }

    /// Returns what is wrong with `pod`, or `None`.
    ///
    /// A crash loop counts as lasting when a container waits after its third or a later restart and
    /// the pod is at least 30 seconds old. An image name that cannot be parsed, and a missing image
    /// with `imagePullPolicy: Never`, do not resolve themselves. Everything else may: a registry
    /// answers again, a Secret is created, a node is added, a failed pod is replaced.
    pub(super) fn of_pod(pod: &Pod) -> Option<Self> {
        if pod.is_ready() || pod.meta.deletion_timestamp.is_some() {
            return None;
        }
        let status = &pod.status;
        let problem = |trouble, container: Option<&str>, said: [&str; 2], passes| Self {
            trouble,
            pod: Some(pod.meta.name.clone()),
            container: container.map(str::to_owned),
            said: on_one_line(&said),
            passes,
        };
        match status.phase.as_str() {
            "Failed" => {
                let said = ["the pod failed", &status.reason];
                return Some(problem(Trouble::PodFailed, None, said, Passes::Maybe));
            }
            "Succeeded" => return None,
            _ => {}
        }
        let unscheduled = status
            .conditions
            .iter()
            .find(|condition| condition.kind == "PodScheduled" && condition.status == "False");
        if let Some(condition) = unscheduled {
            let said = [condition.reason.as_str(), &condition.message];
            return Some(problem(Trouble::Unschedulable, None, said, Passes::Maybe));
        }
        pod.container_statuses().find_map(|container| {
            let waiting = container.state.waiting.as_ref()?;
            let trouble = trouble_of(&waiting.reason)?;
            let passes = passes(&waiting.reason, container, pod.meta.creation_timestamp);
            let said = [waiting.reason.as_str(), &waiting.message];
            Some(problem(trouble, Some(&container.name), said, passes))
        })
    }

    /// Returns true if something outside the workload must change first: a node, a quota, an
    /// admission webhook, an API server that takes no writes, the person who paused it. If such a
    /// problem lasts until the time limit, the workload is blocked and not failed.
    pub fn is_outside(&self) -> bool {
        match self.trouble {
            Trouble::Unschedulable
            | Trouble::NodeNotReady
            | Trouble::ReplicaFailure
            | Trouble::PodRefused
            | Trouble::Paused
            | Trouble::Partition
            | Trouble::DowntimeOutage
            | Trouble::Refused
            | Trouble::Budget => true,
            Trouble::NotInjected
            | Trouble::StillOld
            | Trouble::CrashLoop
            | Trouble::ImagePull
            | Trouble::CreateContainer
            | Trouble::PodFailed
            | Trouble::ProgressDeadline
            | Trouble::NoPods
            | Trouble::ReadinessLost
            | Trouble::TimedOut
            | Trouble::Stopped
            | Trouble::LockLost
            | Trouble::Forbidden => false,
        }
    }

    /// Returns true if the problem does not resolve itself any more at `now`.
    pub(super) fn is_final(&self, now: Timestamp) -> bool {
        match self.passes {
            Passes::Maybe => false,
            Passes::Until(at) => now >= at,
            Passes::Never => true,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pod) = &self.pod {
            write!(f, "pod {pod}: ")?;
        }
        if let Some(container) = &self.container {
            write!(f, "container {container}: ")?;
        }
        f.write_str(&self.said)
    }
}

fn trouble_of(waiting: &str) -> Option<Trouble> {
    match waiting {
        "CrashLoopBackOff" => Some(Trouble::CrashLoop),
        "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImagePullBackOff"
        | "ErrImagePull"
        | "ImageInspectError"
        | "SignatureValidationFailed"
        | "RegistryUnavailable" => Some(Trouble::ImagePull),
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "CreatePodSandboxError"
        | "ConfigPodSandboxError"
        | "PreCreateHookError"
        | "PreStartHookError"
        | "PostStartHookError" => Some(Trouble::CreateContainer),
        _ => None,
    }
}

fn passes(waiting: &str, container: &ContainerStatus, created: Option<Timestamp>) -> Passes {
    match waiting {
        "InvalidImageName" | "ErrImageNeverPull" => Passes::Never,
        "CrashLoopBackOff" if container.restart_count >= RESTARTS => created
            .map_or(Passes::Never, |created| {
                Passes::Until(after(created, LASTING))
            }),
        _ => Passes::Maybe,
    }
}

/// Joins Kubernetes' reason and message, without line breaks and other control characters.
fn on_one_line(parts: &[&str]) -> String {
    let words = |text: &str| {
        let words = text.split(|c: char| c.is_control() || c.is_whitespace());
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        words.join(" ")
    };
    let parts = parts.iter().map(|part| words(part));
    let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: &str = "2026-01-02T03:04:05Z";

    fn pod(status: &str) -> Pod {
        let json = format!(
            r#"{{"metadata": {{"name": "p", "creationTimestamp": "{CREATED}"}}, "status": {status}}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    fn waiting(list: &str, reason: &str, restarts: i32) -> Pod {
        pod(&format!(
            r#"{{"{list}": [{{"name": "c", "restartCount": {restarts},
            "state": {{"waiting": {{"reason": "{reason}", "message": "said\nso"}}}}}}]}}"#
        ))
    }

    #[test]
    fn only_a_lasting_crash_loop_and_a_wrong_image_name_do_not_pass() {
        use Passes::{Maybe, Never};
        use Trouble::{CrashLoop, CreateContainer, ImagePull};
        let lasts = Passes::Until("2026-01-02T03:04:35Z".parse().unwrap());
        let table = [
            ("CrashLoopBackOff", 1, Some((CrashLoop, Maybe))),
            ("CrashLoopBackOff", 2, Some((CrashLoop, Maybe))),
            ("CrashLoopBackOff", 3, Some((CrashLoop, lasts))),
            ("ErrImagePull", 0, Some((ImagePull, Maybe))),
            ("ImagePullBackOff", 0, Some((ImagePull, Maybe))),
            ("InvalidImageName", 0, Some((ImagePull, Never))),
            ("ErrImageNeverPull", 0, Some((ImagePull, Never))),
            (
                "CreateContainerConfigError",
                0,
                Some((CreateContainer, Maybe)),
            ),
            ("RunContainerError", 4, Some((CreateContainer, Maybe))),
            ("ContainerCreating", 0, None),
            ("PodInitializing", 0, None),
        ];
        for (reason, restarts, expected) in table {
            for list in ["containerStatuses", "initContainerStatuses"] {
                let problem = Problem::of_pod(&waiting(list, reason, restarts));
                let read = problem.as_ref().map(|it| (it.trouble, it.passes));
                assert_eq!(read, expected, "{reason} {restarts}");
                if let Some(problem) = problem {
                    let said = format!("pod p: container c: {reason}: said so");
                    assert_eq!(problem.to_string(), said);
                }
            }
        }
    }

    #[test]
    fn a_pod_without_a_node_and_a_failed_pod_can_pass() {
        let unscheduled = r#"{"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
            "reason": "Unschedulable", "message": "0/3 nodes are available"}]}"#;
        let evicted = r#"{"phase": "Failed", "reason": "Evicted"}"#;
        let table = [
            (
                unscheduled,
                Trouble::Unschedulable,
                "pod p: Unschedulable: 0/3 nodes are available",
                true,
            ),
            (
                evicted,
                Trouble::PodFailed,
                "pod p: the pod failed: Evicted",
                false,
            ),
        ];
        for (status, trouble, said, outside) in table {
            let problem = Problem::of_pod(&pod(status)).unwrap();
            assert_eq!(problem.trouble, trouble);
            assert_eq!(problem.passes, Passes::Maybe);
            assert_eq!(problem.to_string(), said);
            assert_eq!(problem.is_outside(), outside, "{said}");
        }
    }

    #[test]
    fn a_pod_that_is_ready_or_on_its_way_out_has_no_problem() {
        let crashed = waiting("containerStatuses", "CrashLoopBackOff", 9);
        let mut ready = crashed.clone();
        ready.status.conditions = vec![crate::object::Condition {
            kind: "Ready".to_owned(),
            status: "True".to_owned(),
            ..Default::default()
        }];
        let mut leaving = crashed;
        leaving.meta.deletion_timestamp = CREATED.parse().ok();
        for pod in [ready, leaving, pod(r#"{"phase": "Succeeded"}"#)] {
            assert_eq!(Problem::of_pod(&pod), None);
        }
    }
}
