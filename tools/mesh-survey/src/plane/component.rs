//! The Deployments of a control plane, and which version each of their containers runs.

use std::cmp::Ordering;
use std::sync::LazyLock;

use mesh_cluster::object::label;
use mesh_cluster::object::{Container, Deployment, Meta};
use mesh_cluster::workload::proxy::{created_by, image_tag, linkerd_version};
use mesh_cluster::workload::rollout::{self, Restartable as _};
use mesh_records::{Component, ContainerVersion, State, Trouble};
use mesh_versions::{COMPONENTS, Minor, Releases, Version, same_release};

/// Deployments that only older releases have. They stay after an upgrade without a prune.
const OLDER: [&str; 6] = [
    "linkerd-controller",
    "linkerd-grafana",
    "linkerd-prometheus",
    "linkerd-sp-validator",
    "linkerd-tap",
    "linkerd-web",
];
/// The last line that has them.
const LAST_OLDER: Minor = Minor::new(10);
/// The containers that the charts give to these Deployments, besides the proxy.
const CONTAINERS: [&str; 8] = [
    "destination",
    "identity",
    "policy",
    "proxy-injector",
    "public-api",
    "sp-validator",
    "tap",
    "web",
];

static RELEASES: LazyLock<Releases> = LazyLock::new(Releases::embedded);

/// Returns true if a Deployment may be a component of the control plane in its namespace. The label
/// alone does not tell: extensions up to 2.11 have it too.
pub(crate) fn is_component(meta: &Meta) -> bool {
    let name = meta.name.as_str();
    meta.labels.contains_key(label::COMPONENT)
        && (COMPONENTS.contains(&name) || OLDER.contains(&name))
}

/// Returns true if a control plane of this version has the Deployment.
pub(super) fn belongs_to(version: Option<&str>, name: &str) -> bool {
    let minor = version.and_then(|version| RELEASES.minor_of(&Version::of_tag(version)));
    let has_older = minor.is_some_and(|minor| minor.minor <= LAST_OLDER);
    has_older || COMPONENTS.contains(&name)
}

/// Returns the version that a Deployment of an extension runs: the oldest of its images, or else
/// what its labels and annotations say.
pub(crate) fn part_version(deployment: &Deployment) -> Option<String> {
    let containers = &deployment.spec.template.spec.containers;
    let own = containers.iter().filter(|it| it.name != label::PROXY);
    let oldest = oldest(own.filter_map(tagged)).map(str::to_owned);
    oldest.or_else(|| stated_version(&deployment.meta))
}

/// Returns the Linkerd version in an object's annotations or labels.
pub(crate) fn stated_version(meta: &Meta) -> Option<String> {
    let created_by = created_by(&meta.annotations);
    let stated = created_by.and_then(linkerd_version);
    let label = || meta.labels.get(label::APP_VERSION).map(String::as_str);
    stated
        .or_else(|| label().and_then(linkerd_version))
        .map(str::to_owned)
}

/// Returns the oldest of the versions.
pub(crate) fn oldest<'a>(versions: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let older = |one: &&str, other: &&str| {
        let (one, other) = (Version::of_tag(one), Version::of_tag(other));
        let minor = |version| RELEASES.minor_of(version).map(|it| it.minor);
        let by_minor = minor(&one).cmp(&minor(&other));
        by_minor.then_with(|| one.order(&other).unwrap_or(Ordering::Equal))
    };
    versions.min_by(older)
}

/// Returns the state of a control plane's Deployments. Without any Deployment it is not settled.
pub(super) fn state(components: &[Deployment]) -> State {
    let mut state = if components.is_empty() {
        State::Failed
    } else {
        State::Settled
    };
    for component in components {
        match component.standing() {
            rollout::State::Settled => {}
            rollout::State::Failed(_) => return State::Failed,
            // Nobody waits for this rollout any more.
            rollout::State::HeldUp(problem) if problem.trouble == Trouble::ProgressDeadline => {
                return State::Failed;
            }
            rollout::State::Progressing(_)
            | rollout::State::HeldUp(_)
            | rollout::State::Superseded => state = State::Rolling,
        }
    }
    state
}

/// Makes the record of a control plane's Deployment, without its proxies.
pub(super) fn component(deployment: &Deployment) -> Component {
    let count = |count: i32| u32::try_from(count).unwrap_or(0);
    let status = &deployment.status;
    // A status for an older generation does not describe the newest template.
    let observed = status.observed_generation >= deployment.meta.generation;
    let (version, versions) = versions(deployment);
    Component {
        name: deployment.meta.name.clone(),
        version,
        versions,
        wanted: count(deployment.spec.replicas.unwrap_or(1)),
        ready: count(status.available_replicas),
        updated: if observed {
            count(status.updated_replicas)
        } else {
            0
        },
        proxies: Vec::new(),
    }
}

// The version of a component, and those of its containers unless all run that version. What the
// labels and annotations say holds for images without a tag, and for the tags of a mirror that has
// its own; a tag of its own beside tags of Linkerd was chosen for that container alone.
fn versions(deployment: &Deployment) -> (Option<String>, Vec<ContainerVersion>) {
    let own = own_containers(deployment);
    let stated = stated_version(&deployment.meta);
    let is_tagged = own.iter().any(|it| tagged(it).is_some());
    let version = |container: &Container| match tagged(container) {
        Some(tag) => Some(tag.to_owned()),
        None if is_tagged && image_tag(&container.image).is_some() => None,
        None => stated.clone(),
    };
    let versions: Vec<ContainerVersion> = own
        .into_iter()
        .map(|container| ContainerVersion {
            container: container.name.clone(),
            version: version(container),
        })
        .collect();
    if versions.is_empty() {
        return (stated, versions);
    }
    let known: Option<Vec<&str>> = versions.iter().map(|it| it.version.as_deref()).collect();
    let known = known.unwrap_or_default();
    let oldest = oldest(known.iter().copied()).map(str::to_owned);
    match known.split_first() {
        Some((first, others)) if others.iter().all(|it| same_release(it, first)) => {
            (oldest, Vec::new())
        }
        Some(_) => (oldest, versions),
        None if versions.len() > 1 => (None, versions),
        None => (None, Vec::new()),
    }
}

// Containers that somebody added say nothing about the release.
fn own_containers(deployment: &Deployment) -> Vec<&Container> {
    let all = || {
        let containers = deployment.spec.template.spec.containers.iter();
        containers.filter(|it| it.name != label::PROXY)
    };
    let charted = all().filter(|it| CONTAINERS.contains(&it.name.as_str()));
    let charted: Vec<&Container> = charted.collect();
    if charted.is_empty() {
        all().collect()
    } else {
        charted
    }
}

fn tagged(container: &Container) -> Option<&str> {
    linkerd_version(image_tag(&container.image)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_component_has_the_version_of_each_container() {
        let label = "stable-2.14.10";
        // images of destination, sp-validator and policy; the version; each container's version
        type Row<'a> = ([&'a str; 3], Option<&'a str>, &'a [Option<&'a str>]);
        let table: [Row<'_>; 8] = [
            (["c:stable-2.14.10"; 3], Some("stable-2.14.10"), &[]),
            (["c@sha256:01"; 3], Some("stable-2.14.10"), &[]),
            (["mirror:5000/c:v7"; 3], Some("stable-2.14.10"), &[]),
            (
                ["c:stable-2.14.10", "c:stable-2.14.10", "p:stable-2.13.7"],
                Some("stable-2.13.7"),
                &[Some(label), Some(label), Some("stable-2.13.7")],
            ),
            (
                ["c:stable-2.14.10", "c:stable-2.13.7", "p:stable-2.14.10"],
                Some("stable-2.13.7"),
                &[Some(label), Some("stable-2.13.7"), Some(label)],
            ),
            (
                ["c:stable-2.14.10", "c:stable-2.14.10", "p:v7"],
                None,
                &[Some(label), Some(label), None],
            ),
            (
                ["c:stable-2.14.10", "c:stable-2.14.10", "p@sha256:01"],
                Some("stable-2.14.10"),
                &[],
            ),
            (
                [
                    "c:stable-2.14.10",
                    "c:stable-2.14.10@sha256:01",
                    "p:stable-2.14.10-fips",
                ],
                Some("stable-2.14.10"),
                &[],
            ),
        ];
        for (images, version, each) in table {
            let containers = ["destination", "sp-validator", "policy"];
            let mut containers: Vec<_> = containers
                .iter()
                .zip(images)
                .map(|(name, image)| json!({"name": name, "image": image}))
                .collect();
            containers.push(json!({"name": "linkerd-proxy", "image": "p:stable-2.12.0"}));
            containers.push(json!({"name": "log-shipper", "image": "fluent-bit:2.1"}));
            let deployment: Deployment = serde_json::from_value(json!({
                "metadata": {"name": "linkerd-destination", "labels": {"app.kubernetes.io/version": label}},
                "spec": {"template": {"spec": {"containers": containers}}},
            }))
            .unwrap();
            let component = component(&deployment);
            assert_eq!(component.version.as_deref(), version, "{images:?}");
            let seen: Vec<_> = component
                .versions
                .iter()
                .map(|it| it.version.as_deref())
                .collect();
            assert_eq!(seen, each, "{images:?}");
        }
    }
}
