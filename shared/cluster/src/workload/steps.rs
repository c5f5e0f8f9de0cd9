//! In how many steps the pods of a workload are replaced.

use jiff::SignedDuration;

use super::how::{
    Fences, daemon_set_fences, deployment_fences, is_kind, rollout_away, stateful_set_away, wanted,
};
use crate::object::{DaemonSet, Deployment, Rollout, StatefulSet};

/// The steps of a rollout. In each the controller replaces as many pods as the update strategy
/// allows at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// How many there are.
    pub number: u32,
    /// How many pods are replaced in each.
    pub at_once: u32,
    /// How long each takes beyond the time in which its pods get ready (`minReadySeconds`).
    pub pause: SignedDuration,
}

impl Steps {
    pub(super) fn of_deployment(deployment: &Deployment) -> Self {
        let spec = &deployment.spec;
        let replicas = wanted(spec.replicas);
        let at_once = if is_kind(&spec.strategy, "Recreate") {
            replicas
        } else {
            let Fences { surge, unavailable } = deployment_fences(&spec.strategy, replicas);
            surge.saturating_add(unavailable)
        };
        Self::new(replicas, at_once, spec.min_ready_seconds)
    }

    pub(super) fn of_stateful_set(set: &StatefulSet) -> Self {
        let spec = &set.spec;
        let at_once = stateful_set_away(set);
        Self::new(wanted(spec.replicas), at_once, spec.min_ready_seconds)
    }

    pub(super) fn of_daemon_set(set: &DaemonSet) -> Self {
        let nodes = u32::try_from(set.status.desired_number_scheduled).unwrap_or(0);
        let Fences { surge, unavailable } = daemon_set_fences(&set.spec.update_strategy, nodes);
        let at_once = surge.saturating_add(unavailable);
        Self::new(nodes, at_once, set.spec.min_ready_seconds)
    }

    pub(super) fn of_rollout(rollout: &Rollout) -> Self {
        let replicas = wanted(rollout.spec.replicas);
        Self::new(replicas, rollout_away(rollout), 0)
    }

    pub(super) fn one_by_one(replicas: Option<i32>) -> Self {
        Self::new(wanted(replicas), 1, 0)
    }

    fn new(pods: u32, at_once: u32, pause: i32) -> Self {
        Self {
            number: pods.div_ceil(at_once.max(1)),
            at_once,
            pause: SignedDuration::from_secs(pause.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_are_the_pods_over_those_that_the_update_strategy_replaces_at_a_time() {
        let deployment = |spec: &str| {
            let json = format!(r#"{{"spec": {{"replicas": 8 {spec}}}}}"#);
            Steps::of_deployment(&serde_json::from_str(&json).unwrap()).number
        };
        let table = [
            ("", 2),
            (r#", "strategy": {"type": "Recreate"}"#, 1),
            (
                r#", "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 3}}"#,
                3,
            ),
            (
                r#", "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}"#,
                8,
            ),
        ];
        for (spec, number) in table {
            assert_eq!(deployment(spec), number, "{spec}");
        }
        let set = r#"{"spec": {"replicas": 3, "minReadySeconds": 20}}"#;
        let set = Steps::of_stateful_set(&serde_json::from_str(set).unwrap());
        assert_eq!((set.number, set.pause), (3, SignedDuration::from_secs(20)));
        let set = r#"{"spec": {"updateStrategy": {"rollingUpdate": {"maxUnavailable": "50%"}}}, "status": {"desiredNumberScheduled": 5}}"#;
        let set = Steps::of_daemon_set(&serde_json::from_str(set).unwrap());
        assert_eq!(set.number, 2);
    }
}
