//! What else is in the cluster and in a namespace: pods, workloads and the budgets that they share.

use mesh_cluster::Store;
use mesh_cluster::object::DisruptionBudget;
use mesh_cluster::workload::rollout::{Observed, PodSeen};
use mesh_records::WorkloadRef;

use super::world::World;

impl World {
    /// Returns the pods of a namespace that have not ended, those of one workload in a row.
    pub(crate) fn pods_in<'a>(
        &'a self,
        namespace: &str,
    ) -> impl Iterator<Item = &'a PodSeen> + Clone + use<'a> {
        let namespace = namespace.to_owned();
        let pods = self.pods.from((namespace.clone(), None, String::new()));
        let pods = pods.take_while(move |pod| pod.namespace == namespace);
        pods.filter(|pod| !pod.over)
    }

    /// Returns the budgets of a namespace.
    pub(crate) fn budgets<'a>(
        &'a self,
        namespace: &str,
    ) -> impl Iterator<Item = &'a DisruptionBudget> + use<'a> {
        let namespace = namespace.to_owned();
        let budgets = self.budgets.from((namespace.clone(), String::new()));
        budgets.take_while(move |budget| budget.meta.namespace == namespace)
    }

    /// Returns every workload of the cluster, also those that are not part of the plan.
    pub(crate) fn workloads(&self) -> impl Iterator<Item = &Observed> {
        let workloads = self.workloads.values().flat_map(Store::iter);
        workloads.map(|observed| self.as_living(observed))
    }

    fn as_living<'a>(&'a self, observed: &'a Observed) -> &'a Observed {
        self.living.get(&observed.key).unwrap_or(observed)
    }

    /// Returns the workloads of a namespace.
    pub(crate) fn workloads_in(&self, namespace: &str) -> impl Iterator<Item = &Observed> {
        let stores = self.workloads.iter();
        stores.flat_map(move |(kind, store)| {
            let first = WorkloadRef {
                namespace: namespace.to_owned(),
                kind: kind.clone(),
                name: String::new(),
            };
            let workloads = store.from(first);
            let workloads =
                workloads.take_while(move |observed| observed.key.namespace == namespace);
            workloads.map(|observed| self.as_living(observed))
        })
    }
}
