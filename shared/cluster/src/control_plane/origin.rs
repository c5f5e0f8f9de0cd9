//! Finds what installed a control plane: only the same tool may upgrade it.

use mesh_records::{InstalledBy, Release};

use crate::object::Meta;
use crate::object::label;
use crate::workload::owner::gitops;

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

/// Reads the signs on a control plane's objects. `operator` is true if a resource of Buoyant's
/// operator names the control plane.
///
/// A tool that would undo a change comes first: an operator, then GitOps. GitOps may itself use
/// Helm.
pub fn origin(objects: &[&Meta], operator: bool) -> Origin {
    let releases = distinct(objects.iter().filter_map(|meta| release(meta)));
    let signed = objects.iter().find_map(|meta| gitops(meta));
    let gitops = signed.or_else(|| objects.iter().find_map(|meta| tracked_by_label(meta)));
    let creators = distinct(objects.iter().filter_map(|meta| creator(meta)));
    let cli = creators.contains(&"linkerd/cli");
    let helm = creators.contains(&"linkerd/helm");
    let (installed_by, mut conflicts) = match (operator, gitops, releases.is_empty()) {
        (true, None, _) => (InstalledBy::Operator, Vec::new()),
        (true, Some(tool), _) => {
            let conflict = format!("both {tool} and Buoyant's operator manage it");
            (InstalledBy::Operator, vec![conflict])
        }
        (false, Some(_), _) => (InstalledBy::Gitops, Vec::new()),
        (false, None, false) if cli => {
            let conflict = "the linkerd CLI created some of its objects".to_owned();
            (InstalledBy::Helm, vec![conflict])
        }
        (false, None, false) => (InstalledBy::Helm, Vec::new()),
        (false, None, true) if cli && helm => {
            let conflict =
                "the linkerd CLI created some of its objects, and a Helm chart others".to_owned();
            (InstalledBy::Unknown, vec![conflict])
        }
        (false, None, true) if cli => (InstalledBy::Cli, Vec::new()),
        (false, None, true) if helm => {
            let conflict = "a Helm chart created it, but no Helm release owns it".to_owned();
            (InstalledBy::Unknown, vec![conflict])
        }
        (false, None, true) => (InstalledBy::Unknown, Vec::new()),
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
        let table: [(&[&Meta], bool, InstalledBy, bool, usize); 13] = [
            (&[&by_label], false, InstalledBy::Gitops, false, 0),
            (&[&released], false, InstalledBy::Helm, true, 0),
            (&[&flux], false, InstalledBy::Gitops, true, 0),
            (&[&old_flux], false, InstalledBy::Gitops, false, 0),
            (&[&helm, &helm], false, InstalledBy::Helm, true, 0),
            (&[&cli], false, InstalledBy::Cli, false, 0),
            (&[&chart], false, InstalledBy::Unknown, false, 1),
            (&[&helm, &cli], false, InstalledBy::Helm, true, 1),
            (&[&chart, &cli], false, InstalledBy::Unknown, false, 1),
            (&[&helm, &argo], false, InstalledBy::Gitops, true, 0),
            (&[&helm], true, InstalledBy::Operator, true, 0),
            (&[&none], false, InstalledBy::Unknown, false, 0),
            (&[], false, InstalledBy::Unknown, false, 0),
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
