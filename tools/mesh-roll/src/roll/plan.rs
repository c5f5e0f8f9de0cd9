//! The plan: what will be done and in which order, written before the first change.

use std::collections::BTreeMap;

use mesh_cli::DryRun;
use mesh_records::{
    Deed, DowntimeGrade, Intent, Obstacle, Record, SkipClass, Strategy, whole_seconds,
};

use super::decide::Decision;
use super::event::Action;
use super::limits::{Hold, Stop, may_write};
use super::order::Rank;
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
        self.world.keep_target();
        self.order();
        self.phase = Phase::Asking;
        let decisions = self.decisions();
        let deeds = self.deeds(&decisions);
        let is_idle = deeds.is_empty();
        let intent = self.intent(deeds, &decisions);
        let summary = self.summary(&intent, &decisions);
        self.emit(Record::Intent(intent.clone()));
        for (item, decision) in std::mem::take(&mut self.waiting)
            .into_values()
            .zip(decisions)
        {
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

    fn order(&mut self) {
        for mut item in std::mem::take(&mut self.waiting).into_values() {
            item.rank = Rank::of(&item.task.key, self.world.workload(&item.task.key));
            self.waiting.insert(item.rank.clone(), item);
        }
    }

    fn decisions(&self) -> Vec<Decision> {
        let items = self.waiting.values();
        items.map(|item| self.decide(item)).collect()
    }

    fn deeds(&self, decisions: &[Decision]) -> Vec<Deed> {
        let deeds = self.waiting.values().zip(decisions);
        let deeds = deeds.filter_map(|(item, decision)| {
            let verb = match decision {
                Decision::Roll(strategy) => verb(*strategy),
                Decision::Adopt => "wait for",
                Decision::Skip(_) => return None,
            };
            Some(Deed {
                verb: verb.to_owned(),
                object: item.task.key.to_string(),
            })
        });
        deeds.collect()
    }

    fn intent(&self, deeds: Vec<Deed>, decisions: &[Decision]) -> Intent {
        let evictions = count(decisions, |it| it == Decision::Roll(Strategy::Evict));
        let restarts = count(decisions, |it| matches!(it, Decision::Roll(_))) - evictions;
        let adopted = count(decisions, |it| it == Decision::Adopt);
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
        let message = format!(
            "restart {restarts} {workloads}{evicted} to get {injects}, {most} at a time{adopted}"
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
    }

    // The text of the question: counts, risks, and skipped workloads.
    fn summary(&self, intent: &Intent, decisions: &[Decision]) -> String {
        let mut lines = vec![intent.message.clone()];
        let mut grades: BTreeMap<DowntimeGrade, usize> = BTreeMap::new();
        for (item, decision) in self.waiting.values().zip(decisions) {
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
        let left = count(decisions, attention);
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

fn verb(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Restart | Strategy::RestartAt => "restart",
        Strategy::Evict => "evict the pods of",
    }
}

fn count(decisions: &[Decision], is: impl Fn(Decision) -> bool) -> usize {
    decisions.iter().filter(|decision| is(**decision)).count()
}
