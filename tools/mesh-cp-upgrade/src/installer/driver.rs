//! Where helm keeps its releases, and whether that is in this cluster.

use std::collections::BTreeMap;
use std::fmt;

use clap::ValueEnum;
use mesh_cluster::control_plane::issuer::SECRETS;
use mesh_cluster::object::{Bare, ConfigMap, Object as _, Resource};
use mesh_cluster::{Cluster, Error, Selection, Target, Why};
use mesh_records::Release;

/// What helm calls its driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Driver {
    // An empty variable is helm's default too.
    #[value(aliases = ["secrets", ""])]
    Secret,
    #[value(name = "configmap", alias = "configmaps")]
    ConfigMap,
    /// A database outside the cluster
    Sql,
}

/// The resourceVersion of each object in which helm keeps a revision of a release: while they stay the
/// same, so does all that helm says of it.
pub(crate) type Kept = BTreeMap<String, String>;

impl Driver {
    /// Returns true if the releases are objects in the cluster.
    pub(crate) fn is_in_cluster(self) -> bool {
        self.kind().is_some()
    }

    /// Says that this cluster does not have a revision that helm lists. Helm itself cannot say:
    /// whatever sends it to another cluster sends its answers from there, too.
    pub(crate) async fn missing(
        self,
        cluster: &Cluster,
        release: &Release,
        revision: u32,
    ) -> Result<Option<String>, Error> {
        let Some(kind) = self.kind() else {
            return Ok(None);
        };
        let Release { name, namespace } = release;
        let object = format!("sh.helm.release.v1.{name}.v{revision}");
        let target = Target::one(kind, Some(namespace), &object);
        match cluster.metadata::<Bare>(&target).await {
            Ok(_) => Ok(None),
            Err(error) if error.why() == Why::NotFound => Ok(Some(format!(
                "`{}` has no {self} with revision {revision} of {namespace}/{name}: helm works on \
                 another cluster",
                cluster.label()
            ))),
            Err(error) => Err(error),
        }
    }

    /// Returns what helm keeps of a release; `None` if that is not in the cluster, or if this user may
    /// not list it.
    pub(crate) async fn kept(
        self,
        cluster: &Cluster,
        release: &Release,
    ) -> Result<Option<Kept>, Error> {
        let Some(kind) = self.kind() else {
            return Ok(None);
        };
        let labels = format!("owner=helm,name={}", release.name);
        let selection = Selection {
            namespace: Some(&release.namespace),
            labels: Some(&labels),
        };
        match cluster.metadata_pages::<Bare>(kind, selection).all().await {
            Ok(objects) => {
                let objects = objects.into_iter();
                let objects = objects.map(|it| (it.meta.name, it.meta.resource_version));
                Ok(Some(objects.collect()))
            }
            Err(error) if error.why() == Why::Forbidden => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the kind of the objects in which helm keeps the releases, if these are in the cluster.
    pub(crate) fn kind(self) -> Option<Resource> {
        match self {
            Self::Secret => Some(SECRETS),
            Self::ConfigMap => Some(ConfigMap::RESOURCE),
            Self::Sql => None,
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}
