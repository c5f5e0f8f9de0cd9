//! Reads from PEM text how long certificates are valid, and on which authority they stand.

use jiff::Timestamp;
use mesh_records::{Certificate, CertificateRole};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use super::pem;

/// Reads the certificates of a bundle. A certificate that cannot be parsed, and a bundle without
/// certificates, give an unreadable certificate, because it may have expired.
pub fn certificates(role: CertificateRole, bundle: &[u8]) -> Vec<Certificate> {
    let certificates: Vec<_> = blocks(bundle)
        .iter()
        .map(|block| {
            let read = block.as_deref().and_then(|it| certificate(role, it));
            read.unwrap_or(unreadable(role))
        })
        .collect();
    if certificates.is_empty() {
        vec![unreadable(role)]
    } else {
        certificates
    }
}

/// Makes an unreadable certificate: it exists, but its validity is unknown.
pub fn unreadable(role: CertificateRole) -> Certificate {
    Certificate {
        role,
        name: None,
        not_before: None,
        not_after: None,
        readable: false,
        signs_issuer: None,
    }
}

fn blocks(bundle: &[u8]) -> Vec<Option<Vec<u8>>> {
    pem::certificates(&String::from_utf8_lossy(bundle))
}

fn parsed(block: &[u8]) -> Option<X509Certificate<'_>> {
    let (_, certificate) = X509Certificate::from_der(block).ok()?;
    Some(certificate)
}

fn certificate(role: CertificateRole, block: &[u8]) -> Option<Certificate> {
    let certificate = parsed(block)?;
    let validity = certificate.validity();
    Some(Certificate {
        role,
        name: None,
        not_before: Some(timestamp(validity.not_before)),
        not_after: Some(timestamp(validity.not_after)),
        readable: true,
        signs_issuer: None,
    })
}

/// Reads the anchors of a bundle, and tells on which of them the issuer's certificate stands. A
/// rotation has two anchors of one name, so the identifiers of their keys decide.
pub fn anchors(bundle: &[u8], issuer: Option<&[u8]>) -> Vec<Certificate> {
    let chain = blocks(issuer.unwrap_or_default());
    let chain: Vec<X509Certificate<'_>> =
        chain.iter().flatten().filter_map(|it| parsed(it)).collect();
    let top = top(&chain);
    let mut anchors = certificates(CertificateRole::Anchor, bundle);
    for (anchor, block) in anchors.iter_mut().zip(blocks(bundle)) {
        let parent = block.as_deref().and_then(parsed);
        anchor.signs_issuer = top
            .zip(parent.as_ref())
            .and_then(|(top, it)| signs(it, top));
    }
    anchors
}

/// Returns true if a certificate, with its chain, stands on one of a bundle; `None` if that cannot
/// be told.
pub fn stands_on(bundle: &[u8], certificate: &[u8]) -> Option<bool> {
    let signs = anchors(bundle, Some(certificate));
    let mut signs = signs.iter().map(|it| it.signs_issuer);
    let any = signs.clone().any(|it| it == Some(true));
    (any || signs.all(|it| it.is_some())).then_some(any)
}

// The last certificate of the issuer's chain: the one that an anchor signs.
fn top<'a, 'b>(chain: &'a [X509Certificate<'b>]) -> Option<&'a X509Certificate<'b>> {
    let (first, others) = chain.split_first()?;
    let mut top = first;
    for _ in others {
        let parent = others
            .iter()
            .find(|it| *it != top && signs(it, top) == Some(true));
        top = parent.unwrap_or(top);
    }
    Some(top)
}

// Whether a certificate's key signed another one, so far as their names and key identifiers tell.
fn signs(parent: &X509Certificate<'_>, child: &X509Certificate<'_>) -> Option<bool> {
    if parent == child {
        return Some(true);
    }
    if parent.subject().as_raw() != child.issuer().as_raw() {
        return Some(false);
    }
    let own = parent.extensions().iter().find_map(|it| {
        let ParsedExtension::SubjectKeyIdentifier(key) = it.parsed_extension() else {
            return None;
        };
        Some(key.0)
    });
    let named = child.extensions().iter().find_map(|it| {
        let ParsedExtension::AuthorityKeyIdentifier(key) = it.parsed_extension() else {
            return None;
        };
        Some(key.key_identifier.as_ref()?.0)
    });
    if let Some((own, named)) = own.zip(named) {
        return Some(own == named);
    }
    // Helm makes certificates that sign themselves and that have no key identifiers, each time with
    // the same name.
    let signs_itself = child.subject().as_raw() == child.issuer().as_raw();
    signs_itself.then(|| parent.public_key().raw == child.public_key().raw)
}

// A certificate may be valid for longer than a timestamp can say: 99991231235959Z means that it
// never expires. The nearest timestamp is as good.
fn timestamp(time: ASN1Time) -> Timestamp {
    let (first, last) = (Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    let second = time.timestamp().clamp(first, last);
    Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
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
        let indented = ANCHOR.replace('\n', "\n  ");
        let both = format!("{ANCHOR}# the next one\n{indented}");
        let found = certificates(CertificateRole::Anchor, both.as_bytes());
        let expected = Certificate {
            role: CertificateRole::Anchor,
            name: None,
            not_before: Some("2026-11-22T11:00:51Z".parse().unwrap()),
            not_after: Some("2036-11-19T11:00:51Z".parse().unwrap()),
            readable: true,
            signs_issuer: None,
        };
        assert_eq!(found, [expected.clone(), expected]);
    }

    /// A self-signed certificate whose validity is written with four-digit years.
    const ENDLESS: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBOjCB4aADAgECAgEBMAoGCCqGSM49BAMCMCUxIzAhBgNVBAMMGnJvb3QubGlu\n\
a2VyZC5jbHVzdGVyLmxvY2FsMCIYDzIwNTAwMTAxMDAwMDAwWhgPOTk5OTEyMzEy\n\
MzU5NTlaMCUxIzAhBgNVBAMMGnJvb3QubGlua2VyZC5jbHVzdGVyLmxvY2FsMFkw\n\
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEuYHkZdxCp5CQuuhvg4tL+EIk1yIaXu0\n\
T1DIBIzO+m5fBGRrrwak/mUxdbFFUTmzsIHGSTLP24n7vXUTRJ62yzAKBggqhkjO\n\
PQQDAgNIADBFAiAUn+7+RUBc545SW/r7Q5kN9zeKmNNda2dpOO6OvhDEmwIhAJrv\n\
bYLrv5VYYlDoNEUCLD+UpVQBTgAGQqsPn0s2H/nx\n\
-----END CERTIFICATE-----\n";

    #[test]
    fn a_certificate_that_signed_itself_stands_on_no_other_of_its_name() {
        let bundle = |pem: &str| stands_on(pem.as_bytes(), ENDLESS.as_bytes());
        assert_eq!(bundle(ENDLESS), Some(true));
        assert_eq!(bundle(ANCHOR), Some(false));
        assert_eq!(bundle(&format!("{ANCHOR}{ENDLESS}")), Some(true));
    }

    // Reads the validity of a certificate in which these bytes are replaced. Nothing checks the
    // signature.
    fn valid(pem: &str, changes: [(&str, &str); 2]) -> Option<(String, String)> {
        let mut block = blocks(pem.as_bytes()).remove(0).unwrap();
        for (from, to) in changes {
            assert_eq!(from.len(), to.len());
            let at = block.windows(from.len());
            let at = at.into_iter().position(|bytes| bytes == from.as_bytes());
            let at = at.unwrap();
            block[at..at + to.len()].copy_from_slice(to.as_bytes());
        }
        let Certificate {
            not_before,
            not_after,
            ..
        } = certificate(CertificateRole::Anchor, &block)?;
        Some((not_before?.to_string(), not_after?.to_string()))
    }

    #[test]
    fn a_validity_beyond_every_timestamp_ends_with_the_last_one() {
        let last = "9999-12-30T22:00:00Z";
        let table = [
            ("99991231235959Z", last),
            ("99991231000000Z", last),
            ("99991230220001Z", last),
            ("99991230220000Z", last),
            ("99991230215959Z", "9999-12-30T21:59:59Z"),
            ("99991229000000Z", "9999-12-29T00:00:00Z"),
            ("20500101000000Z", "2050-01-01T00:00:00Z"),
        ];
        for (end, expected) in table {
            for (start, first) in [
                ("20491231235959Z", "2049-12-31T23:59:59Z"),
                ("00000101000000Z", "0000-01-01T00:00:00Z"),
            ] {
                let changes = [("20500101000000Z", start), ("99991231235959Z", end)];
                let expected = Some((first.to_owned(), expected.to_owned()));
                assert_eq!(valid(ENDLESS, changes), expected, "{start} {end}");
            }
        }
    }

    #[test]
    fn a_year_of_two_digits_is_between_1950_and_2049() {
        let table = [
            ("500101000000Z", "1950-01-01T00:00:00Z"),
            ("000229000000Z", "2000-02-29T00:00:00Z"),
        ];
        for (start, expected) in table {
            let changes = [("261122110051Z", start), ("361119110051Z", "491231235959Z")];
            let end = "2049-12-31T23:59:59Z";
            let expected = Some((expected.to_owned(), end.to_owned()));
            assert_eq!(valid(ANCHOR, changes), expected, "{start}");
        }
        for wrong in [
            "261132110051Z",
            "261122250051Z",
            "010229000000Z",
            "2611221100 1Z",
        ] {
            let changes = [("261122110051Z", wrong), ("361119110051Z", "361119110051Z")];
            assert_eq!(valid(ANCHOR, changes), None, "{wrong}");
        }
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

    #[test]
    fn only_the_anchor_of_the_issuers_chain_signs_it() {
        const OLD: &str = include_str!("../../../../tests/fixtures/pki/old-anchor.pem");
        const NEW: &str = include_str!("../../../../tests/fixtures/pki/anchor.pem");
        const MIDDLE: &str = include_str!("../../../../tests/fixtures/pki/intermediate.pem");
        const ISSUER: &str = include_str!("../../../../tests/fixtures/pki/issuer.pem");
        let (yes, no) = (Some(true), Some(false));
        let both = format!("{OLD}{NEW}");
        let chain = format!("{ISSUER}{MIDDLE}");
        let shuffled = format!("{ISSUER}{OLD}{MIDDLE}");
        type Row<'a> = (&'a str, Option<&'a str>, &'a [Option<bool>]);
        let table: [Row<'_>; 8] = [
            (&both, Some(MIDDLE), &[no, yes]),
            (&both, Some(&chain), &[no, yes]),
            (&both, Some(&shuffled), &[no, yes]),
            (&both, Some(OLD), &[yes, no]),
            (OLD, Some(&chain), &[no]),
            (MIDDLE, Some(ISSUER), &[yes]),
            (&both, None, &[None, None]),
            (&both, Some("garbled"), &[None, None]),
        ];
        for (number, (bundle, issuer, expected)) in table.into_iter().enumerate() {
            let found = anchors(bundle.as_bytes(), issuer.map(str::as_bytes));
            let found: Vec<_> = found.iter().map(|it| it.signs_issuer).collect();
            assert_eq!(found, expected, "row {number}");
        }
    }
}
