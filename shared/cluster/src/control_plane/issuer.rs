//! The Secrets of certificates: the issuer's, and the one that the injector serves.

use k8s_openapi::ByteString;
use serde::Deserialize;

use crate::object::Resource;

/// A Secret, with its certificate only; its key is never read.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct CertificateSecret {
    data: Certificates,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Certificates {
    #[serde(rename = "crt.pem")]
    own: Option<ByteString>,
    #[serde(rename = "tls.crt")]
    external: Option<ByteString>,
}

/// Secrets. Only these are read, by name.
pub const SECRETS: Resource = Resource {
    group: "",
    version: "v1",
    plural: "secrets",
    kind: "Secret",
};

impl CertificateSecret {
    /// Returns the certificate's PEM text.
    pub fn certificate(&self) -> Option<&[u8]> {
        let Certificates { own, external } = &self.data;
        let certificate = own.as_ref().or(external.as_ref());
        certificate.map(|bytes| bytes.0.as_slice())
    }
}

impl std::fmt::Debug for CertificateSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateSecret").finish_non_exhaustive()
    }
}
