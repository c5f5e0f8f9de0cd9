//! The table: the lines, the odd pods, and what a survey must say of them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cases::folder;

/// A line of `lines.yaml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub(super) line: String,
    pub(super) release: String,
    pub(super) native: bool,
    pub(super) stamps: bool,
    selects: Value,
    definitions: BTreeMap<String, String>,
    /// Those of the line and of all before it.
    #[serde(skip)]
    pub(super) all_definitions: BTreeMap<String, String>,
}

/// An item of `odd-pods.yaml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) case: String,
    pub(super) pod: Option<String>,
    pub(super) image: Option<String>,
    pub(super) init: Option<String>,
    #[serde(default)]
    pub(super) with: Value,
    #[serde(default)]
    pub(super) objects: Vec<Value>,
    pub(super) finds: Vec<Find>,
}

/// A record that there must be, with these fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Find {
    r#ref: Option<String>,
    anomaly: Option<String>,
    extension: Option<String>,
    #[serde(default)]
    pub(super) is: Value,
}

fn text_of(file: &str) -> String {
    std::fs::read_to_string(folder().join(file)).unwrap()
}

pub(super) fn lines() -> Vec<Line> {
    let mut lines: Vec<Line> = serde_norway::from_str(&text_of("lines.yaml")).unwrap();
    let mut all = BTreeMap::new();
    for line in &mut lines {
        all.extend(line.definitions.clone());
        all.retain(|_, versions| versions != "none");
        line.all_definitions.clone_from(&all);
    }
    lines
}

pub(super) fn served(versions: &str) -> Vec<&str> {
    let versions = versions.split_whitespace();
    versions.map(|it| it.trim_end_matches('*')).collect()
}

pub(super) fn stored(versions: &str) -> &str {
    let mut versions = versions.split_whitespace();
    versions.find_map(|it| it.strip_suffix('*')).unwrap()
}

// === impl Line ===

impl Line {
    pub(super) fn cases(&self) -> Vec<Case> {
        let trust = if self.stamps { "current" } else { "unknown" };
        let text = text_of("odd-pods.yaml")
            .replace("$RELEASE", &self.release)
            .replace("$LINE", &self.line)
            .replace("$NATIVE", &self.native.to_string())
            .replace("$TRUST", trust);
        serde_norway::from_str(&text).unwrap()
    }

    /// What the record of the first control plane must have.
    pub(super) fn plane(&self) -> Value {
        let component = |name: &str, native: bool| {
            let proxies = json!([{"version": self.release, "native": native, "count": 1}]);
            json!({"name": name, "version": self.release, "wanted": 1, "ready": 1, "updated": 1, "proxies": proxies})
        };
        let hook = |service: &str, selects: &Value| json!({"name": format!("{service}.linkerd.io"), "failure_policy": "Ignore", "ready_endpoints": 1, "selects": selects});
        let definitions = self.all_definitions.iter().map(|(name, versions)| {
            let stored = stored(versions);
            json!({"name": name, "served": served(versions), "storage": stored, "stored": [stored]})
        });
        json!({
            "version": self.release, "injects": self.release, "state": "settled", "installed_by": "helm",
            "release": {"name": "linkerd-control-plane", "namespace": "linkerd"},
            "kubernetes": "v1.34.5",
            "components": [
                component("linkerd-destination", self.native),
                component("linkerd-identity", false),
                component("linkerd-proxy-injector", self.native),
            ],
            "webhooks": [
                hook("linkerd-proxy-injector", &self.selects),
                hook("linkerd-sp-validator", &json!({})),
                hook("linkerd-policy-validator", &json!({})),
            ],
            "crds": definitions.collect::<Vec<_>>(),
            "facts": {"arm32_nodes": 1, "injector_registered": true},
        })
    }
}

// === impl Find ===

impl Find {
    pub(super) fn key(&self) -> String {
        let Self {
            r#ref,
            anomaly,
            extension,
            ..
        } = self;
        let kind = match (anomaly, extension) {
            (Some(id), _) => format!("anomaly {id}"),
            (None, Some(_)) => "extension".to_owned(),
            (None, None) => "workload".to_owned(),
        };
        let name = extension.as_ref().or(r#ref.as_ref()).unwrap();
        format!("{kind} {name}")
    }
}
