//! What names a workload.

use std::fmt;

use serde::de::{self, Visitor};
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The kind of an owner, with Kubernetes' spelling.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "String")]
pub enum WorkloadKind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `apps/v1` DaemonSet.
    DaemonSet,
    /// `apps/v1` ReplicaSet without a Deployment.
    ReplicaSet,
    /// `v1` ReplicationController.
    ReplicationController,
    /// `batch/v1` Job without a CronJob.
    Job,
    /// `batch/v1` CronJob.
    CronJob,
    /// Argo's Rollout.
    Rollout,
    /// A pod that nothing owns.
    Pod,
    /// Any other owner.
    Other(String),
}

// === impl WorkloadKind ===

impl WorkloadKind {
    /// Returns Kubernetes' spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::ReplicaSet => "ReplicaSet",
            Self::ReplicationController => "ReplicationController",
            Self::Job => "Job",
            Self::CronJob => "CronJob",
            Self::Rollout => "Rollout",
            Self::Pod => "Pod",
            Self::Other(kind) => kind,
        }
    }

    fn known(kind: &str) -> Option<Self> {
        Some(match kind {
            "Deployment" => Self::Deployment,
            "StatefulSet" => Self::StatefulSet,
            "DaemonSet" => Self::DaemonSet,
            "ReplicaSet" => Self::ReplicaSet,
            "ReplicationController" => Self::ReplicationController,
            "Job" => Self::Job,
            "CronJob" => Self::CronJob,
            "Rollout" => Self::Rollout,
            "Pod" => Self::Pod,
            _ => return None,
        })
    }
}

/// Most kinds are known, and a filter reads millions: they are read without an allocation.
impl<'de> Deserialize<'de> for WorkloadKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Kind;

        impl Visitor<'_> for Kind {
            type Value = WorkloadKind;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: de::Error>(self, kind: &str) -> Result<WorkloadKind, E> {
                let known = WorkloadKind::known(kind);
                Ok(known.unwrap_or_else(|| WorkloadKind::Other(kind.to_owned())))
            }
        }

        deserializer.deserialize_str(Kind)
    }
}

impl std::convert::From<String> for WorkloadKind {
    fn from(kind: String) -> Self {
        Self::known(&kind).unwrap_or(Self::Other(kind))
    }
}

impl std::convert::From<WorkloadKind> for String {
    fn from(kind: WorkloadKind) -> Self {
        kind.as_str().to_owned()
    }
}

impl fmt::Display for WorkloadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Names a workload. Written with `ref`, which is made of the parts and so never differs from them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct WorkloadRef {
    /// The workload's namespace.
    pub namespace: String,
    /// The workload's kind.
    pub kind: WorkloadKind,
    /// The workload's name.
    pub name: String,
}

impl Serialize for WorkloadRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self {
            namespace,
            kind,
            name,
        } = self;
        let mut fields = serializer.serialize_struct("WorkloadRef", 4)?;
        fields.serialize_field("ref", &format_args!("{self}"))?;
        fields.serialize_field("kind", kind)?;
        fields.serialize_field("namespace", namespace)?;
        fields.serialize_field("name", name)?;
        fields.end()
    }
}

impl fmt::Display for WorkloadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.namespace, self.kind, self.name)
    }
}
