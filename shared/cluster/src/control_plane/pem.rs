//! Reads certificates from PEM text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Returns the bytes of each certificate in PEM text; `None` for one that cannot be read. Other blocks,
/// comments and indentation do not count.
pub fn certificates(pem: &str) -> Vec<Option<Vec<u8>>> {
    let blocks = pem.split(BEGIN).skip(1);
    let bytes = blocks.map(|block| {
        let (body, _) = block.split_once(END)?;
        let body: String = body.split_whitespace().collect();
        let bytes = STANDARD.decode(body).ok()?;
        (!bytes.is_empty()).then_some(bytes)
    });
    bytes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_certificate_is_read_alone() {
        let (one, two) = (Some(vec![0, 0, 0]), Some(vec![4, 16, 65]));
        let block = |body: &str| format!("{BEGIN}\n{body}\n{END}\n");
        let key = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n";
        let (a, b) = (block("AAAA"), block("BBBB"));
        let indented = format!("{a}{b}").replace('\n', "\n    ");
        let table = [
            (
                format!("{a}# the next one\n{b}"),
                vec![one.clone(), two.clone()],
            ),
            (
                format!("{key}{a}{b}").replace('\n', "\r\n"),
                vec![one.clone(), two.clone()],
            ),
            (indented, vec![one.clone(), two]),
            (format!("{a}{}", block("!")), vec![one.clone(), None]),
            (format!("{a}{BEGIN}\nBB"), vec![one, None]),
            (block(""), vec![None]),
            (key.to_owned(), vec![]),
            ("no certificate".to_owned(), vec![]),
        ];
        for (pem, expected) in table {
            assert_eq!(certificates(&pem), expected, "{pem}");
        }
    }
}
