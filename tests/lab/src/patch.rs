//! The ways in which a patch is written.

use serde_json::Value;

use crate::refusal::Refusal;

/// A patch, by its content type.
#[derive(Debug)]
pub(crate) enum Patch {
    /// RFC 7386.
    Merge(Value),
    /// RFC 6902.
    Json(Value),
    /// Kubernetes' own, where lists of a status are merged by a key.
    Strategic(Value),
    /// What somebody wants to be there.
    Apply(Value),
}

/// The lists that a strategic patch merges, with what identifies their entries.
const MERGED: [(&str, &str); 3] = [("conditions", "type"), ("podIPs", "ip"), ("hostIPs", "ip")];

// === impl Patch ===

impl Patch {
    pub(crate) fn read(content_type: &str, body: &[u8]) -> Result<Self, Refusal> {
        let body = serde_json::from_slice(body)
            .map_err(|error| Refusal::bad_request(format!("reading the patch: {error}")))?;
        match content_type {
            "application/merge-patch+json" => Ok(Self::Merge(body)),
            "application/json-patch+json" => Ok(Self::Json(body)),
            "application/strategic-merge-patch+json" => Ok(Self::Strategic(body)),
            "application/apply-patch+yaml" => Ok(Self::Apply(body)),
            other => Err(Refusal::unsupported(format!("patches of type {other:?}"))),
        }
    }

    pub(crate) fn apply(&self, object: &mut Value) -> Result<(), Refusal> {
        match self {
            Self::Merge(patch) | Self::Apply(patch) => json_patch::merge(object, patch),
            Self::Strategic(patch) => merge_strategic(object, patch),
            Self::Json(patch) => apply_json(object, patch)?,
        }
        Ok(())
    }
}

/// Performs a JSON patch.
pub(crate) fn apply_json(object: &mut Value, patch: &Value) -> Result<(), Refusal> {
    let invalid =
        |error: &dyn std::fmt::Display| Refusal::new(422, "Invalid", format!("the patch: {error}"));
    let operations: json_patch::Patch =
        serde_json::from_value(patch.clone()).map_err(|error| invalid(&error))?;
    json_patch::patch(object, &operations).map_err(|error| invalid(&error))
}

fn merge_strategic(object: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *object = patch.clone();
        return;
    };
    for (field, value) in fields {
        let merged = MERGED.iter().find(|(name, _)| name == field);
        match (merged, value.as_array()) {
            (Some((_, by)), Some(entries)) => merge_list(&mut object[field], entries, by),
            _ if value.is_object() && object[field].is_object() => {
                merge_strategic(&mut object[field], value);
            }
            _ => json_patch::merge(object, &Value::from_iter([(field.clone(), value.clone())])),
        }
    }
}

fn merge_list(list: &mut Value, entries: &[Value], by: &str) {
    if !list.is_array() {
        *list = Value::Array(Vec::new());
    }
    let Some(list) = list.as_array_mut() else {
        return;
    };
    for entry in entries {
        match list.iter_mut().find(|known| known[by] == entry[by]) {
            Some(known) => json_patch::merge(known, entry),
            None => {
                let mut fresh = Value::Null;
                json_patch::merge(&mut fresh, entry);
                list.push(fresh);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_strategic_patch_leaves_other_writers_conditions_alone() {
        let mut pod = json!({ "status": { "conditions": [
            { "type": "PodScheduled", "status": "True" },
            { "type": "Ready", "status": "False", "reason": "ContainersNotReady" },
        ], "containerStatuses": [{ "name": "a" }, { "name": "b" }] } });
        let patch = json!({ "status": { "phase": "Running", "containerStatuses": [{ "name": "c" }], "conditions": [
            { "type": "Ready", "status": "True", "reason": null },
            { "type": "Initialized", "status": "True", "reason": null },
        ] } });
        Patch::Strategic(patch).apply(&mut pod).unwrap();
        let wanted = json!({ "phase": "Running", "containerStatuses": [{ "name": "c" }], "conditions": [
            { "type": "PodScheduled", "status": "True" },
            { "type": "Ready", "status": "True" },
            { "type": "Initialized", "status": "True" },
        ] });
        assert_eq!(pod["status"], wanted);
    }
}
