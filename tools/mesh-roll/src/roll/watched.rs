//! What the watches show.

use mesh_cluster::control_plane::{Config, bundle_sha256};
use mesh_cluster::object::label::{CONFIG, DESTINATION, IDENTITY, INJECTOR, TRUST_ROOTS};
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
    /// The endpoints of the [services](PROXIES_NEED) of the control plane.
    Slice(Change<EndpointSlice>),
}

/// A namespace's injection settings.
#[derive(Clone, Debug)]
pub(crate) struct NamespaceRules {
    pub(crate) namespace: String,
    pub(crate) rules: Rules,
    /// Whether the namespace is being deleted, and all in it.
    pub(crate) ends: bool,
}

/// The control plane's current state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mesh {
    pub(crate) version: Option<String>,
    pub(crate) config_resource_version: Option<String>,
    /// The proxy version that the injector gives a new pod.
    pub(crate) injects: Option<String>,
    pub(crate) anchors: Option<String>,
    /// A service that a new pod needs and that has no ready endpoint.
    pub(crate) silent: Option<&'static str>,
}

/// The services of the control plane without which no new pod gets a proxy that gets ready.
pub(crate) const PROXIES_NEED: [&str; 3] = [INJECTOR, IDENTITY, DESTINATION];

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
        let is_silent = |service: &&str| {
            let mut slices = slices.iter().filter(|slice| slice.is_of(service));
            !slices.any(|slice| slice.ready() > 0)
        };
        Self {
            version: values.as_ref().and_then(|values| text(values.version())),
            injects: values.as_ref().and_then(|values| text(values.injects())),
            config_resource_version: config.map(|config| config.meta.resource_version.clone()),
            anchors: named(TRUST_ROOTS).and_then(bundle_sha256),
            silent: PROXIES_NEED.into_iter().find(is_silent),
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
        let silent = Mesh::of(&configs, &slices);
        assert_eq!(silent.silent, Some(INJECTOR));
        assert_eq!(silent.version, None);
        let mut config = ConfigMap::default();
        config.meta.name = CONFIG.to_owned();
        config.meta.resource_version = "7".to_owned();
        let values = "linkerdVersion: stable-2.14.10".to_owned();
        config.data.insert("values".to_owned(), values);
        configs.apply(Change::Applied(config));
        let conditions = [r#""ready": true"#, "", r#""ready": false"#];
        for (service, conditions) in PROXIES_NEED.into_iter().zip(conditions) {
            let slice = format!(
                r#"{{"metadata": {{"name": "{service}", "labels": {{"kubernetes.io/service-name": "{service}"}}}}, "endpoints": [{{"conditions": {{{conditions}}}}}]}}"#
            );
            slices.apply(Change::Applied(serde_json::from_str(&slice).unwrap()));
        }
        let mesh = Mesh::of(&configs, &slices);
        assert_eq!(mesh.injects.as_deref(), Some("stable-2.14.10"));
        assert_eq!(mesh.config_resource_version.as_deref(), Some("7"));
        let expected = Some(DESTINATION);
        assert_eq!(
            mesh.silent, expected,
            "an endpoint that does not say is ready"
        );
    }
}
