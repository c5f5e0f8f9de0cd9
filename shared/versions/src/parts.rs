//! What a control plane is made of: the names that every release uses.

/// The Deployments of every release since 2.11 (Linkerd's chart `linkerd-control-plane`).
pub const COMPONENTS: [&str; 3] = [
    "linkerd-destination",
    "linkerd-identity",
    "linkerd-proxy-injector",
];

/// The injector's mutating webhook configuration; its Deployment is one of [`COMPONENTS`].
pub const INJECTOR_WEBHOOK: &str = "linkerd-proxy-injector-webhook-config";

/// A custom resource definition as a release brings it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShippedDefinition {
    /// `plural.group`.
    pub name: String,
    /// The versions that it serves.
    pub served: Vec<String>,
    /// The version that new objects are stored in.
    pub storage: String,
}
