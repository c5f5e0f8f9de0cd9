//! The status that a kubelet would write at each stage of a pod's life.

use jiff::{Timestamp, Zoned};
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::ResourceExt as _;
use serde_json::{Value, json};

const PROXY: &str = "linkerd-proxy";

/// A stage of a pod's life. Only the pod's own containers fail, not the init containers or the
/// proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Creating,
    Running {
        ready: bool,
    },
    /// The containers cannot start, for a reason such as `ImagePullBackOff`.
    Waiting {
        reason: &'static str,
        message: String,
    },
    /// The containers crash again and again.
    Crashed {
        restarts: u32,
    },
    Succeeded,
}

/// Facts that do not change during a pod's life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity<'a> {
    pub(crate) pod_ip: &'a str,
    pub(crate) host_ip: &'a str,
    pub(crate) started: Timestamp,
}

/// Makes a merge patch of the pod's status that keeps others' conditions. It names the pod's uid,
/// so that it never changes another pod of the same name.
pub(crate) fn patch(pod: &Pod, identity: Identity<'_>, stage: &Stage, now: Timestamp) -> Value {
    let spec = pod.spec.as_ref();
    let own = spec.map_or(&[][..], |spec| &spec.containers);
    let init = spec
        .and_then(|spec| spec.init_containers.as_deref())
        .unwrap_or_default();
    let containers: Vec<Value> = own.iter().map(|c| container(c, stage, now)).collect();
    let inits: Vec<Value> = init.iter().map(|c| init_container(c, stage, now)).collect();
    let mut status = json!({
        "phase": phase(stage),
        "startTime": identity.started,
        "hostIP": identity.host_ip,
        "hostIPs": [{ "ip": identity.host_ip }],
        "conditions": conditions(pod, stage, now),
        "containerStatuses": containers,
        "initContainerStatuses": inits,
    });
    if *stage != Stage::Creating {
        status["podIP"] = identity.pod_ip.into();
        status["podIPs"] = json!([{ "ip": identity.pod_ip }]);
    }
    json!({ "metadata": { "uid": pod.uid() }, "status": status })
}

pub(super) fn now() -> Timestamp {
    let now = Zoned::now().timestamp();
    // Kubernetes stores times in whole seconds.
    Timestamp::from_second(now.as_second()).expect("a present time is in range")
}

/// Makes the patch for a running pod that is no longer ready.
pub(crate) fn faltered(pod: &Pod) -> Value {
    let (stage, now) = (Stage::Running { ready: false }, now());
    let own = pod.spec.iter().flat_map(|spec| &spec.containers);
    let containers: Vec<Value> = own.map(|it| container(it, &stage, now)).collect();
    let status =
        json!({ "conditions": conditions(pod, &stage, now), "containerStatuses": containers });
    json!({ "metadata": { "uid": pod.uid() }, "status": status })
}

fn phase(stage: &Stage) -> &'static str {
    match stage {
        Stage::Creating | Stage::Waiting { .. } => "Pending",
        Stage::Running { .. } | Stage::Crashed { .. } => "Running",
        Stage::Succeeded => "Succeeded",
    }
}

fn conditions(pod: &Pod, stage: &Stage, now: Timestamp) -> Vec<Value> {
    let initialized = *stage != Stage::Creating;
    let ready = matches!(stage, Stage::Running { ready: true });
    let why = if *stage == Stage::Succeeded {
        "PodCompleted"
    } else {
        "ContainersNotReady"
    };
    let own = [
        (
            "PodReadyToStartContainers",
            initialized,
            "PodSandboxNotReady",
        ),
        ("Initialized", initialized, "ContainersNotInitialized"),
        ("ContainersReady", ready, why),
        ("Ready", ready, why),
    ];
    let known = pod.status.as_ref();
    let known = known.and_then(|status| status.conditions.as_ref());
    let others = known.into_iter().flatten();
    let others = others.filter(|known| !own.iter().any(|(kind, ..)| *kind == known.type_));
    let mut conditions: Vec<Value> = others.map(|other| json!(other)).collect();
    for (kind, holds, reason) in own {
        let status = if holds { "True" } else { "False" };
        let mut condition = json!({ "type": kind, "status": status, "lastTransitionTime": now });
        if !holds {
            condition["reason"] = reason.into();
        }
        conditions.push(condition);
    }
    conditions
}

fn container(container: &Container, stage: &Stage, now: Timestamp) -> Value {
    let proxy_runs =
        container.name == PROXY && !matches!(stage, Stage::Creating | Stage::Succeeded);
    if proxy_runs {
        return status_of(container, 0, true, &running(now));
    }
    match stage {
        Stage::Creating => status_of(container, 0, false, &waiting("ContainerCreating", "")),
        Stage::Running { ready } => status_of(container, 0, *ready, &running(now)),
        Stage::Waiting { reason, message } => {
            status_of(container, 0, false, &waiting(reason, message))
        }
        Stage::Crashed { restarts } => {
            let message = "back-off restarting failed container";
            let mut status = status_of(
                container,
                *restarts,
                false,
                &waiting("CrashLoopBackOff", message),
            );
            status["lastState"] = terminated(1, "Error", now);
            status
        }
        Stage::Succeeded => status_of(container, 0, false, &terminated(0, "Completed", now)),
    }
}

fn init_container(container: &Container, stage: &Stage, now: Timestamp) -> Value {
    let sidecar = container.restart_policy.as_deref() == Some("Always");
    match stage {
        Stage::Creating => status_of(container, 0, false, &waiting("PodInitializing", "")),
        Stage::Running { .. } | Stage::Waiting { .. } | Stage::Crashed { .. } if sidecar => {
            status_of(container, 0, true, &running(now))
        }
        Stage::Running { .. }
        | Stage::Waiting { .. }
        | Stage::Crashed { .. }
        | Stage::Succeeded => {
            let mut status = status_of(container, 0, true, &terminated(0, "Completed", now));
            status["started"] = false.into();
            status
        }
    }
}

fn status_of(container: &Container, restarts: u32, ready: bool, state: &Value) -> Value {
    json!({
        "name": container.name,
        "image": container.image,
        "imageID": "",
        "ready": ready,
        "started": state.get("running").is_some(),
        "restartCount": restarts,
        "state": state,
    })
}

fn running(now: Timestamp) -> Value {
    json!({ "running": { "startedAt": now } })
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({ "waiting": { "reason": reason, "message": message } })
}

fn terminated(code: i32, reason: &str, now: Timestamp) -> Value {
    json!({ "terminated": { "exitCode": code, "reason": reason, "startedAt": now, "finishedAt": now } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(stage: &Stage) -> Value {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": { "uid": "u" },
            "spec": {
                "initContainers": [{ "name": "linkerd-init" }, { "name": "linkerd-proxy", "restartPolicy": "Always" }],
                "containers": [{ "name": "app" }],
            },
        }))
        .unwrap();
        let identity = Identity {
            pod_ip: "10.0.1.1",
            host_ip: "10.0.0.1",
            started: Timestamp::UNIX_EPOCH,
        };
        patch(&pod, identity, stage, Timestamp::UNIX_EPOCH)["status"].clone()
    }

    fn ready_of(status: &Value) -> &str {
        let conditions = status["conditions"].as_array().unwrap();
        conditions.iter().find(|c| c["type"] == "Ready").unwrap()["status"]
            .as_str()
            .unwrap()
    }

    #[test]
    fn a_native_sidecar_runs_beside_its_pod_and_ends_with_it() {
        for (stage, state, ready) in [
            (Stage::Creating, "waiting", false),
            (Stage::Running { ready: false }, "running", true),
            (Stage::Running { ready: true }, "running", true),
            (Stage::Crashed { restarts: 2 }, "running", true),
            (Stage::Succeeded, "terminated", true),
        ] {
            let proxy = &status(&stage)["initContainerStatuses"][1];
            assert!(proxy["state"].get(state).is_some(), "{stage:?}: {proxy}");
            assert_eq!(proxy["ready"], ready, "{stage:?}");
        }
    }

    #[test]
    fn only_a_ready_stage_makes_the_pod_ready() {
        let waiting = Stage::Waiting {
            reason: "ImagePullBackOff",
            message: String::new(),
        };
        for (stage, wanted) in [
            (Stage::Creating, "False"),
            (Stage::Running { ready: false }, "False"),
            (Stage::Running { ready: true }, "True"),
            (waiting, "False"),
            (Stage::Crashed { restarts: 1 }, "False"),
            (Stage::Succeeded, "False"),
        ] {
            assert_eq!(ready_of(&status(&stage)), wanted, "{stage:?}");
        }
    }
}
