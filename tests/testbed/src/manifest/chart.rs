//! A chart with its values, and what every object of it is made of.

use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{injector::NAMESPACE, release::Release};

const DEFAULTS: &str = include_str!("../../charts/linkerd-control-plane/values.yaml");
const DEFAULTS_OF_CRDS: &str = include_str!("../../charts/linkerd-crds/values.yaml");

/// A chart with its values.
#[derive(Debug)]
pub(crate) struct Chart {
    pub(super) release: Release,
    pub(super) values: Value,
}

// === impl Chart ===

impl Chart {
    /// Makes the control plane's chart. Later values override earlier ones.
    pub(crate) fn control_plane(version: &str, values: &[Value]) -> anyhow::Result<Self> {
        let mut chart = Self::new(version, DEFAULTS)?;
        chart.values["linkerdVersion"] = version.into();
        chart.values["proxy"]["nativeSidecar"] = (chart.release.minor >= 20).into();
        Ok(chart.with(values))
    }

    /// Makes the chart of the custom resource definitions.
    pub(crate) fn crds(version: &str, values: &[Value]) -> anyhow::Result<Self> {
        Ok(Self::new(version, DEFAULTS_OF_CRDS)?.with(values))
    }

    fn new(version: &str, defaults: &str) -> anyhow::Result<Self> {
        let release = Release::parse(version);
        let release = release.with_context(|| format!("{version} is no Linkerd version"))?;
        let values = serde_norway::from_str(defaults).context("reading the chart's values")?;
        Ok(Self { release, values })
    }

    pub(super) fn with(mut self, values: &[Value]) -> Self {
        for values in values {
            overlay(&mut self.values, values);
        }
        self
    }

    pub(super) fn text(&self, pointer: &str) -> &str {
        let value = self.values.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_default()
    }

    pub(super) fn is_set(&self, pointer: &str) -> bool {
        self.values.pointer(pointer) == Some(&Value::Bool(true))
    }

    pub(super) fn required(&self, pointer: &str, message: &str) -> anyhow::Result<&str> {
        match self.text(pointer) {
            "" => bail!("{message}"),
            text => Ok(text),
        }
    }

    /// The first of two that is not empty.
    pub(super) fn either<'a>(&'a self, pointer: &str, otherwise: &'a str) -> &'a str {
        match self.text(pointer) {
            "" => otherwise,
            text => text,
        }
    }

    pub(super) fn version(&self) -> &str {
        self.text("/linkerdVersion")
    }

    pub(super) fn proxy_version(&self) -> &str {
        self.either("/proxy/image/version", self.version())
    }

    pub(super) fn controller(&self) -> String {
        let version = self.either("/controllerImageVersion", self.version());
        format!("{}:{version}", self.text("/controllerImage"))
    }

    pub(super) fn created_by(&self) -> Value {
        let by = match self.text("/cliVersion") {
            "" => format!("linkerd/helm {}", self.version()),
            cli => cli.to_owned(),
        };
        json!({ "linkerd.io/created-by": by })
    }

    pub(super) fn metadata(&self, component: &str, name: &str) -> Value {
        json!({
            "name": name,
            "namespace": NAMESPACE,
            "labels": labels(component),
            "annotations": self.created_by(),
        })
    }
}

pub(super) fn labels(component: &str) -> Value {
    json!({
        "linkerd.io/control-plane-component": component,
        "linkerd.io/control-plane-ns": NAMESPACE,
    })
}

pub(super) fn encoded(text: &str) -> String {
    STANDARD.encode(text)
}

pub(super) fn sha256(text: &str) -> String {
    format!("{:x}", Sha256::digest(text))
}

pub(super) fn remove(object: &mut Value, fields: &[&str]) {
    if let Some(object) = object.as_object_mut() {
        object.retain(|field, _| !fields.contains(&field.as_str()));
    }
}

/// Merges values over others, map by map.
fn overlay(under: &mut Value, over: &Value) {
    match (under.as_object_mut(), over.as_object()) {
        (Some(under), Some(over)) => {
            for (field, value) in over {
                overlay(under.entry(field.clone()).or_insert(Value::Null), value);
            }
        }
        (_, _) => over.clone_into(under),
    }
}
