//! Makes text sayable: addresses without user names, passwords and query values.

/// Hides what is secret in each address in a text: `https://user:password@host/path?key=value`
/// becomes `https://***@host/path?***`.
#[must_use]
pub fn sayable(text: &str) -> String {
    let mut said = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        said.push_str(before);
        // A password may hold any other character.
        let ends = |c: char| c.is_whitespace() || "\"`<>".contains(c);
        let (address, more) = after.split_at(after.find(ends).unwrap_or(after.len()));
        let (address, query) = match address.split_once('?') {
            Some((address, _)) => (address, "?***"),
            None => (address, ""),
        };
        // A password may hold a slash, so that the last `@` counts.
        match address.rsplit_once('@') {
            Some((_, end)) if is_digest(end) => said.push_str(address),
            Some((_, address)) => {
                said.push_str("***@");
                said.push_str(address);
            }
            None => said.push_str(address),
        }
        said.push_str(query);
        rest = more;
    }
    said.push_str(rest);
    said
}

// An image or a chart may be named by its digest.
fn is_digest(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 64 && hex.chars().all(|c| c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::sayable;

    #[test]
    fn addresses_are_said_without_secrets() {
        let by_digest = format!("oci://host/c@sha256:{}", "0a".repeat(32));
        assert_eq!(sayable(&by_digest), by_digest);
        let table = [
            ("https://host:6443/", "https://host:6443/"),
            ("https://me:hush@host/x", "https://***@host/x"),
            ("oci://hu/sh@host/x", "oci://***@host/x"),
            ("'https://me:hu,s;h'()@host/x'", "'https://***@host/x'"),
            (
                "get \"http://me@one/?key=hush\": see https://two",
                "get \"http://***@one/?***\": see https://two",
            ),
            ("a/b@sha256:1 ?x", "a/b@sha256:1 ?x"),
            ("oci://hush@sha256:1", "oci://***@sha256:1"),
            ("", ""),
        ];
        for (text, said) in table {
            assert_eq!(sayable(text), said);
        }
    }
}
