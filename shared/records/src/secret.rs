//! Makes text sayable: addresses without user names, passwords and parameters.

/// Hides what is secret in each address in a text: `https://user:password@host/path?key=value`
/// becomes `https://***@host/path?***`. Where it is not clear what is secret, everything is hidden.
#[must_use]
pub fn sayable(text: &str) -> String {
    let mut said = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        said.push_str(before);
        let word = after.find(char::is_whitespace).unwrap_or(after.len());
        // A password may hold any other character, so that only what follows it ends at a quote.
        let host = user_info(&after[..word]).map_or(0, |(_, host)| host);
        let ends = |c: char| c.is_whitespace() || "\"`<>".contains(c);
        let end = after[host..].find(ends);
        let (address, more) = after.split_at(end.map_or(after.len(), |end| host + end));
        said.push_str(&hidden(address));
        rest = more;
    }
    said.push_str(rest);
    said
}

/// Hides what is secret in a text that is one address or one argument: here a password may hold
/// spaces and quotes too.
#[must_use]
pub fn sayable_address(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, address)) => format!("{scheme}://{}", hidden(address)),
        // Without its slashes it is no address, but `user:password@` is still a secret.
        None => match user_info(text) {
            Some((user, host)) if user.contains(':') => format!("***@{}", &text[host..]),
            Some(_) | None => text.to_owned(),
        },
    }
}

// Hides the secrets of what follows `://`.
fn hidden(address: &str) -> String {
    let (mut said, rest) = match user_info(address) {
        // The `@` may belong to a parameter or the mark to a password.
        Some((user, _)) if user.contains(['?', '#']) => return "***".to_owned(),
        Some((_, host)) => ("***@".to_owned(), &address[host..]),
        None => (String::new(), address),
    };
    match rest.find(['?', '#', ';']) {
        // In a text it may be a mere punctuation mark.
        Some(at) if at + 1 < rest.len() => {
            said.push_str(&rest[..at]);
            said.push_str("?***");
        }
        Some(_) | None => said.push_str(rest),
    }
    said
}

// The user info of an address, and where its host begins. A password may hold a slash and an `@`,
// so that the last `@` counts.
fn user_info(address: &str) -> Option<(&str, usize)> {
    let end = digest(address).unwrap_or(address.len());
    let at = address[..end].rfind('@')?;
    Some((&address[..at], at + 1))
}

// Where the digest begins by which an address names an image or a chart.
fn digest(address: &str) -> Option<usize> {
    const SIGN: &str = "@sha256:";
    let at = address.rfind(SIGN)?;
    let hex = &address[at + SIGN.len()..];
    let length = hex.find(|c: char| !c.is_ascii_hexdigit());
    let has_path = address[..at].contains('/');
    (length.unwrap_or(hex.len()) == 64 && has_path).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::{sayable, sayable_address};

    #[test]
    fn addresses_are_said_without_secrets() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let by_digest = format!("oci://host/c@{digest}");
        assert_eq!(sayable(&by_digest), by_digest);
        let row = |prefix: &str| format!("oci://{prefix}host/c@{digest}");
        assert_eq!(sayable(&row("me:hush@")), row("***@"));
        assert_eq!(sayable_address(&row("me:hu sh@")), row("***@"));
        let table = [
            ("https://host:6443/", "https://host:6443/"),
            ("https://me:hush@host/x", "https://***@host/x"),
            ("oci://hu/sh@host/x", "oci://***@host/x"),
            ("'https://me:hu,s;h'()@host/x'", "'https://***@host/x'"),
            (
                "get \"http://me@one/?key=hush\": see https://two; then",
                "get \"http://***@one/?***\": see https://two; then",
            ),
            ("a/b@sha256:1 ?x", "a/b@sha256:1 ?x"),
            ("oci://hush@sha256:1", "oci://***@sha256:1"),
            ("https://me:hu\"s<h@host/c", "https://***@host/c"),
            ("https://me:hu?sh@host/c", "https://***"),
            ("https://host/?user=a@b&token=hush", "https://***"),
            ("https://host/c#token=hush", "https://host/c?***"),
            ("https://host/c;token=hush", "https://host/c?***"),
            ("", ""),
        ];
        for (text, said) in table {
            assert_eq!(sayable(text), said);
        }
        let table = [
            (
                "--chart=https://me:hu sh@host/c",
                "--chart=https://***@host/c",
            ),
            ("https://host/?token=hu \"sh", "https://host/?***"),
            ("oci:me:hush@host/c", "***@host/c"),
            ("./charts@2/c", "./charts@2/c"),
        ];
        for (text, said) in table {
            assert_eq!(sayable_address(text), said);
        }
    }
}
