//! The namespaces' injection settings, and what their labels tell about Linkerd itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mesh_cluster::object::Meta;
use mesh_cluster::object::label;
use mesh_cluster::workload::injection::Rules;

use super::kept::{Labels, labels};

/// The namespaces that were read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Namespaces {
    rules: HashMap<String, Rules>,
    /// Those of each namespace's labels that were asked for.
    labels: HashMap<String, Labels>,
    /// The namespaces that the CLI labelled as a control plane's.
    pub(super) labelled: BTreeSet<String>,
    /// The extension's name, by namespace.
    pub(super) extensions: BTreeMap<String, String>,
}

impl Namespaces {
    /// Adds a namespace, with those of its labels that have one of the `keys`.
    pub(crate) fn add(&mut self, meta: &Meta, keys: &[String]) {
        self.add_rules(meta);
        self.labels.insert(meta.name.clone(), labels(meta, keys));
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

    /// Adds only the injection settings of a namespace outside the survey.
    pub(crate) fn add_rules(&mut self, meta: &Meta) {
        self.rules.insert(meta.name.clone(), Rules::of(meta));
    }

    pub(crate) fn contains(&self, namespace: &str) -> bool {
        self.rules.contains_key(namespace)
    }

    /// Those of a namespace's labels that were asked for.
    pub(crate) fn labels(&self, namespace: &str) -> Option<&Labels> {
        self.labels.get(namespace)
    }

    pub(crate) fn rules(&self, namespace: &str) -> Option<&Rules> {
        self.rules.get(namespace)
    }
}
