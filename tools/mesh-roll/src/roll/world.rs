//! The state of the cluster from the watches: all workloads and pods, because a rollout that is not
//! part of the plan keeps its budgets too.

use std::collections::{BTreeMap, BTreeSet};

use mesh_cluster::object::{ConfigMap, DisruptionBudget, EndpointSlice};
use mesh_cluster::workload::injection::Rules;
use mesh_cluster::workload::rollout::{Observed, PodSeen};
use mesh_cluster::{Change, Store, Stored as _};
use mesh_records::{WorkloadKind, WorkloadRef};

use super::known_nodes::KnownNodes;
use super::watched::{Mesh, NamespaceRules, Watched};

#[derive(Debug, Default)]
pub(crate) struct World {
    interest: BTreeSet<WorkloadRef>,
    pub(super) workloads: BTreeMap<WorkloadKind, Store<Observed>>,
    pub(super) pods: Store<PodSeen>,
    /// The labels of the pod of each workload that was seen last.
    last_labels: BTreeMap<WorkloadRef, BTreeMap<String, String>>,
    /// The labels that the dry run of each workload's pod showed last.
    future_labels: BTreeMap<WorkloadRef, BTreeMap<String, String>>,
    /// The uids of the pods of the first list.
    first_pods: Option<BTreeSet<String>>,
    namespaces: Store<NamespaceRules>,
    pub(super) budgets: Store<DisruptionBudget>,
    configs: Store<ConfigMap>,
    slices: Store<EndpointSlice>,
    mesh: Mesh,
    target: Option<Mesh>,
    nodes: KnownNodes,
    /// The DaemonSets with pods on nodes that are not ready, as they are on their other nodes.
    pub(super) living: BTreeMap<WorkloadRef, Observed>,
}

/// The kinds of workloads that are always watched: their rollouts keep budgets and slots.
pub(crate) const KINDS: [WorkloadKind; 3] = [
    WorkloadKind::Deployment,
    WorkloadKind::StatefulSet,
    WorkloadKind::DaemonSet,
];

// === impl World ===

impl World {
    /// Makes an empty world of these kinds that tells of changes of these workloads.
    pub(crate) fn new(interest: BTreeSet<WorkloadRef>, kinds: BTreeSet<WorkloadKind>) -> Self {
        let stores = kinds.into_iter().map(|kind| (kind, Store::default()));
        Self {
            interest,
            workloads: stores.collect(),
            ..Self::default()
        }
    }

    /// Returns true if every list is complete.
    pub(crate) fn is_complete(&self) -> bool {
        self.workloads.values().all(Store::is_whole)
            && self.pods.is_whole()
            && self.namespaces.is_whole()
            && self.budgets.is_whole()
            && self.configs.is_whole()
            && self.slices.is_whole()
    }

    pub(crate) fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// Returns the control plane as it was when the plan was made; before that, the current one.
    pub(crate) fn target(&self) -> &Mesh {
        self.target.as_ref().unwrap_or(&self.mesh)
    }

    pub(crate) fn keep_target(&mut self) {
        self.target = Some(self.mesh.clone());
    }

    /// Returns a workload; a DaemonSet as it is without the nodes that are not ready.
    pub(crate) fn workload(&self, key: &WorkloadRef) -> Option<&Observed> {
        self.living.get(key).or_else(|| self.whole(key))
    }

    /// Returns a workload as it is on all nodes.
    pub(crate) fn whole(&self, key: &WorkloadRef) -> Option<&Observed> {
        self.workloads.get(&key.kind)?.get(key)
    }

    /// Notes which nodes are not ready.
    pub(crate) fn note_away(&mut self, nodes: BTreeSet<String>) {
        self.nodes.note_away(nodes);
        self.note_all_living(None);
    }

    /// Notes that somebody asks for the nodes of the pods of a DaemonSet that are not ready. Returns true
    /// if there is one that nobody asked for since it was ready.
    pub(crate) fn ask_nodes_of(&mut self, key: &WorkloadRef) -> bool {
        if key.kind != WorkloadKind::DaemonSet {
            return false;
        }
        let unready = self.all_pods(key).filter(|pod| !pod.ready);
        let nodes = unready.filter_map(|pod| pod.node.clone()).collect();
        self.nodes.ask(nodes)
    }

    /// Returns true, once, if a pod of a DaemonSet was ready and is not any more.
    pub(crate) fn was_shaken(&mut self, key: &WorkloadRef) -> bool {
        self.nodes.was_shaken(key)
    }

    /// Returns true if a node was not ready when somebody asked last.
    pub(crate) fn is_away(&self, node: &str) -> bool {
        self.nodes.is_away(node)
    }

    /// Returns true if a pod can neither stop nor start, because its node is not ready.
    pub(crate) fn is_stranded(&self, pod: &PodSeen) -> bool {
        let node = pod.node.as_ref();
        !pod.ready && node.is_some_and(|node| self.nodes.is_away(node))
    }

    /// Returns the pods of a DaemonSet that are on nodes that are not ready.
    pub(crate) fn stranded(&self, key: &WorkloadRef) -> impl Iterator<Item = &PodSeen> {
        let is_set = key.kind == WorkloadKind::DaemonSet && !self.nodes.are_ready();
        let pods = is_set.then(|| self.own_pods(key)).into_iter().flatten();
        pods.filter(|pod| self.is_stranded(pod))
    }

    /// Returns true if the controller of a DaemonSet would restart none of its other pods: it counts those
    /// on nodes that are not ready like any others, and they are as many as it takes at a time, or all.
    pub(crate) fn is_full(&self, observed: &Observed) -> bool {
        let stranded = self.stranded(&observed.key).count();
        let at_once = usize::try_from(observed.steps.at_once).unwrap_or(usize::MAX);
        let has_others = self.pods(&observed.key).next().is_some();
        stranded > 0 && (stranded >= at_once || !has_others)
    }

    fn note_living(&mut self, key: &WorkloadRef) {
        let nodes: BTreeSet<_> = self.stranded(key).map(|pod| &pod.node).collect();
        let nodes = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
        match self.whole(key).filter(|_| nodes > 0) {
            Some(whole) => {
                let living = whole.without_nodes(nodes);
                self.living.insert(key.clone(), living);
            }
            None => {
                self.living.remove(key);
            }
        }
    }

    pub(crate) fn rules(&self, namespace: &str) -> Rules {
        let known = self.namespaces.get(&namespace.to_owned());
        known.map(|known| known.rules.clone()).unwrap_or_default()
    }

    /// Returns the workload's pods that have not ended.
    pub(crate) fn pods(&self, key: &WorkloadRef) -> impl Iterator<Item = &PodSeen> + Clone {
        self.all_pods(key).filter(|pod| !pod.over)
    }

    /// Returns all known pods of the workload, also those that have ended, but not those of a DaemonSet
    /// that are [stranded](Self::stranded).
    pub(crate) fn all_pods(&self, key: &WorkloadRef) -> impl Iterator<Item = &PodSeen> + Clone {
        let is_set = key.kind == WorkloadKind::DaemonSet;
        let pods = self.own_pods(key);
        pods.filter(move |pod| !is_set || !self.is_stranded(pod))
    }

    /// Returns all known pods of the workload, wherever they are.
    // The pods of a set that an earlier workload of the same name left behind are filed under it too,
    // but it does not select them.
    pub(crate) fn own_pods(&self, key: &WorkloadRef) -> impl Iterator<Item = &PodSeen> + Clone {
        let owner = Some(key.clone());
        let from = (key.namespace.clone(), owner.clone(), String::new());
        let pods = self.pods.from(from);
        let filed = pods.take_while(move |pod| pod.owner == owner);
        let observed = self.whole(key);
        filed.filter(move |pod| is_selected(observed, pod))
    }

    /// Returns true if a pod that is filed under a workload is its own.
    pub(crate) fn is_own(&self, key: &WorkloadRef, pod: &PodSeen) -> bool {
        is_selected(self.workload(key), pod)
    }

    /// Returns the workload's pods that were created after the first list. Pods that have ended are
    /// included, and those on any node, because they still show what the injector gave.
    pub(crate) fn fresh_pods(&self, key: &WorkloadRef) -> impl Iterator<Item = &PodSeen> {
        self.own_pods(key).filter(|pod| self.is_fresh(pod))
    }

    /// Returns true if a pod was created after the first list.
    pub(crate) fn is_fresh(&self, pod: &PodSeen) -> bool {
        let first = self.first_pods.as_ref();
        first.is_some_and(|first| !first.contains(&pod.uid))
    }

    /// Returns the labels of the workload's pod that was seen last, which may be gone.
    pub(crate) fn last_labels(&self, key: &WorkloadRef) -> Option<&BTreeMap<String, String>> {
        self.last_labels.get(key)
    }

    /// Returns the labels that the workload's next pod gets, as far as a dry run showed them.
    pub(crate) fn future_labels(&self, key: &WorkloadRef) -> Option<&BTreeMap<String, String>> {
        self.future_labels.get(key)
    }

    /// Notes the labels that the dry run of a workload's pod showed.
    pub(crate) fn note_future_labels(
        &mut self,
        key: &WorkloadRef,
        labels: BTreeMap<String, String>,
    ) {
        self.future_labels.insert(key.clone(), labels);
    }

    /// Applies an event of a watch. Returns the workloads whose pods it concerns.
    pub(crate) fn take(&mut self, watched: Watched) -> Vec<WorkloadRef> {
        match watched {
            Watched::Workload(kind, change) => {
                let key = object(&change).map(|observed| observed.key.clone());
                if let Some(store) = self.workloads.get_mut(&kind) {
                    store.apply(*change);
                }
                let mut concerned = self.note_ended();
                self.note_all_living(key.as_ref());
                concerned.extend(key.filter(|key| self.interest.contains(key)));
                return concerned;
            }
            Watched::Pod(change) => return self.take_pod(*change),
            Watched::Namespace(change) => {
                self.namespaces.apply(change);
                let ended = self.note_ended();
                self.note_all_living(None);
                return ended;
            }
            Watched::Budget(change) => self.budgets.apply(*change),
            Watched::Config(change) => {
                self.configs.apply(change);
                self.mesh = Mesh::of(&self.configs, &self.slices);
            }
            Watched::Slice(change) => {
                self.slices.apply(change);
                self.mesh = Mesh::of(&self.configs, &self.slices);
            }
        }
        Vec::new()
    }

    // What is in a namespace that is being deleted is being deleted too, long before its own turn comes:
    // pods go first, and one that does not go keeps the others. Returns those that this run is about.
    fn note_ended(&mut self) -> Vec<WorkloadRef> {
        let ending = self.namespaces.iter().filter(|it| it.ends);
        let ending: BTreeSet<String> = ending.map(|it| it.namespace.clone()).collect();
        let mut ended = Vec::new();
        if ending.is_empty() {
            return ended;
        }
        for store in self.workloads.values_mut() {
            let is_new = |it: &&Observed| !it.deleting && ending.contains(&it.key.namespace);
            let new: Vec<Observed> = store.iter().filter(is_new).cloned().collect();
            for mut observed in new {
                observed.deleting = true;
                ended.push(observed.key.clone());
                store.put(observed);
            }
        }
        ended.retain(|key| self.interest.contains(key));
        ended
    }

    /// Applies an observation unless it is older than the known one.
    pub(crate) fn take_workload(&mut self, observed: Observed) {
        let key = observed.key.clone();
        if let Some(store) = self.workloads.get_mut(&key.kind) {
            store.put(observed);
        }
        self.note_ended();
        self.note_all_living(Some(&key));
    }

    // A list without a workload of its own concerns all.
    fn note_all_living(&mut self, key: Option<&WorkloadRef>) {
        if self.nodes.are_ready() {
            return self.living.clear();
        }
        match key {
            Some(key) if key.kind == WorkloadKind::DaemonSet => self.note_living(key),
            Some(_) => {}
            None => {
                let sets = self.workloads.get(&WorkloadKind::DaemonSet);
                let sets = sets.into_iter().flat_map(Store::iter);
                let keys: Vec<WorkloadRef> = sets.map(|observed| observed.key.clone()).collect();
                for key in keys {
                    self.note_living(&key);
                }
            }
        }
    }

    fn take_pod(&mut self, change: Change<PodSeen>) -> Vec<WorkloadRef> {
        let change = change.map(|pod| pod.filed(|set| self.interest.contains(set)));
        let owner = object(&change).map(|pod| pod.owner.clone());
        if let Some(pod) = object(&change)
            && let Some(owner) = &pod.owner
            && self.is_own(owner, pod)
        {
            self.last_labels.insert(owner.clone(), pod.labels.clone());
        }
        let of_interest = |owner: &WorkloadRef| self.interest.contains(owner);
        let concerned = match (&change, &owner) {
            (_, Some(owner)) => owner
                .iter()
                .filter(|key| of_interest(key))
                .cloned()
                .collect(),
            (Change::Listed { .. }, None) => self.interest.iter().cloned().collect(),
            (_, None) => Vec::new(),
        };
        let listed = matches!(change, Change::Listed { .. });
        let known = object(&change).and_then(|pod| self.pods.get(&pod.key()));
        if self.nodes.hear(&change, known) {
            self.note_all_living(None);
        }
        self.pods.apply(change);
        match owner {
            Some(Some(owner)) => self.note_all_living(Some(&owner)),
            Some(None) => {}
            None => self.note_all_living(None),
        }
        if listed && self.first_pods.is_none() {
            let pods = self.pods.iter();
            self.first_pods = Some(pods.map(|pod| pod.uid.clone()).collect());
        }
        concerned
    }
}

fn is_selected(observed: Option<&Observed>, pod: &PodSeen) -> bool {
    observed.is_none_or(|it| it.selector.selects(&pod.labels))
}

fn object<T>(change: &Change<T>) -> Option<&T> {
    match change {
        Change::Seen(object) | Change::Applied(object) | Change::Deleted(object) => Some(object),
        Change::Began | Change::Listed { .. } => None,
    }
}
