//! What the watches have shown: only what the plan needs of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mesh_cluster::object::Selector;
use mesh_cluster::workload::injection::Rules;
use mesh_cluster::workload::rollout::{Observed, PodSeen};
use mesh_records::WorkloadRef;

use super::sight::{Mesh, Sight, Watched};

#[derive(Debug)]
pub(crate) struct World {
    interest: BTreeSet<WorkloadRef>,
    workloads: HashMap<WorkloadRef, Observed>,
    pods: HashMap<WorkloadRef, BTreeMap<String, Tracked>>,
    namespaces: HashMap<String, Rules>,
    budgets: BTreeMap<(String, String), Selector>,
    mesh: Mesh,
    target: Option<Mesh>,
    listing: BTreeSet<Watched>,
    unseen: Unseen,
    pods_listed_once: bool,
}

#[derive(Debug)]
struct Tracked {
    pod: PodSeen,
    fresh: bool,
}

// What a list that has begun has not shown yet.
#[derive(Debug, Default)]
struct Unseen {
    workloads: BTreeSet<WorkloadRef>,
    pods: BTreeSet<(WorkloadRef, String)>,
    budgets: BTreeSet<(String, String)>,
}

// === impl World ===

impl World {
    /// Knows nothing yet; will know of these workloads only.
    pub(crate) fn new(interest: BTreeSet<WorkloadRef>) -> Self {
        Self {
            interest,
            workloads: HashMap::new(),
            pods: HashMap::new(),
            namespaces: HashMap::new(),
            budgets: BTreeMap::new(),
            mesh: Mesh::default(),
            target: None,
            listing: Watched::ALL.into(),
            unseen: Unseen::default(),
            pods_listed_once: false,
        }
    }

    /// Whether every list is whole.
    pub(crate) fn is_complete(&self) -> bool {
        self.listing.is_empty()
    }

    pub(crate) fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// What the run is for, from the moment that the plan was made: the control plane as it was.
    pub(crate) fn target(&self) -> &Mesh {
        self.target.as_ref().unwrap_or(&self.mesh)
    }

    pub(crate) fn keep_target(&mut self) {
        self.target = Some(self.mesh.clone());
    }

    pub(crate) fn workload(&self, key: &WorkloadRef) -> Option<&Observed> {
        self.workloads.get(key)
    }

    pub(crate) fn rules(&self, namespace: &str) -> Rules {
        self.namespaces.get(namespace).cloned().unwrap_or_default()
    }

    /// Its pods that are not over.
    pub(crate) fn pods(&self, key: &WorkloadRef) -> impl Iterator<Item = &PodSeen> {
        self.all_pods(key).filter(|pod| !pod.over)
    }

    /// Its pods, those that end included.
    pub(crate) fn all_pods(&self, key: &WorkloadRef) -> impl Iterator<Item = &PodSeen> {
        let pods = self.pods.get(key).into_iter().flatten();
        pods.map(|(_, tracked)| &tracked.pod)
    }

    /// Its pods that were created since the first list, those that are over included: what they
    /// were created with stays true.
    pub(crate) fn fresh_pods(&self, key: &WorkloadRef) -> impl Iterator<Item = &PodSeen> {
        let pods = self.pods.get(key).into_iter().flatten();
        pods.filter(|(_, tracked)| tracked.fresh)
            .map(|(_, tracked)| &tracked.pod)
    }

    /// Whether a budget counts the pods of both.
    pub(crate) fn share_a_budget(&self, one: &Observed, other: &Observed) -> bool {
        one.key.namespace == other.key.namespace
            && self.budgets.iter().any(|((namespace, _), selector)| {
                *namespace == one.key.namespace
                    && selector.selects(&one.template.meta.labels)
                    && selector.selects(&other.template.meta.labels)
            })
    }

    /// Takes in what a watch shows; the workload that it concerns, if it is one of interest.
    pub(crate) fn take(&mut self, sight: Sight) -> Option<WorkloadRef> {
        match sight {
            Sight::Workload(observed) => self.take_workload(*observed),
            Sight::WorkloadGone(key) => self.workloads.remove(&key).map(|_| key),
            Sight::Pod(pod) => self.take_pod(*pod),
            Sight::PodGone(pod) => {
                let key = self.owner(&pod)?;
                let pods = self.pods.get_mut(&key)?;
                pods.remove(&pod.name).map(|_| key)
            }
            Sight::Namespace(name, rules) => {
                self.namespaces.insert(name, rules);
                None
            }
            Sight::Budget(budget) => {
                let key = (budget.namespace, budget.name);
                self.unseen.budgets.remove(&key);
                self.budgets.insert(key, budget.selector);
                None
            }
            Sight::BudgetGone(budget) => {
                self.budgets.remove(&(budget.namespace, budget.name));
                None
            }
            Sight::Mesh(mesh) => {
                self.mesh = mesh;
                None
            }
            Sight::Began(kind) => {
                self.begin(kind);
                None
            }
            Sight::Listed(kind) => {
                self.finish(kind);
                None
            }
        }
    }

    /// Takes in an observation that may be older than what is known already.
    pub(crate) fn take_workload(&mut self, observed: Observed) -> Option<WorkloadRef> {
        let key = observed.key.clone();
        if !self.interest.contains(&key) {
            return None;
        }
        self.unseen.workloads.remove(&key);
        let known = self.workloads.get(&key);
        if known.is_some_and(|known| is_older(&observed, known)) {
            return Some(key);
        }
        self.workloads.insert(key.clone(), observed);
        Some(key)
    }

    fn take_pod(&mut self, pod: PodSeen) -> Option<WorkloadRef> {
        let key = self.owner(&pod)?;
        self.unseen.pods.remove(&(key.clone(), pod.name.clone()));
        let pods = self.pods.entry(key.clone()).or_default();
        let known = pods.get(&pod.name).filter(|known| known.pod.uid == pod.uid);
        let fresh = known.map_or(self.pods_listed_once, |known| known.fresh);
        pods.insert(pod.name.clone(), Tracked { pod, fresh });
        Some(key)
    }

    fn owner(&self, pod: &PodSeen) -> Option<WorkloadRef> {
        let key = owner_of(pod)?;
        self.interest.contains(&key).then_some(key)
    }

    fn begin(&mut self, kind: Watched) {
        self.listing.insert(kind);
        match kind.workloads() {
            Some(of) => {
                let known = self.workloads.keys().filter(|key| key.kind == of);
                self.unseen.workloads.extend(known.cloned());
            }
            None if kind == Watched::Pods => {
                let known = self.pods.iter().flat_map(|(key, pods)| {
                    let names = pods.keys();
                    names.map(|name| (key.clone(), name.clone()))
                });
                self.unseen.pods = known.collect();
            }
            None if kind == Watched::Budgets => {
                self.unseen.budgets = self.budgets.keys().cloned().collect();
            }
            None => {}
        }
    }

    fn finish(&mut self, kind: Watched) {
        self.listing.remove(&kind);
        if let Some(of) = kind.workloads() {
            let unseen = std::mem::take(&mut self.unseen.workloads);
            let (gone, rest) = unseen.into_iter().partition(|key| key.kind == of);
            self.unseen.workloads = rest;
            let gone: BTreeSet<WorkloadRef> = gone;
            self.workloads.retain(|key, _| !gone.contains(key));
        }
        if kind == Watched::Pods {
            self.pods_listed_once = true;
            for (key, name) in std::mem::take(&mut self.unseen.pods) {
                if let Some(pods) = self.pods.get_mut(&key) {
                    pods.remove(&name);
                }
            }
        }
        if kind == Watched::Budgets {
            for key in std::mem::take(&mut self.unseen.budgets) {
                self.budgets.remove(&key);
            }
        }
    }
}

/// The workload that a pod belongs to.
pub(crate) fn owner_of(pod: &PodSeen) -> Option<WorkloadRef> {
    let owner = pod.owner.as_ref()?;
    Some(WorkloadRef {
        namespace: pod.namespace.clone(),
        kind: owner.kind.clone(),
        name: owner.name.clone(),
    })
}

// Versions are numbers on every API server there is; where they are not, the last word counts.
fn is_older(observed: &Observed, known: &Observed) -> bool {
    let number = |observed: &Observed| observed.resource_version.parse::<u64>().ok();
    match (number(observed), number(known)) {
        (Some(observed), Some(known)) => observed < known,
        (None, _) | (_, None) => false,
    }
}
