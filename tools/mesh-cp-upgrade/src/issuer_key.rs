//! Checks that the issuer's key is that of its certificate, and that certificates are valid. Pure.
//!
//! No message here quotes what was read, because it may be the key.

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use mesh_cluster::label;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::pem::Pem;

use crate::render::{Manifest, Rendered};

/// The keys of the issuer's certificate in its Secret: of Linkerd's own scheme and of Kubernetes'.
const CERTIFICATE: [&str; 2] = ["crt.pem", "tls.crt"];

/// Fails if the rendered issuer has another key than that of its certificate: the identity component
/// would sign certificates that no proxy accepts.
pub(crate) fn check(rendered: &Rendered) -> anyhow::Result<()> {
    let Some(secret) = rendered.find("Secret", label::ISSUER) else {
        return Ok(());
    };
    let certificate = data(secret, CERTIFICATE).context("the issuer has no certificate")?;
    let key = data(secret, ["key.pem", "tls.key"]).context("the issuer has no key")?;
    let both = decoded(key).zip(decoded(certificate));
    match both.and_then(|(key, certificate)| is_key_of(&key, &certificate)) {
        Some(true) => Ok(()),
        Some(false) => bail!("the issuer's key is not that of the issuer's certificate"),
        None => bail!("cannot read the issuer's key, or its certificate"),
    }
}

/// Says which rendered certificates are not valid at this time: the issuer's, or all trust anchors. What
/// cannot be read is found elsewhere.
pub(crate) fn invalid(rendered: &Rendered, now: Timestamp) -> Vec<String> {
    let issuer = rendered.find("Secret", label::ISSUER);
    let issuer = issuer.and_then(|secret| decoded(data(secret, CERTIFICATE)?));
    let anchors = rendered.config_map(label::TRUST_ROOTS).ok();
    let anchors = anchors.and_then(|it| it.data.get("ca-bundle.crt").cloned());
    let anchors = anchors.map(String::into_bytes);
    let issuer =
        issuer.and_then(|pem| Some(("the issuer's certificate", validities(&pem).next()?)));
    // A valid one is enough: a rotation may add one that is valid only later.
    let best = |pem: &Vec<u8>| {
        validities(pem).max_by_key(|(from, until)| (*from <= now && now <= *until, *until))
    };
    let anchors = anchors.and_then(|pem| Some(("the last of the trust anchors", best(&pem)?)));
    let both = issuer.into_iter().chain(anchors);
    let invalid = both.filter_map(|(what, (from, until))| {
        let expired = (until < now).then(|| format!("{what} expired at {until}"));
        expired.or_else(|| (now < from).then(|| format!("{what} is valid only from {from} on")))
    });
    invalid.collect()
}

// The first and the last moment of each certificate that can be read.
fn validities(pem: &[u8]) -> impl Iterator<Item = (Timestamp, Timestamp)> {
    let all = Pem::iter_from_buffer(pem).filter_map(Result::ok);
    let validities: Vec<_> = all
        .filter_map(|pem| {
            let validity = pem.parse_x509().ok()?.validity().clone();
            let of = |time: i64| Timestamp::from_second(time).ok();
            let (from, until) = (validity.not_before, validity.not_after);
            Some((of(from.timestamp())?, of(until.timestamp())?))
        })
        .collect();
    validities.into_iter()
}

fn data<'a>(secret: &'a Manifest, keys: [&str; 2]) -> Option<&'a str> {
    let mut all = keys.into_iter();
    all.find_map(|key| secret.body.get("data")?.get(key)?.as_str())
}

fn decoded(encoded: &str) -> Option<Vec<u8>> {
    STANDARD.decode(encoded.trim()).ok()
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
    fn a_certificate_is_invalid_before_its_time_and_after_it_and_of_anchors_the_last_counts() {
        let at = |year| Timestamp::from_second(rcgen::date_time_ymd(year, 1, 1).unix_timestamp());
        let pem = |from, until| {
            let mut params = CertificateParams::default();
            params.not_before = rcgen::date_time_ymd(from, 1, 1);
            params.not_after = rcgen::date_time_ymd(until, 1, 1);
            let key = KeyPair::generate().unwrap();
            params.self_signed(&key).unwrap().pem()
        };
        let rendered = |issuer: &str, anchors: &[String]| {
            let issuer = STANDARD.encode(issuer);
            let anchors = serde_json::to_string(&anchors.concat()).unwrap();
            let yaml = format!(
                "{{apiVersion: v1, kind: Secret, metadata: {{name: {}}}, data: {{crt.pem: {issuer}}}}}\n---\n\
                 {{apiVersion: v1, kind: ConfigMap, metadata: {{name: {}}}, data: {{ca-bundle.crt: {anchors}}}}}\n",
                label::ISSUER,
                label::TRUST_ROOTS
            );
            let manifests = crate::render::manifests(&yaml).unwrap();
            Rendered::kept(String::new(), manifests, crate::render::Merge::default())
        };
        let old = pem(2019, 2021);
        let table = [
            (pem(2019, 2030), vec![old.clone(), pem(2019, 2030)], ""),
            (pem(2019, 2030), vec![pem(2019, 2026), pem(2029, 2040)], ""),
            (
                pem(2019, 2030),
                vec![old.clone(), pem(2029, 2040)],
                "the last of the trust anchors is valid only from 2029",
            ),
            (
                old.clone(),
                vec![pem(2019, 2030)],
                "the issuer's certificate expired at 2021-01-01T00:00:00Z",
            ),
            (
                pem(2029, 2030),
                vec![pem(2019, 2030)],
                "the issuer's certificate is valid only from 2029",
            ),
            (
                pem(2019, 2030),
                vec![old],
                "the last of the trust anchors expired at 2021",
            ),
        ];
        for (number, (issuer, anchors, part)) in table.into_iter().enumerate() {
            let said = invalid(&rendered(&issuer, &anchors), at(2025).unwrap()).join("; ");
            assert_eq!(said.is_empty(), part.is_empty(), "row {number}: {said}");
            assert!(said.contains(part), "row {number}: {said}");
        }
    }

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
