//! Reading the objects of every control plane.

use mesh_records::WorkloadKind;

use super::Look;
use super::facts::{SharedObjects, shared, with_own};
use crate::sight::{Asked, Blocked, each, if_any, patient};
use mesh_cluster::control_plane::{Objects, bundle_sha256};
use mesh_cluster::object::label;
use mesh_cluster::object::{ConfigMap, Deployment, Namespace, Object as _};
use mesh_cluster::wire::page::{Page, Selection};

// === impl Look ===

impl Look<'_> {
    /// Every control plane: where namespaces or Deployments are labelled as one, and where one is
    /// looked for whatever the labels say.
    pub(super) async fn control_planes(&mut self) -> Result<Vec<Objects>, Blocked> {
        let told = self.wish.linkerd_namespace.clone();
        let outside = !self.wish.namespaces.is_empty() && !self.wish.namespaces.contains(&told);
        if outside {
            self.outside(&told).await?;
        }
        let mut places = self.finds.labelled.clone();
        places.extend(
            self.finds
                .components
                .iter()
                .map(|it| it.meta.namespace.clone()),
        );
        if self.ground.namespaces.contains_key(&told) {
            places.insert(told);
        }
        let mut planes = Vec::new();
        for namespace in places {
            planes.extend(self.control_plane(namespace).await?);
        }
        if planes.is_empty() {
            return Ok(planes);
        }
        let shared = shared(self.cluster, &mut self.unseen).await?;
        for plane in &mut planes {
            self.rest(plane, &shared).await?;
        }
        if let Some(first) = planes.first() {
            let told = planes
                .iter()
                .any(|plane| plane.namespace == self.ground.fallback);
            if !told {
                self.ground.fallback.clone_from(&first.namespace);
            }
        }
        Ok(planes)
    }

    // A control plane that is not in the namespaces of the survey.
    async fn outside(&mut self, namespace: &str) -> Result<(), Blocked> {
        let cluster = self.cluster;
        let asked = Asked {
            verb: "get",
            resource: &Namespace::RESOURCE,
            name: Some(namespace),
            namespace: None,
        };
        let read = if_any(patient(|| cluster.get::<Namespace>(None, namespace))).await;
        let Some(found) = asked.required(cluster, read)? else {
            return Ok(());
        };
        let rules = mesh_cluster::workload::injection::Rules::of(&found.meta);
        self.ground.namespaces.insert(namespace.to_owned(), rules);
        let selection = Selection {
            namespace: Some(namespace),
            labels: Some(label::COMPONENT),
        };
        let (finds, restarts) = (&mut self.finds, &mut self.restarts);
        let listed = each(cluster.pages::<Deployment>(selection), |page| match page {
            Page::Items(deployments) => deployments.iter().for_each(|it| finds.deployment(it)),
            Page::Restarted => {
                *restarts += 1;
                finds.forget(&WorkloadKind::Deployment, Some(namespace));
            }
        });
        let asked = Asked {
            verb: "list",
            resource: &Deployment::RESOURCE,
            name: None,
            namespace: Some(namespace),
        };
        asked.required(cluster, listed.await)
    }

    async fn control_plane(&mut self, namespace: String) -> Result<Option<Objects>, Blocked> {
        let config = self.config_map(&namespace, label::CONFIG).await?;
        let components = self.finds.components.iter();
        let components: Vec<Deployment> = components
            .filter(|it| it.meta.namespace == namespace)
            .cloned()
            .collect();
        if config.is_none() && components.is_empty() {
            return Ok(None);
        }
        let trust_roots = self.config_map(&namespace, label::TRUST_ROOTS).await?;
        let bundle = trust_roots.as_ref().and_then(bundle_sha256);
        self.ground.bundles.insert(namespace.clone(), bundle);
        Ok(Some(Objects {
            namespace,
            config,
            trust_roots,
            components,
            ..Objects::default()
        }))
    }

    async fn config_map(&self, namespace: &str, name: &str) -> Result<Option<ConfigMap>, Blocked> {
        let asked = Asked {
            verb: "get",
            resource: &ConfigMap::RESOURCE,
            name: Some(name),
            namespace: Some(namespace),
        };
        let read = if_any(patient(|| {
            self.cluster.get::<ConfigMap>(Some(namespace), name)
        }))
        .await;
        asked.required(self.cluster, read)
    }

    async fn rest(&mut self, plane: &mut Objects, shared: &SharedObjects) -> Result<(), Blocked> {
        with_own(self.cluster, &mut self.unseen, plane).await?;
        plane.operator |= self.finds.operator;
        let rolling = self.finds.is_cni_rolling();
        plane
            .facts
            .extend(rolling.map(|is_so| ("cni_rolling".to_owned(), is_so.into())));
        shared.give(plane);
        Ok(())
    }
}
