//! What the rendered charts of a release bring.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use mesh_versions::{KubernetesVersion, ShippedDefinition};
use serde_norway::Value;

/// The label of a control plane's objects.
const COMPONENT: &str = "linkerd.io/control-plane-component";

/// The components, definitions and the Kubernetes floor in a folder of manifests and charts.
#[derive(Debug, Default)]
pub(crate) struct Brought {
    pub(crate) components: BTreeSet<String>,
    pub(crate) definitions: BTreeMap<String, ShippedDefinition>,
    /// The highest `kubeVersion` of the charts (`>=1.23.0-0`).
    pub(crate) kubernetes: Option<KubernetesVersion>,
}

impl Brought {
    /// Reads every YAML file of a folder and of the folders in it.
    pub(crate) fn of(folder: &Path) -> Result<Self> {
        let mut brought = Self::default();
        for path in files(folder)? {
            let what = || format!("cannot read {}", path.display());
            let text = std::fs::read_to_string(&path).with_context(what)?;
            for document in serde_norway::Deserializer::from_str(&text) {
                let value = <Value as serde::Deserialize>::deserialize(document);
                brought.add(&value.with_context(what)?);
            }
        }
        Ok(brought)
    }

    fn add(&mut self, object: &Value) {
        let meta = &object["metadata"];
        let name = meta["name"].as_str();
        match (object["kind"].as_str(), name) {
            (Some("Deployment"), Some(name)) if !meta["labels"][COMPONENT].is_null() => {
                self.components.insert(name.to_owned());
            }
            (Some("CustomResourceDefinition"), Some(name)) => {
                self.definitions
                    .insert(name.to_owned(), definition(name, &object["spec"]));
            }
            _ => {}
        }
        let range = object["kubeVersion"].as_str();
        let floor = range
            .and_then(|range| KubernetesVersion::of(range.trim_start_matches([' ', '>', '='])));
        let is_higher = |floor: &KubernetesVersion| match &self.kubernetes {
            Some(other) => other.is_below(floor),
            None => true,
        };
        if let Some(floor) = floor.filter(is_higher) {
            self.kubernetes = Some(floor);
        }
    }
}

fn definition(name: &str, spec: &Value) -> ShippedDefinition {
    let versions = spec["versions"].as_sequence().into_iter().flatten();
    let named = |flag: &'static str| {
        let versions = versions
            .clone()
            .filter(move |it| it[flag].as_bool() == Some(true));
        versions.filter_map(|it| it["name"].as_str().map(str::to_owned))
    };
    let mut served: Vec<String> = named("served").collect();
    served.sort();
    ShippedDefinition {
        name: name.to_owned(),
        served,
        storage: named("storage").next().unwrap_or_default(),
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let what = || format!("cannot read the folder {}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(what)? {
        let path = entry.with_context(what)?.path();
        let is_yaml = path
            .extension()
            .is_some_and(|it| it == "yaml" || it == "yml");
        if path.is_dir() {
            files.extend(self::files(&path)?);
        } else if is_yaml && !path.components().any(|it| it.as_os_str() == "templates") {
            files.push(path);
        }
    }
    Ok(files)
}
