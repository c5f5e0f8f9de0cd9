//! Follows what the chart has put into the cluster.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context as _;
use k8s_openapi::api::{
    core::v1::{ConfigMap, Secret, Service},
    discovery::v1::EndpointSlice,
};
use kube::{Api, ResourceExt as _, runtime::watcher};

use super::{
    inject::Mesh,
    listen,
    values::{NAMESPACE, SERVICE, Values},
    world::{Injector, World},
};
use crate::wait;

impl Injector {
    /// Follows the cluster and listens accordingly, until a watch or the listener ends.
    pub(crate) async fn run(&self) -> anyhow::Result<()> {
        let named =
            |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
        let of_service = format!("kubernetes.io/service-name={SERVICE}");
        tokio::try_join!(
            wait::follow(self.api::<Service>(), named(SERVICE), |seen| {
                let address = seen
                    .values()
                    .next()
                    .and_then(|service| service.spec.as_ref()?.cluster_ip.as_ref()?.parse().ok());
                self.update(|world| world.address = address);
            }),
            wait::follow(
                self.api::<EndpointSlice>(),
                watcher::Config::default().labels(&of_service),
                |seen| {
                    let ready = seen.values().any(has_ready_endpoint);
                    self.update(|world| world.has_ready_endpoint = ready);
                }
            ),
            wait::follow(
                self.api::<Secret>(),
                named("linkerd-proxy-injector-k8s-tls"),
                |seen| {
                    let acceptor = seen.values().next().map(listen::acceptor).transpose();
                    self.update(|world| world.acceptor = self.noted(acceptor).flatten());
                }
            ),
            wait::follow(
                self.api::<ConfigMap>(),
                watcher::Config::default(),
                |seen| {
                    let mesh = mesh(seen).transpose();
                    self.update(|world| world.mesh = self.noted(mesh).flatten().map(Arc::new));
                }
            ),
            listen::run(self),
        )?;
        Ok(())
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    fn update(&self, change: impl FnOnce(&mut World)) {
        self.world.send_modify(change);
    }

    fn noted<T>(&self, result: anyhow::Result<T>) -> Option<T> {
        result
            .map_err(|error| self.journal.note("injector", format!("{error:#}")))
            .ok()
    }
}

fn has_ready_endpoint(slice: &EndpointSlice) -> bool {
    let mut endpoints = slice.endpoints.iter();
    endpoints.any(|endpoint| {
        endpoint
            .conditions
            .as_ref()
            .and_then(|conditions| conditions.ready)
            .unwrap_or(false)
    })
}

fn mesh(maps: &BTreeMap<String, ConfigMap>) -> Option<anyhow::Result<Mesh>> {
    let entry = |name: &str, key: &str| {
        let map = maps.values().find(|map| map.name_any() == name)?;
        map.data.as_ref()?.get(key).cloned()
    };
    let (values, trust_roots) = (
        entry("linkerd-config", "values")?,
        entry("linkerd-identity-trust-roots", "ca-bundle.crt")?,
    );
    let values = Values::parse(&values).context("reading linkerd-config");
    Some(values.map(|values| Mesh {
        values,
        trust_roots,
    }))
}
