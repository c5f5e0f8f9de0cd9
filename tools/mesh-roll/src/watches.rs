//! The watches: one a kind, each telling what it sees.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use mesh_cluster::object::{
    ConfigMap, DaemonSet, Deployment, DisruptionBudget, EndpointSlice, Namespace, Object, Pod,
    StatefulSet,
};
use mesh_cluster::wire::watch::Change;
use mesh_cluster::workload::injection::Rules;
use mesh_cluster::workload::rollout::{Observed, PodSeen, Rolling};
use mesh_cluster::{Cluster, Error, Selection};
use tokio::sync::mpsc::Sender;

use crate::mesh::INJECTOR;
use crate::roll::{Budget, Sight, Watched};

/// What a watch tells.
#[derive(Debug)]
pub(crate) enum Told {
    Sight(Sight),
    Config(Change<ConfigMap>),
    Slice(Change<EndpointSlice>),
    /// A watch has ended.
    Blind(Error),
}

/// Watches that are open, for as long as they are polled.
pub(crate) type Watches = FuturesUnordered<LocalBoxFuture<'static, ()>>;

/// Opens every watch.
pub(crate) fn open(cluster: &Arc<Cluster>, control_plane: &str, tell: &Sender<Told>) -> Watches {
    let watches = Watches::new();
    let all = Opening {
        watches: &watches,
        cluster,
        tell,
    };
    all.everywhere(Watched::Pods, |change| {
        sight(change, |pod: Pod, gone| {
            let pod = Box::new(PodSeen::of(&pod));
            if gone {
                Sight::PodGone(pod)
            } else {
                Sight::Pod(pod)
            }
        })
    });
    all.everywhere(Watched::Deployments, workload::<Deployment>);
    all.everywhere(Watched::StatefulSets, workload::<StatefulSet>);
    all.everywhere(Watched::DaemonSets, workload::<DaemonSet>);
    all.everywhere(Watched::Namespaces, |change| {
        sight(change, |namespace: Namespace, _| {
            let rules = Rules::of(&namespace.meta);
            Sight::Namespace(namespace.meta.name, rules)
        })
    });
    all.everywhere(Watched::Budgets, |change| {
        sight(change, |budget: DisruptionBudget, gone| {
            let budget = Budget {
                namespace: budget.meta.namespace,
                name: budget.meta.name,
                selector: budget.spec.selector,
            };
            if gone {
                Sight::BudgetGone(budget)
            } else {
                Sight::Budget(budget)
            }
        })
    });
    all.within(control_plane, None, Told::Config);
    all.within(control_plane, Some(INJECTOR), Told::Slice);
    watches
}

struct Opening<'a> {
    watches: &'a Watches,
    cluster: &'a Arc<Cluster>,
    tell: &'a Sender<Told>,
}

impl Opening<'_> {
    fn everywhere<K: Object>(&self, watched: Watched, show: fn(Change<K>) -> Option<Sight>) {
        let told = move |change| {
            let sight = match change {
                Change::Began => Some(Sight::Began(watched)),
                Change::Listed { .. } => Some(Sight::Listed(watched)),
                Change::Seen(_) | Change::Applied(_) | Change::Deleted(_) => show(change),
            };
            sight.map(Told::Sight)
        };
        self.follow(None, None, told);
    }

    fn within<K: Object>(
        &self,
        namespace: &str,
        labels: Option<&'static str>,
        told: fn(Change<K>) -> Told,
    ) {
        self.follow(Some(namespace.to_owned()), labels, move |change| {
            Some(told(change))
        });
    }

    fn follow<K: Object>(
        &self,
        namespace: Option<String>,
        labels: Option<&'static str>,
        told: impl Fn(Change<K>) -> Option<Told> + 'static,
    ) {
        let (cluster, tell) = (Arc::clone(self.cluster), self.tell.clone());
        self.watches.push(Box::pin(async move {
            let selection = Selection {
                namespace: namespace.as_deref(),
                labels,
            };
            let mut changes = std::pin::pin!(cluster.watch::<K>(selection).into_stream());
            while let Some(change) = changes.next().await {
                let told = match change {
                    Ok(change) => told(change),
                    Err(error) => Some(Told::Blind(error)),
                };
                // Whoever listened has ended.
                if let Some(told) = told
                    && tell.send(told).await.is_err()
                {
                    return;
                }
            }
        }));
    }
}

fn workload<K: Rolling>(change: Change<K>) -> Option<Sight> {
    sight(change, |object: K, gone| {
        let observed = Observed::of(&object);
        if gone {
            Sight::WorkloadGone(observed.key)
        } else {
            Sight::Workload(Box::new(observed))
        }
    })
}

fn sight<K>(change: Change<K>, show: impl FnOnce(K, bool) -> Sight) -> Option<Sight> {
    match change {
        Change::Seen(object) | Change::Applied(object) => Some(show(object, false)),
        Change::Deleted(object) => Some(show(object, true)),
        Change::Began | Change::Listed { .. } => None,
    }
}
