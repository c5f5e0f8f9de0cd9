//! Follows what the chart has put into the cluster.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context as _;
use k8s_openapi::api::{
    core::v1::{ConfigMap, Pod, Secret, Service},
    discovery::v1::EndpointSlice,
};
use kube::{Api, ResourceExt as _, runtime::watcher};

use super::{
    inject::Mesh,
    listen,
    mounts::{Files, Volumes},
    values::{NAMESPACE, SERVICE, Values},
    world::{Injector, World},
};
use crate::wait;

const OWN_PODS: &str = "linkerd.io/control-plane-component=proxy-injector";

impl Injector {
    /// Watches the cluster, and listens while the injector should, until a watch or the listener
    /// fails.
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
                    self.mount(|volumes| volumes.tls = secret_files(seen));
                    let acceptor = seen.values().next().map(listen::acceptor).transpose();
                    self.update(|world| world.acceptor = self.noted(acceptor).flatten());
                }
            ),
            wait::follow(
                self.api::<ConfigMap>(),
                watcher::Config::default(),
                |seen| {
                    self.mount(|volumes| {
                        volumes.config = files(seen, "linkerd-config");
                        volumes.trust_roots = files(seen, "linkerd-identity-trust-roots");
                    });
                    let mesh = mesh(seen).transpose();
                    self.update(|world| world.mesh = self.noted(mesh).flatten().map(Arc::new));
                }
            ),
            self.follow_pods(),
            listen::run(self),
        )?;
        Ok(())
    }

    async fn follow_pods(&self) -> anyhow::Result<()> {
        let Some(processes) = self.processes() else {
            return Ok(());
        };
        let own = watcher::Config::default().labels(OWN_PODS);
        wait::follow(self.api::<Pod>(), own, |seen| processes.follow(seen)).await
    }

    fn mount(&self, change: impl FnOnce(&mut Volumes)) {
        if let Some(processes) = self.processes() {
            processes.change(change);
        }
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

/// Whether a Service has a pod that is ready.
pub(crate) fn has_ready_endpoint(slice: &EndpointSlice) -> bool {
    let mut endpoints = slice.endpoints.iter();
    endpoints.any(|endpoint| {
        endpoint
            .conditions
            .as_ref()
            .and_then(|conditions| conditions.ready)
            .unwrap_or(false)
    })
}

fn files(maps: &BTreeMap<String, ConfigMap>, name: &str) -> Files {
    let maps = maps.values().filter(|map| map.name_any() == name);
    let data = maps.filter_map(|map| map.data.clone()).flatten();
    data.map(|(file, text)| (file, text.into_bytes())).collect()
}

fn secret_files(secrets: &BTreeMap<String, Secret>) -> Files {
    let data = secrets.values().filter_map(|secret| secret.data.clone());
    data.flatten()
        .map(|(file, bytes)| (file, bytes.0))
        .collect()
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
        version: values.version().to_owned(),
        values,
        trust_roots,
    }))
}
