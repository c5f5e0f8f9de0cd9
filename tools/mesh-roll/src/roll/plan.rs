//! The plan: what will be done and in which order, written before the first change.

use std::collections::BTreeMap;

use mesh_cli::DryRun;
use mesh_records::{
    Deed, DowntimeGrade, Intent, Obstacle, Record, SkipClass, Strategy, command, whole_seconds,
};

use super::decide::Decision;
use super::event::Action;
use super::item::Item;
use super::limits::{Hold, Stop, may_write};
use super::order::{Rank, Wave};
use super::state::{Phase, Roll, Settings};
use super::way::downtime;

impl Roll {
    /// Writes the plan once every list has been read.
    pub(super) fn plan(&mut self) {
        if self.stop.is_some() {
            self.finish();
            return;
        }
        if !self.world.is_complete() {
            return;
        }
        let (world, expected) = (&self.world, &self.settings.expected);
        if let Err(Hold::Stop(stop)) = may_write(world, expected, &self.times(), self.now) {
            self.stop(stop);
            self.finish();
            return;
        }
        if let Some(flag) = self.idle() {
            self.stop(Stop::Idle(format!(
                "{flag} matches no workload in the input"
            )));
            self.finish();
            return;
        }
        self.world.keep_target();
        let plan = match self.order() {
            Ok(plan) => plan,
            Err(why) => {
                self.stop(Stop::Idle(format!(
                    "a workload of --canary cannot begin: {why}"
                )));
                self.finish();
                return;
            }
        };
        self.phase = Phase::Asking;
        let deeds = self.deeds(&plan);
        let is_idle = deeds.is_empty();
        let intent = self.intent(deeds, &plan);
        let summary = self.summary(&intent, &plan);
        self.emit(Record::Intent(intent.clone()));
        for (item, decision) in plan {
            match decision {
                Decision::Skip(obstacle) => self.skip(item, obstacle, None),
                Decision::Roll(_) | Decision::Adopt => {
                    self.waiting.insert(item.rank.clone(), item);
                }
            }
        }
        if is_idle || self.settings.dry_run == DryRun::Client {
            self.finish();
            return;
        }
        self.out.push(Action::Ask(Box::new(intent), summary));
    }

    // Returns the flag that concerns none of the workloads, as their labels tell: as if nothing had
    // to be restarted. What their names tell was checked before anything was read.
    fn idle(&self) -> Option<String> {
        let has = |is: &dyn Fn(&BTreeMap<String, String>) -> bool| {
            let choice = &self.settings.wishes.choice;
            let keys = self.waiting.values().map(|item| &item.task.key);
            let keys = keys.filter(|key| choice.takes(key));
            let mut observed = keys.filter_map(|key| self.world.workload(key));
            observed.any(|observed| is(&observed.labels))
        };
        if self.waiting.is_empty() {
            return None;
        }
        let labels = self.settings.wishes.choice.labels.as_ref();
        let labels = labels.filter(|labels| !has(&|of| labels.selects(of)));
        let labels = labels.map(|labels| format!("-l {labels}"));
        let group_by = self.settings.group_by.as_ref();
        let group_by = group_by.filter(|label| !has(&|of| of.contains_key(*label)));
        labels.or(group_by.map(|label| format!("--group-by {label}")))
    }

    // Takes the workloads in the order in which they start, with what is done with each. The error
    // says why there is no canary.
    fn order(&mut self) -> Result<Vec<(Item, Decision)>, String> {
        let group_by = self.settings.group_by.clone();
        let waiting = std::mem::take(&mut self.waiting).into_values();
        let mut plan: Vec<(Item, Decision)> = waiting
            .map(|mut item| {
                let key = &item.task.key;
                item.rank = Rank::of(key, self.world.workload(key), group_by.as_deref());
                let decision = self.decide(&item);
                (item, decision)
            })
            .collect();
        plan.sort_by(|(one, _), (other, _)| one.rank.cmp(&other.rank));
        if let Some(why) = self.choose_canaries(&mut plan) {
            return Err(why);
        }
        plan.sort_by(|(one, _), (other, _)| one.rank.cmp(&other.rank));
        let rolled = plan
            .iter()
            .filter(|(_, decision)| verb(*decision).is_some());
        let mut waves: Vec<Wave> = rolled.map(|(item, _)| item.rank.wave.clone()).collect();
        waves.dedup();
        self.pace.waves = waves;
        Ok(plan)
    }

    fn deeds(&self, plan: &[(Item, Decision)]) -> Vec<Deed> {
        let deeds = plan.iter().filter_map(|(item, decision)| {
            Some(Deed {
                wave: self.number(&item.rank.wave),
                ..Deed::new(verb(*decision)?, item.task.key.to_string())
            })
        });
        deeds.collect()
    }

    fn intent(&self, deeds: Vec<Deed>, plan: &[(Item, Decision)]) -> Intent {
        let evictions = count(plan, |it| it == Decision::Roll(Strategy::Evict));
        let restarts = count(plan, |it| matches!(it, Decision::Roll(_))) - evictions;
        let adopted = count(plan, |it| it == Decision::Adopt);
        let injects = self.world.target().injects.clone().unwrap_or_default();
        let most = self.settings.max_in_flight;
        let adopted = match adopted {
            0 => String::new(),
            number => format!(", and wait for {number} that are already rolling out"),
        };
        let workloads = if restarts == 1 {
            "workload"
        } else {
            "workloads"
        };
        let evicted = match evictions {
            0 => String::new(),
            1 => ", evict the pods of 1 more one by one,".to_owned(),
            number => format!(", evict the pods of {number} more one by one,"),
        };
        let gate = self.settings.gate.as_ref();
        let gate = gate.map_or(String::new(), |gate| {
            format!(", and ask `{}` between two waves", command(&gate.said()))
        });
        let message = format!(
            "restart {restarts} {workloads}{evicted} to get {injects}, {most} at a time{adopted}{gate}"
        );
        let Settings {
            cluster,
            cluster_uid,
            warnings,
            ..
        } = &self.settings;
        Intent::new(
            cluster,
            cluster_uid,
            whole_seconds(self.now),
            message,
            deeds,
        )
        .with_warnings(warnings.clone())
        .with_waves(self.titles())
    }

    fn titles(&self) -> Vec<String> {
        let group_by = self.settings.group_by.as_deref();
        let waves = self.pace.waves.iter();
        waves.map(|wave| wave.title(group_by)).collect()
    }

    // The text of the question: counts, risks, and skipped workloads.
    fn summary(&self, intent: &Intent, plan: &[(Item, Decision)]) -> String {
        let mut lines = vec![intent.message.clone()];
        lines.extend(intent.waves().into_iter().map(|it| format!("  {it}")));
        let mut grades: BTreeMap<DowntimeGrade, usize> = BTreeMap::new();
        for (item, decision) in plan {
            if let Decision::Roll(strategy) = decision
                && let Some(observed) = self.world.workload(&item.task.key)
            {
                let grade = downtime(observed, *strategy).grade;
                *grades.entry(grade).or_default() += 1;
            }
        }
        for (grade, number) in grades {
            lines.push(match grade {
                DowntimeGrade::None => format!("  {number} without downtime"),
                DowntimeGrade::Reduced => format!("  {number} with fewer pods during the restart"),
                DowntimeGrade::Outage => format!("  {number} will be DOWN during the restart"),
            });
        }
        let attention = |decision| match decision {
            Decision::Skip(obstacle) => Obstacle::class(obstacle) == SkipClass::Attention,
            Decision::Roll(_) | Decision::Adopt => false,
        };
        let left = count(plan, attention);
        if left > 0 {
            lines.push(format!("  {left} skipped, need attention"));
        }
        let warnings = intent.warnings.iter();
        lines.extend(warnings.map(|it| format!("  the verdict warns: {it}")));
        lines.push(format!("  digest {}", intent.digest));
        lines.join("\n")
    }

    pub(super) fn agreed(&mut self) {
        if self.phase != Phase::Asking {
            return;
        }
        self.phase = match self.settings.dry_run {
            DryRun::None => {
                self.out.push(Action::Lock);
                Phase::Locking
            }
            DryRun::Client | DryRun::Server => Phase::Rolling,
        };
        self.check_all_pods();
    }

    /// Continues after the lock was taken. From now on no other run changes the control plane, so
    /// an earlier change is detected here.
    pub(super) fn locked(&mut self, version: &str) {
        if self.phase != Phase::Locking {
            return;
        }
        self.phase = Phase::Rolling;
        self.check_all_pods();
        let before = self.world.mesh().config_resource_version.as_deref();
        if before != Some(version) {
            self.stop(Stop::Changed(
                "somebody wrote to its linkerd-config".to_owned(),
            ));
        }
    }
}

fn verb(decision: Decision) -> Option<&'static str> {
    match decision {
        Decision::Roll(Strategy::Restart | Strategy::RestartAt) => Some("restart"),
        Decision::Roll(Strategy::Evict) => Some("evict the pods of"),
        Decision::Adopt => Some("wait for"),
        Decision::Skip(_) => None,
    }
}

fn count(plan: &[(Item, Decision)], is: impl Fn(Decision) -> bool) -> usize {
    plan.iter().filter(|(_, decision)| is(*decision)).count()
}
