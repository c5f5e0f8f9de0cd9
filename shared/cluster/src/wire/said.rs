//! What the API server says when it refuses a request, in JSON or in protobuf.

use serde::Deserialize;

use crate::object::message::{Unreadable, each_field, message, read};

/// Begins every answer in protobuf; a `runtime.Unknown` follows.
pub(crate) const MAGIC: &[u8] = b"k8s\0";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    message: String,
}

message!(Status { 3: message });

/// Returns the message of a refusal; empty if there is none.
pub(crate) fn said(body: &[u8]) -> String {
    let status = match body.strip_prefix(MAGIC) {
        Some(bytes) => raw(bytes).unwrap_or_default(),
        None => serde_json::from_slice(body).unwrap_or_default(),
    };
    status.message
}

fn raw(bytes: &[u8]) -> Result<Status, Unreadable> {
    let mut status = Status::default();
    each_field(bytes, |field, value| {
        if field == 2 {
            status = read(value.bytes()?)?;
        }
        Ok(())
    })?;
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_understood_in_both_forms() {
        let json = br#"{"kind":"Status","message":"no"}"#;
        let protobuf =
            b"k8s\0\x0a\x0c\x0a\x02v1\x12\x06Status\x12\x06\x0a\x00\x1a\x02no\x1a\x00\x22\x00";
        let table: [(&[u8], &str); 5] = [
            (json, "no"),
            (protobuf, "no"),
            (&protobuf[..20], ""),
            (b"<html>", ""),
            (b"", ""),
        ];
        for (body, expected) in table {
            assert_eq!(said(body), expected, "{body:?}");
        }
    }
}
