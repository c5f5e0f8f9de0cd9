//! Checks that the issuer's key is that of its certificate, and that certificates are valid. Pure.
//!
//! No message here quotes what was read, because it may be the key.

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use mesh_cluster::control_plane::certificate::{certificates, stands_on};
use mesh_cluster::label;
use mesh_cluster::object::ConfigMap;
use mesh_records::{Certificate, CertificateRole};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::pem::Pem;

use crate::render::{Manifest, Rendered};

/// What the identity of the mesh stands on, as PEM text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chain {
    /// The issuer's certificate, with its chain.
    pub(crate) issuer: Option<Vec<u8>>,
    pub(crate) anchors: Option<Vec<u8>>,
}

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

/// Returns the issuer's certificate, with its chain, and the trust anchors that are rendered. What is
/// not rendered somebody else keeps, and what cannot be read is found elsewhere.
pub(crate) fn rendered(rendered: &Rendered) -> Chain {
    let issuer = rendered.find("Secret", label::ISSUER);
    let anchors = rendered.config_map(label::TRUST_ROOTS).ok();
    Chain {
        issuer: issuer.and_then(|secret| decoded(data(secret, CERTIFICATE)?)),
        anchors: anchors.and_then(|it| bundle(&it)),
    }
}

/// Returns the trust anchors in their ConfigMap.
pub(crate) fn bundle(anchors: &ConfigMap) -> Option<Vec<u8>> {
    let bundle = anchors.data.get("ca-bundle.crt")?;
    Some(bundle.clone().into_bytes())
}

impl Chain {
    /// Says which of the certificates cannot be read or are not valid at this time: the issuer's, or all
    /// trust anchors. What is not here is not judged.
    pub(crate) fn invalid(&self, now: Timestamp) -> Vec<String> {
        // The issuer's own is the first of its chain.
        let issuer = self.issuer.as_ref().map(|pem| {
            let all = certificates(CertificateRole::Issuer, pem);
            all.first().and_then(validity)
        });
        // A valid one is enough: a rotation may add one that is valid only later.
        let best = self.anchors.as_ref().map(|pem| {
            let all = certificates(CertificateRole::Anchor, pem);
            let all = all.iter().filter_map(validity);
            all.max_by_key(|(from, until)| (*from <= now && now <= *until, *until))
        });
        let issuer = issuer.map(|it| ("the issuer's certificate", it));
        let best = best.map(|it| ("the last of the trust anchors", it));
        let both = issuer.into_iter().chain(best);
        let invalid = both.filter_map(|(what, validity)| match validity {
            None => Some(format!("{what} cannot be read")),
            Some((_, until)) if until < now => Some(format!("{what} expired at {until}")),
            Some((from, _)) if now < from => Some(format!("{what} is valid only from {from} on")),
            Some(_) => None,
        });
        invalid.collect()
    }

    /// Says what is missing of it.
    pub(crate) fn missing(&self) -> Vec<String> {
        let issuer = (&self.issuer, "Secret", label::ISSUER, "certificate");
        let anchors = (
            &self.anchors,
            "ConfigMap",
            label::TRUST_ROOTS,
            "trust anchors",
        );
        let both = [issuer, anchors].into_iter();
        let missing = both.filter(|(pem, ..)| pem.is_none());
        let said = missing.map(|(_, kind, name, what)| {
            format!("the {kind} {name} is not there, or has no {what}")
        });
        said.collect()
    }

    /// Returns true if no trust anchor signed the issuer's certificate: no proxy would accept what the
    /// identity component signs. What cannot be told is not wrong.
    pub(crate) fn is_broken(&self) -> bool {
        let both = self.anchors.as_ref().zip(self.issuer.as_ref());
        both.is_some_and(|(anchors, issuer)| stands_on(anchors, issuer) == Some(false))
    }
}

// The first and the last moment, if the certificate can be read.
fn validity(certificate: &Certificate) -> Option<(Timestamp, Timestamp)> {
    certificate.not_before.zip(certificate.not_after)
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
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

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
        let chain = |issuer: &str, anchors: &[String]| Chain {
            issuer: Some(issuer.as_bytes().to_vec()),
            anchors: Some(anchors.concat().into_bytes()),
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
            let said = chain(&issuer, &anchors)
                .invalid(at(2025).unwrap())
                .join("; ");
            assert_eq!(said.is_empty(), part.is_empty(), "row {number}: {said}");
            assert!(said.contains(part), "row {number}: {said}");
        }
    }

    #[test]
    fn what_is_not_there_is_missing_and_what_cannot_be_read_is_invalid() {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        let nothing = Chain::default();
        assert!(nothing.invalid(now).is_empty());
        let expected = [
            "the Secret linkerd-identity-issuer is not there, or has no certificate",
            "the ConfigMap linkerd-identity-trust-roots is not there, or has no trust anchors",
        ];
        assert_eq!(nothing.missing(), expected);
        let garbled = Some(b"garbled".to_vec());
        let garbled = Chain {
            issuer: garbled.clone(),
            anchors: garbled,
        };
        assert!(garbled.missing().is_empty());
        let expected = [
            "the issuer's certificate cannot be read",
            "the last of the trust anchors cannot be read",
        ];
        assert_eq!(garbled.invalid(now), expected);
    }

    #[test]
    fn an_issuer_must_stand_on_an_anchor_where_that_can_be_told() {
        let pair = |name: &str, parent: Option<&Issuer<'_, KeyPair>>| {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate().unwrap();
            let certificate = match parent {
                None => params.self_signed(&key),
                Some(parent) => params.signed_by(&key, parent),
            };
            let pem = certificate.unwrap().pem().into_bytes();
            (pem, Issuer::new(params, key))
        };
        let (root, of_root) = pair("root", None);
        let (other, _) = pair("other", None);
        let (issuer, _) = pair("issuer", Some(&of_root));
        let both = [root.clone(), other.clone()].concat();
        for (anchors, expected) in [
            (Some(root), false),
            (Some(both), false),
            (Some(other), true),
            (None, false),
        ] {
            let issuer = Some(issuer.clone());
            assert_eq!(Chain { issuer, anchors }.is_broken(), expected);
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
