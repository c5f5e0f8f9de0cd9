//! The control plane, put together from its configuration, its trust bundle and its injector's
//! endpoints as the watches show them.

use std::collections::BTreeMap;

use mesh_cluster::control_plane::{Config, bundle_sha256};
use mesh_cluster::object::label::{CONFIG, TRUST_ROOTS};
use mesh_cluster::object::{ConfigMap, EndpointSlice, Object};
use mesh_cluster::wire::watch::Change;

use crate::roll::{Mesh, Sight, Watched};

/// Which slices are the injector's.
pub(crate) const INJECTOR: &str = "kubernetes.io/service-name=linkerd-proxy-injector";

/// What the watches have shown of a control plane.
#[derive(Debug, Default)]
pub(crate) struct Plane {
    configs: Listed<ConfigMap>,
    slices: Listed<EndpointSlice>,
}

// What a watch shows, with a list that has begun kept apart until it is whole.
#[derive(Debug)]
struct Listed<K> {
    now: BTreeMap<String, K>,
    coming: Option<BTreeMap<String, K>>,
}

impl Plane {
    pub(crate) fn take_config(&mut self, change: Change<ConfigMap>) -> Vec<Sight> {
        let bracket = bracket(&change, Watched::Config);
        self.configs.take(change);
        self.sights(bracket)
    }

    pub(crate) fn take_slice(&mut self, change: Change<EndpointSlice>) -> Vec<Sight> {
        let bracket = bracket(&change, Watched::Endpoints);
        self.slices.take(change);
        self.sights(bracket)
    }

    // What it is now comes before the word that the list is whole.
    fn sights(&self, bracket: Option<Sight>) -> Vec<Sight> {
        std::iter::once(Sight::Mesh(self.mesh()))
            .chain(bracket)
            .collect()
    }

    fn mesh(&self) -> Mesh {
        let config = self.configs.now.get(CONFIG);
        let values = config.and_then(Config::of);
        let text = |text: Option<&str>| text.map(str::to_owned);
        let slices = self.slices.now.values();
        let endpoints = slices.flat_map(|slice| &slice.endpoints);
        let ready = endpoints.filter(|endpoint| endpoint.conditions.ready != Some(false));
        Mesh {
            version: values.as_ref().and_then(|values| text(values.version())),
            injects: values.as_ref().and_then(|values| text(values.injects())),
            config_resource_version: config.map(|config| config.meta.resource_version.clone()),
            anchors: self.configs.now.get(TRUST_ROOTS).and_then(bundle_sha256),
            endpoints: ready.count(),
        }
    }
}

fn bracket<K>(change: &Change<K>, watched: Watched) -> Option<Sight> {
    match change {
        Change::Began => Some(Sight::Began(watched)),
        Change::Listed { .. } => Some(Sight::Listed(watched)),
        Change::Seen(_) | Change::Applied(_) | Change::Deleted(_) => None,
    }
}

impl<K> Default for Listed<K> {
    fn default() -> Self {
        Self {
            now: BTreeMap::new(),
            coming: None,
        }
    }
}

impl<K: Object> Listed<K> {
    fn take(&mut self, change: Change<K>) {
        match change {
            Change::Began => self.coming = Some(BTreeMap::new()),
            Change::Seen(object) => {
                let coming = self.coming.get_or_insert_default();
                coming.insert(object.meta().name.clone(), object);
            }
            Change::Listed { .. } => self.now = self.coming.take().unwrap_or_default(),
            Change::Applied(object) => {
                self.now.insert(object.meta().name.clone(), object);
            }
            Change::Deleted(object) => {
                self.now.remove(&object.meta().name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(version: &str) -> ConfigMap {
        let mut config = ConfigMap::default();
        config.meta.name = CONFIG.to_owned();
        config.meta.resource_version = "7".to_owned();
        let values = format!("linkerdVersion: {version}");
        config.data.insert("values".to_owned(), values);
        config
    }

    fn last(sights: &[Sight]) -> &Mesh {
        let Sight::Mesh(mesh) = &sights[0] else {
            panic!("{sights:?}");
        };
        mesh
    }

    fn listed<K>() -> Change<K> {
        Change::Listed {
            resource_version: "1".to_owned(),
        }
    }

    #[test]
    fn a_list_counts_once_it_is_whole_and_what_it_lacks_is_gone() {
        let mut plane = Plane::default();
        plane.take_config(Change::Began);
        let sights = plane.take_config(Change::Seen(config("stable-2.14.10")));
        assert_eq!(last(&sights).version, None);
        let sights = plane.take_config(listed());
        assert_eq!(last(&sights).injects.as_deref(), Some("stable-2.14.10"));
        assert!(matches!(sights[1], Sight::Listed(Watched::Config)));
        plane.take_config(Change::Began);
        let sights = plane.take_config(listed());
        assert_eq!(last(&sights).version, None);
    }

    #[test]
    fn an_endpoint_that_does_not_say_is_ready() {
        let slice = r#"{"metadata": {"name": "s"}, "endpoints": [{"conditions": {"ready": true}}, {"conditions": {"ready": false}}, {"conditions": {}}]}"#;
        let slice: EndpointSlice = serde_json::from_str(slice).unwrap();
        let mut plane = Plane::default();
        let sights = plane.take_slice(Change::Applied(slice));
        assert_eq!(last(&sights).endpoints, 2);
    }
}
