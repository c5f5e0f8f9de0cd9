//! The watches, one per kind; each sends its events to a channel.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use mesh_cluster::object::label::SERVICE;
use mesh_cluster::object::{
    DaemonSet, Deployment, Namespace, Object, Pod, ReplicaSet, ReplicationController, Rollout,
    StatefulSet,
};
use mesh_cluster::workload::injection::Rules;
use mesh_cluster::workload::rollout::{Observed, PodSeen, Restartable};
use mesh_cluster::{Change, Cluster, Error, Selection};
use mesh_records::WorkloadKind;
use tokio::sync::mpsc::Sender;

use crate::roll::{NamespaceRules, PROXIES_NEED, Watched};

/// A message of a watch. After an error the watch has ended.
pub(crate) type Told = Result<Watched, Error>;

/// The open watches; they run while they are polled.
pub(crate) type Watches = FuturesUnordered<LocalBoxFuture<'static, ()>>;

/// Opens every watch.
pub(crate) fn open(
    cluster: &Arc<Cluster>,
    control_plane: &str,
    kinds: &BTreeSet<WorkloadKind>,
    tell: &Sender<Told>,
) -> Watches {
    let watches = Watches::new();
    let all = Opening {
        watches: &watches,
        cluster,
        tell,
    };
    all.follow(None, None, |change| {
        Watched::Pod(Box::new(change.map(|pod: Pod| PodSeen::of(&pod))))
    });
    for kind in kinds {
        all.workloads(kind);
    }
    all.follow(None, None, |change| {
        Watched::Namespace(change.map(|namespace: Namespace| NamespaceRules {
            rules: Rules::of(&namespace.meta),
            ends: namespace.meta.deletion_timestamp.is_some(),
            namespace: namespace.meta.name,
        }))
    });
    all.follow(None, None, |change| Watched::Budget(Box::new(change)));
    all.follow(Some(control_plane), None, Watched::Config);
    let services = format!("{SERVICE} in ({})", PROXIES_NEED.join(","));
    all.follow(Some(control_plane), Some(services), Watched::Slice);
    watches
}

fn workload<K: Restartable>(change: Change<K>) -> Watched {
    let change = change.map(|object| Observed::of(&object));
    Watched::Workload(K::kind(), Box::new(change))
}

struct Opening<'a> {
    watches: &'a Watches,
    cluster: &'a Arc<Cluster>,
    tell: &'a Sender<Told>,
}

impl Opening<'_> {
    fn workloads(&self, kind: &WorkloadKind) {
        match kind {
            WorkloadKind::Deployment => self.follow(None, None, workload::<Deployment>),
            WorkloadKind::StatefulSet => self.follow(None, None, workload::<StatefulSet>),
            WorkloadKind::DaemonSet => self.follow(None, None, workload::<DaemonSet>),
            WorkloadKind::ReplicaSet => self.follow(None, None, workload::<ReplicaSet>),
            WorkloadKind::ReplicationController => {
                self.follow(None, None, workload::<ReplicationController>);
            }
            WorkloadKind::Rollout => self.follow(None, None, workload::<Rollout>),
            WorkloadKind::Job
            | WorkloadKind::CronJob
            | WorkloadKind::Pod
            | WorkloadKind::Other(_) => {}
        }
    }

    fn follow<K: Object>(
        &self,
        namespace: Option<&str>,
        labels: Option<String>,
        watched: fn(Change<K>) -> Watched,
    ) {
        let (cluster, tell) = (Arc::clone(self.cluster), self.tell.clone());
        let namespace = namespace.map(str::to_owned);
        self.watches.push(Box::pin(async move {
            let selection = Selection {
                namespace: namespace.as_deref(),
                labels: labels.as_deref(),
            };
            let mut changes = std::pin::pin!(cluster.watch::<K>(selection).into_stream());
            while let Some(change) = changes.next().await {
                // The receiver is gone, so the run has ended.
                if tell.send(change.map(watched)).await.is_err() {
                    return;
                }
            }
        }));
    }
}
