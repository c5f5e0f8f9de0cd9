//! Reads the state of a rollout from the status of Deployments, StatefulSets and DaemonSets.

use jiff::Timestamp;
use mesh_records::{Downtime, ProgressPods, Roll, Trouble};

use super::{Problem, Restartable, State, Wait};
use crate::object::label::REVISION;
use crate::object::{Condition, DaemonSet, Deployment, Meta, Selector, StatefulSet, Template};
use crate::workload::how::{
    daemon_set_away, daemon_set_how, deployment_away, deployment_how, has_older_pods,
    stateful_set_away, stateful_set_how,
};
use crate::workload::steps::Steps;

const ON_DELETE: &str = "OnDelete";
/// The reason that a Deployment keeps after a complete rollout, even if pods fail later.
const COMPLETE: &str = "NewReplicaSetAvailable";
/// The revision of the pods that a Deployment began with.
const FIRST: &str = "1";
const KEEPS_BACK: &str = "its update strategy keeps old pods";

// === impl Deployment ===

impl Restartable for Deployment {
    fn template(&self) -> &Template {
        &self.spec.template
    }

    fn selector(&self) -> &Selector {
        &self.spec.selector
    }

    fn counts(&self) -> ProgressPods {
        ProgressPods {
            wanted: count(self.spec.replicas.unwrap_or(1)),
            updated: observed(
                &self.meta,
                self.status.observed_generation,
                self.status.updated_replicas,
            ),
            ready: count(self.status.ready_replicas),
        }
    }

    fn available(&self) -> u32 {
        count(self.status.available_replicas)
    }

    fn how(&self) -> (Roll, Downtime) {
        deployment_how(self)
    }

    fn takes_away(&self) -> u32 {
        deployment_away(self)
    }

    fn steps(&self) -> Steps {
        Steps::of_deployment(self)
    }

    // The controller writes this reason once for each rollout, when it is complete.
    fn rolled_out(&self) -> Option<Timestamp> {
        let is_first = self.meta.annotations.get(REVISION)? == FIRST;
        let progressing = find(&self.status.conditions, "Progressing")?;
        let is_complete = progressing.reason == COMPLETE;
        progressing.updated.filter(|_| is_complete && !is_first)
    }

    fn standing(&self) -> State {
        let status = &self.status;
        let wanted = self.spec.replicas.unwrap_or(1);
        if status.observed_generation < self.meta.generation {
            return State::Progressing(Wait::Unobserved);
        }
        let settled = status.updated_replicas >= wanted
            && status.replicas <= status.updated_replicas
            && status.available_replicas >= status.updated_replicas;
        if settled {
            return State::Settled;
        }
        if self.spec.paused {
            return held_up(Trouble::Paused, &["the Deployment is paused"]);
        }
        let conditions = &status.conditions;
        if let Some(refused) = find(conditions, "ReplicaFailure")
            && refused.status == "True"
        {
            return held_up(
                Trouble::ReplicaFailure,
                &[&refused.reason, &refused.message],
            );
        }
        // The controller only reports that the deadline has passed; it still continues.
        if let Some(late) = find(conditions, "Progressing")
            && late.reason == "ProgressDeadlineExceeded"
        {
            return held_up(Trouble::ProgressDeadline, &[&late.reason, &late.message]);
        }
        State::Progressing(if status.updated_replicas < wanted {
            Wait::Creation
        } else if status.replicas > status.updated_replicas {
            Wait::OldPods
        } else {
            Wait::Availability
        })
    }

    fn says_under_way(&self) -> bool {
        let status = &self.status;
        let complete = find(&status.conditions, "Progressing")
            .is_none_or(|c| matches!(c.reason.as_str(), COMPLETE | ""));
        let mixed = status.updated_replicas < status.replicas;
        mixed || !complete
    }
}

// === impl StatefulSet ===

impl Restartable for StatefulSet {
    fn template(&self) -> &Template {
        &self.spec.template
    }

    fn selector(&self) -> &Selector {
        &self.spec.selector
    }

    fn counts(&self) -> ProgressPods {
        ProgressPods {
            wanted: count(self.spec.replicas.unwrap_or(1)),
            updated: observed(
                &self.meta,
                self.status.observed_generation,
                self.status.updated_replicas,
            ),
            ready: count(self.status.ready_replicas),
        }
    }

    fn available(&self) -> u32 {
        count(up(self))
    }

    fn how(&self) -> (Roll, Downtime) {
        stateful_set_how(self)
    }

    fn takes_away(&self) -> u32 {
        stateful_set_away(self)
    }

    fn steps(&self) -> Steps {
        Steps::of_stateful_set(self)
    }

    fn standing(&self) -> State {
        let status = &self.status;
        let wanted = self.spec.replicas.unwrap_or(1);
        let partition = self.spec.update_strategy.rolling_update.partition;
        if status.observed_generation < self.meta.generation {
            return State::Progressing(Wait::Unobserved);
        }
        let is_on_delete = self.spec.update_strategy.kind == ON_DELETE;
        if is_on_delete && has_older_pods(self) {
            return held_up(Trouble::Partition, &[KEEPS_BACK]);
        }
        let all_new = is_on_delete || status.current_revision == status.update_revision;
        let mine = (wanted - partition.unwrap_or(0)).max(0);
        if status.updated_replicas < mine {
            return State::Progressing(Wait::Creation);
        }
        if up(self) < wanted {
            return State::Progressing(Wait::Availability);
        }
        if all_new {
            State::Settled
        } else if partition.unwrap_or(0) > 0 {
            held_up(Trouble::Partition, &[KEEPS_BACK])
        } else {
            State::Progressing(Wait::Revision)
        }
    }

    fn waits_with(&self) -> Option<&str> {
        let status = &self.status;
        let is_ordered = self.spec.pod_management_policy != "Parallel";
        let differs = status.current_revision != status.update_revision;
        let rolls = self.spec.update_strategy.kind != ON_DELETE;
        (is_ordered && rolls && differs).then_some(&status.update_revision)
    }

    fn says_under_way(&self) -> bool {
        let strategy = &self.spec.update_strategy;
        let held = strategy.kind == ON_DELETE || strategy.rolling_update.partition.unwrap_or(0) > 0;
        !held && self.status.current_revision != self.status.update_revision
    }
}

// === impl DaemonSet ===

impl Restartable for DaemonSet {
    fn template(&self) -> &Template {
        &self.spec.template
    }

    fn selector(&self) -> &Selector {
        &self.spec.selector
    }

    fn counts(&self) -> ProgressPods {
        ProgressPods {
            wanted: count(self.status.desired_number_scheduled),
            updated: observed(
                &self.meta,
                self.status.observed_generation,
                self.status.updated_number_scheduled,
            ),
            ready: count(self.status.number_ready),
        }
    }

    fn available(&self) -> u32 {
        count(self.status.number_available)
    }

    fn how(&self) -> (Roll, Downtime) {
        daemon_set_how(self)
    }

    fn takes_away(&self) -> u32 {
        daemon_set_away(self)
    }

    fn steps(&self) -> Steps {
        Steps::of_daemon_set(self)
    }

    fn standing(&self) -> State {
        let status = &self.status;
        let wanted = status.desired_number_scheduled;
        if status.observed_generation < self.meta.generation {
            return State::Progressing(Wait::Unobserved);
        }
        if status.updated_number_scheduled < wanted {
            return if self.spec.update_strategy.kind == ON_DELETE {
                held_up(Trouble::Partition, &[KEEPS_BACK])
            } else {
                State::Progressing(Wait::Creation)
            };
        }
        if status.number_available < wanted {
            State::Progressing(Wait::Availability)
        } else {
            State::Settled
        }
    }

    fn says_under_way(&self) -> bool {
        self.spec.update_strategy.kind != ON_DELETE
            && self.status.updated_number_scheduled < self.status.desired_number_scheduled
    }
}

// A pod is available after it has been ready for minReadySeconds.
fn up(set: &StatefulSet) -> i32 {
    let status = &set.status;
    let available = if set.spec.min_ready_seconds > 0 {
        status.available_replicas
    } else {
        status.ready_replicas
    };
    status.ready_replicas.min(available)
}

pub(super) fn held_up(trouble: Trouble, said: &[&str]) -> State {
    State::HeldUp(Problem::of_workload(trouble, said))
}

pub(super) fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

// A status for an older generation counts the pods of an older template.
pub(super) fn observed(meta: &Meta, generation: i64, updated: i32) -> u32 {
    if generation < meta.generation {
        0
    } else {
        count(updated)
    }
}

pub(super) fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::{Goal, Observed};
    use super::*;
    use State::{Progressing, Settled};

    fn deployment(spec: &str, status: &str) -> Deployment {
        let json = format!(
            r#"{{"metadata": {{"generation": 2}}, "spec": {{"replicas": 3 {spec}}}, "status": {{{status}}}}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn a_daemon_set_without_a_node_waits_only_for_its_other_pods() {
        let set = |updated: u32, available: u32| {
            let json = format!(
                r#"{{"status": {{"desiredNumberScheduled": 3, "updatedNumberScheduled": {updated}, "numberAvailable": {available}}}}}"#
            );
            Observed::of(&serde_json::from_str::<DaemonSet>(&json).unwrap())
        };
        let table = [
            ((1, 2), Progressing(Wait::Creation)),
            ((2, 1), Progressing(Wait::Availability)),
            ((2, 2), Settled),
        ];
        for ((updated, available), expected) in table {
            let whole = set(updated, available);
            assert_ne!(whole.standing, Settled);
            let living = whole.without_nodes(1);
            assert_eq!(living.standing, expected, "{updated} {available}");
            assert_eq!(living.pods.wanted, 2);
        }
    }

    #[test]
    fn a_stateful_set_is_stuck_behind_an_older_pod_that_is_not_ready_for_ten_minutes() {
        let set = r#"{"spec": {"replicas": 2}, "status": {"currentRevision": "a", "updateRevision": "b"}}"#;
        let set = Observed::of(&serde_json::from_str::<StatefulSet>(set).unwrap());
        let pod = |revision: &str| {
            let json = format!(
                r#"{{"metadata": {{"name": "db-0", "labels": {{"controller-revision-hash": "{revision}"}}}},
                "status": {{"conditions": [{{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-02T03:00:00Z"}}]}}}}"#
            );
            super::super::PodSeen::of(&serde_json::from_str::<crate::object::Pod>(&json).unwrap())
        };
        let table = [
            ("a", "2026-01-02T03:09:59Z", false),
            ("a", "2026-01-02T03:10:00Z", true),
            ("b", "2026-01-02T03:10:00Z", false),
        ];
        for (revision, now, expected) in table {
            let pods = [pod(revision)];
            let stuck = set.stuck_behind(pods.iter(), now.parse().unwrap());
            assert_eq!(stuck.is_some(), expected, "{revision} {now}");
        }
        // A partition keeps the older one on purpose, and nothing waits for it.
        let set = r#"{"spec": {"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 1}}},
            "status": {"replicas": 2, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b"}}"#;
        let later = "2026-01-02T04:00:00Z".parse().unwrap();
        for (set, is_stuck) in [
            (set.to_owned(), false),
            (set.replace("Replicas\": 1", "Replicas\": 0"), true),
        ] {
            let set = Observed::of(&serde_json::from_str::<StatefulSet>(&set).unwrap());
            let stuck = set.stuck_behind([pod("a")].iter(), later).is_some();
            assert_eq!(stuck, is_stuck, "{:?}", set.standing);
        }
    }

    #[test]
    fn a_set_with_all_its_pods_of_two_revisions_is_held_back_whole() {
        let set = |available: u32| {
            let json = format!(
                r#"{{"spec": {{"replicas": 2, "updateStrategy": {{"rollingUpdate": {{"partition": 1}}}}}},
                "status": {{"replicas": 2, "updatedReplicas": 1, "readyReplicas": {available}, "availableReplicas": {available},
                "currentRevision": "a", "updateRevision": "b"}}}}"#
            );
            Observed::of(&serde_json::from_str::<StatefulSet>(&json).unwrap())
        };
        assert!(set(2).is_held_back_whole());
        assert!(!set(1).is_held_back_whole(), "a pod is missing");
        let rolls = Observed::of(&deployment("", r#""observedGeneration": 2, "replicas": 3"#));
        assert!(!rolls.is_held_back_whole(), "nobody holds it back");
    }

    #[test]
    fn a_deployment_is_settled_only_when_every_pod_is_new_and_available() {
        let counts = |updated, all, available| {
            format!(
                r#""observedGeneration": 2, "updatedReplicas": {updated}, "replicas": {all}, "availableReplicas": {available}"#
            )
        };
        let condition = |kind: &str, status: &str, reason: &str| {
            format!(
                r#"{}, "conditions": [{{"type": "{kind}", "status": "{status}", "reason": "{reason}"}}]"#,
                counts(1, 4, 3)
            )
        };
        let late = condition("Progressing", "False", "ProgressDeadlineExceeded");
        let stale = late.replace(r#""observedGeneration": 2"#, r#""observedGeneration": 1"#);
        let table = [
            ("", String::new(), Progressing(Wait::Unobserved)),
            ("", counts(3, 3, 3), Settled),
            ("", counts(1, 4, 3), Progressing(Wait::Creation)),
            ("", counts(3, 4, 3), Progressing(Wait::OldPods)),
            ("", counts(3, 3, 2), Progressing(Wait::Availability)),
            (
                r#", "paused": true"#,
                counts(1, 4, 3),
                held_up(Trouble::Paused, &["the Deployment is paused"]),
            ),
            (r#", "paused": true"#, counts(3, 3, 3), Settled),
            (
                "",
                late,
                held_up(Trouble::ProgressDeadline, &["ProgressDeadlineExceeded"]),
            ),
            ("", stale, Progressing(Wait::Unobserved)),
            (
                "",
                condition("ReplicaFailure", "True", "FailedCreate"),
                held_up(Trouble::ReplicaFailure, &["FailedCreate"]),
            ),
            (
                "",
                condition("ReplicaFailure", "False", ""),
                Progressing(Wait::Creation),
            ),
        ];
        for (spec, status, expected) in table {
            assert_eq!(
                deployment(spec, &status).standing(),
                expected,
                "{spec} {status}"
            );
        }
    }

    #[test]
    fn a_stateful_set_is_settled_only_when_the_revision_is_the_current_one() {
        // strategy, updated, ready, available, current revision, expected
        let table = [
            ("", 3, 3, 3, "b", Settled),
            ("", 3, 3, 3, "a", Progressing(Wait::Revision)),
            ("", 2, 3, 3, "a", Progressing(Wait::Creation)),
            ("", 3, 2, 2, "a", Progressing(Wait::Availability)),
            (
                r#", "minReadySeconds": 5"#,
                3,
                3,
                2,
                "b",
                Progressing(Wait::Availability),
            ),
            (
                r#", "updateStrategy": {"rollingUpdate": {"partition": 3}}"#,
                0,
                3,
                3,
                "a",
                held_up(Trouble::Partition, &[KEEPS_BACK]),
            ),
            (
                r#", "updateStrategy": {"rollingUpdate": {"partition": 1}}"#,
                1,
                3,
                3,
                "a",
                Progressing(Wait::Creation),
            ),
            (
                r#", "updateStrategy": {"type": "OnDelete"}"#,
                0,
                3,
                3,
                "a",
                held_up(Trouble::Partition, &[KEEPS_BACK]),
            ),
            (
                r#", "updateStrategy": {"type": "OnDelete"}"#,
                3,
                3,
                3,
                "a",
                Settled,
            ),
        ];
        for (spec, updated, ready, available, current, expected) in table {
            let json = format!(
                r#"{{"metadata": {{"generation": 2}}, "spec": {{"replicas": 3 {spec}}}, "status": {{"observedGeneration": 2, "replicas": 3,
                "updatedReplicas": {updated}, "readyReplicas": {ready}, "availableReplicas": {available},
                "currentRevision": "{current}", "updateRevision": "b"}}}}"#
            );
            let set: StatefulSet = serde_json::from_str(&json).unwrap();
            assert_eq!(set.standing(), expected, "{json}");
        }
    }

    #[test]
    fn a_daemon_set_is_settled_only_when_every_node_has_an_available_new_pod() {
        let table = [
            (2, 3, 3, Settled),
            (2, 2, 3, Progressing(Wait::Creation)),
            (2, 3, 2, Progressing(Wait::Availability)),
            (1, 3, 3, Progressing(Wait::Unobserved)),
        ];
        for (observed, updated, available, expected) in table {
            let json = format!(
                r#"{{"metadata": {{"generation": 2}}, "status": {{"observedGeneration": {observed}, "desiredNumberScheduled": 3,
                "updatedNumberScheduled": {updated}, "numberAvailable": {available}}}}}"#
            );
            let set: DaemonSet = serde_json::from_str(&json).unwrap();
            assert_eq!(set.standing(), expected, "{json}");
        }
    }

    #[test]
    fn state_is_unobserved_before_the_write_and_superseded_with_another_restart() {
        let status = r#""observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 3"#;
        let restarted = r#", "template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "T1"}}}"#;
        let observed = Observed::of(&deployment(restarted, status));
        let goal = |generation, restarted_at| Goal {
            generation,
            restarted_at,
        };
        let table = [
            (goal(3, Some("T2")), Progressing(Wait::Unobserved)),
            (goal(2, Some("T2")), State::Superseded),
            (goal(2, Some("T1")), Settled),
            (goal(1, None), Settled),
        ];
        for (goal, expected) in table {
            assert_eq!(observed.state(goal), expected, "{goal:?}");
        }
    }

    #[test]
    fn under_way_is_false_for_an_unhealthy_workload_without_a_recent_restart() {
        let now = "2026-01-02T04:00:00Z".parse().unwrap();
        let status = |reason: &str| {
            format!(
                r#""observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 2,
                "conditions": [{{"type": "Progressing", "status": "True", "reason": "{reason}"}}]"#
            )
        };
        let at = |time: &str| {
            format!(
                r#", "template": {{"metadata": {{"annotations": {{"kubectl.kubernetes.io/restartedAt": "{time}"}}}}}}"#
            )
        };
        let table = [
            (String::new(), "NewReplicaSetAvailable", false),
            (String::new(), "ReplicaSetUpdated", true),
            (at("2026-01-02T03:55:00Z"), "NewReplicaSetAvailable", true),
            (at("2026-01-02T03:00:00Z"), "NewReplicaSetAvailable", false),
        ];
        for (spec, reason, expected) in table {
            let observed = Observed::of(&deployment(&spec, &status(reason)));
            assert_eq!(observed.under_way(now), expected, "{spec} {reason}");
        }
    }
}
