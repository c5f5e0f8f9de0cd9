//! What only real servers and programs can do.

/// What a test may need that the lab lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// helm 3 and helm 4, and releases of theirs.
    Helm,
    /// kubectl, for what it alone leaves behind on an object.
    Kubectl,
    /// Replication controllers, and kinds that are defined in the cluster.
    Kinds,
    /// Accounts that may not do everything.
    Rbac,
    /// A scheduler, quotas, and admission webhooks of others than Linkerd.
    Admission,
    /// Servers that can be stopped and started again.
    Servers,
}
