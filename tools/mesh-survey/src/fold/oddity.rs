//! The anomalies of pods, and their messages.

use mesh_records::{Word, WorkloadKind, WorkloadRef};

use mesh_cluster::object::label;

/// An anomaly of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Oddity {
    ProxyWithoutLabel,
    LabelWithoutProxy,
    ImageContradictsAnnotation,
    UnknownControlPlane,
    SeveralControlPlanes,
    OwnerGone,
    OnlyTerminating,
    PodsMissing,
}

/// The pods with one anomaly.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Oddly {
    pub(crate) pods: u32,
    /// The pod that comes first by name, so that the order of pods does not matter.
    pub(crate) example: String,
}

// === impl Oddly ===

impl Oddly {
    pub(crate) fn add(&mut self, other: Self) {
        if self.pods == 0 || other.example < self.example {
            self.example = other.example;
        }
        self.pods += other.pods;
    }
}

// === impl Oddity ===

impl Oddity {
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::ProxyWithoutLabel => "proxy-without-label",
            Self::LabelWithoutProxy => "label-without-proxy",
            Self::ImageContradictsAnnotation => "image-contradicts-annotation",
            Self::UnknownControlPlane => "unknown-control-plane",
            Self::SeveralControlPlanes => "several-control-planes",
            Self::OwnerGone => "owner-gone",
            Self::OnlyTerminating => "only-terminating",
            Self::PodsMissing => Word::PodsMissing.as_str(),
        }
    }

    pub(crate) fn message(self, identity: &WorkloadRef, oddly: &Oddly) -> String {
        let WorkloadRef {
            namespace,
            kind,
            name,
        } = identity;
        let Oddly { pods, example } = oddly;
        let pods = match (pods, kind) {
            (_, WorkloadKind::Pod) => format!("pod {namespace}/{name}"),
            (1, _) => format!("pod {example} of {namespace}/{kind}/{name}"),
            (_, _) => format!("{pods} pods of {namespace}/{kind}/{name} (such as {example})"),
        };
        match self {
            Self::ProxyWithoutLabel => {
                format!(
                    "{pods}: a proxy without the label {}",
                    label::CONTROL_PLANE_NS
                )
            }
            Self::LabelWithoutProxy => {
                format!(
                    "{pods}: the label {} without a proxy",
                    label::CONTROL_PLANE_NS
                )
            }
            Self::ImageContradictsAnnotation => format!(
                "{pods}: the proxy's image and the annotation {} name different versions",
                label::PROXY_VERSION
            ),
            Self::UnknownControlPlane => {
                format!("{pods}: the control plane in its label is not in this cluster")
            }
            Self::SeveralControlPlanes => {
                format!("{namespace}/{kind}/{name}: its pods belong to several control planes")
            }
            Self::OwnerGone => {
                format!("{namespace}/{kind}/{name}: it was deleted, but its pods still run")
            }
            Self::OnlyTerminating => {
                let count = oddly.pods;
                format!(
                    "{namespace}/{kind}/{name}: {count} of its pods are on their way out with a \
                     proxy, and it has no others in the mesh"
                )
            }
            Self::PodsMissing => {
                let because = if example.is_empty() { "" } else { ": " };
                let count = oddly.pods;
                format!(
                    "{namespace}/{kind}/{name}: {count} of its pods do not exist{because}{example}"
                )
            }
        }
    }
}
