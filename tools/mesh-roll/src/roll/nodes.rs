//! What of a DaemonSet is on nodes that are not ready: its other pods are rolled, and what is left is
//! named.

use std::collections::BTreeSet;

use mesh_cluster::workload::rollout::{PodSeen, Problem};
use mesh_records::{WorkloadKind, WorkloadRef};

use super::event::Action;
use super::proof::is_current;
use super::state::Roll;

impl Roll {
    /// Asks which nodes are not ready, unless the answer is on its way.
    pub(super) fn ask_nodes(&mut self) {
        if !std::mem::replace(&mut self.nodes.is_asked, true) {
            self.out.push(Action::Nodes);
        }
    }

    /// Returns true if it must be known before the plan which nodes are not ready; asks for them.
    pub(super) fn waits_for_nodes(&mut self) -> bool {
        let waiting = self.waiting.values().map(|item| item.task.key.clone());
        for key in waiting.collect::<Vec<_>>() {
            self.ask_nodes_of(&key);
        }
        self.nodes.is_asked
    }

    /// Asks for the nodes of the pods of a DaemonSet that are not ready; once for each node.
    pub(super) fn ask_nodes_of(&mut self, key: &WorkloadRef) {
        if key.kind != WorkloadKind::DaemonSet {
            return;
        }
        let unready = self.world.all_pods(key).filter(|pod| !pod.ready);
        let nodes: BTreeSet<String> = unready.filter_map(|pod| pod.node.clone()).collect();
        if !nodes.is_subset(&self.nodes.about) {
            self.nodes.about.extend(nodes);
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
        let mut others = self.world.pods(key);
        let others = if others.all(|pod| is_current(pod, self.world.target())) {
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
}
