//! What is kept of an owner of pods: who it is, how it is rolled, what holds its proxies.

use std::collections::HashMap;

use mesh_records::{Downtime, Pin, PinPlace, Roll, WorkloadKind};

use crate::object::label;
use crate::object::{DaemonSet, Deployment, Meta, Object, OwnerReference, StatefulSet, Template};
use crate::workload::how::{Owner, how};
use crate::workload::proxy::sidecar;

/// An owner's identity but for its uid. The order is that of the records.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Its namespace.
    pub namespace: String,
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
}

/// An owner that was read, cut down to what a workload's record needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Its uid.
    pub uid: String,
    /// How it gets new pods.
    pub roll: Roll,
    /// What that costs.
    pub downtime: Downtime,
    /// What its template says about its proxies' version.
    pub pins: Vec<Pin>,
    /// The operator or GitOps tool that decides over it.
    pub managed_by: Option<String>,
}

/// Owners that were read.
pub type Owners = HashMap<Identity, Kept>;

/// An owner kind that has a pod template of its own.
pub trait Templated: Object {
    /// Its kind.
    const KIND: WorkloadKind;
    /// Itself, as far as rolling it is concerned.
    fn owner(&self) -> Owner<'_>;
    /// Its pod template.
    fn template(&self) -> &Template;
}

impl Templated for Deployment {
    const KIND: WorkloadKind = WorkloadKind::Deployment;

    fn owner(&self) -> Owner<'_> {
        Owner::Deployment(self)
    }

    fn template(&self) -> &Template {
        &self.spec.template
    }
}

impl Templated for StatefulSet {
    const KIND: WorkloadKind = WorkloadKind::StatefulSet;

    fn owner(&self) -> Owner<'_> {
        Owner::StatefulSet(self)
    }

    fn template(&self) -> &Template {
        &self.spec.template
    }
}

impl Templated for DaemonSet {
    const KIND: WorkloadKind = WorkloadKind::DaemonSet;

    fn owner(&self) -> Owner<'_> {
        Owner::DaemonSet(self)
    }

    fn template(&self) -> &Template {
        &self.spec.template
    }
}

/// Reads an owner.
#[must_use]
pub fn keep<K: Templated>(object: &K) -> (Identity, Kept) {
    let meta = object.meta();
    let (roll, downtime) = how(object.owner());
    let identity = Identity {
        namespace: meta.namespace.clone(),
        kind: K::KIND,
        name: meta.name.clone(),
    };
    let pins = template_pins(object.template());
    let managed_by = managed_by(meta);
    (
        identity,
        Kept {
            uid: meta.uid.clone(),
            roll,
            downtime,
            pins,
            managed_by,
        },
    )
}

/// What a pod template says about its proxy's version. A proxy that is part of the template keeps
/// the injector away altogether.
#[must_use]
pub fn template_pins(template: &Template) -> Vec<Pin> {
    let baked_in = sidecar(&template.spec).map(|sidecar| {
        let annotations = &template.meta.annotations;
        let version =
            crate::workload::proxy::version(&sidecar.container.image, annotations).version;
        Pin {
            place: PinPlace::BakedIn,
            version,
        }
    });
    baked_in
        .into_iter()
        .chain(asked_pin(&template.meta))
        .collect()
}

/// The proxy version or image that a pod's or template's annotations ask for.
#[must_use]
pub fn asked_pin(meta: &Meta) -> Option<Pin> {
    let version = meta.annotations.get(label::PIN_VERSION).cloned();
    let pinned = version.is_some() || meta.annotations.contains_key(label::PIN_IMAGE);
    pinned.then_some(Pin {
        place: PinPlace::Template,
        version,
    })
}

/// The operator or GitOps tool that decides over an object.
#[must_use]
pub fn managed_by(meta: &Meta) -> Option<String> {
    let operator = meta
        .controller()
        .map(|owner| format!("{}/{}", owner.kind, owner.name));
    operator.or_else(|| gitops(meta).map(str::to_owned))
}

/// The GitOps tool that keeps an object as its source says.
#[must_use]
pub fn gitops(meta: &Meta) -> Option<&'static str> {
    const SIGNS: [(&str, &str); 4] = [
        ("argocd.argoproj.io/tracking-id", "argocd"),
        ("argocd.argoproj.io/instance", "argocd"),
        ("kustomize.toolkit.fluxcd.io/name", "flux"),
        ("helm.toolkit.fluxcd.io/name", "flux"),
    ];
    let bears = |key| meta.labels.contains_key(key) || meta.annotations.contains_key(key);
    SIGNS
        .into_iter()
        .find(|(key, _)| bears(*key))
        .map(|(_, tool)| tool)
}

/// The kind that an owner reference names. Another group's kind of a built-in name is spelled with
/// its group, so that nobody takes it for the built-in one.
#[must_use]
pub fn kind_of(owner: &OwnerReference) -> WorkloadKind {
    let (group, _) = owner
        .api_version
        .split_once('/')
        .unwrap_or(("", &owner.api_version));
    let kind = WorkloadKind::from(owner.kind.clone());
    let own_group = match &kind {
        WorkloadKind::Deployment
        | WorkloadKind::StatefulSet
        | WorkloadKind::DaemonSet
        | WorkloadKind::ReplicaSet => "apps",
        WorkloadKind::ReplicationController | WorkloadKind::Pod => "",
        WorkloadKind::Job | WorkloadKind::CronJob => "batch",
        WorkloadKind::Rollout => "argoproj.io",
        WorkloadKind::Other(_) => return kind,
    };
    if group == own_group {
        kind
    } else {
        WorkloadKind::Other(format!("{}.{group}", owner.kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_groups_kind_is_not_taken_for_the_built_in_one() {
        let table = [
            ("apps/v1", "StatefulSet", WorkloadKind::StatefulSet),
            (
                "apps.kruise.io/v1beta1",
                "StatefulSet",
                WorkloadKind::Other("StatefulSet.apps.kruise.io".into()),
            ),
            ("argoproj.io/v1alpha1", "Rollout", WorkloadKind::Rollout),
            (
                "v1",
                "ReplicationController",
                WorkloadKind::ReplicationController,
            ),
            ("v1", "Node", WorkloadKind::Other("Node".into())),
            (
                "core.strimzi.io/v1beta2",
                "StrimziPodSet",
                WorkloadKind::Other("StrimziPodSet".into()),
            ),
        ];
        for (version, kind, expected) in table {
            let owner = OwnerReference {
                api_version: version.to_owned(),
                kind: kind.to_owned(),
                ..OwnerReference::default()
            };
            let read = kind_of(&owner);
            assert_eq!(read, expected);
            let again = WorkloadKind::from(String::from(read));
            assert_eq!(again, expected, "the record reads back as it was written");
        }
    }
}
