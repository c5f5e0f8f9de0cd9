//! The rendered objects, their version, and the components to expect.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};
use mesh_cluster::control_plane::Config;
use mesh_cluster::label;
use mesh_cluster::object::ConfigMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::values::Given;

/// The output of helm or the linkerd CLI.
#[derive(Debug)]
pub(crate) struct Rendered {
    /// What rendered the objects: a chart's name and version, joined by a dash as in helm's
    /// history, or the CLI and its version.
    pub(crate) chart: String,
    /// The release that the chart names itself; the CRDs' chart names none.
    pub(crate) app_version: Option<String>,
    pub(crate) manifests: Vec<Manifest>,
    /// The objects of helm's hooks, which are not part of a release's manifest.
    pub(crate) hooks: Vec<Manifest>,
    /// The hashes of the certificates that another render had too, by their objects.
    pub(crate) fixed: BTreeMap<String, String>,
    /// How helm would write the objects.
    pub(crate) merge: Merge,
    /// The values that the release would have been given, as helm merges them.
    pub(crate) given: Given,
}

/// How helm writes objects that are there. helm 4 goes on as it installed the release, unless it is
/// told otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum Merge {
    /// The API server applies them, and refuses a field that somebody else set otherwise.
    #[serde(rename = "ssa")]
    OnServer,
    /// helm compares three states and overwrites such a field: helm 3, and helm 4 for what helm 3
    /// installed.
    #[default]
    #[serde(rename = "csa", alias = "")]
    ThreeWay,
}

/// What helm does where somebody else set a field that it applies on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conflicts {
    Refused,
    Overwritten,
}

impl Conflicts {
    /// helm's flag for it.
    pub(crate) fn flag(self) -> Option<&'static str> {
        match self {
            Self::Refused => None,
            Self::Overwritten => Some("--force-conflicts"),
        }
    }
}

/// One rendered object.
#[derive(Clone, PartialEq)]
pub(crate) struct Manifest {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    pub(crate) body: Value,
}

#[derive(Deserialize)]
struct HelmAnswer {
    chart: AnswerChart,
    manifest: String,
    #[serde(default)]
    hooks: Option<Vec<AnswerHook>>,
    #[serde(default)]
    apply_method: Merge,
    #[serde(default)]
    config: Given,
}

#[derive(Deserialize)]
struct AnswerHook {
    manifest: String,
}

#[derive(Deserialize)]
struct AnswerChart {
    metadata: AnswerMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnswerMetadata {
    name: String,
    version: String,
    app_version: Option<String>,
}

/// Parses the objects of a manifest.
pub(crate) fn manifests(yaml: &str) -> anyhow::Result<Vec<Manifest>> {
    let mut manifests = Vec::new();
    for (number, document) in serde_norway::Deserializer::from_str(yaml).enumerate() {
        let body = Value::deserialize(document)
            .with_context(|| format!("cannot parse document {} of the manifest", number + 1))?;
        if body.is_null() {
            continue;
        }
        let manifest = Manifest::of(body)
            .with_context(|| format!("cannot use document {} of the manifest", number + 1))?;
        manifests.push(manifest);
    }
    Ok(manifests)
}

// === impl Rendered ===

impl Rendered {
    /// Parses the output of `helm upgrade --dry-run -o json`.
    pub(crate) fn parse(json: &[u8]) -> anyhow::Result<Self> {
        let HelmAnswer {
            chart,
            manifest,
            hooks,
            apply_method,
            config,
        } = serde_json::from_slice(json).map_err(|error| anyhow::anyhow!("{}", place(&error)))?;
        let AnswerMetadata {
            name,
            version,
            app_version,
        } = chart.metadata;
        let mut of_hooks = Vec::new();
        for hook in hooks.into_iter().flatten() {
            of_hooks.extend(self::manifests(&hook.manifest).context("cannot use a hook")?);
        }
        Ok(Self {
            chart: format!("{name}-{version}"),
            app_version: app_version.filter(|version| !version.is_empty()),
            manifests: manifests(&manifest)?,
            hooks: of_hooks,
            fixed: BTreeMap::new(),
            merge: apply_method,
            given: config,
        })
    }

    /// Makes what helm keeps of a revision.
    pub(crate) fn kept(chart: String, manifests: Vec<Manifest>, merge: Merge) -> Self {
        Self {
            chart,
            app_version: None,
            manifests,
            hooks: Vec::new(),
            fixed: BTreeMap::new(),
            merge,
            given: Given::default(),
        }
    }

    /// Returns all objects, those of hooks too.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Manifest> {
        self.manifests.iter().chain(&self.hooks)
    }

    /// Returns a rendered object.
    pub(crate) fn find(&self, kind: &str, name: &str) -> Option<&Manifest> {
        let mut all = self.manifests.iter();
        all.find(|manifest| manifest.kind == kind && manifest.name == name)
    }

    /// Returns a rendered `ConfigMap`.
    pub(crate) fn config_map(&self, name: &str) -> anyhow::Result<ConfigMap> {
        let manifest = self.find("ConfigMap", name);
        let manifest = manifest.with_context(|| {
            format!("the chart renders no ConfigMap {name}: it is not Linkerd's")
        })?;
        manifest.parse()
    }

    /// Returns the rendered `linkerd-config`.
    pub(crate) fn config(&self) -> anyhow::Result<Config> {
        let config = Config::of(&self.config_map(label::CONFIG)?);
        config.context("cannot read the rendered linkerd-config")
    }

    /// Returns the names of the custom resource definitions.
    pub(crate) fn crds(&self) -> BTreeSet<&str> {
        crds(&self.manifests)
    }

    /// Returns the Services behind the rendered webhooks.
    pub(crate) fn webhook_services(&self) -> BTreeSet<String> {
        let configurations = [
            "MutatingWebhookConfiguration",
            "ValidatingWebhookConfiguration",
        ];
        let all = self.manifests.iter();
        let all = all.filter(|manifest| configurations.contains(&manifest.kind.as_str()));
        let webhooks = all.filter_map(|manifest| manifest.body.get("webhooks")?.as_array());
        let name = |webhook: &Value| {
            let service = webhook.get("clientConfig")?.get("service")?;
            service.get("name")?.as_str().map(str::to_owned)
        };
        webhooks.flatten().filter_map(name).collect()
    }
}

/// Returns the names of the custom resource definitions among objects.
pub(crate) fn crds<'a>(manifests: impl IntoIterator<Item = &'a Manifest>) -> BTreeSet<&'a str> {
    let crds = manifests
        .into_iter()
        .filter(|manifest| manifest.kind == "CustomResourceDefinition");
    crds.map(|manifest| manifest.name.as_str()).collect()
}

// Names only the position of the error, not the text, which may be a secret.
fn place(error: &serde_json::Error) -> String {
    format!(
        "cannot parse the output of helm's dry run (line {}, column {})",
        error.line(),
        error.column()
    )
}

// === impl Manifest ===

impl Manifest {
    /// Returns the group, kind, namespace and name of the object, which tell it from all others; a
    /// version of its kind does not. `namespace` is the release's.
    pub(crate) fn key<'a>(&'a self, namespace: &'a str) -> [&'a str; 4] {
        let group = self.api_version.rsplit_once('/');
        let group = group.map_or("", |(group, _)| group);
        let namespace = self.namespace.as_deref().unwrap_or(namespace);
        [group, &self.kind, namespace, &self.name]
    }

    // The parser's error would quote a value, which may be one of the user's secrets.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        let parsed = serde_json::from_value(self.body.clone());
        parsed.map_err(|_| {
            anyhow::anyhow!("cannot parse the rendered {self}: a value in it has the wrong type")
        })
    }

    fn of(body: Value) -> anyhow::Result<Self> {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let metadata = body.get("metadata");
        let of_metadata = |key| metadata.and_then(|metadata| metadata.get(key));
        let fields = (
            text(body.get("apiVersion")),
            text(body.get("kind")),
            text(of_metadata("name")),
        );
        let (Some(api_version), Some(kind), Some(name)) = fields else {
            bail!("an object has no apiVersion, kind or name");
        };
        let namespace = text(of_metadata("namespace"));
        Ok(Self {
            api_version,
            kind,
            namespace,
            name,
            body,
        })
    }
}

impl std::fmt::Display for Manifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

// Does not show the body, which may be a Secret's, not even in the output of a test.
impl std::fmt::Debug for Manifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Manifest({self})")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use mesh_cluster::object::Deployment;

    use super::*;

    pub(crate) const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata:
  name: linkerd-identity
  namespace: linkerd
  labels: {app.kubernetes.io/version: stable-2.14.10}
spec:
  template:
    spec:
      initContainers: [{name: linkerd-init, image: 'm/proxy-init:v2.2.3'}]
      containers:
      - {name: identity, image: 'm/controller:stable-2.14.10'}
      - {name: linkerd-proxy, image: 'm/proxy:stable-2.14.10'}
";

    pub(crate) fn rendered(yaml: &str) -> anyhow::Result<Rendered> {
        let dry = serde_json::json!({
            "chart": { "metadata": { "name": "cp", "version": "1.16.11" }, "values": { "k": 1 } },
            "config": { "secret": "x" },
            "manifest": yaml,
        });
        Rendered::parse(dry.to_string().as_bytes())
    }

    #[test]
    fn objects_are_found_and_empty_documents_are_not_objects() {
        let yaml = format!("---\n# only a comment\n---\n{DEPLOYMENT}---\n\n---\nnull\n");
        let rendered = rendered(&yaml).unwrap();
        assert_eq!(rendered.chart, "cp-1.16.11");
        assert_eq!(rendered.manifests.len(), 1);
        let components = rendered.components().unwrap();
        assert_eq!(components[0].name, "linkerd-identity");
        assert_eq!(components[0].version.as_deref(), Some("stable-2.14.10"));
        assert!(
            matches!(&components[0].images, crate::expected::Images::Exactly(images) if images.len() == 3)
        );
        assert_eq!(components[0].replicas, 1);
        assert!(components[0].has_proxy());
        assert!(components[0].strangers("stable-2.14.10").is_empty());
        assert_eq!(components[0].strangers("stable-2.14.9").len(), 2);
    }

    #[test]
    fn a_hostile_or_broken_manifest_is_an_error_as_a_whole() {
        let bomb: String = (1..30)
            .map(|n| {
                format!(
                    "a{n}: &a{n} [*a{0},*a{0},*a{0},*a{0},*a{0},*a{0},*a{0}]\n",
                    n - 1
                )
            })
            .collect();
        let bomb = format!("a0: &a0 [x]\n{bomb}");
        let deep = "[".repeat(100_000);
        let table = [
            "just text",
            "[1, 2]",
            "kind: ConfigMap",
            "{apiVersion: v1, kind: ConfigMap, metadata: {}}",
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: 7}}",
            "a: b: c",
            "a: &x [*x]",
            bomb.as_str(),
            deep.as_str(),
        ];
        for yaml in table {
            let whole = format!("{DEPLOYMENT}---\n{yaml}\n");
            let start: String = yaml.chars().take(40).collect();
            assert!(rendered(&whole).is_err(), "{start}");
        }
    }

    #[test]
    fn an_unreadable_dry_run_gives_the_position_but_no_content() {
        let broken = br#"{"config":{"keyPEM":"SECRET"},"manifest":7}"#;
        let error = format!("{:#}", Rendered::parse(broken).unwrap_err());
        assert!(!error.contains("SECRET"), "{error}");
    }

    #[test]
    fn an_object_with_a_wrong_value_is_an_error_that_does_not_show_it() {
        let body = serde_json::json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "a"}, "spec": {"replicas": "SECRET"},
        });
        let error = Manifest::of(body)
            .unwrap()
            .parse::<Deployment>()
            .unwrap_err();
        let error = format!("{error:#}");
        assert!(
            error.contains("Deployment") && !error.contains("SECRET"),
            "{error}"
        );
    }

    #[test]
    fn the_services_behind_webhooks_are_found() {
        let yaml = "
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: w}
webhooks:
- {name: a, clientConfig: {service: {name: injector, namespace: linkerd}}}
- {name: b, clientConfig: {url: 'https://x'}}
";
        let services = rendered(yaml).unwrap().webhook_services();
        assert_eq!(services, BTreeSet::from(["injector".to_owned()]));
    }
}
