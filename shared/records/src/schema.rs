//! The JSON Schema of the records, made of their types and doc comments.
//!
//! It says what the tools write. A reader must allow unknown fields and unknown types, because the
//! contract grows by both, so the schema forbids neither in a known record.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{Record, WorkloadKind, WorkloadRef};

/// Returns the schema of one line of a stream (JSON Schema, 2020-12).
#[must_use]
pub fn schema() -> Schema {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<Record>();
    for value in schema.as_object_mut().into_iter().flat_map(Map::values_mut) {
        without_null(value);
    }
    schema.insert("title".to_owned(), crate::SCHEMA.into());
    schema
}

/// Removes `null` from every type: what is not known is absent from a record.
fn without_null(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(without_null);
            plain_type(fields);
            plain_choice(fields);
            optional_part(fields);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Makes `"type": ["string", "null"]` to `"type": "string"`.
fn plain_type(fields: &mut Map<String, Value>) {
    let Some(Value::Array(types)) = fields.get_mut("type") else {
        return;
    };
    types.retain(|it| it != "null");
    if let [only] = &**types {
        let only = only.clone();
        fields.insert("type".to_owned(), only);
    }
}

/// Makes `"anyOf": [X, null]` to X.
fn plain_choice(fields: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = fields.get_mut("anyOf") else {
        return;
    };
    choices.retain(|it| it.get("type") != Some(&"null".into()));
    if let [Value::Object(only)] = &**choices {
        let only = only.clone();
        fields.remove("anyOf");
        fields.extend(only);
    }
}

/// Takes up the fields of alternatives of which none has to be there. As an alternative, "none" would
/// allow fields of any type.
fn optional_part(object: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = object.get("anyOf") else {
        return;
    };
    if !choices.contains(&Value::Object(Map::new())) {
        return;
    }
    let parts = choices.iter().filter_map(|it| it["properties"].as_object());
    let parts = parts.flatten();
    let parts: Vec<(String, Value)> = parts
        .map(|(name, field)| (name.clone(), field.clone()))
        .collect();
    object.remove("anyOf");
    if let Some(Value::Object(fields)) = object.get_mut("properties") {
        for (name, field) in parts {
            fields.entry(name).or_insert(field);
        }
    }
}

/// Returns the schema of a closed set of words: the part of `words` that is in `set`, each with its
/// description.
pub(crate) fn part_of(words: &Schema, set: &[impl Serialize]) -> Schema {
    let set: Vec<Value> = set.iter().flat_map(serde_json::to_value).collect();
    let words = words.get("oneOf").and_then(Value::as_array);
    let is_in = |word: &&Value| word.get("const").is_some_and(|word| set.contains(word));
    let part: Vec<&Value> = words.into_iter().flatten().filter(is_in).collect();
    json_schema!({ "oneOf": part })
}

impl JsonSchema for WorkloadKind {
    fn schema_name() -> Cow<'static, str> {
        "WorkloadKind".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "The kind of an owner, with Kubernetes' spelling; any kind may stand here.",
        })
    }
}

// It is written with `ref`, which is no field of the type.
impl JsonSchema for WorkloadRef {
    fn schema_name() -> Cow<'static, str> {
        "WorkloadRef".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "Names a workload.",
            "properties": {
                "ref": {
                    "type": "string",
                    "description": "The workload in one word, such as `shop/Deployment/web`.",
                },
                "kind": generator.subschema_for::<WorkloadKind>(),
                "namespace": { "type": "string", "description": "The workload's namespace." },
                "name": { "type": "string", "description": "The workload's name." },
            },
            "required": ["ref", "kind", "namespace", "name"],
        })
    }
}
