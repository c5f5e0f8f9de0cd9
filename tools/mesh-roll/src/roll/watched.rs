//! What the watches show.

use mesh_cluster::control_plane::{Config, bundle_sha256};
use mesh_cluster::object::label::{CONFIG, TRUST_ROOTS};
use mesh_cluster::object::{ConfigMap, DisruptionBudget, EndpointSlice, Object as _};
use mesh_cluster::workload::injection::Rules;
use mesh_cluster::workload::rollout::{Observed, PodSeen};
use mesh_cluster::{Change, Store, Stored};
use mesh_records::WorkloadKind;

/// An event of a watch, by the kind that is watched.
#[derive(Clone, Debug)]
pub(crate) enum Watched {
    /// Workloads of one kind.
    Workload(WorkloadKind, Box<Change<Observed>>),
    Pod(Box<Change<PodSeen>>),
    Namespace(Change<NamespaceRules>),
    Budget(Box<Change<DisruptionBudget>>),
    /// The control plane's configuration and its trust bundle.
    Config(Change<ConfigMap>),
    /// The injector's endpoints.
    Slice(Change<EndpointSlice>),
}

/// A namespace's injection settings.
#[derive(Clone, Debug)]
pub(crate) struct NamespaceRules {
    pub(crate) namespace: String,
    pub(crate) rules: Rules,
}

/// The control plane's current state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mesh {
    pub(crate) version: Option<String>,
    pub(crate) config_resource_version: Option<String>,
    /// The proxy version that the injector gives a new pod.
    pub(crate) injects: Option<String>,
    pub(crate) anchors: Option<String>,
    /// Ready endpoints of the injector.
    pub(crate) endpoints: usize,
}

// === impl NamespaceRules ===

impl Stored for NamespaceRules {
    type Key = String;

    fn key(&self) -> String {
        self.namespace.clone()
    }

    fn resource_version(&self) -> &str {
        ""
    }
}

// === impl Mesh ===

impl Mesh {
    pub(crate) fn of(configs: &Store<ConfigMap>, slices: &Store<EndpointSlice>) -> Self {
        let named = |name: &str| configs.iter().find(|config| config.meta().name == name);
        let config = named(CONFIG);
        let values = config.and_then(Config::of);
        let text = |text: Option<&str>| text.map(str::to_owned);
        Self {
            version: values.as_ref().and_then(|values| text(values.version())),
            injects: values.as_ref().and_then(|values| text(values.injects())),
            config_resource_version: config.map(|config| config.meta.resource_version.clone()),
            anchors: named(TRUST_ROOTS).and_then(bundle_sha256),
            endpoints: slices.iter().map(EndpointSlice::ready).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_plane_is_put_together_from_its_configuration_and_its_endpoints() {
        let mut configs = Store::default();
        let mut slices = Store::default();
        assert_eq!(Mesh::of(&configs, &slices), Mesh::default());
        let mut config = ConfigMap::default();
        config.meta.name = CONFIG.to_owned();
        config.meta.resource_version = "7".to_owned();
        let values = "linkerdVersion: stable-2.14.10".to_owned();
        config.data.insert("values".to_owned(), values);
        configs.apply(Change::Applied(config));
        let slice = r#"{"metadata": {"name": "s"}, "endpoints": [{"conditions": {"ready": true}}, {"conditions": {"ready": false}}, {"conditions": {}}]}"#;
        slices.apply(Change::Applied(serde_json::from_str(slice).unwrap()));
        let mesh = Mesh::of(&configs, &slices);
        assert_eq!(mesh.injects.as_deref(), Some("stable-2.14.10"));
        assert_eq!(mesh.config_resource_version.as_deref(), Some("7"));
        assert_eq!(mesh.endpoints, 2, "an endpoint that does not say is ready");
    }
}
