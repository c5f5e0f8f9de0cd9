//! Checks a record against the schema.
//!
//! It knows the keywords that the schema of the records uses. Any other keyword is a fault, so that a
//! schema which says more than is checked here cannot pass.

use jiff::Timestamp;
use serde_json::Value;

/// Returns where `value` differs from `schema`; nothing if it is valid.
#[must_use]
pub fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let root = schema;
    Check { root }.all(schema, value, "")
}

struct Check<'a> {
    root: &'a Value,
}

impl<'a> Check<'a> {
    fn all(&self, schema: &'a Value, value: &Value, path: &str) -> Vec<String> {
        let Value::Object(keywords) = schema else {
            let is_open = *schema == Value::Bool(true);
            return match is_open {
                true => Vec::new(),
                false => vec![format!("{path}: nothing is allowed here")],
            };
        };
        keywords
            .iter()
            .flat_map(|(keyword, rule)| self.keyword(keyword, rule, value, path))
            .collect()
    }

    fn keyword(&self, word: &str, rule: &'a Value, value: &Value, path: &str) -> Vec<String> {
        // Made only for a fault: a rule may be the whole schema.
        let fault = |fits: bool| match fits {
            true => Vec::new(),
            false => vec![format!("{path}: {value} does not fit {word} {rule}")],
        };
        match word {
            "$schema" | "$defs" | "title" | "description" | "default" => Vec::new(),
            "$ref" => self.referred(rule, value, path),
            "type" => fault(is_of(rule, value)),
            "const" => fault(rule == value),
            "enum" => fault(items(rule).contains(value)),
            "format" => fault(has_format(rule, value)),
            "minimum" => fault(number(value) >= number(rule)),
            "maximum" => fault(number(value) <= number(rule)),
            "required" => {
                let absent = items(rule).iter().filter_map(Value::as_str);
                let absent = absent.filter(|name| value.get(name).is_none());
                absent
                    .map(|name| format!("{path}: `{name}` is absent"))
                    .collect()
            }
            "properties" => self.fields(rule, value, path),
            // Beside `properties` it is about the other fields; the records have it only in maps.
            "additionalProperties" => {
                let fields = value.as_object().into_iter().flatten();
                let checks = fields.map(|(name, it)| self.all(rule, it, &format!("{path}.{name}")));
                checks.flatten().collect()
            }
            "items" => {
                let checks = items(value).iter().enumerate();
                let checks = checks.map(|(at, it)| self.all(rule, it, &format!("{path}[{at}]")));
                checks.flatten().collect()
            }
            "oneOf" => self.choice(items(rule), value, path, true),
            "anyOf" => self.choice(items(rule), value, path, false),
            _ => vec![format!("{path}: the keyword {word} is not checked")],
        }
    }

    fn referred(&self, rule: &Value, value: &Value, path: &str) -> Vec<String> {
        let pointer = rule.as_str().and_then(|it| it.strip_prefix('#'));
        match pointer.and_then(|pointer| self.root.pointer(pointer)) {
            Some(schema) => self.all(schema, value, path),
            None => vec![format!("{path}: the schema has no {rule}")],
        }
    }

    fn fields(&self, rule: &'a Value, value: &Value, path: &str) -> Vec<String> {
        let fields = rule.as_object().into_iter().flatten();
        let present = fields.filter_map(|(name, schema)| Some((name, schema, value.get(name)?)));
        present
            .flat_map(|(name, schema, it)| self.all(schema, it, &format!("{path}.{name}")))
            .collect()
    }

    fn choice(&self, choices: &'a [Value], value: &Value, path: &str, one: bool) -> Vec<String> {
        let faults = choices.iter().map(|choice| self.all(choice, value, path));
        let mut faults: Vec<Vec<String>> = faults.collect();
        let fitting = faults.iter().filter(|faults| faults.is_empty()).count();
        faults.sort_by_key(Vec::len);
        match (fitting, one) {
            // What is nearest tells the most.
            (0, _) => faults.into_iter().next().unwrap_or_default(),
            (1, _) | (_, false) => Vec::new(),
            (_, true) => vec![format!("{path}: {value} fits {fitting} of oneOf")],
        }
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64()
}

fn is_of(rule: &Value, value: &Value) -> bool {
    match rule.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("null") => value.is_null(),
        Some(_) => false,
        None => items(rule).iter().any(|it| is_of(it, value)),
    }
}

fn has_format(rule: &Value, value: &Value) -> bool {
    match rule.as_str() {
        Some("date-time") => value
            .as_str()
            .is_some_and(|it| it.parse::<Timestamp>().is_ok()),
        Some("uint8") => value.as_u64().is_some_and(|it| it <= u64::from(u8::MAX)),
        Some("uint32") => value.as_u64().is_some_and(|it| it <= u64::from(u32::MAX)),
        Some("uint64") => value.is_u64(),
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_that_breaks_a_keyword_is_found_and_so_is_a_keyword_that_is_not_checked() {
        let schema = json!({
            "$defs": { "Word": { "oneOf": [{ "const": "yes" }, { "const": "no" }] } },
            "type": "object",
            "properties": {
                "word": { "$ref": "#/$defs/Word" },
                "at": { "type": "string", "format": "date-time" },
                "count": { "type": "integer", "format": "uint8", "minimum": 0, "maximum": 9 },
                "names": { "type": "array", "items": { "type": "string" } },
                "map": { "type": "object", "additionalProperties": { "enum": [1, 2] } },
            },
            "required": ["word"],
        });
        let table = [
            (json!({ "word": "yes", "more": 1 }), 0),
            (
                json!({ "word": "no", "at": "2026-03-02T09:15:04Z", "count": 3 }),
                0,
            ),
            (json!({ "word": "maybe" }), 1),
            (json!({}), 1),
            (json!([]), 2),
            (json!({ "word": "no", "at": "yesterday" }), 1),
            (json!({ "word": "no", "count": 10 }), 1),
            (json!({ "word": "no", "count": -1 }), 2),
            (json!({ "word": "no", "count": null }), 3),
            (json!({ "word": "no", "names": ["a", 1] }), 1),
            (json!({ "word": "no", "map": { "a": 1, "b": 3 } }), 1),
        ];
        for (value, count) in table {
            let faults = faults(&schema, &value);
            assert_eq!(faults.len(), count, "{value}: {faults:?}");
        }
        assert_eq!(faults(&json!({ "pattern": "a" }), &json!("a")).len(), 1);
        assert_eq!(
            faults(&json!({ "$ref": "#/$defs/No" }), &json!("a")).len(),
            1
        );
        let both = json!({ "oneOf": [{ "type": "string" }, { "const": "a" }] });
        assert_eq!(faults(&both, &json!("a")).len(), 1);
    }
}
