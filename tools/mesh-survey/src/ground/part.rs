//! The parts of extensions: Deployments, and the CNI plugin's `DaemonSet`.

use mesh_cluster::object::label;
use mesh_cluster::object::{Container, DaemonSet, Deployment};
use mesh_cluster::workload::proxy::{image_tag, linkerd_version};
use mesh_cluster::workload::rollout::{self, Restartable as _};
use mesh_records::ExtensionPart;

use crate::plane::{part_version, stated_version};

/// A Deployment that may be an extension's.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// The extension's name, if the Deployment's label or name tells it.
    pub(super) extension: Option<String>,
    pub(super) version: Option<String>,
    own_version: Option<String>,
}

/// A CNI plugin's `DaemonSet`.
#[derive(Clone, Debug)]
pub(super) struct Plugin {
    pub(super) namespace: String,
    name: String,
    pub(super) version: Option<String>,
    own_version: Option<String>,
    pub(super) is_settled: bool,
}

/// Deployments of extensions that run a program which is not Linkerd's.
const FOREIGN: [&str; 4] = ["collector", "grafana", "jaeger", "prometheus"];
/// The names of service mirrors begin with this. Those of 2.10 and 2.11 lack the extension's label.
const MIRROR: &str = "linkerd-service-mirror-";

// === impl Part ===

impl Part {
    /// Reads a Deployment; returns `None` if nothing says that it is Linkerd's.
    pub(super) fn of(deployment: &Deployment) -> Option<Self> {
        let meta = &deployment.meta;
        let labelled = meta.labels.get(label::EXTENSION).cloned();
        let is_mirror = meta.name.starts_with(MIRROR);
        let extension = labelled.or_else(|| is_mirror.then(|| "multicluster".to_owned()));
        let version = part_version(deployment);
        let is_labelled = extension.is_some() || meta.labels.contains_key(label::COMPONENT);
        let is_told = is_labelled || version.is_some();
        let is_foreign = FOREIGN.contains(&meta.name.as_str());
        let containers = &deployment.spec.template.spec.containers;
        is_told.then(|| Self {
            extension,
            version,
            own_version: own_version(containers).filter(|_| is_foreign),
        })
    }

    pub(super) fn record(&self, name: &str) -> ExtensionPart {
        ExtensionPart {
            name: name.to_owned(),
            version: self.version.clone(),
            own_version: self.own_version.clone(),
        }
    }
}

// === impl Plugin ===

impl Plugin {
    /// Reads the `DaemonSet`. The plugin's image has numbers of its own since 2.13; its chart says
    /// the release.
    pub(super) fn of(set: &DaemonSet) -> Self {
        let containers = &set.spec.template.spec.containers;
        let mut tags = containers.iter().filter_map(|it| image_tag(&it.image));
        let tagged = tags.find_map(linkerd_version).map(str::to_owned);
        Self {
            namespace: set.meta.namespace.clone(),
            name: set.meta.name.clone(),
            version: tagged.or_else(|| stated_version(&set.meta)),
            own_version: own_version(containers),
            is_settled: set.standing() == rollout::State::Settled,
        }
    }

    pub(super) fn record(&self) -> ExtensionPart {
        ExtensionPart {
            name: self.name.clone(),
            version: self.version.clone(),
            own_version: self.own_version.clone(),
        }
    }
}

// The first tag that is no Linkerd version.
fn own_version(containers: &[Container]) -> Option<String> {
    let own = containers.iter().filter(|it| it.name != label::PROXY);
    let mut tags = own.filter_map(|it| image_tag(&it.image));
    tags.find(|tag| linkerd_version(tag).is_none())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn deployment(name: &str, image: &str, labels: &Value, by: &str) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": labels, "annotations": {"linkerd.io/created-by": by}},
            "spec": {"template": {"spec": {"containers": [
                {"name": "linkerd-proxy", "image": "p:stable-2.12.0"}, {"name": "own", "image": image},
            ]}}},
        }))
        .unwrap()
    }

    #[test]
    fn each_part_of_an_extension_has_its_own_version_or_none() {
        let viz = json!({"linkerd.io/extension": "viz"});
        let component = json!({"linkerd.io/control-plane-component": "service-mirror"});
        let mirror = "linkerd-service-mirror-east";
        let by = "linkerd/helm stable-2.14.10";
        // name, image, labels, created by; extension, version, own version
        let table = [
            (
                ("web", "r/web:stable-2.14.10", &viz, ""),
                Some((Some("viz"), Some("stable-2.14.10"), None)),
            ),
            (
                ("web", "r/web@sha256:01", &viz, by),
                Some((Some("viz"), Some("stable-2.14.10"), None)),
            ),
            (
                ("web", "r/web@sha256:01", &viz, ""),
                Some((Some("viz"), None, None)),
            ),
            (
                ("tap", "mirror:5000/tap:v7", &viz, ""),
                Some((Some("viz"), None, None)),
            ),
            (
                ("prometheus", "prom/prometheus:v2.43.0", &viz, ""),
                Some((Some("viz"), None, Some("v2.43.0"))),
            ),
            (
                (mirror, "r/controller:stable-2.11.5", &component, by),
                Some((Some("multicluster"), Some("stable-2.11.5"), None)),
            ),
            (
                (mirror, "r/controller@sha256:01", &json!({}), ""),
                Some((Some("multicluster"), None, None)),
            ),
            (
                ("linkerd-gateway", "k8s.gcr.io/pause:3.2", &component, ""),
                Some((None, None, None)),
            ),
            (
                ("oauth", "quay.io/oauth2-proxy:v7.4.0", &json!({}), ""),
                None,
            ),
        ];
        for ((name, image, labels, by), expected) in table {
            let part = Part::of(&deployment(name, image, labels, by));
            let found = part.as_ref().map(|part| {
                let texts = (&part.extension, &part.version, &part.own_version);
                (texts.0.as_deref(), texts.1.as_deref(), texts.2.as_deref())
            });
            assert_eq!(found, expected, "{name} {image} {by}");
        }
    }

    #[test]
    fn the_cni_plugin_has_numbers_of_its_own_beside_its_release() {
        let by = "linkerd/helm stable-2.14.10";
        let table = [
            (
                "r/cni-plugin:v1.2.2",
                by,
                Some("stable-2.14.10"),
                Some("v1.2.2"),
            ),
            (
                "r/cni-plugin:stable-2.12.6",
                by,
                Some("stable-2.12.6"),
                None,
            ),
            ("r/cni-plugin:v1.2.2", "", None, Some("v1.2.2")),
            ("r/cni-plugin@sha256:01", by, Some("stable-2.14.10"), None),
        ];
        for (image, by, version, own) in table {
            let set: DaemonSet = serde_json::from_value(json!({
                "metadata": {"name": "linkerd-cni", "annotations": {"linkerd.io/created-by": by}},
                "spec": {"template": {"spec": {"containers": [{"name": "install-cni", "image": image}]}}},
            }))
            .unwrap();
            let part = Plugin::of(&set).record();
            let found = (part.version.as_deref(), part.own_version.as_deref());
            assert_eq!(found, (version, own), "{image} {by}");
        }
    }
}
