//! The three kinds that a restart annotation rolls, each by its own status.

use mesh_records::{Downtime, ProgressPods, Roll, Trouble};

use super::{Rolling, State, Wait};
use crate::how::{Owner, how};
use crate::object::{Condition, DaemonSet, Deployment, Selector, StatefulSet, Template};

const ON_DELETE: &str = "OnDelete";

// === impl Deployment ===

impl Rolling for Deployment {
    fn template(&self) -> &Template {
        &self.spec.template
    }

    fn selector(&self) -> &Selector {
        &self.spec.selector
    }

    fn counts(&self) -> ProgressPods {
        ProgressPods {
            wanted: count(self.spec.replicas.unwrap_or(1)),
            updated: count(self.status.updated_replicas),
            ready: count(self.status.ready_replicas),
        }
    }

    fn how(&self) -> (Roll, Downtime) {
        how(Owner::Deployment(self))
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
            return State::Blocked(Trouble::Paused);
        }
        let conditions = &status.conditions;
        if find(conditions, "Progressing").is_some_and(|c| c.reason == "ProgressDeadlineExceeded") {
            return State::Failed(Trouble::ProgressDeadline);
        }
        if find(conditions, "ReplicaFailure").is_some_and(|c| c.status == "True") {
            return State::Ailing(Trouble::ReplicaFailure);
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
        // Once a rollout is complete, this reason stays, however its pods fare afterwards.
        let complete = find(&status.conditions, "Progressing")
            .is_none_or(|c| matches!(c.reason.as_str(), "NewReplicaSetAvailable" | ""));
        let mixed = status.updated_replicas < status.replicas;
        mixed || !complete
    }
}

// === impl StatefulSet ===

impl Rolling for StatefulSet {
    fn template(&self) -> &Template {
        &self.spec.template
    }

    fn selector(&self) -> &Selector {
        &self.spec.selector
    }

    fn counts(&self) -> ProgressPods {
        ProgressPods {
            wanted: count(self.spec.replicas.unwrap_or(1)),
            updated: count(self.status.updated_replicas),
            ready: count(self.status.ready_replicas),
        }
    }

    fn how(&self) -> (Roll, Downtime) {
        how(Owner::StatefulSet(self))
    }

    fn standing(&self) -> State {
        let status = &self.status;
        let wanted = self.spec.replicas.unwrap_or(1);
        let partition = self.spec.update_strategy.rolling_update.partition;
        if status.observed_generation < self.meta.generation {
            return State::Progressing(Wait::Unobserved);
        }
        let all_new = status.current_revision == status.update_revision;
        if !all_new && self.spec.update_strategy.kind == ON_DELETE {
            return State::Blocked(Trouble::Partition);
        }
        let mine = (wanted - partition.unwrap_or(0)).max(0);
        if status.updated_replicas < mine {
            return State::Progressing(Wait::Creation);
        }
        // A pod counts as available once it has been ready for minReadySeconds.
        let up = status
            .ready_replicas
            .min(if self.spec.min_ready_seconds > 0 {
                status.available_replicas
            } else {
                status.ready_replicas
            });
        if up < wanted {
            return State::Progressing(Wait::Availability);
        }
        if all_new {
            State::Settled
        } else if partition.unwrap_or(0) > 0 {
            State::Blocked(Trouble::Partition)
        } else {
            State::Progressing(Wait::Revision)
        }
    }

    fn says_under_way(&self) -> bool {
        let strategy = &self.spec.update_strategy;
        let held = strategy.kind == ON_DELETE || strategy.rolling_update.partition.unwrap_or(0) > 0;
        !held && self.status.current_revision != self.status.update_revision
    }
}

// === impl DaemonSet ===

impl Rolling for DaemonSet {
    fn template(&self) -> &Template {
        &self.spec.template
    }

    fn selector(&self) -> &Selector {
        &self.spec.selector
    }

    fn counts(&self) -> ProgressPods {
        ProgressPods {
            wanted: count(self.status.desired_number_scheduled),
            updated: count(self.status.updated_number_scheduled),
            ready: count(self.status.number_ready),
        }
    }

    fn how(&self) -> (Roll, Downtime) {
        how(Owner::DaemonSet(self))
    }

    fn standing(&self) -> State {
        let status = &self.status;
        let wanted = status.desired_number_scheduled;
        if status.observed_generation < self.meta.generation {
            return State::Progressing(Wait::Unobserved);
        }
        if status.updated_number_scheduled < wanted {
            return if self.spec.update_strategy.kind == ON_DELETE {
                State::Blocked(Trouble::Partition)
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

fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}
