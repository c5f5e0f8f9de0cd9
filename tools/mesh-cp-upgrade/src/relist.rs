//! The last look at the components: lists, because a watch that has gone silent shows nothing.

use mesh_cluster::object::{Deployment, Object, Pod};
use mesh_cluster::{Change, Cluster, Error, Selection};

use crate::board::Sight;

/// Lists what decides whether the components are ready.
pub(crate) async fn listed(cluster: &Cluster, namespace: &str) -> Result<Vec<Sight>, Error> {
    let (deployments, pods) = futures::try_join!(
        list::<Deployment>(cluster, namespace),
        list::<Pod>(cluster, namespace)
    )?;
    let deployments = deployments.into_iter();
    let deployments = deployments.map(|change| Sight::Deployment(Box::new(change)));
    Ok(deployments
        .chain(pods.into_iter().map(Sight::Pod))
        .collect())
}

// The list with which a watch begins is tried again like a watch.
async fn list<K: Object>(cluster: &Cluster, namespace: &str) -> Result<Vec<Change<K>>, Error> {
    let selection = Selection {
        namespace: Some(namespace),
        labels: None,
    };
    let mut watch = cluster.watch::<K>(selection);
    let mut changes = Vec::new();
    while !matches!(changes.last(), Some(Change::Listed { .. })) {
        changes.push(watch.next_change().await?);
    }
    Ok(changes)
}
