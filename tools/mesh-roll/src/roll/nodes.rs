//! What of a DaemonSet is on nodes that are not ready: its other pods are rolled, and what is left is
//! named.

use jiff::{SignedDuration, Timestamp};
use mesh_cluster::workload::rollout::{PodSeen, Problem};
use mesh_records::{Outcome, Trouble, WorkloadKind, WorkloadRef, after};

use super::conclusion::Conclusion;
use super::event::Action;
use super::proof::is_current;
use super::state::Roll;

/// After how long a pod that is not ready lets ask for its node, and how long it is until the next
/// question: Kubernetes takes less than a minute to notice that a node is lost.
const LATE: SignedDuration = SignedDuration::from_mins(1);

impl Roll {
    /// Asks which nodes are not ready, unless the answer is on its way.
    pub(super) fn ask_nodes(&mut self) {
        if !std::mem::replace(&mut self.asks_nodes, true) {
            self.nodes_asked_at = Some(self.now);
            self.out.push(Action::Nodes);
        }
    }

    /// Returns true if it must be known before the plan which nodes are not ready; asks for them.
    pub(super) fn waits_for_nodes(&mut self) -> bool {
        let waiting = self.waiting.values().map(|item| item.task.key.clone());
        for key in waiting.collect::<Vec<_>>() {
            self.ask_nodes_of(&key);
        }
        self.asks_nodes
    }

    /// Asks for the nodes of the pods of a DaemonSet that are not ready; once for each node, until it is
    /// ready again.
    pub(super) fn ask_nodes_of(&mut self, key: &WorkloadRef) {
        if self.world.ask_nodes_of(key) {
            self.ask_nodes();
        }
    }

    /// Asks for the nodes of a DaemonSet in flight if one of its pods fell ill: it may be its node. If
    /// they were asked for just now, the pod is soon late.
    pub(super) fn ask_nodes_in_flight(&mut self, key: &WorkloadRef) {
        let is_due = self.nodes_may_be_asked_at().is_none_or(|at| self.now >= at);
        if self.world.was_shaken(key) && is_due && self.flight(key).is_some() {
            self.ask_nodes_of(key);
        }
    }

    // However many pods fall ill or are late, the nodes are listed once in a while.
    fn nodes_may_be_asked_at(&self) -> Option<Timestamp> {
        self.nodes_asked_at.map(|asked| after(asked, LATE))
    }

    /// Asks for the nodes of a DaemonSet, in flight or waiting, as long as one of its pods is not ready for
    /// long.
    pub(super) fn ask_nodes_of_late_pods(&mut self, key: &WorkloadRef) {
        if key.kind != WorkloadKind::DaemonSet {
            return;
        }
        // Also what is stranded: its node may be back.
        let unready = self.world.own_pods(key).filter(|pod| !pod.ready);
        let since = unready.filter_map(|pod| pod.unready_since.or(pod.created));
        let Some(late) = since.min().map(|since| after(since, LATE)) else {
            return;
        };
        let late = self.nodes_may_be_asked_at().map_or(late, |at| at.max(late));
        if self.now < late {
            self.wake_at(late);
        } else {
            self.ask_nodes();
        }
    }

    /// Returns those of the listed pods of a workload that can stop and start.
    pub(super) fn on_living_nodes(&self, key: &WorkloadRef, pods: Vec<PodSeen>) -> Vec<PodSeen> {
        let is_set = key.kind == WorkloadKind::DaemonSet;
        let pods = pods.into_iter();
        pods.filter(|pod| !is_set || !self.world.is_stranded(pod))
            .collect()
    }

    /// Returns what of a DaemonSet is on a node that is not ready, and what that means for its other pods.
    pub(super) fn left_behind(&self, key: &WorkloadRef) -> Option<Problem> {
        let pod = self.world.stranded(key).next()?;
        let observed = self.world.workload(key)?;
        let mut others = self.world.pods(key).peekable();
        let others = if others.peek().is_none() {
            String::new()
        } else if others.all(|pod| is_current(pod, self.world.target())) {
            ", and its other pods are done".to_owned()
        } else if self.world.is_full(observed) {
            let most = observed.steps.at_once;
            format!(
                ", and its update strategy replaces no other pod beside it (at most {most} at a time; --strategy evict does)"
            )
        } else {
            String::new()
        };
        let node = pod.node.as_deref()?;
        Some(pod.stranded(node, &others, &self.settings.paste))
    }

    /// Returns how a workload ended: blocked where something of it is left on a node that is not ready,
    /// though the rest of it is proven, or nothing else is left of it.
    pub(super) fn unless_left_behind(&self, key: &WorkloadRef, end: Conclusion) -> Conclusion {
        let ends_well = end.outcome == Outcome::Proven || end.reason == Some(Trouble::NoPods);
        match self.left_behind(key).filter(|_| ends_well) {
            None => end,
            left => Conclusion {
                proven: end.proven,
                ..Conclusion::blocked(Trouble::NodeNotReady, left)
            },
        }
    }
}
