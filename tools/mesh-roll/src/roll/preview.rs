//! What a plan says of each workload beforehand: how long it takes, and what is written to it.

use jiff::SignedDuration;
use mesh_cluster::act::{MANAGER, restart_path};
use mesh_records::{Forecast, Patch, Strategy};

use super::decide::Decision;
use super::forecast::{self, Wave};
use super::item::Item;
use super::order;
use super::state::Roll;

impl Roll {
    /// Returns how long the rollout of a workload takes; `None` if nothing tells.
    pub(super) fn takes(&self, item: &Item, decision: Decision) -> Option<SignedDuration> {
        let strategy = match decision {
            Decision::Roll(strategy) | Decision::Later(strategy) => strategy,
            Decision::Adopt => Strategy::Restart,
            Decision::Skip(_) => return None,
        };
        let key = &item.task.key;
        let observed = self.world.workload(key)?;
        let most = self.settings.timeout;
        forecast::rollout(observed, strategy, self.world.pods(key), most)
    }

    /// Returns how long a plan takes at this pace.
    pub(super) fn forecast(&self, plan: &[(Item, Decision)]) -> Option<Forecast> {
        let waves = self.pace.waves.iter().map(|wave| {
            let mine = plan.iter().filter(|(item, decision)| {
                item.rank.wave == *wave && !matches!(decision, Decision::Skip(_))
            });
            let is_alone = mine.clone().any(|(item, _)| item.rank.is_door);
            Wave {
                slots: if is_alone {
                    1
                } else {
                    self.settings.max_in_flight
                },
                durations: mine
                    .map(|(item, decision)| self.takes(item, *decision))
                    .collect(),
            }
        });
        let waves: Vec<Wave> = waves.collect();
        let has_canaries = self.pace.waves.first() == Some(&order::Wave::Canary);
        // The canaries are watched for as long as all are in the end.
        let settle = self.settings.settle;
        let settle = match has_canaries && waves.len() > 1 {
            true => settle.saturating_add(settle),
            false => settle,
        };
        forecast::whole(&waves, settle)
    }

    /// Returns what is written to a workload, if that was asked for (`--diff`).
    pub(super) fn patch(&self, item: &Item, decision: Decision) -> Option<Patch> {
        match decision.strategy()? {
            Strategy::Restart | Strategy::RestartAt if self.settings.diff => {}
            Strategy::Restart | Strategy::RestartAt | Strategy::Evict => return None,
        }
        let key = &item.task.key;
        let observed = self.world.workload(key)?;
        let others = observed.managers.names.iter().filter(|it| *it != MANAGER);
        Some(Patch {
            path: restart_path(&key.kind),
            before: observed.restarted_at.clone(),
            value: self.restart_value(item),
            manager: MANAGER.to_owned(),
            managers: others.cloned().collect(),
            managed_by: item.task.managed_by.clone(),
        })
    }
}
