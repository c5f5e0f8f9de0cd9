//! The rules about the extensions. Extensions are upgraded after the control plane and before the
//! roll.

use mesh_records::{ControlPlane, Extension, Rule};
use mesh_versions::{Skew, Version};
use serde_json::Value;

use crate::question::Standpoint;
use crate::remark::Remark;
use crate::rule::Weight;

/// Compares the versions of the cluster's extensions with the version in question.
pub(crate) fn remarks(
    plane: &ControlPlane,
    extensions: &[Extension],
    at: &Standpoint<'_>,
) -> Vec<Remark> {
    let rolling = plane.facts.get("cni_rolling") == Some(&Value::Bool(true));
    let rolling = rolling.then(|| {
        let message = "the CNI plugin is being rolled out: a new pod may start before it is there";
        Remark::new(Rule::CniBehind, message).hint("wait until its DaemonSet has all its pods")
    });
    let of_versions = versions(extensions, at).into_iter();
    of_versions.chain(rolling).collect()
}

fn versions(extensions: &[Extension], at: &Standpoint<'_>) -> Vec<Remark> {
    [Rule::ExtensionBehind, Rule::CniBehind]
        .into_iter()
        .flat_map(|rule| {
            let of_rule: Vec<&Extension> = extensions
                .iter()
                .filter(|extension| rule_of(extension) == rule)
                .collect();
            let behind = names(
                &of_rule,
                |skew| matches!(skew, Some(Skew::Behind { minors: 1.. })),
                at,
            );
            let unknown = names(
                &of_rule,
                |skew| matches!(skew, None | Some(Skew::Unknown)),
                at,
            );
            let base = at.base();
            let hint = "upgrade it after the control plane and before the workloads";
            let behind = behind.map(|names| {
                let message = format!("an extension is older than {base}: {names}");
                Remark::new(rule, message).weighing(Weight::Soft).hint(hint)
            });
            let unknown = unknown.map(|names| {
                let message = format!("the version of an extension is not known: {names}");
                let hint = "look up which release it is, and upgrade it with the others";
                Remark::cannot_tell(rule, message).hint(hint)
            });
            behind.into_iter().chain(unknown)
        })
        .collect()
}

fn rule_of(extension: &Extension) -> Rule {
    match extension.name.as_str() {
        "cni" => Rule::CniBehind,
        _ => Rule::ExtensionBehind,
    }
}

fn names(
    extensions: &[&Extension],
    wanted: impl Fn(Option<Skew>) -> bool,
    at: &Standpoint<'_>,
) -> Option<String> {
    let skew = |version: Option<&str>| {
        let version = Version::of_tag(version?);
        Some(at.releases().skew(&version, at.base()).0)
    };
    let mut names: Vec<String> = extensions
        .iter()
        .flat_map(|extension| parts(extension))
        .filter(|(_, version)| wanted(skew(*version)))
        .map(|(name, version)| match version {
            Some(version) => format!("{name} {version}"),
            None => name,
        })
        .collect();
    names.sort();
    (!names.is_empty()).then(|| names.join(", "))
}

// Each part of an extension, or else the extension itself. A program that is not Linkerd's has only
// numbers of its own and is not compared; a part that should have a version of Linkerd and has none
// is not known.
fn parts(extension: &Extension) -> Vec<(String, Option<&str>)> {
    if extension.parts.is_empty() {
        return vec![(extension.name.clone(), extension.version.as_deref())];
    }
    let parts = extension.parts.iter();
    let is_cni = rule_of(extension) == Rule::CniBehind;
    let of_release =
        parts.filter(|part| is_cni || part.version.is_some() || part.own_version.is_none());
    let named = of_release.map(|part| {
        let name = format!("{}/{}", extension.name, part.name);
        (name, part.version.as_deref())
    });
    named.collect()
}
