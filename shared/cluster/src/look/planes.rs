//! Finding control planes and extensions, and reading a control plane's objects.

use std::collections::{BTreeMap, BTreeSet};

use mesh_records::{Anomaly, Extension, WorkloadKind};

use super::Look;
use super::facts::{SharedObjects, shared, with_own};
use crate::control_plane::{Objects, bundle_sha256, is_component, stated_version};
use crate::how::Owner;
use crate::label;
use crate::object::{ConfigMap, Deployment, Meta, Namespace, Object as _};
use crate::page::{Page, Selection};
use crate::rollout::{self, Rolling as _};
use crate::sight::{Asked, Blocked, each, if_any};

/// What the lists of namespaces and owners show of Linkerd itself.
#[derive(Debug, Default)]
pub(super) struct Finds {
    labelled: BTreeSet<String>,
    components: Vec<Deployment>,
    operator: bool,
    /// Extension by namespace.
    extensions: BTreeMap<String, String>,
    /// The versions that objects of a namespace state, by their names.
    stated: BTreeMap<(String, String), String>,
    /// The CNI plugin's `DaemonSet`: namespace, version, settled.
    plugins: Vec<Plugin>,
}

#[derive(Debug)]
struct Plugin {
    namespace: String,
    version: Option<String>,
    settled: bool,
}

const OPERATOR: &str = "linkerd-control-plane-operator";

// === impl Finds ===

impl Finds {
    pub(super) fn namespace(&mut self, meta: &Meta) {
        if meta
            .labels
            .get(label::IS_CONTROL_PLANE)
            .is_some_and(|word| word == "true")
        {
            self.labelled.insert(meta.name.clone());
        }
        if let Some(extension) = meta.labels.get(label::EXTENSION) {
            self.extensions.insert(meta.name.clone(), extension.clone());
        }
    }

    pub(super) fn owner(&mut self, owner: Owner<'_>) {
        match owner {
            Owner::Deployment(deployment) => self.deployment(deployment),
            Owner::DaemonSet(set) => {
                if set.meta.labels.contains_key(label::CNI) {
                    let settled = match set.standing() {
                        rollout::State::Settled => true,
                        rollout::State::Progressing(_)
                        | rollout::State::Ailing(_)
                        | rollout::State::Failed(_)
                        | rollout::State::Blocked(_)
                        | rollout::State::Superseded => false,
                    };
                    let version = stated_version(&set.meta);
                    let namespace = set.meta.namespace.clone();
                    self.plugins.push(Plugin {
                        namespace,
                        version,
                        settled,
                    });
                }
            }
            Owner::StatefulSet(_) | Owner::Other { .. } => {}
        }
    }

    fn deployment(&mut self, deployment: &Deployment) {
        let meta = &deployment.meta;
        self.operator |= meta.name == OPERATOR;
        if is_component(meta) {
            self.components.push(deployment.clone());
        }
        if self.extensions.contains_key(&meta.namespace) {
            let key = (meta.namespace.clone(), meta.name.clone());
            self.stated
                .extend(stated_version(meta).map(|version| (key, version)));
        }
    }

    /// Forgets what a list showed that begins again.
    pub(super) fn forget(&mut self, kind: &WorkloadKind, place: Option<&str>) {
        let is_here = |namespace: &str| place.is_none_or(|place| place == namespace);
        match kind {
            WorkloadKind::Deployment => {
                self.components
                    .retain(|component| !is_here(&component.meta.namespace));
                self.stated.retain(|(namespace, _), _| !is_here(namespace));
            }
            WorkloadKind::DaemonSet => self.plugins.retain(|plugin| !is_here(&plugin.namespace)),
            WorkloadKind::StatefulSet
            | WorkloadKind::ReplicaSet
            | WorkloadKind::ReplicationController
            | WorkloadKind::Job
            | WorkloadKind::CronJob
            | WorkloadKind::Rollout
            | WorkloadKind::Pod
            | WorkloadKind::Other(_) => {}
        }
    }

    /// Whether some CNI plugin is on its way; none where there is no plugin.
    pub(super) fn is_cni_rolling(&self) -> Option<bool> {
        (!self.plugins.is_empty()).then(|| self.plugins.iter().any(|plugin| !plugin.settled))
    }

    pub(super) fn extensions(&self, cluster: &str) -> Vec<Extension> {
        let version = |namespace: &str| {
            let mut stated = self
                .stated
                .iter()
                .filter(|((place, _), _)| place == namespace);
            stated.next().map(|(_, version)| version.clone())
        };
        let labelled = self.extensions.iter().map(|(namespace, name)| Extension {
            cluster: cluster.to_owned(),
            name: name.clone(),
            namespace: namespace.clone(),
            version: version(namespace),
        });
        let plugins = self.plugins.iter().map(|plugin| Extension {
            cluster: cluster.to_owned(),
            name: "cni".to_owned(),
            namespace: plugin.namespace.clone(),
            version: plugin.version.clone(),
        });
        let mut extensions: Vec<Extension> = labelled
            .filter(|extension| extension.name != "cni")
            .chain(plugins)
            .collect();
        extensions.sort_by(|one, other| {
            (&one.name, &one.namespace).cmp(&(&other.name, &other.namespace))
        });
        extensions
    }
}

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
        let read = if_any(cluster.get::<Namespace>(None, namespace)).await;
        let Some(found) = asked.required(cluster, read)? else {
            return Ok(());
        };
        let rules = crate::injection::Rules::of(&found.meta);
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
        let read = if_any(self.cluster.get::<ConfigMap>(Some(namespace), name)).await;
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

/// The anomaly of a configuration that is there and says nothing.
pub(super) fn unreadable(cluster: &str, namespace: &str) -> Anomaly {
    Anomaly {
        cluster: cluster.to_owned(),
        id: "config-unreadable".to_owned(),
        kind: WorkloadKind::Other("ConfigMap".to_owned()),
        namespace: namespace.to_owned(),
        name: label::CONFIG.to_owned(),
        message: format!("{namespace}/{}: its values cannot be read", label::CONFIG),
    }
}
