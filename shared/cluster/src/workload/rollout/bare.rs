//! Reads the state of sets that roll nothing out themselves, and of Argo Rollouts.

use mesh_records::{Downtime, ProgressPods, Roll, Trouble};

use super::kinds::{count, find, held_up, observed};
use super::{Passes, Problem, Restartable, State, Wait, is_same_time};
use crate::object::{
    BareSetSpec, BareSetStatus, ReplicaSet, ReplicationController, Rollout, Selector, Template,
};
use crate::workload::how::{rollout_away, set_how};
use crate::workload::steps::Steps;

macro_rules! bare_set {
    ($set:ident) => {
        impl Restartable for $set {
            fn template(&self) -> &Template {
                &self.spec.template
            }

            fn selector(&self) -> &Selector {
                &self.spec.selector
            }

            // Every pod is of its one template.
            fn counts(&self) -> ProgressPods {
                ProgressPods {
                    wanted: count(self.spec.replicas.unwrap_or(1)),
                    updated: count(self.status.replicas),
                    ready: count(self.status.ready_replicas),
                }
            }

            fn available(&self) -> u32 {
                count(self.status.available_replicas)
            }

            fn how(&self) -> (Roll, Downtime) {
                set_how(&Self::kind(), count(self.spec.replicas.unwrap_or(1)))
            }

            fn takes_away(&self) -> u32 {
                1
            }

            fn steps(&self) -> Steps {
                Steps::one_by_one(self.spec.replicas)
            }

            fn standing(&self) -> State {
                bare_standing(self.meta.generation, &self.spec, &self.status)
            }

            fn says_under_way(&self) -> bool {
                false
            }
        }
    };
}

bare_set!(ReplicaSet);
bare_set!(ReplicationController);

fn bare_standing(generation: i64, spec: &BareSetSpec, status: &BareSetStatus) -> State {
    let wanted = spec.replicas.unwrap_or(1);
    if status.observed_generation < generation {
        return State::Progressing(Wait::Unobserved);
    }
    if status.replicas == wanted && status.available_replicas >= wanted {
        return State::Settled;
    }
    if let Some(refused) = find(&status.conditions, "ReplicaFailure")
        && refused.status == "True"
    {
        return held_up(
            Trouble::ReplicaFailure,
            &[&refused.reason, &refused.message],
        );
    }
    State::Progressing(Wait::Availability)
}

// === impl Rollout ===

impl Restartable for Rollout {
    fn template(&self) -> &Template {
        &self.spec.template
    }

    fn selector(&self) -> &Selector {
        &self.spec.selector
    }

    fn restarted_at(&self) -> Option<&str> {
        self.spec.restart_at.as_deref()
    }

    fn counts(&self) -> ProgressPods {
        let status = &self.status;
        ProgressPods {
            wanted: count(self.spec.replicas.unwrap_or(1)),
            updated: observed(&self.meta, self.seen(), status.updated_replicas),
            ready: count(status.ready_replicas),
        }
    }

    fn available(&self) -> u32 {
        count(self.status.available_replicas)
    }

    fn how(&self) -> (Roll, Downtime) {
        set_how(&Self::kind(), count(self.spec.replicas.unwrap_or(1)))
    }

    fn takes_away(&self) -> u32 {
        rollout_away(self)
    }

    fn steps(&self) -> Steps {
        Steps::of_rollout(self)
    }

    // The restart is over when the status has its time. The phase says nothing of that: it stays
    // Paused in the middle of a canary.
    fn standing(&self) -> State {
        let status = &self.status;
        if self.seen() < self.meta.generation {
            return State::Progressing(Wait::Unobserved);
        }
        // Its controller gave up: somebody has to retry or promote it.
        if status.phase == "Degraded" {
            let said = [status.phase.as_str(), &status.message];
            let degraded = Problem::of_workload(Trouble::ProgressDeadline, &said);
            let passes = Passes::Never;
            return State::Failed(Problem { passes, ..degraded });
        }
        let asked = self.spec.restart_at.as_deref();
        if !self.restart_over()
            && let Some(at) = asked.and_then(|at| at.parse().ok())
        {
            return State::Progressing(Wait::Restart(at));
        }
        let wanted = self.spec.replicas.unwrap_or(1);
        // In the middle of somebody's update all may be available: the old ones still are.
        if status.phase == "Progressing" && status.updated_replicas < wanted {
            return State::Progressing(Wait::Creation);
        }
        if status.available_replicas < wanted {
            return State::Progressing(Wait::Availability);
        }
        State::Settled
    }

    fn restart_over(&self) -> bool {
        let asked = self.spec.restart_at.as_deref();
        asked.is_some() && is_same_time(asked, self.status.restarted_at.as_deref())
    }

    fn says_under_way(&self) -> bool {
        self.status.phase == "Progressing"
    }
}

impl Rollout {
    // Argo writes the generation as text. A text that is no number, or is beyond the generation,
    // counts as seen.
    fn seen(&self) -> i64 {
        let seen = self.status.observed_generation.parse();
        seen.unwrap_or(self.meta.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Observed;
    use super::*;

    fn rollout(spec: &str, status: &str) -> Rollout {
        let json =
            format!(r#"{{"metadata": {{"generation": 4}}, "spec": {spec}, "status": {status}}}"#);
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn a_rollouts_restart_is_over_when_its_status_has_the_time() {
        let asked = r#"{"replicas": 2, "restartAt": "2026-01-02T03:04:05Z"}"#;
        let ready = r#""availableReplicas": 2"#;
        let done = r#""restartedAt": "2026-01-02T03:04:05Z""#;
        let degraded = Problem::of_workload(Trouble::ProgressDeadline, &["Degraded", "aborted"]);
        let degraded = State::Failed(Problem {
            passes: Passes::Never,
            ..degraded
        });
        let table = [
            (
                format!(r#""observedGeneration": "3", {ready}, {done}"#),
                State::Progressing(Wait::Unobserved),
            ),
            (
                format!(r#""observedGeneration": "4", {ready}"#),
                State::Progressing(Wait::Restart("2026-01-02T03:04:05Z".parse().unwrap())),
            ),
            (
                format!(r#"{ready}, "restartedAt": "2026-01-02T04:04:05+01:00""#),
                State::Settled,
            ),
            (
                format!(r#""observedGeneration": "4", "availableReplicas": 1, {done}"#),
                State::Progressing(Wait::Availability),
            ),
            (
                format!(r#""observedGeneration": "4", "phase": "Paused", {ready}, {done}"#),
                State::Settled,
            ),
            (
                format!(r#""observedGeneration": "6f7c9", {ready}, {done}"#),
                State::Settled,
            ),
            (
                format!(r#""phase": "Progressing", "updatedReplicas": 1, {ready}, {done}"#),
                State::Progressing(Wait::Creation),
            ),
            (
                format!(r#""phase": "Progressing", "updatedReplicas": 2, {ready}, {done}"#),
                State::Settled,
            ),
            (
                format!(r#""phase": "Degraded", "message": "aborted", {ready}"#),
                degraded,
            ),
        ];
        for (status, expected) in table {
            let rollout = rollout(asked, &format!("{{{status}}}"));
            assert_eq!(rollout.standing(), expected, "{status}");
        }
    }

    #[test]
    fn a_restart_is_over_also_where_the_phase_says_degraded() {
        let asked = r#"{"replicas": 2, "restartAt": "2026-01-02T03:04:05Z"}"#;
        let status = |at: &str| format!(r#"{{"phase": "Degraded", "restartedAt": "{at}"}}"#);
        let ours = Some("2026-01-02T03:04:05Z");
        let over = Observed::of(&rollout(asked, &status("2026-01-02T03:04:05Z")));
        assert!(over.is_restarted(ours));
        assert!(
            !over.is_restarted(Some("2026-01-02T03:04:06Z")),
            "another one"
        );
        assert!(!over.is_restarted(None));
        let not_yet = Observed::of(&rollout(asked, &status("2026-01-01T03:04:05Z")));
        assert!(!not_yet.is_restarted(ours));
    }

    #[test]
    fn a_restart_that_is_scheduled_for_later_is_not_under_way() {
        let rollout = rollout(
            r#"{"replicas": 2, "restartAt": "2026-01-02T03:04:05Z"}"#,
            r#"{"availableReplicas": 2}"#,
        );
        let observed = Observed::of(&rollout);
        let table = [
            ("2026-01-01T03:04:05Z", false),
            ("2026-01-02T03:03:55Z", true),
            ("2026-01-02T03:04:06Z", true),
        ];
        for (now, under_way) in table {
            let now = now.parse().unwrap();
            let found = (observed.under_way(now), observed.restarted_recently(now));
            assert_eq!(found, (under_way, under_way), "{now}");
            assert_eq!(observed.is_at_rest(now), !under_way, "{now}");
            assert_eq!(observed.planned_restart(now).is_some(), !under_way, "{now}");
        }
        assert!(observed.has_restart("2026-01-02T04:04:05+01:00"));
    }

    #[test]
    fn a_rollouts_controller_takes_away_as_many_as_may_be_unavailable_and_at_least_one() {
        let table = [
            (r#"{"replicas": 2}"#, 1),
            (r#"{"replicas": 8}"#, 2),
            (
                r#"{"replicas": 8, "strategy": {"canary": {"maxUnavailable": 3}}}"#,
                3,
            ),
            (r#"{"replicas": 8, "strategy": {"blueGreen": {}}}"#, 2),
        ];
        for (spec, expected) in table {
            assert_eq!(rollout(spec, "{}").takes_away(), expected, "{spec}");
        }
    }

    #[test]
    fn a_bare_set_is_settled_when_all_its_pods_are_available() {
        let set = |status: &str| -> ReplicationController {
            let spec = r#"{"replicas": 2, "selector": {"app": "old"}}"#;
            let json = format!(
                r#"{{"metadata": {{"generation": 1}}, "spec": {spec}, "status": {status}}}"#
            );
            serde_json::from_str(&json).unwrap()
        };
        let whole = set(r#"{"observedGeneration": 1, "replicas": 2, "availableReplicas": 2}"#);
        assert_eq!(whole.standing(), State::Settled);
        assert_eq!(whole.selector().query(), "app=old");
        let short = set(r#"{"observedGeneration": 1, "replicas": 2, "availableReplicas": 1}"#);
        assert_eq!(short.standing(), State::Progressing(Wait::Availability));
        let unseen = set(r#"{"replicas": 2, "availableReplicas": 2}"#);
        assert_eq!(unseen.standing(), State::Progressing(Wait::Unobserved));
        let refused = set(
            r#"{"observedGeneration": 1, "replicas": 1, "conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}]}"#,
        );
        let expected = held_up(Trouble::ReplicaFailure, &["FailedCreate", "exceeded quota"]);
        assert_eq!(refused.standing(), expected);
    }
}
