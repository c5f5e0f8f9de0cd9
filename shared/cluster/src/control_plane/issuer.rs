//! The Secret of the issuer's certificate.

use k8s_openapi::ByteString;
use serde::Deserialize;

use crate::object::Resource;

/// The issuer's Secret, with its certificate only; its key is never read.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct IssuerSecret {
    data: IssuerData,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct IssuerData {
    #[serde(rename = "crt.pem")]
    own: Option<ByteString>,
    #[serde(rename = "tls.crt")]
    external: Option<ByteString>,
}

/// Secrets. Only one is read, by name.
pub const SECRETS: Resource = Resource {
    group: "",
    version: "v1",
    plural: "secrets",
    kind: "Secret",
};

impl IssuerSecret {
    /// Returns the certificate's PEM text.
    pub fn certificate(&self) -> Option<&[u8]> {
        let IssuerData { own, external } = &self.data;
        let certificate = own.as_ref().or(external.as_ref());
        certificate.map(|bytes| bytes.0.as_slice())
    }
}

impl std::fmt::Debug for IssuerSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuerSecret").finish_non_exhaustive()
    }
}
