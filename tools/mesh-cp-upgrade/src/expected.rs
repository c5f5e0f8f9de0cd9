//! The components as they should be after an upgrade. Pure.

use std::collections::BTreeMap;

use anyhow::ensure;
use mesh_cluster::label;
use mesh_cluster::object::{self, Deployment};
use mesh_cluster::workload::proxy;
use mesh_versions::same_release;

use crate::render::{Manifest, Rendered};

/// A component as it should be after the upgrade.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    /// How many pods it has at least; never 0.
    pub(crate) replicas: u32,
    pub(crate) images: Images,
}

/// The images that a component should run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Images {
    /// This one in each container, init containers included.
    Exactly(BTreeMap<String, String>),
    /// None of another release than this. What was not rendered here has no images to expect.
    Of(String),
}

// === impl Expected ===

impl Expected {
    pub(crate) fn of(manifest: &Manifest) -> anyhow::Result<Self> {
        Ok(Self::written(&manifest.parse()?))
    }

    /// Makes a component as its Deployment says.
    pub(crate) fn written(deployment: &Deployment) -> Self {
        // The API server's default is 1, and without a pod no component is there.
        let replicas = deployment.spec.replicas.unwrap_or(1);
        Self {
            name: deployment.meta.name.clone(),
            replicas: u32::try_from(replicas).unwrap_or(1).max(1),
            version: deployment.meta.labels.get(label::APP_VERSION).cloned(),
            images: Images::Exactly(images(&deployment.spec.template.spec)),
        }
    }

    /// Makes a component of a release that nobody rendered here.
    pub(crate) fn of_release(name: &str, release: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: Some(release.to_owned()),
            replicas: 1,
            images: Images::Of(release.to_owned()),
        }
    }

    /// Returns true if the component has a proxy.
    pub(crate) fn has_proxy(&self) -> bool {
        match &self.images {
            Images::Exactly(images) => images.contains_key(label::PROXY),
            Images::Of(_) => true,
        }
    }

    /// Returns true if a pod or template has the expected images. Containers that other webhooks
    /// added are ignored.
    pub(crate) fn runs(&self, spec: &object::PodSpec) -> bool {
        self.other_image(spec).is_none()
    }

    /// Returns the first container of a pod or template that has not the expected image.
    pub(crate) fn other_image(&self, spec: &object::PodSpec) -> Option<String> {
        let seen = images(spec);
        match &self.images {
            Images::Exactly(images) => {
                images
                    .iter()
                    .find_map(|(name, image)| match seen.get(name) {
                        Some(seen) if seen == image => None,
                        Some(seen) => Some(format!("{seen}, not {image}, in the container {name}")),
                        None => Some(format!("no container {name}")),
                    })
            }
            Images::Of(_) if !seen.contains_key(label::PROXY) => {
                Some(format!("no container {}", label::PROXY))
            }
            Images::Of(release) => {
                let mut strange = seen.values().filter(|image| is_strange(image, release));
                strange
                    .next()
                    .map(|image| format!("{image}, not {release}"))
            }
        }
    }

    /// Returns the images whose tag is a Linkerd version other than `target`.
    pub(crate) fn strangers(&self, target: &str) -> Vec<&str> {
        match &self.images {
            Images::Exactly(images) => {
                let images = images.values().map(String::as_str);
                images.filter(|image| is_strange(image, target)).collect()
            }
            Images::Of(_) => Vec::new(),
        }
    }

    /// Returns the first image that stays as it is `today` and whose tag is no Linkerd version: nothing
    /// shows that it is of another release than today.
    pub(crate) fn unmoved(&self, today: &Self) -> Option<&str> {
        let (Images::Exactly(images), Images::Exactly(today)) = (&self.images, &today.images)
        else {
            return None;
        };
        let is_unmoved = |(name, image): &(&String, &String)| {
            OF_RELEASES.contains(&name.as_str())
                && today.get(*name) == Some(image)
                && proxy::image_tag(image)
                    .and_then(proxy::linkerd_version)
                    .is_none()
        };
        let unmoved = images.iter().find(is_unmoved);
        unmoved.map(|(_, image)| image.as_str())
    }
}

impl Default for Images {
    fn default() -> Self {
        Self::Exactly(BTreeMap::new())
    }
}

/// The containers whose images every release has anew. Others have versions of their own, such as the one
/// that sets up a pod's network.
const OF_RELEASES: [&str; 7] = [
    label::PROXY,
    "linkerd-network-validator",
    "identity",
    "destination",
    "sp-validator",
    "policy",
    "proxy-injector",
];

// A suffix of a rebuild makes no other release.
fn is_strange(image: &str, release: &str) -> bool {
    let tag = proxy::image_tag(image).and_then(proxy::linkerd_version);
    tag.is_some_and(|version| !same_release(version, release))
}

fn images(spec: &object::PodSpec) -> BTreeMap<String, String> {
    let containers = spec.init_containers.iter().chain(&spec.containers);
    containers
        .map(|container| (container.name.clone(), container.image.clone()))
        .collect()
}

impl Rendered {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::{DEPLOYMENT, rendered};

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

    #[test]
    fn an_image_that_stays_shows_its_release_only_by_its_tag() {
        let expected = |images: &[(&str, &str)]| Expected {
            images: Images::Exactly(
                images
                    .iter()
                    .map(|(name, image)| ((*name).to_owned(), (*image).to_owned()))
                    .collect(),
            ),
            ..Expected::default()
        };
        let init = ("linkerd-init", "m/proxy-init:v2.2.3");
        let proxy = (label::PROXY, "m/proxy:stable-2.14.10");
        // what is rendered, what is there today, what is found
        for (now, today, found) in [
            (
                ("identity", "m/controller:corp-1"),
                "m/controller:corp-1",
                Some("m/controller:corp-1"),
            ),
            (
                ("identity", "m/c@sha256:1"),
                "m/c@sha256:1",
                Some("m/c@sha256:1"),
            ),
            (("identity", "m/c:2.13.7"), "m/c:2.13.7", Some("m/c:2.13.7")),
            (("identity", "m/c:corp-2"), "m/c:corp-1", None),
            (("noop", "pause:3.2"), "pause:3.2", None),
            (
                ("identity", "m/c:stable-2.14.10"),
                "m/c:stable-2.14.10",
                None,
            ),
        ] {
            let expected_now = expected(&[init, proxy, now]);
            let unmoved = expected_now.unmoved(&expected(&[init, proxy, (now.0, today)]));
            assert_eq!(unmoved, found);
        }
    }

    #[test]
    fn a_release_that_was_not_rendered_is_known_by_the_tags_of_its_images() {
        let expected = Expected::of_release("linkerd-identity", "stable-2.14.10");
        let spec = |images: &[(&str, &str)]| object::PodSpec {
            containers: images
                .iter()
                .map(|(name, image)| object::Container {
                    name: (*name).to_owned(),
                    image: (*image).to_owned(),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        };
        let (proxy, old) = ("m/proxy:stable-2.14.10", "m/controller:stable-2.13.7");
        let own = ("init", "m/proxy-init:v2.2.3");
        for (images, part) in [
            (&[("linkerd-proxy", proxy), own][..], None),
            (&[("linkerd-proxy", "m/proxy:stable-2.14.10-fips")], None),
            (
                &[("linkerd-proxy", proxy), ("identity", old)],
                Some("not stable-2.14.10"),
            ),
            (&[("identity", proxy)], Some("no container linkerd-proxy")),
        ] {
            let other = expected.other_image(&spec(images));
            assert_eq!(other.is_some(), part.is_some(), "{other:?}");
            assert!(other.unwrap_or_default().contains(part.unwrap_or("")));
        }
    }
}
