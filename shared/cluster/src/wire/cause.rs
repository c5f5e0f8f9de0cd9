//! Why an exchange failed, in our own words: those of the libraries may quote an address, a header
//! or a value.

use std::io::ErrorKind;

use serde_json::error::Category;

/// What the libraries say somewhere in their chain of errors, and what it means.
const SIGNS: [(&str, &str); 13] = [
    (
        "UnknownIssuer",
        "its certificate was signed by an authority that the kubeconfig does not name",
    ),
    ("NotValidForName", "its certificate is for another name"),
    ("not valid for name", "its certificate is for another name"),
    ("certificate expired", "its certificate has expired"),
    ("Expired", "its certificate has expired"),
    ("NotValidYet", "its certificate is not valid yet"),
    ("not valid yet", "its certificate is not valid yet"),
    ("CertificateRequired", "it demands a client certificate"),
    (
        "received fatal alert",
        "it refused the client's TLS settings or certificate",
    ),
    (
        "invalid peer certificate",
        "its certificate cannot be verified",
    ),
    ("corrupt message", "it does not speak TLS"),
    ("lookup address", "its name cannot be resolved"),
    ("tunnel", "the proxy refused the connection"),
];

const KINDS: [(ErrorKind, &str); 8] = [
    (ErrorKind::ConnectionRefused, "connection refused"),
    (ErrorKind::ConnectionReset, "the connection was broken off"),
    (
        ErrorKind::ConnectionAborted,
        "the connection was broken off",
    ),
    (ErrorKind::BrokenPipe, "the connection was broken off"),
    (
        ErrorKind::UnexpectedEof,
        "the connection ended within the answer",
    ),
    (ErrorKind::TimedOut, "no connection in time"),
    (ErrorKind::HostUnreachable, "there is no route to it"),
    (ErrorKind::NetworkUnreachable, "there is no route to it"),
];

/// Says why no answer came.
pub(crate) fn cause(error: &(dyn std::error::Error + 'static)) -> &'static str {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let all: Vec<_> = chain.collect();
    let texts: Vec<String> = all.iter().map(ToString::to_string).collect();
    let sign = SIGNS
        .iter()
        .find(|(sign, _)| texts.iter().any(|text| text.contains(sign)));
    if let Some((_, words)) = sign {
        return words;
    }
    let kinds = all
        .iter()
        .filter_map(|it| it.downcast_ref::<std::io::Error>());
    let mut known = kinds.filter_map(|error| {
        let known = KINDS.iter().find(|(kind, _)| *kind == error.kind());
        known.map(|(_, words)| *words)
    });
    known.next().unwrap_or("the connection failed")
}

/// Says why an answer is not the expected JSON, without a value of it.
pub(crate) fn unreadable(error: &serde_json::Error) -> String {
    let why = match error.classify() {
        Category::Eof => "it breaks off",
        Category::Syntax => "it is not JSON",
        Category::Data => "a field is missing or has another form",
        Category::Io => "it cannot be read",
    };
    format!(
        "the answer cannot be used: {why} (line {}, column {})",
        error.line(),
        error.column()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_of_an_answer_is_said() {
        for (text, part) in [
            ("\"hush\"", "another form"),
            ("{\"hush\": 1", "breaks off"),
            ("hush", "not JSON"),
        ] {
            let error = serde_json::from_str::<Vec<u8>>(text).unwrap_err();
            let said = unreadable(&error);
            assert!(!said.contains("hush"), "{said}");
            assert!(said.contains(part) || text.starts_with('{'), "{said}");
        }
        let refused = std::io::Error::new(ErrorKind::ConnectionRefused, "https://hush@host");
        assert_eq!(cause(&refused), "connection refused");
        let other = std::io::Error::other("hush: received fatal alert: UnknownCA");
        assert!(!cause(&other).contains("hush"));
    }
}
