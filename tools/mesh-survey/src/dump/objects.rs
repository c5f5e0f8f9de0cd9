//! The objects of a dump, and the survey of them.

use std::collections::{BTreeSet, HashSet};

use mesh_cluster::control_plane::stamps;
use mesh_cluster::object::label;
use mesh_cluster::object::{
    Bare, ConfigMap, DaemonSet, Deployment, EndpointSlice, Meta, Namespace, Pod, StatefulSet,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::fold::{Fold, OPEN, OwnPods, Parents};
use crate::ground::Ground;
use crate::look::Wish;
use crate::plane::Objects;
use crate::plane::parts::{Definition, WEBHOOKS, WebhookConfiguration, is_of_interest};
use crate::survey::{Parts, Survey};

/// The objects of a dump.
#[derive(Debug, Default)]
pub(crate) struct Dump {
    kinds: BTreeSet<String>,
    namespaces: Vec<Namespace>,
    config_maps: Vec<ConfigMap>,
    deployments: Vec<Deployment>,
    stateful_sets: Vec<StatefulSet>,
    daemon_sets: Vec<DaemonSet>,
    replica_sets: Vec<Bare>,
    jobs: Vec<Bare>,
    pods: Vec<Pod>,
    /// The uids of `pods`.
    known_pods: HashSet<String>,
    slices: Vec<EndpointSlice>,
    webhooks: Vec<WebhookConfiguration>,
    definitions: Vec<Definition>,
}

/// Why a dump cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DumpError {
    /// The text is not JSON, or an object does not have the form of its kind.
    #[error("this is not the JSON that kubectl prints with `-o json`")]
    Json(#[source] serde_json::Error),
    /// The text ends in the middle of an object.
    #[error("it ends in the middle of an object, in line {0}: it was cut off")]
    Cut(usize),
    /// A pod is there twice, and would be counted twice.
    #[error(
        "the pod {0} is in the dump twice: two dumps are in it (`>>` keeps what a file has already)"
    )]
    Twice(String),
    /// The JSON is not a Kubernetes object; it may be a survey's record.
    #[error("this is not a Kubernetes object: it has no metadata")]
    NoObject,
    /// The list is only one page of a longer list.
    #[error("this is one page of a longer list (metadata.continue)")]
    Page,
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(default)]
    kind: String,
    #[serde(default, borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(default, borrow)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ListMeta {
    #[serde(rename = "continue")]
    token: String,
}

impl From<serde_json::Error> for DumpError {
    fn from(error: serde_json::Error) -> Self {
        match error.is_eof() {
            true => Self::Cut(error.line()),
            false => Self::Json(error),
        }
    }
}

/// Kinds without which a survey is not whole.
const NEEDED: [&str; 4] = ["Namespace", "Pod", "Deployment", "ConfigMap"];

// === impl Dump ===

impl Dump {
    /// Adds a file: objects and lists of objects, one after another. Kinds that a survey does not
    /// read are skipped, such as Secrets.
    ///
    /// # Errors
    /// A part of the file cannot be read. The dump must then not be used.
    pub(crate) fn add(&mut self, text: &str) -> Result<(), DumpError> {
        for document in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
            self.document(document?)?;
        }
        Ok(())
    }

    fn document(&mut self, raw: &RawValue) -> Result<(), DumpError> {
        let Document {
            kind,
            metadata,
            items,
        } = serde_json::from_str(raw.get())?;
        let Some(items) = items else {
            if metadata.is_none() {
                return Err(DumpError::NoObject);
            }
            return self.object(&kind, raw);
        };
        let meta = metadata
            .map(|meta| serde_json::from_str::<ListMeta>(meta.get()))
            .transpose()?;
        if meta.is_some_and(|meta| !meta.token.is_empty()) {
            return Err(DumpError::Page);
        }
        // The items of a `PodList` have no `kind`; those of a `List` have one.
        let of_all = kind.strip_suffix("List").unwrap_or_default();
        if !of_all.is_empty() {
            self.kinds.insert(of_all.to_owned());
        }
        for item in items {
            let own: Document<'_> = serde_json::from_str(item.get())?;
            let kind = if own.kind.is_empty() {
                of_all
            } else {
                &own.kind
            };
            self.object(kind, item)?;
        }
        Ok(())
    }

    fn object(&mut self, kind: &str, raw: &RawValue) -> Result<(), DumpError> {
        match kind {
            "Namespace" => push(&mut self.namespaces, raw)?,
            "ConfigMap" => push(&mut self.config_maps, raw)?,
            "Deployment" => push(&mut self.deployments, raw)?,
            "StatefulSet" => push(&mut self.stateful_sets, raw)?,
            "DaemonSet" => push(&mut self.daemon_sets, raw)?,
            "ReplicaSet" => push(&mut self.replica_sets, raw)?,
            "Job" => push(&mut self.jobs, raw)?,
            "Pod" => {
                push(&mut self.pods, raw)?;
                self.once()?;
            }
            "EndpointSlice" => push(&mut self.slices, raw)?,
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => {
                push(&mut self.webhooks, raw)?;
            }
            "CustomResourceDefinition" => push(&mut self.definitions, raw)?,
            _ => {}
        }
        self.kinds.insert(kind.to_owned());
        Ok(())
    }

    // Fails if the last pod is one of the earlier.
    fn once(&mut self) -> Result<(), DumpError> {
        let Some(Meta {
            namespace,
            name,
            uid,
            ..
        }) = self.pods.last().map(|pod| &pod.meta)
        else {
            return Ok(());
        };
        match uid.is_empty() || self.known_pods.insert(uid.clone()) {
            true => Ok(()),
            false => Err(DumpError::Twice(format!("{namespace}/{name}"))),
        }
    }

    /// Returns the uid of the cluster that the dump was taken from, if the dump has it.
    pub(crate) fn cluster_uid(&self) -> Option<&str> {
        let system = self
            .namespaces
            .iter()
            .find(|it| it.meta.name == "kube-system");
        system
            .map(|namespace| namespace.meta.uid.as_str())
            .filter(|uid| !uid.is_empty())
    }

    /// Makes the survey, and returns also the kinds that the dump lacks.
    pub(crate) fn survey(mut self, cluster: &str, wish: Wish) -> (Survey, Vec<String>) {
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
        let planes = self.planes(&mut ground);
        let mut fold = Fold::default();
        for pod in std::mem::take(&mut self.pods) {
            fold.add(&pod, OwnPods::Count, &ground);
        }
        let mut missing: BTreeSet<&str> = NEEDED
            .into_iter()
            .filter(|kind| !self.kinds.contains(*kind))
            .collect();
        for (kind, owners) in OPEN.iter().zip([&self.replica_sets, &self.jobs]) {
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

    fn lacking(&self) -> BTreeSet<String> {
        const READ: [&str; 6] = [
            "ConfigMap",
            "Deployment",
            "StatefulSet",
            "DaemonSet",
            "ReplicaSet",
            "Job",
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
            let stamps = trust_roots.as_ref().map(stamps).unwrap_or_default();
            ground.bundles.insert(namespace.clone(), stamps);
            Some(Objects {
                webhooks: self.webhooks(),
                definitions: self.definitions(),
                slices: self.slices(&namespace),
                ..Objects::new(namespace, config, trust_roots, components)
            })
        });
        let mut planes: Vec<Objects> = planes.collect();
        ground.settle(&mut planes);
        planes
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
        let mut webhooks = self.all(&self.webhooks, "MutatingWebhookConfiguration")?;
        webhooks.retain(|it| WEBHOOKS.iter().any(|(_, name)| it.meta.name == *name));
        Some(webhooks)
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

fn push<T: DeserializeOwned>(objects: &mut Vec<T>, raw: &RawValue) -> Result<(), DumpError> {
    objects.push(serde_json::from_str(raw.get())?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: &str = r#"{"kind": "List", "metadata": {"resourceVersion": ""}, "items": [
        {"kind": "Namespace", "metadata": {"name": "kube-system", "uid": "u-cluster"}},
        {"kind": "Namespace", "metadata": {"name": "shop", "annotations": {"linkerd.io/inject": "enabled"}}},
        {"kind": "ConfigMap", "metadata": {"name": "linkerd-config", "namespace": "linkerd"}, "data": {"values": "linkerdVersion: stable-2.13.7"}},
        {"kind": "Deployment", "metadata": {"name": "web", "namespace": "shop", "uid": "u-web"}, "spec": {"replicas": 1}},
        {"kind": "Secret", "metadata": {"name": "s"}, "data": {"key": "!"}}
    ]}"#;
    const PODS: &str = r#"{"kind": "PodList", "metadata": {}, "items": [
        {"metadata": {"name": "web-a-1", "namespace": "shop", "uid": "p", "labels": {"pod-template-hash": "a"},
          "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-a", "uid": "rs", "controller": true}]},
         "spec": {"containers": [{"name": "web"}]}, "status": {"phase": "Running"}}
    ]}"#;

    fn dump(texts: &[&str]) -> Dump {
        let mut dump = Dump::default();
        texts.iter().for_each(|text| dump.add(text).unwrap());
        dump
    }

    fn wish() -> Wish {
        Wish {
            linkerd_namespace: "linkerd".to_owned(),
            ..Wish::default()
        }
    }

    #[test]
    fn a_dump_is_surveyed_as_its_cluster_would_be() {
        let dump = dump(&[CLUSTER, PODS]);
        assert_eq!(dump.cluster_uid(), Some("u-cluster"));
        let (survey, missing) = dump.survey("c", wish());
        assert!(missing.is_empty(), "{missing:?}");
        assert_eq!(
            survey.control_planes[0].version.as_deref(),
            Some("stable-2.13.7")
        );
        let [(identity, uid, group)] = &survey.folded.groups[..] else {
            panic!("{survey:?}")
        };
        assert_eq!((identity.name.as_str(), uid.as_str()), ("web", "u-web"));
        assert!(group.is_workload(), "injection is on and it has no proxy");
    }

    #[test]
    fn survey_of_a_dump_returns_the_kinds_that_it_lacks() {
        let without = |kind: &str| CLUSTER.replace(&format!("\"{kind}\""), "\"Other\"");
        let stateful = PODS.replace("\"ReplicaSet\"", "\"StatefulSet\"");
        let table = [
            (vec![CLUSTER.to_owned()], vec!["Pod"]),
            (
                vec![PODS.to_owned(), without("Deployment")],
                vec!["Deployment", "ReplicaSet"],
            ),
            (
                vec![PODS.to_owned(), without("Namespace")],
                vec!["Namespace"],
            ),
            (vec![stateful, CLUSTER.to_owned()], vec!["StatefulSet"]),
            (vec![], vec!["ConfigMap", "Deployment", "Namespace", "Pod"]),
        ];
        for (texts, expected) in table {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let (_, missing) = dump(&texts).survey("c", wish());
            assert_eq!(missing, expected);
        }
    }

    #[test]
    fn a_dump_that_is_cut_off_is_refused() {
        let page = PODS.replace("\"metadata\": {}", "\"metadata\": {\"continue\": \"more\"}");
        assert!(matches!(Dump::default().add(&page), Err(DumpError::Page)));
        let record = r#"{"type": "workload", "kind": "Deployment", "name": "web"}"#;
        let added = Dump::default().add(record);
        assert!(matches!(added, Err(DumpError::NoObject)), "{added:?}");
        let cut = Dump::default().add(&CLUSTER[..CLUSTER.len() - 9]);
        assert_eq!(
            cut.unwrap_err().to_string(),
            "it ends in the middle of an object, in line 6: it was cut off"
        );
        let twice = Dump::default().add(&format!("{PODS}{PODS}"));
        assert_eq!(
            twice.unwrap_err().to_string(),
            "the pod shop/web-a-1 is in the dump twice: two dumps are in it (`>>` keeps what a file \
             has already)"
        );
        for text in [
            "NAME READY",
            r#"{"kind": "Pod", "metadata": {}, "spec": 1}"#,
        ] {
            assert!(
                matches!(Dump::default().add(text), Err(DumpError::Json(_))),
                "{text}"
            );
        }
    }
}
