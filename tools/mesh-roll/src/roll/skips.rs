//! Workloads that are skipped, each with what it is about.

use mesh_cluster::workload::rollout::PodSeen;
use mesh_records::{Obstacle, RollBy, SkipClass, WorkloadRef};

use super::budget;
use super::flight::Flight;
use super::item::Item;
use super::limits::Stop;
use super::state::{Phase, Roll};
use super::way::{evicts, takes_away, way};

impl Roll {
    /// Ends a workload that is not rolled.
    pub(super) fn skip(&mut self, mut item: Item, obstacle: Obstacle, words: Option<&str>) {
        self.tally.skipped(obstacle);
        item.skipped = Some(obstacle);
        let detail = words.map(str::to_owned);
        let detail = detail.or_else(|| self.obstacle_detail(&item.task.key, obstacle));
        let record = self.saying(&item).skipped(obstacle, detail.as_deref());
        self.emit(record);
        self.check_skipped_canary(&item, obstacle);
        self.over.insert(item.task.key.clone(), item);
    }

    /// Ends a workload in flight that is not rolled after all.
    pub(super) fn skip_for(&mut self, key: &WorkloadRef, obstacle: Obstacle, words: &str) {
        if let Some(flight) = self.land(key) {
            self.skip(flight.item, obstacle, Some(words));
        }
    }

    // Names the rule, the budget and the like that an obstacle is about.
    pub(super) fn obstacle_detail(&self, key: &WorkloadRef, obstacle: Obstacle) -> Option<String> {
        match obstacle {
            Obstacle::Forbidden => {
                let rule = self.settings.wishes.forbidden.get(key)?;
                Some(format!("it needs the RBAC rule {rule}"))
            }
            Obstacle::Budget => {
                let observed = self.world.workload(key)?;
                let strategy = way(&observed.roll, self.settings.wishes.strategy).ok()?;
                let lack = budget::never(&self.world, observed, strategy)?;
                // Of an eviction, the API server itself asks the budget.
                Some(match evicts(strategy) {
                    true => lack.said,
                    false => format!("{}; --allow-budget {key} overrides it", lack.said),
                })
            }
            Obstacle::WorkloadUnhealthy => {
                let pod = self.pod_to_delete(key);
                Some(pod.unwrap_or_else(|| self.ill_health(key)))
            }
            Obstacle::OnDelete | Obstacle::Partition => {
                let roll = &self.world.workload(key)?.roll;
                Some(match roll.by {
                    RollBy::None => "evicting them would also roll out the change of its template that is held back; --strategy evict does so".to_owned(),
                    RollBy::Restart | RollBy::RestartAt | RollBy::Evict | RollBy::Itself => {
                        "--strategy auto evicts them one by one".to_owned()
                    }
                })
            }
            Obstacle::UnavailablePods => {
                let observed = self.world.workload(key)?;
                let pods = takes_away(
                    observed,
                    way(&observed.roll, self.settings.wishes.strategy).ok()?,
                );
                Some(format!(
                    "{pods} of its pods may stop at the same time; raise the limit, or evict its pods one by one (--strategy evict)"
                ))
            }
            Obstacle::NoRestart => Some("--strategy auto evicts them one by one".to_owned()),
            Obstacle::RestartPlanned => self.when_planned(key),
            Obstacle::Current => {
                let lack = self.world.all_pods(key).find_map(PodSeen::lack);
                lack.map(|problem| format!("not all of them are well: {problem}"))
            }
            Obstacle::Job
            | Obstacle::CronJob
            | Obstacle::BarePod
            | Obstacle::ScaledToZero
            | Obstacle::Gone
            | Obstacle::NotSelected
            | Obstacle::VersionPinned
            | Obstacle::Paused
            | Obstacle::UnmeshedButAnnotated
            | Obstacle::WouldLoseProxy
            | Obstacle::PodRefused
            | Obstacle::DowntimeOutage
            | Obstacle::ForeignOwner => None,
        }
    }

    /// Returns what is wrong with the pods of a workload that is not healthy.
    pub(super) fn ill_health(&self, key: &WorkloadRef) -> String {
        let lack = self.world.all_pods(key).find_map(PodSeen::lack);
        match lack.or_else(|| self.left_behind(key)) {
            Some(problem) => problem.to_string(),
            None => "not all of its pods are there and ready".to_owned(),
        }
    }

    fn when_planned(&self, key: &WorkloadRef) -> Option<String> {
        let at = self.world.workload(key)?.planned_restart(self.now)?;
        Some(format!(
            "its controller replaces its pods at {at}, and they get the new proxy then; --strategy evict replaces them now"
        ))
    }

    // Names the pod behind which a StatefulSet is stuck.
    fn pod_to_delete(&self, key: &WorkloadRef) -> Option<String> {
        let stuck = self.world.workload(key)?;
        let pod = &stuck.stuck_behind(self.world.pods(key), self.now)?.name;
        let delete = ["-n", &key.namespace, "delete", "pod", pod];
        let delete = self.settings.paste.kubectl(&delete);
        Some(format!(
            "pod {pod} has an older template and holds up the newest one; its controller replaces it only once it is deleted: {delete}"
        ))
    }

    // Stops the run if a canary is skipped that somebody has to look at.
    fn check_skipped_canary(&mut self, item: &Item, obstacle: Obstacle) {
        let will_write = |flight: &Flight| !flight.item.began || flight.evicting.is_some();
        let has_others = !self.waiting.is_empty() || self.flying.iter().any(will_write);
        let has_others = has_others && self.phase == Phase::Rolling;
        if item.is_canary() && has_others && obstacle.class() == SkipClass::Attention {
            let (key, why) = (&item.task.key, obstacle.sentence());
            self.stop(Stop::Canary(format!("the canary {key} {why}")));
        }
    }
}
