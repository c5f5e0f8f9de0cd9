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
        let ends = |c: char| c.is_whitespace() || "\"'`<>|,;()".contains(c);
        let (address, more) = after.split_at(after.find(ends).unwrap_or(after.len()));
        let (address, query) = match address.split_once('?') {
            Some((address, _)) => (address, "?***"),
            None => (address, ""),
        };
        // A password may hold a slash, so that the last `@` counts.
        match address.rsplit_once('@') {
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

#[cfg(test)]
mod tests {
    use super::sayable;

    #[test]
    fn addresses_are_said_without_secrets() {
        let table = [
            ("https://host:6443/", "https://host:6443/"),
            ("https://me:hush@host/x", "https://***@host/x"),
            ("oci://hu/sh@host/x", "oci://***@host/x"),
            (
                "get \"http://me@one/?key=hush\": see https://two",
                "get \"http://***@one/?***\": see https://two",
            ),
            ("a/b@sha256:1 ?x", "a/b@sha256:1 ?x"),
            ("", ""),
        ];
        for (text, said) in table {
            assert_eq!(sayable(text), said);
        }
    }
}
