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

/// A custom resource definition in a version, as components read it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadDefinition {
    /// `plural.group`.
    pub name: String,
    /// The version that is read.
    pub version: String,
}

// === impl ShippedDefinition ===

impl ShippedDefinition {
    /// Returns the newest version that it serves, which the components of its release read.
    #[must_use]
    pub fn newest(&self) -> Option<&str> {
        let newest = self.served.iter().max_by_key(|it| priority(it));
        newest.map(String::as_str)
    }

    /// Returns true for a definition of Linkerd's own.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.name.ends_with(".linkerd.io")
    }
}

/// The order in which Kubernetes prefers versions: without a stage, beta, alpha; then by their numbers.
fn priority(version: &str) -> (u8, u32, u32) {
    let numbers = version.trim_start_matches('v');
    let staged = [(1, "beta"), (0, "alpha")];
    let mut staged = staged
        .into_iter()
        .filter_map(|(stage, word)| Some((stage, numbers.split_once(word)?)));
    let (stage, (major, number)) = staged.next().unwrap_or((2, (numbers, "0")));
    let number_of = |text: &str| text.parse().unwrap_or(0);
    (stage, number_of(major), number_of(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_is_the_one_that_kubernetes_prefers() {
        for (served, newest) in [
            (&["v1alpha1"][..], Some("v1alpha1")),
            (&["v1", "v1alpha2"], Some("v1")),
            (
                &["v1alpha1", "v1beta1", "v1beta3", "v1beta2"],
                Some("v1beta3"),
            ),
            (&["v1beta9", "v1beta10"], Some("v1beta10")),
            (&["v2alpha1", "v1beta1"], Some("v1beta1")),
            (&["v1", "v2"], Some("v2")),
            (&[], None),
        ] {
            let definition = ShippedDefinition {
                name: "servers.policy.linkerd.io".to_owned(),
                served: served.iter().map(ToString::to_string).collect(),
                storage: "v1".to_owned(),
            };
            assert_eq!(definition.newest(), newest, "{served:?}");
        }
    }
}
