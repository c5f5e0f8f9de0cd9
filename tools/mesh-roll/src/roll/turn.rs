//! The next step of a workload whose pods are evicted one by one.

use mesh_cluster::workload::rollout::{Observed, PodSeen, State};
use mesh_records::Outcome;

use super::clock::Clock;
use super::conclusion::Conclusion;
use super::decide::Task;
use super::evicting::Turn;
use super::flight::{Course, Flight, no_pods, over};
use super::world::World;

impl Flight {
    /// Returns the next step, given the latest facts.
    pub(crate) fn in_turn(&mut self, world: &World, clock: &mut Clock) -> Course {
        let Task { key, uid, .. } = &self.item.task;
        let observed = world.workload(key);
        let Some(observed) = observed.filter(|it| it.uid == *uid && !it.deleting) else {
            return over(Conclusion::of(Outcome::Gone));
        };
        let pods: Vec<&PodSeen> = world.pods(&observed.key).collect();
        let since = self.limit_from();
        match (observed.pods.wanted, pods.is_empty()) {
            (0, true) => return no_pods(),
            (0, false) if clock.is_over(since) => return Course::AskNodes,
            (0, false) => return Course::Wait("its last pods to stop"),
            (_, _) => {}
        }
        if self
            .evicting
            .as_ref()
            .is_some_and(|it| !it.is_of(&observed.template))
        {
            self.item.image = None;
        }
        let evicting = self.evicting.as_ref();
        let turn = evicting.map(|it| it.turn(observed, &pods, world.target(), clock.now));
        let refused = evicting.and_then(|it| it.refused.clone());
        match turn {
            Some(Turn::Evict(_)) if clock.is_over(since) => match refused {
                Some(problem) => over(Conclusion::blocked(problem.trouble, Some(problem))),
                None => Course::AskNodes,
            },
            Some(Turn::Evict(doomed)) => Course::Evict(doomed),
            Some(Turn::Later(at)) => {
                clock.reached(at);
                match refused {
                    Some(problem) => self.held_up(problem, clock),
                    None if evicting.is_some_and(|it| it.sent) => {
                        Course::Wait("its evicted pod to stop")
                    }
                    None => Course::Wait("the next look at its pods"),
                }
            }
            Some(Turn::Short) => self.short(observed, world, clock),
            Some(Turn::Done) | None if clock.is_over(since) => Course::AskNodes,
            Some(Turn::Done) | None if clock.reached(self.look_at) => Course::ListProof,
            Some(Turn::Done) | None => Course::Wait("its pods to prove it"),
        }
    }

    fn short(&mut self, observed: &Observed, world: &World, clock: &mut Clock) -> Course {
        // This run has not changed it, so its health is not of this run's making.
        if !self.item.began {
            return Course::Again;
        }
        match self.state(observed, world, clock.now) {
            State::Failed(problem) => over(Conclusion::failed(problem.trouble, Some(problem))),
            State::HeldUp(problem) => self.held_up(problem, clock),
            State::Progressing(_) | State::Settled | State::Superseded => {
                if clock.is_over(self.limit_from()) {
                    Course::AskNodes
                } else if self.asks_for_a_refusal(observed, clock) {
                    Course::AskRefusal
                } else {
                    Course::Wait("all its pods to be available")
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::{SignedDuration, Timestamp};
    use mesh_cluster::Change;
    use mesh_cluster::object::label::CONFIG;
    use mesh_cluster::object::{ConfigMap, Deployment, Pod};
    use mesh_records::{RollBy, Trouble, WorkloadKind, WorkloadRef};

    use super::super::item::Item;
    use super::super::watched::Watched;
    use super::super::world::KINDS;
    use super::*;

    const NOW: &str = "2026-01-02T03:04:05Z";
    const OLD: &str = "stable-2.13.7";
    const NEW: &str = "stable-2.14.10";

    fn key() -> WorkloadRef {
        WorkloadRef {
            namespace: "shop".to_owned(),
            kind: WorkloadKind::Deployment,
            name: "web".to_owned(),
        }
    }

    // A Deployment that an operator owns.
    fn world(wanted: u32, conditions: &str) -> World {
        let mut world = World::new(BTreeSet::from([key()]), KINDS.into());
        let mut config = ConfigMap::default();
        config.meta.name = CONFIG.to_owned();
        let values = format!("linkerdVersion: {NEW}");
        config.data.insert("values".to_owned(), values);
        world.take(Watched::Config(Change::Applied(config)));
        scale(&mut world, wanted, conditions);
        world
    }

    fn scale(world: &mut World, wanted: u32, conditions: &str) {
        let json = format!(
            r#"{{"metadata": {{"namespace": "shop", "name": "web", "uid": "u"}}, "spec": {{"replicas": {wanted}}},
            "status": {{"readyReplicas": 1, "availableReplicas": 1, "conditions": [{conditions}]}}}}"#
        );
        let deployment: Deployment = serde_json::from_str(&json).unwrap();
        let change = Box::new(Change::Applied(Observed::of(&deployment)));
        world.take(Watched::Workload(WorkloadKind::Deployment, change));
    }

    fn show(world: &mut World, name: &str, tag: &str, status: &str) {
        let json = format!(
            r#"{{"metadata": {{"namespace": "shop", "name": "{name}", "uid": "{name}", "labels": {{"pod-template-hash": "h"}},
            "creationTimestamp": "2026-01-02T03:00:00Z",
            "ownerReferences": [{{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-h", "uid": "r", "controller": true}}]}},
            "spec": {{"containers": [{{"name": "linkerd-proxy", "image": "m/p:{tag}"}}]}}, "status": {{{status}}}}}"#
        );
        let pod = serde_json::from_str::<Pod>(&json).unwrap();
        let change = Change::Applied(PodSeen::of(&pod));
        world.take(Watched::Pod(Box::new(change)));
    }

    const READY: &str = r#""conditions": [{"type": "Ready", "status": "True"}]"#;
    const CRASHED: &str = r#""containerStatuses": [{"name": "web", "restartCount": 9, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]"#;

    fn flight(world: &World, began: bool) -> Flight {
        let mut item = Item::new(Task {
            key: key(),
            uid: "u".to_owned(),
            stale_at: None,
            by: RollBy::Evict,
            managed_by: None,
        });
        item.began = began;
        let template = mesh_cluster::object::Template::default();
        Flight::evicting(item, template, world.all_pods(&key()), NOW.parse().unwrap())
    }

    fn next(flight: &mut Flight, world: &World, after: SignedDuration) -> Course {
        let now: Timestamp = NOW.parse().unwrap();
        let mut clock = Clock {
            now: now.checked_add(after).unwrap(),
            timeout: SignedDuration::from_mins(10),
            deadline: None,
            wake: None,
        };
        flight.in_turn(world, &mut clock)
    }

    #[test]
    fn ill_health_before_the_first_eviction_is_not_a_failure_of_this_run() {
        let mut world = world(2, "");
        show(&mut world, "a", OLD, READY);
        show(&mut world, "b", OLD, CRASHED);
        let soon = SignedDuration::from_secs(60);
        let mut flight = flight(&world, false);
        assert_eq!(next(&mut flight, &world, soon), Course::Again);
    }

    #[test]
    fn only_a_pod_that_this_run_created_can_fail_it() {
        let mut world = world(2, "");
        show(&mut world, "a", OLD, READY);
        show(&mut world, "ended", OLD, r#""phase": "Failed""#);
        let soon = SignedDuration::from_secs(60);
        let mut flight = flight(&world, true);
        show(&mut world, "a", OLD, CRASHED);
        let waits = Course::Wait("all its pods to be available");
        assert_eq!(next(&mut flight, &world, soon), waits);
        let now: Timestamp = NOW.parse().unwrap();
        let observed = world.workload(&key()).unwrap();
        let paste = mesh_records::Paste::default();
        let end = flight.timed_out(observed, &world, &paste, now);
        let Course::Over(end) = end else {
            panic!("{end:?}")
        };
        let found = (end.outcome, end.reason, end.problem.unwrap().pod.unwrap());
        let expected = (Outcome::Blocked, Some(Trouble::CrashLoop), "a".to_owned());
        assert_eq!(found, expected);
        show(&mut world, "b", NEW, CRASHED);
        let end = next(&mut flight, &world, soon);
        let Course::Over(end) = end else {
            panic!("{end:?}")
        };
        assert_eq!(end.outcome, Outcome::Failed);
    }

    #[test]
    fn an_owner_that_cannot_create_pods_says_why_also_where_its_pods_are_evicted() {
        let refused = r#"{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}"#;
        let mut world = world(2, refused);
        show(&mut world, "a", NEW, READY);
        let mut flight = flight(&world, true);
        let course = next(&mut flight, &world, SignedDuration::ZERO);
        let Course::HeldUp(problem) = course else {
            panic!("{course:?}")
        };
        assert_eq!(problem.trouble, Trouble::ReplicaFailure);
    }

    #[test]
    fn scaled_to_zero_between_evictions_is_waited_for_and_done() {
        let mut world = world(1, "");
        show(&mut world, "a", OLD, READY);
        let mut flight = flight(&world, true);
        scale(&mut world, 0, "");
        let waits = Course::Wait("its last pods to stop");
        assert_eq!(next(&mut flight, &world, SignedDuration::ZERO), waits);
        show(&mut world, "a", OLD, r#""phase": "Succeeded""#);
        assert_eq!(next(&mut flight, &world, SignedDuration::ZERO), no_pods());
    }
}
