//! What is known of the nodes. No watch follows them: they are asked for where pods tell of a change.

use std::collections::BTreeSet;

use mesh_cluster::Change;
use mesh_cluster::workload::rollout::PodSeen;
use mesh_records::{WorkloadKind, WorkloadRef};

#[derive(Debug, Default)]
pub(crate) struct KnownNodes {
    /// The nodes that were not ready when somebody asked last.
    away: BTreeSet<String>,
    /// The nodes for whose pods somebody asked.
    about: BTreeSet<String>,
    /// The DaemonSets with a pod that told last that its node may not be ready.
    shaken: BTreeSet<WorkloadRef>,
}

/// What a pod tells of its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    /// The pod became ready, which only a node that is ready says.
    Back,
    /// The pod is not ready any more, without being deleted: so it is if its node is not ready.
    PerhapsAway,
}

// === impl KnownNodes ===

impl KnownNodes {
    pub(crate) fn note_away(&mut self, nodes: BTreeSet<String>) {
        self.away = nodes;
    }

    pub(crate) fn is_away(&self, node: &str) -> bool {
        self.away.contains(node)
    }

    /// Returns true if all are ready, as far as somebody asked.
    pub(crate) fn are_ready(&self) -> bool {
        self.away.is_empty()
    }

    /// Notes that somebody asks for these nodes. Returns true if one of them is new.
    pub(crate) fn ask(&mut self, nodes: BTreeSet<String>) -> bool {
        let is_new = !nodes.is_subset(&self.about);
        self.about.extend(nodes);
        is_new
    }

    /// Takes in what a pod tells of its node, compared with what was known of the pod. Returns true if a
    /// node is back.
    pub(crate) fn hear(&mut self, change: &Change<PodSeen>, known: Option<&PodSeen>) -> bool {
        let Change::Applied(pod) = change else {
            return false;
        };
        let (Some(node), Some(owner)) = (&pod.node, &pod.owner) else {
            return false;
        };
        match Told::by(pod, known) {
            Told::Back => return self.note_back(node),
            Told::PerhapsAway if owner.kind == WorkloadKind::DaemonSet => {
                self.shaken.insert(owner.clone());
            }
            Told::PerhapsAway | Told::Nothing => {}
        }
        false
    }

    /// Returns true, once, if a pod of a DaemonSet was ready and is not any more.
    pub(crate) fn was_shaken(&mut self, key: &WorkloadRef) -> bool {
        self.shaken.remove(key)
    }

    // Returns true if the node was not ready when somebody asked last.
    fn note_back(&mut self, node: &str) -> bool {
        self.about.remove(node);
        self.away.remove(node)
    }
}

// === impl Told ===

impl Told {
    /// Compares a pod with what was known of it.
    fn by(pod: &PodSeen, known: Option<&PodSeen>) -> Self {
        let was_ready = known.filter(|it| it.uid == pod.uid).map(|it| it.ready);
        match (was_ready, pod.ready) {
            (Some(false) | None, true) => Self::Back,
            (Some(true), false) if !pod.over => Self::PerhapsAway,
            (_, true | false) => Self::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str, ready: bool, over: bool) -> PodSeen {
        let object = mesh_cluster::object::Pod::default();
        PodSeen {
            uid: uid.to_owned(),
            ready,
            over,
            ..PodSeen::of(&object)
        }
    }

    #[test]
    fn only_a_pod_that_changes_tells_of_its_node() {
        let (ready, unready) = (pod("a", true, false), pod("a", false, false));
        let table = [
            (&ready, Some(&unready), Told::Back),
            (&ready, Some(&ready), Told::Nothing),
            (&ready, None, Told::Back),
            (&unready, Some(&ready), Told::PerhapsAway),
            (&unready, None, Told::Nothing),
            (&unready, Some(&unready), Told::Nothing),
            (&pod("a", false, true), Some(&ready), Told::Nothing),
            (&pod("b", false, false), Some(&ready), Told::Nothing),
        ];
        for (number, (now, before, expected)) in table.into_iter().enumerate() {
            assert_eq!(Told::by(now, before), expected, "row {number}");
        }
    }

    #[test]
    fn a_node_is_asked_for_once_until_it_is_back() {
        let mut nodes = KnownNodes::default();
        let one = || BTreeSet::from(["n".to_owned()]);
        assert!(nodes.ask(one()));
        assert!(!nodes.ask(one()));
        nodes.note_away(one());
        assert!(nodes.is_away("n") && !nodes.are_ready());
        assert!(nodes.note_back("n"));
        assert!(nodes.ask(one()) && nodes.are_ready());
        assert!(!nodes.note_back("n"));
    }
}
