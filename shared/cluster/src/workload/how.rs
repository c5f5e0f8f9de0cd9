//! Decides how a workload gets new pods, and how much of it is down meanwhile.

use mesh_records::{Downtime, DowntimeGrade, Obstacle, Roll, RollBy, WorkloadKind};

use crate::object::{
    DaemonSet, Deployment, IntOrPercent, Meta, Rollout, StatefulSet, UpdateStrategy,
};

/// Returns how a Deployment gets new pods, and how much of it is down meanwhile.
///
/// The obstacle says why a better way is not possible: a restart of a paused Deployment would have
/// no effect; an eviction is needed where nothing else would replace every pod.
pub(super) fn deployment_how(deployment: &Deployment) -> (Roll, Downtime) {
    let replicas = wanted(deployment.spec.replicas);
    let downtime = if is_kind(&deployment.spec.strategy, "Recreate") && replicas > 0 {
        outage("strategy Recreate: all pods stop before new ones start")
    } else {
        let Fences { surge, unavailable } = deployment_fences(&deployment.spec.strategy, replicas);
        graded(replicas, surge, unavailable)
    };
    if deployment.spec.paused {
        return (restart(Some(Obstacle::Paused)), downtime);
    }
    scalable(&deployment.meta, replicas, downtime)
}

/// Returns how many pods of a Deployment a restart may take away before new ones are ready.
pub(super) fn deployment_away(deployment: &Deployment) -> u32 {
    let (replicas, strategy) = (wanted(deployment.spec.replicas), &deployment.spec.strategy);
    if is_kind(strategy, "Recreate") {
        return replicas;
    }
    let fences = deployment_fences(strategy, replicas);
    fences.unavailable.min(replicas)
}

/// Returns how a `StatefulSet` gets new pods, and how much of it is down meanwhile.
pub(super) fn stateful_set_how(set: &StatefulSet) -> (Roll, Downtime) {
    let replicas = wanted(set.spec.replicas);
    let strategy = &set.spec.update_strategy;
    if replicas > 0 && is_kind(strategy, "OnDelete") {
        return on_delete(!has_older_pods(set), replicas);
    }
    if replicas > 0
        && strategy
            .rolling_update
            .partition
            .is_some_and(|ordinal| ordinal > 0)
    {
        return (evict(Some(Obstacle::Partition)), one_by_one(replicas));
    }
    scalable(
        &set.meta,
        replicas,
        graded(replicas, 0, stateful_set_away(set)),
    )
}

/// Returns whether pods of a `StatefulSet` have an older template. Under OnDelete the controller does
/// not make the newest revision the current one, not even when every pod has it
/// (kubernetes/kubernetes#106055), so its pods are counted.
pub(super) fn has_older_pods(set: &StatefulSet) -> bool {
    let status = &set.status;
    status.current_revision != status.update_revision && status.updated_replicas < status.replicas
}

/// Returns how many pods of a `StatefulSet` a restart may take away before new ones are ready.
pub(super) fn stateful_set_away(set: &StatefulSet) -> u32 {
    let replicas = wanted(set.spec.replicas);
    let unavailable = set
        .spec
        .update_strategy
        .rolling_update
        .max_unavailable
        .as_ref();
    let unavailable = unavailable.map_or(1, |value| scaled(value, replicas, Rounding::Down));
    unavailable.max(1).min(replicas)
}

/// Returns how a `DaemonSet` gets new pods, and how much of it is down meanwhile.
pub(super) fn daemon_set_how(set: &DaemonSet) -> (Roll, Downtime) {
    let nodes = u32::try_from(set.status.desired_number_scheduled).unwrap_or(0);
    let strategy = &set.spec.update_strategy;
    if nodes > 0 && is_kind(strategy, "OnDelete") {
        let status = &set.status;
        let is_current = status.updated_number_scheduled >= status.desired_number_scheduled;
        return on_delete(is_current, nodes);
    }
    let Fences { surge, unavailable } = daemon_set_fences(strategy, nodes);
    scalable(&set.meta, nodes, graded(nodes, surge, unavailable))
}

/// Returns how many pods of a `DaemonSet` a restart may take away before new ones are ready.
pub(super) fn daemon_set_away(set: &DaemonSet) -> u32 {
    let nodes = u32::try_from(set.status.desired_number_scheduled).unwrap_or(0);
    let fences = daemon_set_fences(&set.spec.update_strategy, nodes);
    fences.unavailable.min(nodes)
}

// Computes like the DaemonSet controller: both values are rounded up, and if both are zero one pod
// may be unavailable.
pub(super) fn daemon_set_fences(strategy: &UpdateStrategy, nodes: u32) -> Fences {
    let of = |value: Option<&IntOrPercent>| value.map(|value| scaled(value, nodes, Rounding::Up));
    let surge = of(strategy.rolling_update.max_surge.as_ref()).unwrap_or(0);
    let unavailable = of(strategy.rolling_update.max_unavailable.as_ref());
    let unavailable = unavailable.unwrap_or(u32::from(surge == 0));
    let unavailable = if surge == 0 {
        unavailable.max(1)
    } else {
        unavailable
    };
    Fences { surge, unavailable }
}

/// Returns how an owner of another kind, or one that was not read, gets new pods, and how much of
/// it is down meanwhile.
pub fn other_how(kind: &WorkloadKind, pods: u32) -> (Roll, Downtime) {
    let itself = |reason| {
        (
            Roll {
                by: RollBy::Itself,
                reason: Some(reason),
            },
            no_downtime(),
        )
    };
    match kind {
        WorkloadKind::Job => itself(Obstacle::Job),
        WorkloadKind::CronJob => itself(Obstacle::CronJob),
        WorkloadKind::Pod => none(
            Obstacle::BarePod,
            "a pod without a controller: nothing creates it again",
        ),
        WorkloadKind::ReplicaSet | WorkloadKind::ReplicationController => {
            (evict(None), one_by_one(pods))
        }
        WorkloadKind::Rollout => (restart_at(), one_by_one(pods)),
        // The owner was deleted before it could be read.
        WorkloadKind::Deployment | WorkloadKind::StatefulSet | WorkloadKind::DaemonSet => {
            gone_how()
        }
        WorkloadKind::Other(_) => none(
            Obstacle::ForeignOwner,
            "it is not known how its owner replaces pods",
        ),
    }
}

/// Returns how pods get new ones whose owner is gone: not at all.
pub fn gone_how() -> (Roll, Downtime) {
    none(
        Obstacle::Gone,
        "its owner was deleted: nothing creates its pods again",
    )
}

fn none(reason: Obstacle, why: &str) -> (Roll, Downtime) {
    let roll = Roll {
        by: RollBy::None,
        reason: Some(reason),
    };
    (roll, outage(why))
}

// An object with an owner is evicted, because its owner would undo a change of the template; others
// are restarted. So is the only pod of one whose owner does not control it: that owner may do nothing,
// and an eviction would surely be an outage.
fn scalable(meta: &Meta, replicas: u32, downtime: Downtime) -> (Roll, Downtime) {
    if replicas == 0 {
        return (restart(Some(Obstacle::ScaledToZero)), no_downtime());
    }
    let is_owned = !meta.owner_references.is_empty();
    if meta.controller().is_some() || is_owned && replicas > 1 {
        return (evict(Some(Obstacle::ForeignOwner)), one_by_one(replicas));
    }
    (restart(None), downtime)
}

// New pods have the newest template. Where older pods still run an older one, an eviction would also
// roll out a change that the owner holds back.
fn on_delete(is_current: bool, pods: u32) -> (Roll, Downtime) {
    let by = if is_current {
        RollBy::Evict
    } else {
        RollBy::None
    };
    let reason = Some(Obstacle::OnDelete);
    (Roll { by, reason }, one_by_one(pods))
}

/// Returns how a `ReplicaSet`, a `ReplicationController` or an Argo Rollout with so many replicas
/// gets new pods, and how much of it is down meanwhile.
pub(super) fn set_how(kind: &WorkloadKind, replicas: u32) -> (Roll, Downtime) {
    if replicas == 0 {
        return (restart(Some(Obstacle::ScaledToZero)), no_downtime());
    }
    other_how(kind, replicas)
}

/// Returns how many pods an Argo Rollout's controller evicts at a time: as many as may be unavailable
/// (25% by default, rounded down), and at least one.
pub(super) fn rollout_away(rollout: &Rollout) -> u32 {
    let replicas = wanted(rollout.spec.replicas);
    let default = IntOrPercent::Percent("25%".to_owned());
    let canary = &rollout.spec.strategy.canary;
    let unavailable = canary.max_unavailable.as_ref().unwrap_or(&default);
    let unavailable = scaled(unavailable, replicas, Rounding::Down);
    unavailable.max(1).min(replicas)
}

pub(super) struct Fences {
    pub(super) surge: u32,
    pub(super) unavailable: u32,
}

// Computes like the Deployment controller: maxSurge is rounded up, maxUnavailable is rounded down,
// and if both are zero one pod may be unavailable.
pub(super) fn deployment_fences(strategy: &UpdateStrategy, replicas: u32) -> Fences {
    let default = IntOrPercent::Percent("25%".to_owned());
    let rolling = &strategy.rolling_update;
    let surge = rolling.max_surge.as_ref().unwrap_or(&default);
    let unavailable = rolling.max_unavailable.as_ref().unwrap_or(&default);
    let surge = scaled(surge, replicas, Rounding::Up);
    let unavailable = scaled(unavailable, replicas, Rounding::Down);
    let unavailable = if surge == 0 {
        unavailable.max(1)
    } else {
        unavailable
    };
    Fences { surge, unavailable }
}

#[derive(Clone, Copy)]
enum Rounding {
    Up,
    Down,
}

fn scaled(value: &IntOrPercent, total: u32, rounding: Rounding) -> u32 {
    match value {
        IntOrPercent::Int(count) => u32::try_from(*count).unwrap_or(0),
        IntOrPercent::Percent(text) => {
            let percent: Option<u32> = text.strip_suffix('%').and_then(|text| text.parse().ok());
            let Some(percent) = percent else {
                // The API server accepts only percentages here. For anything else assume the worst:
                // no surge, all unavailable.
                return match rounding {
                    Rounding::Up => 0,
                    Rounding::Down => total,
                };
            };
            let product = total.saturating_mul(percent);
            match rounding {
                Rounding::Up => product.div_ceil(100),
                Rounding::Down => product / 100,
            }
        }
    }
}

fn graded(replicas: u32, surge: u32, unavailable: u32) -> Downtime {
    let away = unavailable.min(replicas);
    if away == 0 {
        return no_downtime();
    }
    if away < replicas {
        let why = format!("up to {away} of {replicas} pods may be down at a time");
        return Downtime {
            grade: DowntimeGrade::Reduced,
            why: vec![why],
        };
    }
    match (replicas, surge) {
        (1, 0) => outage("one replica, and it stops before the new one starts"),
        (1, _) => outage("one replica, and it may stop before the new one is ready"),
        (_, _) => outage(&format!("all {replicas} pods may be down at once")),
    }
}

/// Returns how much of a workload with so many pods is down while they are evicted one by one.
pub fn one_by_one(pods: u32) -> Downtime {
    if pods <= 1 {
        return outage("one replica, and an eviction stops it before a new one starts");
    }
    let why = "its pods are evicted one by one".to_owned();
    Downtime {
        grade: DowntimeGrade::Reduced,
        why: vec![why],
    }
}

fn no_downtime() -> Downtime {
    Downtime {
        grade: DowntimeGrade::None,
        why: Vec::new(),
    }
}

fn outage(why: &str) -> Downtime {
    Downtime {
        grade: DowntimeGrade::Outage,
        why: vec![why.to_owned()],
    }
}

fn restart(reason: Option<Obstacle>) -> Roll {
    Roll {
        by: RollBy::Restart,
        reason,
    }
}

fn restart_at() -> Roll {
    Roll {
        by: RollBy::RestartAt,
        reason: None,
    }
}

fn evict(reason: Option<Obstacle>) -> Roll {
    Roll {
        by: RollBy::Evict,
        reason,
    }
}

pub(super) fn is_kind(strategy: &UpdateStrategy, kind: &str) -> bool {
    strategy.kind == kind
}

pub(super) fn wanted(replicas: Option<i32>) -> u32 {
    u32::try_from(replicas.unwrap_or(1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: DowntimeGrade = DowntimeGrade::None;
    const REDUCED: DowntimeGrade = DowntimeGrade::Reduced;
    const OUTAGE: DowntimeGrade = DowntimeGrade::Outage;

    fn answer((roll, downtime): (Roll, Downtime)) -> (RollBy, Option<Obstacle>, DowntimeGrade) {
        let reasons = usize::from(downtime.grade != NONE);
        assert_eq!(
            downtime.why.len(),
            reasons,
            "{roll:?}: a grade has its reason"
        );
        (roll.by, roll.reason, downtime.grade)
    }

    fn read<T: serde::de::DeserializeOwned>(json: &str) -> T {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_deployments_downtime_follows_max_surge_and_max_unavailable() {
        let restart = |grade| (RollBy::Restart, None, grade);
        let table = [
            (
                r#"{}"#,
                restart(NONE),
                "one replica, 25% is one more and none away",
            ),
            (r#"{"replicas": 3}"#, restart(NONE), "25% of 3 away is none"),
            (
                r#"{"replicas": 4}"#,
                restart(REDUCED),
                "25% of 4 away is one",
            ),
            (
                r#"{"replicas": 1, "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "25%"}}}"#,
                restart(OUTAGE),
                "no surge: one is away all the same",
            ),
            (
                r#"{"replicas": 2, "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "25%"}}}"#,
                restart(REDUCED),
                "no surge: one of two",
            ),
            (
                r#"{"replicas": 3, "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "100%"}}}"#,
                restart(OUTAGE),
                "all may be away, surge or not",
            ),
            (
                r#"{"replicas": 1, "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}}"#,
                restart(OUTAGE),
                "the one may go before the other comes",
            ),
            (
                r#"{"replicas": 5, "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}"#,
                restart(NONE),
                "surge only",
            ),
            (
                r#"{"replicas": 3, "strategy": {"type": "Recreate"}}"#,
                restart(OUTAGE),
                "Recreate",
            ),
            (
                r#"{"replicas": 0, "strategy": {"type": "Recreate"}}"#,
                (RollBy::Restart, Some(Obstacle::ScaledToZero), NONE),
                "nothing to go down",
            ),
            (
                r#"{"replicas": 2, "paused": true}"#,
                (RollBy::Restart, Some(Obstacle::Paused), NONE),
                "paused",
            ),
        ];
        for (spec, expected, name) in table {
            let deployment: Deployment = read(&format!(r#"{{"spec": {spec}}}"#));
            assert_eq!(answer(deployment_how(&deployment)), expected, "{name}");
        }
    }

    #[test]
    fn a_stateful_set_with_on_delete_or_a_partition_is_evicted() {
        let table = [
            (r#"{}"#, (RollBy::Restart, None, OUTAGE), "one replica"),
            (
                r#"{"replicas": 3}"#,
                (RollBy::Restart, None, REDUCED),
                "one at a time",
            ),
            (
                r#"{"replicas": 3, "updateStrategy": {"rollingUpdate": {"maxUnavailable": "100%"}}}"#,
                (RollBy::Restart, None, OUTAGE),
                "all at once",
            ),
            (
                r#"{"replicas": 3, "updateStrategy": {"rollingUpdate": {"maxUnavailable": "10%"}}}"#,
                (RollBy::Restart, None, REDUCED),
                "10% of 3 is none, and at least one",
            ),
            (
                r#"{"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 0}}}"#,
                (RollBy::Restart, None, REDUCED),
                "the API server's own default",
            ),
            (
                r#"{"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}}"#,
                (RollBy::Evict, Some(Obstacle::Partition), REDUCED),
                "partition",
            ),
            (
                r#"{"replicas": 1, "updateStrategy": {"type": "OnDelete"}}"#,
                (RollBy::Evict, Some(Obstacle::OnDelete), OUTAGE),
                "OnDelete",
            ),
            (
                r#"{"replicas": 0, "updateStrategy": {"type": "OnDelete"}}"#,
                (RollBy::Restart, Some(Obstacle::ScaledToZero), NONE),
                "none",
            ),
        ];
        for (spec, expected, name) in table {
            let set: StatefulSet = read(&format!(r#"{{"spec": {spec}}}"#));
            assert_eq!(answer(stateful_set_how(&set)), expected, "{name}");
        }
    }

    #[test]
    fn a_daemon_set_is_reduced_unless_max_surge_is_set() {
        let table = [
            (
                5,
                r#"{}"#,
                (RollBy::Restart, None, REDUCED),
                "one node at a time",
            ),
            (1, r#"{}"#, (RollBy::Restart, None, OUTAGE), "the only node"),
            (
                5,
                r#"{"rollingUpdate": {"maxUnavailable": "10%"}}"#,
                (RollBy::Restart, None, REDUCED),
                "10% of 5 is one: rounded up",
            ),
            (
                5,
                r#"{"rollingUpdate": {"maxUnavailable": "100%"}}"#,
                (RollBy::Restart, None, OUTAGE),
                "all",
            ),
            (
                5,
                r#"{"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}"#,
                (RollBy::Restart, None, NONE),
                "surge",
            ),
            (
                2,
                r#"{"type": "OnDelete"}"#,
                (RollBy::Evict, Some(Obstacle::OnDelete), REDUCED),
                "OnDelete",
            ),
            (
                0,
                r#"{}"#,
                (RollBy::Restart, Some(Obstacle::ScaledToZero), NONE),
                "no node takes it",
            ),
        ];
        for (nodes, strategy, expected, name) in table {
            let json = format!(
                r#"{{"spec": {{"updateStrategy": {strategy}}}, "status": {{"desiredNumberScheduled": {nodes}, "updatedNumberScheduled": {nodes}}}}}"#
            );
            let set: DaemonSet = read(&json);
            assert_eq!(answer(daemon_set_how(&set)), expected, "{name}");
        }
    }

    #[test]
    fn a_changed_template_that_on_delete_holds_back_is_not_rolled_out_by_an_eviction() {
        let expected = (RollBy::None, Some(Obstacle::OnDelete), REDUCED);
        let set = r#"{"spec": {"replicas": 2, "updateStrategy": {"type": "OnDelete"}}, "status": {"currentRevision": "a", "updateRevision": "b", "replicas": 2, "updatedReplicas": 1}}"#;
        assert_eq!(answer(stateful_set_how(&read(set))), expected);
        let all_new = set.replace("\"updatedReplicas\": 1", "\"updatedReplicas\": 2");
        let evicted = (RollBy::Evict, Some(Obstacle::OnDelete), REDUCED);
        assert_eq!(answer(stateful_set_how(&read(&all_new))), evicted);
        let set = r#"{"spec": {"updateStrategy": {"type": "OnDelete"}}, "status": {"desiredNumberScheduled": 2, "updatedNumberScheduled": 1}}"#;
        assert_eq!(answer(daemon_set_how(&read(set))), expected);
    }

    #[test]
    fn an_object_with_an_owner_is_evicted_unless_that_alone_would_be_an_outage() {
        let json = r#"{"metadata": {"ownerReferences": [{"kind": "Shop", "controller": true}]}, "spec": {"replicas": 2}}"#;
        let deployment: Deployment = read(json);
        let expected = (RollBy::Evict, Some(Obstacle::ForeignOwner), REDUCED);
        assert_eq!(answer(deployment_how(&deployment)), expected);
        let loosely = json.replace("true", "false");
        assert_eq!(answer(deployment_how(&read(&loosely))), expected);
        let one = loosely.replace(r#""replicas": 2"#, r#""replicas": 1"#);
        let (by, reason, _) = answer(deployment_how(&read(&one)));
        assert_eq!((by, reason), (RollBy::Restart, None), "not an outage");
    }

    #[test]
    fn other_kinds_are_evicted_roll_themselves_or_cannot_be_rolled() {
        let table = [
            ("Job", 1, (RollBy::Itself, Some(Obstacle::Job), NONE)),
            (
                "CronJob",
                1,
                (RollBy::Itself, Some(Obstacle::CronJob), NONE),
            ),
            ("Pod", 1, (RollBy::None, Some(Obstacle::BarePod), OUTAGE)),
            ("ReplicaSet", 1, (RollBy::Evict, None, OUTAGE)),
            ("ReplicationController", 2, (RollBy::Evict, None, REDUCED)),
            ("Rollout", 3, (RollBy::RestartAt, None, REDUCED)),
            (
                "Kafka",
                3,
                (RollBy::None, Some(Obstacle::ForeignOwner), OUTAGE),
            ),
            (
                "Deployment",
                3,
                (RollBy::None, Some(Obstacle::Gone), OUTAGE),
            ),
        ];
        for (kind, pods, expected) in table {
            let kind = WorkloadKind::from(kind.to_owned());
            assert_eq!(answer(other_how(&kind, pods)), expected, "{kind}");
        }
    }
}
