//! The rendered objects, their version, and the components to expect.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail, ensure};
use mesh_cluster::control_plane::Config;
use mesh_cluster::label;
use mesh_cluster::object::{self, ConfigMap, Deployment};
use mesh_cluster::workload::proxy;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

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

/// A component as it should be after the upgrade.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    /// How many pods it has at least; never 0.
    pub(crate) replicas: u32,
    /// The image of each container, init containers included.
    pub(crate) images: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct HelmAnswer {
    chart: AnswerChart,
    manifest: String,
    #[serde(default)]
    hooks: Option<Vec<AnswerHook>>,
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
    /// Parses the output of `helm upgrade --dry-run -o json`. Keeps only the chart's name and the
    /// manifest, because the output also contains the user's values.
    pub(crate) fn parse(json: &[u8]) -> anyhow::Result<Self> {
        let HelmAnswer {
            chart,
            manifest,
            hooks,
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
        })
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

    /// Returns the kinds that the rendered custom resource definitions define.
    pub(crate) fn new_kinds(&self) -> BTreeSet<String> {
        let crds = self.manifests.iter();
        let crds = crds.filter(|manifest| manifest.kind == "CustomResourceDefinition");
        let kind = |crd: &Manifest| {
            let names = crd.body.get("spec")?.get("names")?;
            names.get("kind")?.as_str().map(str::to_owned)
        };
        crds.filter_map(kind).collect()
    }

    /// Returns the components, sorted by name.
    pub(crate) fn components(&self) -> anyhow::Result<Vec<Expected>> {
        let deployments = self
            .manifests
            .iter()
            .filter(|manifest| manifest.kind == "Deployment");
        let mut components = deployments
            .map(Expected::of)
            .collect::<Result<Vec<_>, _>>()?;
        ensure!(
            !components.is_empty(),
            "the chart renders no Deployment: it is not Linkerd's"
        );
        components.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(components)
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
    // The parser's error would quote a value, which may be one of the user's secrets.
    fn parse<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
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

// === impl Expected ===

impl Expected {
    fn of(manifest: &Manifest) -> anyhow::Result<Self> {
        let deployment: Deployment = manifest.parse()?;
        // The API server's default is 1, and without a pod no component is there.
        let replicas = deployment.spec.replicas.unwrap_or(1);
        Ok(Self {
            name: manifest.name.clone(),
            replicas: u32::try_from(replicas).unwrap_or(1).max(1),
            version: deployment.meta.labels.get(label::APP_VERSION).cloned(),
            images: images(&deployment.spec.template.spec),
        })
    }

    /// Returns true if the component has a proxy.
    pub(crate) fn has_proxy(&self) -> bool {
        self.images.contains_key(label::PROXY)
    }

    /// Returns true if a pod or template has the expected images. Containers that other webhooks
    /// added are ignored.
    pub(crate) fn runs(&self, spec: &object::PodSpec) -> bool {
        self.other_image(spec).is_none()
    }

    /// Returns the first container of a pod or template that has not the expected image.
    pub(crate) fn other_image(&self, spec: &object::PodSpec) -> Option<String> {
        let seen = images(spec);
        self.images
            .iter()
            .find_map(|(name, image)| match seen.get(name) {
                Some(seen) if seen == image => None,
                Some(seen) => Some(format!("{seen}, not {image}, in the container {name}")),
                None => Some(format!("no container {name}")),
            })
    }

    /// Returns the images whose tag is a Linkerd version other than `target`.
    pub(crate) fn strangers(&self, target: &str) -> Vec<&str> {
        let strange = |image: &&str| {
            let tag = proxy::image_tag(image).and_then(proxy::linkerd_version);
            tag.is_some_and(|version| version != target)
        };
        self.images
            .values()
            .map(String::as_str)
            .filter(strange)
            .collect()
    }
}

fn images(spec: &object::PodSpec) -> BTreeMap<String, String> {
    let containers = spec.init_containers.iter().chain(&spec.containers);
    containers
        .map(|container| (container.name.clone(), container.image.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPLOYMENT: &str = "
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

    fn rendered(yaml: &str) -> anyhow::Result<Rendered> {
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
        assert_eq!(components[0].images.len(), 3);
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

    #[test]
    fn runs_ignores_additional_containers() {
        let expected = rendered(DEPLOYMENT)
            .unwrap()
            .components()
            .unwrap()
            .remove(0);
        let deployment: Deployment =
            serde_json::from_value(rendered(DEPLOYMENT).unwrap().manifests[0].body.clone())
                .unwrap();
        let mut spec = deployment.spec.template.spec;
        spec.containers.push(object::Container {
            name: "extra".into(),
            ..Default::default()
        });
        assert!(expected.runs(&spec));
        spec.containers[0].image = "m/controller:stable-2.13.7".into();
        assert!(!expected.runs(&spec));
    }
}
