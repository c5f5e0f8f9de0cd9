//! What the API server says when it refuses a request, in JSON or in protobuf.

use serde::Deserialize;

use crate::object::message::{Unreadable, each_field, message, read};

/// Begins every answer in protobuf; a `runtime.Unknown` follows.
pub(crate) const MAGIC: &[u8] = b"k8s\0";

/// The cause of a 429 that a PodDisruptionBudget gives (`policy/v1`, `DisruptionBudgetCause`). Any
/// other 429 comes from a busy API server.
const BUDGET: &str = "DisruptionBudget";

/// The cause of a 403 where the namespace is being deleted, so that nothing is created in it any more.
const TERMINATING: &str = "NamespaceTerminating";

/// A refusal (`meta/v1`, `Status`).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Said {
    pub(crate) message: String,
    pub(crate) details: Details,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Details {
    causes: Vec<Cause>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
    message: String,
}

message!(Said {
    3: message,
    5: details
});

message!(Details { 4: causes });

message!(Cause {
    1: reason,
    2: message
});

impl Details {
    /// Returns true if the namespace is being deleted.
    pub(crate) fn is_terminating(&self) -> bool {
        self.causes.iter().any(|cause| cause.reason == TERMINATING)
    }

    /// Returns what a PodDisruptionBudget says against an eviction.
    pub(crate) fn budget(self) -> Option<String> {
        let mut causes = self.causes.into_iter();
        let budget = causes.find(|cause| cause.reason == BUDGET);
        budget.map(|cause| cause.message)
    }
}

/// Returns what a refusal says; nothing if it is none.
pub(crate) fn said(body: &[u8]) -> Said {
    match body.strip_prefix(MAGIC) {
        Some(bytes) => raw(bytes).unwrap_or_default(),
        None => serde_json::from_slice(body).unwrap_or_default(),
    }
}

fn raw(bytes: &[u8]) -> Result<Said, Unreadable> {
    let mut said = Said::default();
    each_field(bytes, |field, value| {
        if field == 2 {
            said = read(value.bytes()?)?;
        }
        Ok(())
    })?;
    Ok(said)
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
            assert_eq!(said(body).message, expected, "{body:?}");
        }
    }
}
