//! From PEM text to how long its certificates are valid.

use jiff::Timestamp;
use mesh_records::{Certificate, CertificateRole};
use x509_parser::pem::Pem;
use x509_parser::time::ASN1Time;

/// The certificates of a bundle. One that cannot be read, or a bundle without any, is a
/// certificate that is not readable: it may have expired.
#[must_use]
pub fn certificates(role: CertificateRole, bundle: &[u8]) -> Vec<Certificate> {
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

/// A certificate that is known to be there, and nothing else.
#[must_use]
pub fn unreadable(role: CertificateRole) -> Certificate {
    Certificate {
        role,
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
        not_before: Some(timestamp(validity.not_before)?),
        not_after: Some(timestamp(validity.not_after)?),
        readable: true,
    })
}

fn timestamp(time: ASN1Time) -> Option<Timestamp> {
    Timestamp::from_second(time.timestamp()).ok()
}
