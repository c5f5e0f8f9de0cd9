//! How a pod should behave, from its labels and annotations.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use crate::delay::duration;

/// The label that picks a behaviour.
pub const BEHAVIOUR: &str = "sim.test/behaviour";
/// How long a pod takes to become ready: `150`, `150ms`, `2s`, `1m`.
pub const READY_DELAY: &str = "sim.test/ready-delay";
/// How long a pod takes to end.
pub const STOP_DELAY: &str = "sim.test/stop-delay";
/// `VERSION=BEHAVIOUR`: the behaviour of a pod whose proxy has that version.
pub const WITH_PROXY: &str = "sim.test/with-proxy";

const READY_AFTER: Duration = Duration::from_millis(150);
const SLOW_READY_AFTER: Duration = Duration::from_secs(2);
const STOPPED_AFTER: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Ok,
    Slow,
    NeverReady,
    ImagePull,
    CrashLoop,
    ReadyThenCrash,
    JobDone,
}

/// How a pod should behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) behaviour: Behaviour,
    pub(crate) ready_after: Duration,
    pub(crate) stopped_after: Duration,
}

impl Plan {
    /// Reads the plan of a pod, or says what is wrong with its labels and annotations.
    pub(crate) fn of(pod: &Pod) -> Result<Self, String> {
        let behaviour = match with_its_proxy(pod)? {
            Some(behaviour) => behaviour,
            None => pod
                .labels()
                .get(BEHAVIOUR)
                .map_or(Ok(Behaviour::Ok), |name| behaviour(name))?,
        };
        let delay = |annotation| {
            pod.annotations()
                .get(annotation)
                .map(|text| duration(text))
                .transpose()
        };
        let usual = if behaviour == Behaviour::Slow {
            SLOW_READY_AFTER
        } else {
            READY_AFTER
        };
        Ok(Self {
            behaviour,
            ready_after: delay(READY_DELAY)?.unwrap_or(usual),
            stopped_after: delay(STOP_DELAY)?.unwrap_or(STOPPED_AFTER),
        })
    }
}

fn with_its_proxy(pod: &Pod) -> Result<Option<Behaviour>, String> {
    let Some(text) = pod.annotations().get(WITH_PROXY) else {
        return Ok(None);
    };
    let (version, name) = text
        .split_once('=')
        .ok_or_else(|| format!("{WITH_PROXY} {text:?} is not VERSION=BEHAVIOUR"))?;
    let spec = pod.spec.iter();
    let mut containers = spec.flat_map(|spec| {
        spec.containers
            .iter()
            .chain(spec.init_containers.iter().flatten())
    });
    let proxy = containers.find(|container| container.name == "linkerd-proxy");
    let tag = proxy
        .and_then(|proxy| proxy.image.as_deref()?.rsplit_once(':'))
        .map(|(_, tag)| tag);
    if tag == Some(version) {
        behaviour(name).map(Some)
    } else {
        Ok(None)
    }
}

fn behaviour(name: &str) -> Result<Behaviour, String> {
    match name {
        "ok" => Ok(Behaviour::Ok),
        "slow" => Ok(Behaviour::Slow),
        "never-ready" => Ok(Behaviour::NeverReady),
        "image-pull" => Ok(Behaviour::ImagePull),
        "crash-loop" => Ok(Behaviour::CrashLoop),
        "ready-then-crash" => Ok(Behaviour::ReadyThenCrash),
        "job-done" => Ok(Behaviour::JobDone),
        other => Err(format!("{other:?} is no behaviour")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(labels: &serde_json::Value, annotations: &serde_json::Value) -> Result<Plan, String> {
        let pod = json!({
            "metadata": { "labels": labels, "annotations": annotations },
            "spec": { "containers": [{ "name": "app" }, { "name": "linkerd-proxy", "image": "cr.l5d.io/linkerd/proxy:stable-2.14.10" }] },
        });
        Plan::of(&serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn delays_are_milliseconds_or_carry_their_unit() {
        for (text, wanted) in [
            ("0", Some(0)),
            ("70", Some(70)),
            ("70ms", Some(70)),
            ("3s", Some(3000)),
            ("1m", Some(60_000)),
            ("1h", None),
            ("s", None),
            ("", None),
        ] {
            assert_eq!(
                duration(text).ok(),
                wanted.map(Duration::from_millis),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_behaviour_can_depend_on_the_proxy_that_the_pod_got() {
        let with = |text| {
            plan(&json!({ BEHAVIOUR: "slow" }), &json!({ WITH_PROXY: text }))
                .map(|plan| plan.behaviour)
        };
        assert_eq!(with("stable-2.14.10=crash-loop"), Ok(Behaviour::CrashLoop));
        assert_eq!(with("stable-2.13.7=crash-loop"), Ok(Behaviour::Slow));
        assert!(with("stable-2.14.10=dance").is_err());
        assert!(with("crash-loop").is_err());
    }

    #[test]
    fn a_pod_that_asks_for_nothing_becomes_ready() {
        let wanted = Plan {
            behaviour: Behaviour::Ok,
            ready_after: READY_AFTER,
            stopped_after: STOPPED_AFTER,
        };
        assert_eq!(plan(&json!({}), &json!({})), Ok(wanted));
    }
}
