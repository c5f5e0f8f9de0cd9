//! What is read of a custom resource definition (CRD), rendered or in the cluster.

use std::borrow::Cow;

use mesh_cluster::control_plane::DEFINITIONS;
use mesh_cluster::object::Resource;
use mesh_cluster::{Cluster, Error, Target, Why};
use serde::Deserialize;
use serde_json::Value;

use crate::render::Manifest;

#[derive(Debug, Deserialize)]
pub(crate) struct Definition {
    pub(crate) spec: Spec,
    #[serde(default)]
    pub(crate) status: Status,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Spec {
    pub(crate) group: String,
    pub(crate) names: Names,
    pub(crate) versions: Vec<Version>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Names {
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) plural: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Version {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) served: bool,
    #[serde(default)]
    pub(crate) storage: bool,
}

#[derive(Debug, Deserialize)]
struct List {
    items: Vec<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Status {
    /// The versions in which objects may be stored.
    pub(crate) stored_versions: Vec<String>,
}

impl Definition {
    /// Returns the definitions among rendered objects. The API server refuses one that cannot be read
    /// here.
    pub(crate) fn among(manifests: &[Manifest]) -> impl Iterator<Item = (&str, Self)> {
        let crds = manifests.iter().filter(|it| it.kind == DEFINITIONS.kind);
        crds.filter_map(|it| Some((it.name.as_str(), Self::deserialize(&it.body).ok()?)))
    }

    /// Reads a definition in the cluster, if it is there.
    pub(crate) async fn get(cluster: &Cluster, name: &str) -> Result<Option<Self>, Error> {
        let target = Target::one(DEFINITIONS, None, name);
        match cluster.get_as(&target).await {
            Ok(definition) => Ok(Some(definition)),
            Err(error) if error.why() == Why::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads all objects of its kind; none if that is not served.
    pub(crate) async fn objects(&self, cluster: &Cluster) -> Result<Vec<Value>, Error> {
        let Spec {
            group,
            names,
            versions,
        } = &self.spec;
        let served = |it: &&Version| it.served;
        let stored = versions.iter().filter(served).find(|it| it.storage);
        let Some(version) = stored.or_else(|| versions.iter().find(served)) else {
            return Ok(Vec::new());
        };
        let resource: Resource<Cow<'static, str>> = Resource {
            group: group.clone().into(),
            version: version.name.clone().into(),
            plural: names.plural.clone().into(),
            // The answer is one object: the list.
            kind: format!("{}List", names.kind).into(),
        };
        match cluster.get_as::<List>(&Target::all(resource)).await {
            Ok(list) => Ok(list.items),
            Err(error) if error.why() == Why::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Returns true if it has this version.
    pub(crate) fn has(&self, version: &str) -> bool {
        self.spec.versions.iter().any(|it| it.name == version)
    }
}
