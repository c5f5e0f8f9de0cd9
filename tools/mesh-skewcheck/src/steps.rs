//! The commands of a step of the path, for this cluster and its way of installing.

use mesh_records::{ControlPlane, Extension, InstalledBy};
use mesh_versions::{Channel, Minor, Version};

use crate::question::Standpoint;

/// What a person does for a step: commands, or a sentence where there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Commands(Vec<String>),
    Sentence(String),
}

/// Since this minor version the CLI can list what an older release left behind.
const PRUNES: Minor = Minor::new(13);
/// Since this minor version each extension has a Helm chart of another form, and none can be
/// upgraded to it.
const NEW_CHARTS: Minor = Minor::new(12);
/// The first minor version without the jaeger extension.
const NO_JAEGER: Minor = Minor::new(19);

/// Returns how to bring the control plane to a release.
pub(crate) fn upgrade(plane: &ControlPlane, release: &str, at: &Standpoint<'_>) -> Deed {
    let to = ["--to", release];
    let done = at.judged(&["--ask", "done", "--to", release]);
    let sentence = |what: String| Deed::Sentence(format!("{what}; then check: {done}"));
    match plane.installed_by {
        _ if !plane.conflicts.is_empty() => sentence(format!(
            "mesh-cp-upgrade would refuse, because it is not clear what installed the control \
             plane: bring it to {release} with the tool that did"
        )),
        InstalledBy::Helm => {
            let words = ["-f", "VALUES.yaml"];
            Deed::Commands(vec![at.acted(&to, "mesh-cp-upgrade", &words)])
        }
        InstalledBy::Cli => Deed::Commands(vec![at.acted(&to, "mesh-cp-upgrade", &[])]),
        InstalledBy::Gitops => sentence(format!(
            "set the version of the control plane to {release} in the source that Argo CD or Flux \
             applies"
        )),
        InstalledBy::Operator => sentence(format!(
            "set spec.components.linkerd.version of the resource ControlPlane to {release}"
        )),
        InstalledBy::Unknown => sentence(format!(
            "mesh-cp-upgrade would refuse, because nothing says what installed the control plane: \
             bring it to {release} with the tool that did"
        )),
    }
}

/// Returns how to bring an extension, or the CNI plugin, to a release of minor version `to`.
pub(crate) fn extension(
    extension: &Extension,
    by: InstalledBy,
    (release, to): (&Version, Minor),
    at: &Standpoint<'_>,
) -> Deed {
    let is_gone = extension.name == "jaeger" && to >= NO_JAEGER;
    let commands = match by {
        InstalledBy::Cli => by_cli(extension, to, is_gone, at),
        InstalledBy::Helm => by_helm(extension, release, to, is_gone, at),
        InstalledBy::Gitops | InstalledBy::Operator | InstalledBy::Unknown => None,
    };
    let name = &extension.name;
    commands.map_or_else(
        || {
            Deed::Sentence(match is_gone {
                true => format!("uninstall {name} with the tool that installed it"),
                false => format!("bring {name} to {release} with the tool that installed it"),
            })
        },
        Deed::Commands,
    )
}

fn by_cli(
    extension: &Extension,
    to: Minor,
    is_gone: bool,
    at: &Standpoint<'_>,
) -> Option<Vec<String>> {
    let paste = &at.paste;
    let name = extension.name.as_str();
    let prune = || paste.linkerd_to_kubectl(&[name, "prune"], "delete");
    match name {
        "jaeger" if is_gone => Some(vec![
            paste.linkerd_to_kubectl(&[name, "uninstall"], "delete"),
        ]),
        "viz" | "multicluster" | "jaeger" => {
            let mut commands = vec![paste.linkerd_to_kubectl(&[name, "install"], "apply")];
            commands.extend((to >= PRUNES).then(prune));
            Some(commands)
        }
        "cni" => Some(vec![paste.linkerd_to_kubectl(&["install-cni"], "apply")]),
        _ => None,
    }
}

/// The repositories of Buoyant have charts of other names.
fn by_helm(
    extension: &Extension,
    release: &Version,
    to: Minor,
    is_gone: bool,
    at: &Standpoint<'_>,
) -> Option<Vec<String>> {
    let paste = &at.paste;
    let channel = release.channel()?;
    let (name, chart) = match extension.name.as_str() {
        "viz" => ("linkerd-viz", "linkerd-viz"),
        "multicluster" => ("linkerd-multicluster", "linkerd-multicluster"),
        "jaeger" => ("linkerd-jaeger", "linkerd-jaeger"),
        "cni" => ("linkerd-cni", "linkerd2-cni"),
        _ => return None,
    };
    let namespace = ["-n", extension.namespace.as_str()];
    let uninstall = paste.helm("helm", &[&["uninstall", name][..], &namespace].concat());
    if is_gone {
        return Some(vec![uninstall]);
    }
    let repository = match channel {
        Channel::Stable | Channel::Edge => at.releases().repository(channel)?,
        Channel::Enterprise | Channel::Preview => return None,
    };
    let chart = format!("{}/{chart}", repository.name);
    let version = chart_version(release).unwrap_or_else(|| "CHART-VERSION".to_owned());
    let tail = [&namespace[..], &["--version", &version]].concat();
    let values = ["-f", "EXTENSION-VALUES.yaml"];
    if to == NEW_CHARTS {
        let install = [&["install", name, &chart][..], &tail, &values].concat();
        return Some(vec![uninstall, paste.helm("helm", &install)]);
    }
    let upgrade = [
        &["upgrade", name, &chart][..],
        &tail,
        &["--reset-values"],
        &values,
    ];
    Some(vec![paste.helm("helm", &upgrade.concat())])
}

/// The charts of edge releases are numbered as the releases (edge-24.8.2 is 2024.8.2) since May 2024.
fn chart_version(release: &Version) -> Option<String> {
    const FIRST: &str = "edge-24.5.1";
    let order = Version::of_tag(FIRST).order(release)?;
    let numbers = release.as_str().strip_prefix("edge-")?;
    let numbers = numbers.split('-').next()?;
    order.is_le().then(|| format!("20{numbers}"))
}
