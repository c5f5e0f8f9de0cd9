//! Capabilities that only real servers and programs have.

/// A capability that a test may need and that the lab lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// helm 3 and helm 4, and their releases.
    Helm,
    /// kubectl, for the fields that only kubectl writes on an object.
    Kubectl,
    /// ReplicationControllers, kinds defined by custom resource definitions, and fields of workloads that
    /// the lab refuses because it does not play them, such as `minReadySeconds`.
    Kinds,
    /// Accounts with limited rights.
    Rbac,
    /// A scheduler, quotas, and admission webhooks of others than Linkerd.
    Admission,
    /// Servers that can be stopped and started again.
    Servers,
}
