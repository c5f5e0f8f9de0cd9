//! Reads the validity of certificates from PEM text.

use jiff::Timestamp;
use mesh_records::{Certificate, CertificateRole};
use x509_parser::pem::Pem;
use x509_parser::time::ASN1Time;

/// Reads the certificates of a bundle. A certificate that cannot be parsed, and a bundle without
/// certificates, give an unreadable certificate, because it may have expired.
pub(super) fn certificates(role: CertificateRole, bundle: &[u8]) -> Vec<Certificate> {
    let certificates: Vec<_> = Pem::iter_from_buffer(bundle)
        .map(|pem| {
            pem.ok()
                .and_then(|pem| certificate(role, &pem))
                .unwrap_or(unreadable(role))
        })
        .collect();
    if certificates.is_empty() {
        vec![unreadable(role)]
    } else {
        certificates
    }
}

/// Makes an unreadable certificate: it exists, but its validity is unknown.
pub(super) fn unreadable(role: CertificateRole) -> Certificate {
    Certificate {
        role,
        name: None,
        not_before: None,
        not_after: None,
        readable: false,
    }
}

fn certificate(role: CertificateRole, pem: &Pem) -> Option<Certificate> {
    let certificate = pem.parse_x509().ok()?;
    let validity = certificate.validity();
    Some(Certificate {
        role,
        name: None,
        not_before: Some(timestamp(validity.not_before)?),
        not_after: Some(timestamp(validity.not_after)?),
        readable: true,
    })
}

fn timestamp(time: ASN1Time) -> Option<Timestamp> {
    Timestamp::from_second(time.timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made for this test; its private key was deleted.
    const ANCHOR: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBnzCCAUWgAwIBAgIUSqfTWMZqC0w7NwfG/mgM3YUppMIwCgYIKoZIzj0EAwIw\n\
JTEjMCEGA1UEAwwacm9vdC5saW5rZXJkLmNsdXN0ZXIubG9jYWwwHhcNMjYxMTIy\n\
MTEwMDUxWhcNMzYxMTE5MTEwMDUxWjAlMSMwIQYDVQQDDBpyb290LmxpbmtlcmQu\n\
Y2x1c3Rlci5sb2NhbDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCprk0W6k74l\n\
ehjc4UmHl9EHFkt/q0J9AUArnWmi9VJhYd+7mPp8X+tWy2qbCkWVJQyAqUJt2dY0\n\
x7O6lKkLEB6jUzBRMB0GA1UdDgQWBBQGqwEgN7OI+6v5tIL9fsn5ZEwDhjAfBgNV\n\
HSMEGDAWgBQGqwEgN7OI+6v5tIL9fsn5ZEwDhjAPBgNVHRMBAf8EBTADAQH/MAoG\n\
CCqGSM49BAMCA0gAMEUCIC4giR/YAAEB55qGLrfGpADuHorsVUqzz/47+UAggwFs\n\
AiEAzgig5CZOBYsCfp1ybSeuuhUMlKsqVdG67ixaVn+YHMI=\n\
-----END CERTIFICATE-----\n\n";

    #[test]
    fn a_bundle_is_read_certificate_by_certificate() {
        let both = format!("{ANCHOR}# the next one\n{ANCHOR}");
        let found = certificates(CertificateRole::Anchor, both.as_bytes());
        let expected = Certificate {
            role: CertificateRole::Anchor,
            name: None,
            not_before: Some("2026-11-22T11:00:51Z".parse().unwrap()),
            not_after: Some("2036-11-19T11:00:51Z".parse().unwrap()),
            readable: true,
        };
        assert_eq!(found, [expected.clone(), expected]);
    }

    #[test]
    fn an_unreadable_certificate_is_reported_as_unreadable() {
        let role = CertificateRole::Issuer;
        let half = &ANCHOR[..200];
        let garbled = ANCHOR.replace("MII", "AAA");
        for bundle in ["", "no certificate", half, &garbled] {
            assert_eq!(
                certificates(role, bundle.as_bytes()),
                [unreadable(role)],
                "{bundle}"
            );
        }
    }
}
