//! A control plane's objects that more than one tool reads: values, trust bundle, issuer, origin.

pub mod certificate;
pub mod config;
pub mod issuer;
pub mod origin;
pub mod pem;

use std::collections::BTreeSet;

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

/// A trust bundle, with what the pods that got it have of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    stamps: Vec<String>,
    certificates: BTreeSet<Vec<u8>>,
}

impl Trust {
    /// Reads the bundle.
    pub fn of(trust_roots: &ConfigMap) -> Option<Self> {
        let bundle = bundle(trust_roots)?;
        let trimmed = bundle.trim();
        let spellings = [bundle, trimmed, bundle.trim_end(), &format!("{trimmed}\n")];
        Some(Self {
            stamps: spellings.into_iter().map(sha256).collect(),
            certificates: certificates(bundle),
        })
    }

    /// Returns true if a release may stamp this hash for the bundle: charts trim it since 2.13, and
    /// `linkerd inject --manual` does not.
    pub fn is_stamped(&self, hash: &str) -> bool {
        self.stamps.iter().any(|stamp| stamp == hash)
    }

    /// Returns true if a bundle has the same certificates, whatever its order and comments; `None`
    /// if one of the two has none.
    pub fn is_same(&self, bundle: &str) -> Option<bool> {
        let others = certificates(bundle);
        let is_told = !others.is_empty() && !self.certificates.is_empty();
        is_told.then(|| others == self.certificates)
    }
}

fn certificates(bundle: &str) -> BTreeSet<Vec<u8>> {
    pem::certificates(bundle).into_iter().flatten().collect()
}

fn sha256(text: &str) -> String {
    format!("{:x}", Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(bundle: &str) -> Trust {
        let data = [("ca-bundle.crt".to_owned(), bundle.to_owned())];
        let roots = ConfigMap {
            data: data.into(),
            ..ConfigMap::default()
        };
        Trust::of(&roots).unwrap()
    }

    fn block(body: &str) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    }

    #[test]
    fn bundles_are_the_same_by_their_certificates() {
        let (one, two) = (block("AAAA\nBBBB"), block("CCCC"));
        let both = format!("{one}{two}");
        let table = [
            (both.clone(), Some(true)),
            (format!("\n# new\r\n{two}\n# old\n{one}\n\n"), Some(true)),
            (format!("{}{two}", block("AAAABBBB")), Some(true)),
            (format!("{both}{one}"), Some(true)),
            (one.clone(), Some(false)),
            (format!("{both}{}", block("DDDD")), Some(false)),
            (String::new(), None),
            ("no certificate".to_owned(), None),
            (one[..40].to_owned(), None),
        ];
        for (bundle, expected) in table {
            assert_eq!(trust(&both).is_same(&bundle), expected, "{bundle:?}");
        }
        assert_eq!(trust("").is_same(&both), None);
    }

    #[test]
    fn every_spelling_that_a_release_stamps_is_known() {
        let bundle = format!("\n{}\n", block("AAAA"));
        let trimmed = bundle.trim();
        let spellings = [
            bundle.clone(),
            trimmed.to_owned(),
            format!("{trimmed}\n"),
            bundle.trim_end().to_owned(),
        ];
        for spelling in spellings {
            assert!(
                trust(&bundle).is_stamped(&sha256(&spelling)),
                "{spelling:?}"
            );
        }
        assert!(!trust(&bundle).is_stamped(&sha256(&block("CCCC"))));
    }
}
