//! Checks that the issuer's key is that of its certificate. Pure.
//!
//! No message here quotes what was read, because it may be the key.

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mesh_cluster::label;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::pem::Pem;

use crate::render::Rendered;

/// Fails if the rendered issuer has another key than that of its certificate: the identity component
/// would sign certificates that no proxy accepts.
pub(crate) fn check(rendered: &Rendered) -> anyhow::Result<()> {
    let Some(secret) = rendered.find("Secret", label::ISSUER) else {
        return Ok(());
    };
    let data = |keys: [&str; 2]| {
        let mut all = keys.into_iter();
        let found = all.find_map(|key| secret.body.get("data")?.get(key)?.as_str());
        found.map(|encoded| STANDARD.decode(encoded.trim()).unwrap_or_default())
    };
    let certificate = data(["crt.pem", "tls.crt"]).context("the issuer has no certificate")?;
    let key = data(["key.pem", "tls.key"]).context("the issuer has no key")?;
    match is_key_of(&key, &certificate) {
        Some(true) => Ok(()),
        Some(false) => bail!("the issuer's key is not that of the issuer's certificate"),
        None => bail!("cannot read the issuer's key, or its certificate"),
    }
}

// Returns `None` if one of the two cannot be read.
fn is_key_of(key: &[u8], certificate: &[u8]) -> Option<bool> {
    let key = PrivateKeyDer::from_pem_slice(key).ok()?;
    let key = any_supported_type(&key).ok()?;
    // The issuer's own certificate is the first of a chain.
    let pem = Pem::iter_from_buffer(certificate).next()?.ok()?;
    let certificate = pem.parse_x509().ok()?;
    let key = key.public_key()?;
    Some(key.as_ref() == certificate.public_key().raw)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn a_key_is_that_of_its_own_certificate_alone() {
        let (own, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let certificate = CertificateParams::default()
            .self_signed(&own)
            .unwrap()
            .pem();
        let is_key_of = |key: &str| is_key_of(key.as_bytes(), certificate.as_bytes());
        assert_eq!(is_key_of(&own.serialize_pem()), Some(true));
        assert_eq!(is_key_of(&other.serialize_pem()), Some(false));
        assert_eq!(is_key_of("no key"), None);
    }
}
