//! The survey of a dump.

use std::collections::BTreeSet;

use mesh_cluster::control_plane::Trust;
use mesh_cluster::control_plane::origin::OPERATED;
use mesh_cluster::object::label;
use mesh_cluster::object::{Bare, ConfigMap, EndpointSlice, Meta, Resource};
use mesh_versions::Count;
use serde_json::Value;

use super::Dump;
use crate::fold::{Fold, OPEN, OwnPods, Parents};
use crate::ground::{Ground, Policies};
use crate::look::Wish;
use crate::plane::Objects;
use crate::plane::parts::{
    Definition, EXTERNAL, SPLITS, Served, WEBHOOKS, WebhookConfiguration, is_of_interest, operator,
    served,
};
use crate::survey::{Parts, Survey};

const ARCH: &str = "kubernetes.io/arch";
/// Kinds without which a survey is not whole.
const NEEDED: [&str; 4] = ["Namespace", "Pod", "Deployment", "ConfigMap"];

impl Dump {
    /// Makes the survey, and returns also the kinds that the dump lacks.
    pub(crate) fn survey(mut self, cluster: &str, wish: Wish) -> (Survey, Vec<String>) {
        self.sort();
        let mut ground = Ground {
            fallback: wish.linkerd_namespace,
            list_proxies: wish.list_proxies,
            label_keys: wish.label_keys,
            lacking: self.lacking(),
            ..Ground::default()
        };
        for namespace in &self.namespaces {
            ground.namespaces.add(&namespace.meta, &ground.label_keys);
        }
        let (owners, keys) = (&mut ground.owners, &ground.label_keys);
        self.deployments.iter().for_each(|it| owners.add(it, keys));
        self.stateful_sets
            .iter()
            .for_each(|it| owners.add(it, keys));
        self.daemon_sets.iter().for_each(|it| owners.add(it, keys));
        ground.policies = self
            .kinds
            .contains("NetworkPolicy")
            .then(|| self.policies());
        let planes = self.planes(&mut ground);
        let mut fold = Fold::default();
        for pod in std::mem::take(&mut self.pods) {
            fold.add(&pod, OwnPods::Count, &ground);
        }
        let mut missing: BTreeSet<&str> = NEEDED
            .into_iter()
            .filter(|kind| !self.kinds.contains(*kind))
            .collect();
        for (kind, owners) in OPEN
            .iter()
            .zip([&self.replica_sets, &self.jobs, &self.controllers])
        {
            if !fold.open(kind).is_empty() && !self.kinds.contains(kind.as_str()) {
                missing.insert(kind.as_str());
            }
            let parents = owners
                .iter()
                .map(|it| (it.meta.uid.clone(), it.meta.controller().cloned()));
            fold.adopt(kind, &parents.collect::<Parents>(), &ground);
        }
        let strange = fold.strangers(&ground.owners);
        let strange = strange
            .iter()
            .filter(|it| !self.kinds.contains(it.kind.as_str()));
        missing.extend(strange.map(|identity| identity.kind.as_str()));
        let missing = missing.into_iter().map(str::to_owned).collect();
        let folded = fold.finish(&ground);
        let parts = Parts {
            planes,
            folded,
            ground,
            unseen: Vec::new(),
            restarts: 0,
        };
        (parts.survey(cluster), missing)
    }

    // A server lists by name; the files of a dump, and what is in them, have any order.
    fn sort(&mut self) {
        self.deployments.sort_by_cached_key(|it| place(&it.meta));
        self.daemon_sets.sort_by_cached_key(|it| place(&it.meta));
        self.definitions.sort_by_cached_key(|it| place(&it.meta));
    }

    fn lacking(&self) -> BTreeSet<String> {
        const READ: [&str; 7] = [
            "ConfigMap",
            "Deployment",
            "StatefulSet",
            "DaemonSet",
            "ReplicaSet",
            "Job",
            "ReplicationController",
        ];
        let lacking = READ.into_iter().filter(|kind| !self.kinds.contains(*kind));
        lacking.map(str::to_owned).collect()
    }

    fn planes(&self, ground: &mut Ground) -> Vec<Objects> {
        let mut places = ground.control_plane_namespaces();
        places.insert(ground.fallback.clone());
        let planes = places.into_iter().filter_map(|namespace| {
            let config = self.config_map(&namespace, label::CONFIG);
            let components = ground.owners.components_of(&namespace);
            if config.is_none() && components.is_empty() {
                return None;
            }
            let trust_roots = self.config_map(&namespace, label::TRUST_ROOTS);
            let trust = trust_roots.as_ref().and_then(Trust::of);
            ground.bundles.insert(namespace.clone(), trust);
            Some(Objects {
                webhooks: self.webhooks(),
                definitions: self.definitions(),
                operator: operator(self.count(&OPERATED, self.operated)),
                kubernetes: self.kubernetes.clone(),
                slices: self.slices(&namespace),
                ..Objects::new(namespace, config, trust_roots, components)
            })
        });
        let mut planes: Vec<Objects> = planes.collect();
        for plane in &mut planes {
            plane.facts.extend(self.counts());
        }
        ground.settle(&mut planes);
        planes
    }

    fn policies(&mut self) -> Policies {
        let mut policies = Policies::default();
        for policy in std::mem::take(&mut self.policies) {
            policies.add(policy);
        }
        policies
    }

    fn counts(&self) -> impl Iterator<Item = (String, Value)> {
        let is_told = |kind| self.kinds.contains(kind);
        let is_arm32 = |node: &&Bare| node.meta.labels.get(ARCH).is_some_and(|it| it == "arm");
        let arm32 = self.nodes.iter().filter(is_arm32).count();
        let external = self.count(&EXTERNAL, self.external_workloads);
        let splits = self.count(&SPLITS, self.traffic_splits);
        let counts = [
            (Count::Arm32Nodes, is_told("Node").then_some(arm32)),
            (Count::ExternalWorkloads, external),
            (Count::TrafficSplits, splits),
        ];
        let told = counts.into_iter();
        told.filter_map(|(fact, count)| Some((fact.as_str().to_owned(), Value::from(count?))))
    }

    // How many objects of a custom resource there are: none without its definition; `None` if that
    // cannot be told, because the dump lacks the kind.
    fn count(&self, resource: &Resource, found: usize) -> Option<usize> {
        let is_told = |kind| self.kinds.contains(kind);
        let is_undefined = is_told("CustomResourceDefinition")
            && served(&self.definitions, resource) == Served::No;
        (is_told(resource.kind) || is_undefined).then_some(found)
    }

    fn config_map(&self, namespace: &str, name: &str) -> Option<ConfigMap> {
        let mut found = self.config_maps.iter();
        found
            .find(|it| it.meta.namespace == namespace && it.meta.name == name)
            .cloned()
    }

    fn slices(&self, namespace: &str) -> Option<Vec<EndpointSlice>> {
        let mut slices = self.all(&self.slices, "EndpointSlice")?;
        slices.retain(|slice| slice.meta.namespace == namespace);
        Some(slices)
    }

    fn webhooks(&self) -> Option<Vec<WebhookConfiguration>> {
        let all = self.all(&self.webhooks, "MutatingWebhookConfiguration")?;
        // In the order in which they are read from a server.
        let webhooks = WEBHOOKS.iter().flat_map(|(_, name)| {
            let named = all.iter().filter(move |it| it.meta.name == *name);
            named.cloned()
        });
        Some(webhooks.collect())
    }

    fn definitions(&self) -> Option<Vec<Definition>> {
        let mut definitions = self.all(&self.definitions, "CustomResourceDefinition")?;
        definitions.retain(|definition| is_of_interest(&definition.meta.name));
        Some(definitions)
    }

    fn all<T: Clone>(&self, objects: &[T], kind: &str) -> Option<Vec<T>> {
        self.kinds.contains(kind).then(|| objects.to_vec())
    }
}

fn place(meta: &Meta) -> (String, String) {
    (meta.namespace.clone(), meta.name.clone())
}
