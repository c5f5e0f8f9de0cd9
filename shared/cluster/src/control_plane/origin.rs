//! Finds what installed a control plane: only the same tool may upgrade it.

use mesh_records::{InstalledBy, Release};

use crate::object::label;
use crate::object::{Meta, Resource};
use crate::workload::owner::gitops;

const UNKNOWN: &str = "nobody could look whether Buoyant's operator manages it";

/// What installed a control plane, and signs that contradict it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// What installed the control plane.
    pub installed_by: InstalledBy,
    /// The Helm release that the objects name.
    pub release: Option<Release>,
    /// Signs that something else installed it.
    pub conflicts: Vec<String>,
}

/// Whether a resource of Buoyant's operator names the control plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Operator {
    /// One does: only the operator upgrades the control plane.
    Manages,
    /// None does.
    Absent,
    /// Nobody could look.
    #[default]
    Unknown,
}

/// The resources by which Buoyant's operator manages a control plane.
pub const OPERATED: Resource = Resource {
    group: "linkerd.buoyant.io",
    version: "v1alpha1",
    plural: "controlplanes",
    kind: "ControlPlane",
};

/// Reads the signs on a control plane's objects.
///
/// A tool that would undo a change comes first: an operator, then GitOps. GitOps may itself use
/// Helm.
pub fn origin(objects: &[&Meta], operator: Operator) -> Origin {
    let releases = distinct(objects.iter().filter_map(|meta| release(meta)));
    let signed = objects.iter().find_map(|meta| gitops(meta));
    let gitops = signed.or_else(|| objects.iter().find_map(|meta| tracked_by_label(meta)));
    let creators = distinct(objects.iter().filter_map(|meta| creator(meta)));
    let cli = creators.contains(&"linkerd/cli");
    let helm = creators.contains(&"linkerd/helm");
    let (installed_by, mut conflicts) = match (operator, gitops, releases.is_empty()) {
        (Operator::Manages, None, _) => (InstalledBy::Operator, Vec::new()),
        (Operator::Manages, Some(tool), _) => {
            let conflict = format!("both {tool} and Buoyant's operator manage it");
            (InstalledBy::Operator, vec![conflict])
        }
        (Operator::Absent | Operator::Unknown, Some(_), _) => (InstalledBy::Gitops, Vec::new()),
        (Operator::Unknown, None, false) => (InstalledBy::Unknown, vec![UNKNOWN.to_owned()]),
        (Operator::Unknown, None, true) if cli || helm => {
            (InstalledBy::Unknown, vec![UNKNOWN.to_owned()])
        }
        (Operator::Absent, None, false) if cli => {
            let conflict = "the linkerd CLI created some of its objects".to_owned();
            (InstalledBy::Helm, vec![conflict])
        }
        (Operator::Absent, None, false) => (InstalledBy::Helm, Vec::new()),
        (Operator::Absent, None, true) if cli && helm => {
            let conflict =
                "the linkerd CLI created some of its objects, and a Helm chart others".to_owned();
            (InstalledBy::Unknown, vec![conflict])
        }
        (Operator::Absent, None, true) if cli => (InstalledBy::Cli, Vec::new()),
        (Operator::Absent, None, true) if helm => {
            let conflict = "a Helm chart created it, but no Helm release owns it".to_owned();
            (InstalledBy::Unknown, vec![conflict])
        }
        (Operator::Absent | Operator::Unknown, None, true) => (InstalledBy::Unknown, Vec::new()),
    };
    if releases.len() > 1 {
        let names: Vec<_> = releases
            .iter()
            .map(|it| format!("{}/{}", it.namespace, it.name))
            .collect();
        conflicts.push(format!(
            "several Helm releases own it: {}",
            names.join(", ")
        ));
    }
    Origin {
        installed_by,
        release: releases.into_iter().next(),
        conflicts,
    }
}

// Argo CD's label tracking writes the application's name where Helm charts write the release's.
// Linkerd's charts have no such label, so on an object that no release owns it is Argo CD's.
fn tracked_by_label(meta: &Meta) -> Option<&'static str> {
    let is_labelled = meta.labels.contains_key(label::INSTANCE);
    (is_labelled && release(meta).is_none()).then_some("argocd")
}

/// Returns the Helm release that an object names as its owner.
pub fn release(meta: &Meta) -> Option<Release> {
    let value = |key| meta.annotations.get(key).cloned();
    Some(Release {
        name: value(label::HELM_RELEASE)?,
        namespace: value(label::HELM_NAMESPACE)?,
    })
}

fn creator(meta: &Meta) -> Option<&str> {
    let text = meta.annotations.get(label::CREATED_BY)?;
    Some(
        text.split_once(' ')
            .map_or(text.as_str(), |(creator, _)| creator),
    )
}

fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut distinct = Vec::new();
    for item in items {
        if !distinct.contains(&item) {
            distinct.push(item);
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(pairs: &[(&str, &str)]) -> Meta {
        let pairs = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Meta {
            annotations: pairs.collect(),
            ..Meta::default()
        }
    }

    #[test]
    fn origin_prefers_an_operator_then_gitops_and_reports_conflicts() {
        let helm = meta(&[
            (label::CREATED_BY, "linkerd/helm stable-2.13.7"),
            (label::HELM_RELEASE, "linkerd-control-plane"),
            (label::HELM_NAMESPACE, "linkerd"),
        ]);
        let chart = meta(&[(label::CREATED_BY, "linkerd/helm stable-2.13.7")]);
        let cli = meta(&[(label::CREATED_BY, "linkerd/cli stable-2.13.7")]);
        let argo = meta(&[(
            "argocd.argoproj.io/tracking-id",
            "linkerd:apps/Deployment:x",
        )]);
        let none = meta(&[]);
        let labelled = |mut meta: Meta, key: &str| {
            meta.labels.insert(key.to_owned(), "linkerd".to_owned());
            meta
        };
        let by_label = labelled(chart.clone(), label::INSTANCE);
        let released = labelled(helm.clone(), label::INSTANCE);
        let flux = labelled(helm.clone(), "helm.toolkit.fluxcd.io/name");
        let old_flux = meta(&[("fluxcd.io/sync-checksum", "01")]);
        use Operator::{Absent, Manages, Unknown};
        let table: [(&[&Meta], Operator, InstalledBy, bool, usize); 18] = [
            (&[&by_label], Absent, InstalledBy::Gitops, false, 0),
            (&[&released], Absent, InstalledBy::Helm, true, 0),
            (&[&flux], Absent, InstalledBy::Gitops, true, 0),
            (&[&old_flux], Absent, InstalledBy::Gitops, false, 0),
            (&[&helm, &helm], Absent, InstalledBy::Helm, true, 0),
            (&[&cli], Absent, InstalledBy::Cli, false, 0),
            (&[&chart], Absent, InstalledBy::Unknown, false, 1),
            (&[&helm, &cli], Absent, InstalledBy::Helm, true, 1),
            (&[&chart, &cli], Absent, InstalledBy::Unknown, false, 1),
            (&[&helm, &argo], Absent, InstalledBy::Gitops, true, 0),
            (&[&helm], Manages, InstalledBy::Operator, true, 0),
            (&[&none], Absent, InstalledBy::Unknown, false, 0),
            (&[], Absent, InstalledBy::Unknown, false, 0),
            (&[&helm], Unknown, InstalledBy::Unknown, true, 1),
            (&[&cli], Unknown, InstalledBy::Unknown, false, 1),
            (&[&helm, &argo], Unknown, InstalledBy::Gitops, true, 0),
            (&[&none], Unknown, InstalledBy::Unknown, false, 0),
            (&[&helm, &argo], Manages, InstalledBy::Operator, true, 1),
        ];
        for (number, (objects, operator, by, release, conflicts)) in table.into_iter().enumerate() {
            let found = origin(objects, operator);
            let seen = (
                found.installed_by,
                found.release.is_some(),
                found.conflicts.len(),
            );
            assert_eq!(seen, (by, release, conflicts), "row {number}: {found:?}");
        }
    }
}
