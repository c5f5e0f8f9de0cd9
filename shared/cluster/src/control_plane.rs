//! A control plane's objects that more than one tool reads: values, trust bundle, issuer, origin.

pub mod config;
pub mod issuer;
pub mod origin;

use sha2::{Digest as _, Sha256};

use crate::object::{ConfigMap, Resource};

pub use config::Config;

/// Custom resource definitions.
pub const DEFINITIONS: Resource = Resource {
    group: "apiextensions.k8s.io",
    version: "v1",
    plural: "customresourcedefinitions",
    kind: "CustomResourceDefinition",
};

/// Returns the trust bundle.
pub fn bundle(trust_roots: &ConfigMap) -> Option<&str> {
    trust_roots.data.get("ca-bundle.crt").map(String::as_str)
}

/// Returns the hash of the trust bundle, as the injector stamps it on pods: of the very bytes that
/// it reads from the mounted `ConfigMap`.
pub fn bundle_sha256(trust_roots: &ConfigMap) -> Option<String> {
    bundle(trust_roots).map(sha256)
}

/// Returns the hashes that a release may stamp for the trust bundle: charts trim it since 2.13, and
/// `linkerd inject --manual` does not.
pub fn stamps(trust_roots: &ConfigMap) -> Vec<String> {
    let Some(bundle) = bundle(trust_roots) else {
        return Vec::new();
    };
    let trimmed = bundle.trim();
    let spellings = [bundle, trimmed, bundle.trim_end(), &format!("{trimmed}\n")];
    spellings.into_iter().map(sha256).collect()
}

fn sha256(text: &str) -> String {
    format!("{:x}", Sha256::digest(text))
}
