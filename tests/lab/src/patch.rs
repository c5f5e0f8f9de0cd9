//! Patches of JSON (RFC 6902), as clients and webhooks send them.

use std::fmt::Display;

use serde_json::Value;

use crate::refusal::Refusal;

/// Applies a patch to an object.
pub(crate) fn apply_json(object: &mut Value, patch: Value) -> Result<(), Refusal> {
    let invalid = |error: &dyn Display| Refusal::new(422, "Invalid", format!("the patch: {error}"));
    let patch: json_patch::Patch =
        serde_json::from_value(patch).map_err(|error| invalid(&error))?;
    json_patch::patch(object, &patch).map_err(|error| invalid(&error))
}
