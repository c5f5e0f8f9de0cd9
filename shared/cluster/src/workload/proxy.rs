//! Finds a pod's proxy, its version, and where the version was read.

use std::collections::BTreeMap;

use mesh_records::VersionSource;
use mesh_versions::{Version, same_release};

use crate::object::label;
use crate::object::{Container, ContainerStatus, Meta, Pod, PodSpec, RestartPolicy};

/// A proxy in a pod's or a template's spec.
#[derive(Clone, Copy, Debug)]
pub struct Sidecar<'a> {
    /// The proxy's container.
    pub container: &'a Container,
    /// Whether the proxy is an init container that keeps running (a native sidecar).
    pub native: bool,
}

/// A proxy's version, from the best available source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyVersion {
    /// The Linkerd version, as it was written.
    pub version: Option<String>,
    /// The image's tag, if it is not a Linkerd version.
    pub tag: Option<String>,
    /// Where the version was read.
    pub source: VersionSource,
}

/// Annotations of a pod or template.
pub type Annotations = BTreeMap<String, String>;

/// Returns the proxy among the containers and init containers. It is found by the container's name,
/// the only thing that is the same in every release and every private mirror.
pub fn sidecar(spec: &PodSpec) -> Option<Sidecar<'_>> {
    let named = |containers: &'_ Vec<Container>| {
        containers
            .iter()
            .position(|container| container.name == label::PROXY)
    };
    if let Some(place) = named(&spec.init_containers) {
        return Some(Sidecar {
            container: &spec.init_containers[place],
            native: true,
        });
    }
    let place = named(&spec.containers)?;
    Some(Sidecar {
        container: &spec.containers[place],
        native: false,
    })
}

/// Returns true if a pod's proxy container is ready; its status may be in either list.
pub fn is_ready(pod: &Pod) -> bool {
    let ready = |statuses: &[ContainerStatus]| {
        statuses
            .iter()
            .any(|status| status.name == label::PROXY && status.ready)
    };
    ready(&pod.status.container_statuses) || ready(&pod.status.init_container_statuses)
}

/// Returns true if only the proxy keeps a pod alive that would have ended: each other container has
/// ended for good. A native sidecar ends with them.
pub fn holds(pod: &Pod) -> bool {
    let is_plain = pod.spec.containers.iter().any(|it| it.name == label::PROXY);
    let statuses = pod.status.container_statuses.iter();
    let mut others = statuses.filter(|it| it.name != label::PROXY).peekable();
    let has_ended = |it: &ContainerStatus| it.state.terminated.as_ref().map(|it| it.exit_code);
    let for_good = |it: &ContainerStatus| match pod.spec.restart_policy {
        RestartPolicy::Always => false,
        RestartPolicy::OnFailure => has_ended(it) == Some(0),
        RestartPolicy::Never => has_ended(it).is_some(),
    };
    is_plain && others.peek().is_some() && others.all(for_good)
}

/// The version of a proxy: its image's tag if that is a Linkerd version, else what the injector
/// says that it gave, else none. `linkerd.io/created-by` names the injector, never the proxy.
///
/// The image comes first because it is what runs: other webhooks may change the image after the
/// injector.
pub fn version(image: &str, annotations: &Annotations) -> ProxyVersion {
    let tag = image_tag(image);
    let of = |text: Option<&str>, source| {
        let version = linkerd_version(text?)?.to_owned();
        Some((Some(version), source))
    };
    let annotation = annotations.get(label::PROXY_VERSION).map(String::as_str);
    let found = of(tag, VersionSource::Image).or_else(|| of(annotation, VersionSource::Annotation));
    let (version, source) = found.unwrap_or((None, VersionSource::None));
    let tag = tag
        .filter(|_| source != VersionSource::Image)
        .map(str::to_owned);
    ProxyVersion {
        version,
        tag,
        source,
    }
}

/// Returns the annotation's version if it contradicts the image's. Somebody then changed the image
/// or the annotation after the injection.
pub fn contradiction<'a>(proxy: &ProxyVersion, annotations: &'a Annotations) -> Option<&'a str> {
    let annotation = annotations.get(label::PROXY_VERSION)?.as_str();
    let image = proxy
        .version
        .as_deref()
        .filter(|_| proxy.source == VersionSource::Image)?;
    (!same_release(image, annotation)).then_some(annotation)
}

/// Returns the SHA-256 of the trust bundle that the injector gave a pod; the annotation exists
/// since stable-2.12.0.
pub fn trust_anchors(meta: &Meta) -> Option<&str> {
    meta.annotations.get(label::TRUST_ROOT).map(String::as_str)
}

/// Returns the version in `linkerd.io/created-by`, such as `linkerd/proxy-injector stable-2.13.7`.
pub fn created_by(annotations: &Annotations) -> Option<&str> {
    let (_, version) = annotations.get(label::CREATED_BY)?.split_once(' ')?;
    Some(version)
}

/// Returns the tag of an image reference. A digest or a registry's port is not a tag.
pub fn image_tag(image: &str) -> Option<&str> {
    let (reference, _digest) = image.split_once('@').unwrap_or((image, ""));
    let (_, name) = reference.rsplit_once('/').unwrap_or(("", reference));
    let (_, tag) = name.split_once(':')?;
    Some(tag).filter(|tag| !tag.is_empty())
}

/// Returns the text if it is a Linkerd version.
pub fn linkerd_version(text: &str) -> Option<&str> {
    (!Version::of_tag(text).is_opaque()).then_some(text)
}

// === impl ProxyVersion ===

impl ProxyVersion {
    /// Returns true if this is the release in `injects`. If a mirror has its own tags, the tags are
    /// compared.
    pub fn is(&self, injects: &str) -> bool {
        let is =
            |own: &Option<String>| own.as_deref().is_some_and(|own| same_release(own, injects));
        is(&self.version) || is(&self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_tag_handles_ports_paths_and_digests() {
        let table = [
            (
                "cr.l5d.io/linkerd/proxy:stable-2.13.7",
                Some("stable-2.13.7"),
            ),
            ("proxy:edge-25.4.4", Some("edge-25.4.4")),
            ("proxy", None),
            ("registry:5000/linkerd/proxy", None),
            ("registry:5000/linkerd/proxy:v1", Some("v1")),
            ("registry/proxy@sha256:0123", None),
            (
                "registry/proxy:stable-2.14.10@sha256:0123",
                Some("stable-2.14.10"),
            ),
            ("registry:5000/proxy:a@sha256:0123", Some("a")),
            ("registry/proxy:", None),
            ("", None),
        ];
        for (image, tag) in table {
            assert_eq!(image_tag(image), tag, "{image}");
        }
    }

    #[test]
    fn a_proxy_holds_a_pod_whose_other_containers_have_ended() {
        let ended = |code: i32| format!(r#"{{"terminated": {{"exitCode": {code}}}}}"#);
        let (well, badly) = (ended(0), ended(1));
        let (runs, waits) = (
            r#"{"running": {}}"#,
            r#"{"waiting": {"reason": "CrashLoopBackOff"}}"#,
        );
        // restart policy, list with the proxy, states of the other containers
        let table: [(&str, &str, &[&str], bool); 9] = [
            ("Never", "containers", &[&well], true),
            ("Never", "containers", &[&badly, &well], true),
            ("OnFailure", "containers", &[&well], true),
            ("OnFailure", "containers", &[&badly], false),
            ("Never", "containers", &[&well, runs], false),
            ("OnFailure", "containers", &[&well, waits], false),
            ("Always", "containers", &[&well], false),
            ("Never", "initContainers", &[&well], false),
            ("Never", "containers", &[], false),
        ];
        for (policy, list, states, expected) in table {
            let states: Vec<String> = states
                .iter()
                .enumerate()
                .map(|(at, state)| format!(r#"{{"name": "app-{at}", "state": {state}}}"#))
                .collect();
            let pod: Pod = serde_json::from_str(&format!(
                r#"{{"spec": {{"restartPolicy": "{policy}", "{list}": [{{"name": "linkerd-proxy"}}]}},
                    "status": {{"containerStatuses": [{{"name": "linkerd-proxy", "state": {{"running": {{}}}}}}{}{}]}}}}"#,
                if states.is_empty() { "" } else { ", " },
                states.join(", ")
            )).unwrap();
            assert_eq!(holds(&pod), expected, "{policy} {list} {states:?}");
        }
    }

    #[test]
    fn a_version_comes_from_the_best_source_that_names_one() {
        use VersionSource::{Annotation, Image, None as Nothing};
        let injector = "linkerd/proxy-injector stable-2.13.6";
        // image, annotation, created-by, version, tag, source
        let table = [
            (
                "p:stable-2.13.7",
                "stable-2.13.6",
                injector,
                "stable-2.13.7",
                "",
                Image,
            ),
            (
                "p:enterprise-2.17.0-1",
                "",
                "",
                "enterprise-2.17.0-1",
                "",
                Image,
            ),
            ("p:preview-25.10.7", "", "", "preview-25.10.7", "", Image),
            (
                "p:stable-2.12.0-rc2",
                "",
                "",
                "stable-2.12.0-rc2",
                "",
                Image,
            ),
            (
                "p@sha256:01",
                "stable-2.13.7",
                injector,
                "stable-2.13.7",
                "",
                Annotation,
            ),
            (
                "mirror:5000/p",
                "stable-2.13.7",
                "",
                "stable-2.13.7",
                "",
                Annotation,
            ),
            (
                "mirror/p:v7-fips",
                "stable-2.13.7",
                "",
                "stable-2.13.7",
                "v7-fips",
                Annotation,
            ),
            ("mirror/p:v7", "v7", injector, "", "v7", Nothing),
            (
                "p:dev-undefined",
                "dev-undefined",
                "linkerd/cli dev-undefined",
                "",
                "dev-undefined",
                Nothing,
            ),
            ("p@sha256:01", "", "", "", "", Nothing),
            ("p@sha256:01", "", "linkerd", "", "", Nothing),
        ];
        for (image, annotation, by, wanted, tag, source) in table {
            let pairs = [(label::PROXY_VERSION, annotation), (label::CREATED_BY, by)];
            let pairs = pairs.into_iter().filter(|(_, value)| !value.is_empty());
            let annotations = pairs
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect();
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let expected = ProxyVersion {
                version: some(wanted),
                tag: some(tag),
                source,
            };
            assert_eq!(
                version(image, &annotations),
                expected,
                "{image} {annotation} {by}"
            );
        }
    }

    #[test]
    fn only_an_image_that_names_a_version_can_contradict_the_annotation() {
        let table = [
            ("p:stable-2.13.7", "stable-2.13.6", Some("stable-2.13.6")),
            ("p:stable-2.13.7", "stable-2.13.7", None),
            ("p@sha256:01", "stable-2.13.6", None),
            ("p:v7", "stable-2.13.6", None),
        ];
        for (image, annotation, expected) in table {
            let pair = (label::PROXY_VERSION.to_owned(), annotation.to_owned());
            let annotations = Annotations::from([pair]);
            let proxy = version(image, &annotations);
            assert_eq!(contradiction(&proxy, &annotations), expected, "{image}");
        }
    }
}
