//! Tells whether YAML text may have been cut off. JSON that is cut off cannot be parsed; YAML often can.
//!
//! Only the last document can be cut, unless a mark ends it. Whoever writes an object for the API server
//! sorts its fields, so its last ones tell whether the others are there.

use serde_json::Value;

/// Why a text may have been cut off.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Open {
    /// Its last line has no end.
    #[error("its last line, line {0}, has no line break, which kubectl writes: it may be cut off")]
    Line(usize),
    /// Its last object lacks what comes last in it.
    #[error("its last object, a {kind}, has no {field}: it may be cut off")]
    Object {
        /// The object's kind.
        kind: String,
        /// What it lacks.
        field: &'static str,
    },
}

/// Checks the last line of a text that is not empty.
///
/// # Errors
/// The line has no end. A number or a name at its end may have been longer.
pub(super) fn check_text(text: &str) -> Result<(), Open> {
    let last = text.lines().next_back().unwrap_or_default();
    match text.ends_with('\n') || is_mark(last) {
        true => Ok(()),
        false => Err(Open::Line(text.lines().count())),
    }
}

/// Returns true if a mark ends the last document of a text.
pub(super) fn is_marked(text: &str) -> bool {
    is_mark(text.trim_end().lines().next_back().unwrap_or_default())
}

fn is_mark(line: &str) -> bool {
    matches!(line.trim_end(), "---" | "...")
}

/// Checks the last document of a text.
///
/// # Errors
/// It lacks what comes last in such an object.
pub(super) fn check_document(document: &Value, text: &str) -> Result<(), Open> {
    let kind = document["kind"].as_str().unwrap_or_default();
    let Some(items) = document["items"].as_array() else {
        return check_object(document, kind);
    };
    if !document["metadata"].is_object() {
        return Err(lacks(kind, "metadata"));
    }
    // kubectl writes the items before the kind, but others write them last.
    match items.last() {
        Some(last) if ends_with_items(text) => {
            let of_all = kind.strip_suffix("List").unwrap_or_default();
            check_object(last, last["kind"].as_str().unwrap_or(of_all))
        }
        Some(_) | None => Ok(()),
    }
}

fn ends_with_items(text: &str) -> bool {
    let is_key = |line: &&str| !line.is_empty() && !line.starts_with([' ', '\t', '-', '#', '\r']);
    let last = text.lines().rev().find(is_key);
    last.is_some_and(|line| line.starts_with("items:"))
}

fn check_object(object: &Value, kind: &str) -> Result<(), Open> {
    let (is_whole, field) = match kind {
        // It comes after all that is read of a status.
        "Pod" => (object["status"]["phase"].is_string(), "status.phase"),
        // The API server gives each a status, and be it an empty one.
        "Namespace"
        | "Node"
        | "Deployment"
        | "StatefulSet"
        | "DaemonSet"
        | "ReplicaSet"
        | "ReplicationController"
        | "Job"
        | "CustomResourceDefinition" => (object["status"].is_object(), "status"),
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => {
            let hooks = object["webhooks"].as_array();
            let ends = |hook: &Value| hook["timeoutSeconds"].is_u64();
            (
                hooks.is_some_and(|all| all.iter().all(ends)),
                "timeoutSeconds",
            )
        }
        _ => (true, ""),
    };
    is_whole.then_some(()).ok_or_else(|| lacks(kind, field))
}

fn lacks(kind: &str, field: &'static str) -> Open {
    Open::Object {
        kind: kind.to_owned(),
        field,
    }
}
