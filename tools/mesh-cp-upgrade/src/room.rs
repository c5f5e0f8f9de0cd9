//! Looks for a node for the new pod of each component: before the write nothing else tells that there
//! is none.

use mesh_cluster::object::{Node, Object as _, Pod};
use mesh_cluster::{Cluster, Error, Reading, Selection};

use crate::capacity::{Coming, Hindrance, PodAsked, reasons};

// A pod that is coming, and why the nodes so far do not take it.
struct Search<'a> {
    coming: &'a Coming,
    against: Vec<Hindrance>,
}

/// Returns the components for whose new pod no node has room now, with the reasons. The pods of a node
/// are read only if that can still matter.
pub(crate) async fn without_room(
    cluster: &Cluster,
    coming: &[Coming],
) -> Result<Vec<(String, String)>, Error> {
    if coming.is_empty() {
        return Ok(Vec::new());
    }
    let nodes = cluster.pages_as::<Node>(Node::RESOURCE, Selection::default());
    let nodes = nodes.all().await?;
    let search = |coming| Search {
        coming,
        against: Vec::new(),
    };
    let mut searches: Vec<Search<'_>> = coming.iter().map(search).collect();
    for node in &nodes {
        let (mut open, mut next) = (Vec::new(), Vec::new());
        for mut search in searches {
            match search.coming.kept_off(node) {
                None => open.push(search),
                Some(hindrance) => {
                    search.against.push(hindrance);
                    next.push(search);
                }
            }
        }
        if !open.is_empty() {
            let pods = on(cluster, node).await?;
            for mut search in open {
                if let Some(hindrance) = search.coming.crowded_out(node, &pods) {
                    search.against.push(hindrance);
                    next.push(search);
                }
            }
        }
        if next.is_empty() {
            return Ok(Vec::new());
        }
        searches = next;
    }
    let said = |search: &Search<'_>| {
        let component = search.coming.component.clone();
        (component, reasons(&search.against))
    };
    Ok(searches.iter().map(said).collect())
}

async fn on(cluster: &Cluster, node: &Node) -> Result<Vec<PodAsked>, Error> {
    let fields = format!("spec.nodeName={}", node.meta.name);
    let pods = cluster.pages_as(Pod::RESOURCE, Selection::default());
    let pods = pods.with_fields(Some(&fields)).reading(Reading::Cached);
    pods.all().await
}
