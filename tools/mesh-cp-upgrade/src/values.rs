//! Reads values files and merges them like helm.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Context as _;
use serde_json::Value;

use crate::snapshot::Copied;

/// Merges the values of `files`; a later file overrides an earlier one.
pub(crate) fn read(files: &[Copied]) -> anyhow::Result<Value> {
    let mut all = Value::Object(serde_json::Map::new());
    for Copied { name, path } in files {
        let what = || format!("the values file `{name}`");
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", what()))?;
        // The text may contain a secret, so the error names only the line.
        let values: Value = serde_norway::from_str(&text).map_err(|error| {
            let line = error.location().map_or(0, |location| location.line());
            anyhow::anyhow!("{} is not valid YAML (line {line})", what())
        })?;
        merge(&mut all, values);
    }
    Ok(all)
}

/// Returns where the `files` set a value, such as "`proxy.image.version` in `a.yaml`". No value is
/// shown.
pub(crate) fn places(files: &[Copied], value: &str) -> Vec<String> {
    let mut places = Vec::new();
    for file in files {
        // A file that cannot be read is an error elsewhere.
        let Ok(values) = read(std::slice::from_ref(file)) else {
            continue;
        };
        let mut keys = Vec::new();
        find(&values, value, &mut Vec::new(), &mut keys);
        let name = &file.name;
        places.extend(keys.iter().map(|key| format!("`{key}` in `{name}`")));
    }
    places
}

fn find<'a>(values: &'a Value, value: &str, path: &mut Vec<&'a str>, keys: &mut Vec<String>) {
    match values {
        Value::String(text) if text == value => keys.push(path.join(".")),
        Value::Object(fields) => {
            for (key, inner) in fields {
                path.push(key);
                find(inner, value, path, keys);
                path.pop();
            }
        }
        Value::Array(items) => {
            for item in items {
                find(item, value, path, keys);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A value that an upgrade changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The value's name, such as `proxy.logLevel`.
    pub(crate) name: String,
    pub(crate) change: Changed,
}

/// How a value changes, with what may be said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// The release was given it, and this run does not: the chart's default counts from then on.
    Dropped(Option<String>),
    Other(Option<(String, String)>),
    Added(Option<String>),
}

/// The longest value that is shown.
const LONGEST: usize = 60;
/// A value with one of these in its name may be a secret, or is a certificate.
const NOT_SHOWN: [&str; 6] = ["pem", "key", "token", "password", "secret", "license"];

/// Returns the values that differ between what a release was given and what it is to get.
pub(crate) fn differences(given: &Value, wanted: &Value) -> Vec<Difference> {
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    leaves(given, &mut Vec::new(), &mut before);
    leaves(wanted, &mut Vec::new(), &mut after);
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let difference = |name: &String| {
        let change = match (before.get(name), after.get(name)) {
            (Some(from), None) => Changed::Dropped(shown(name, from)),
            (None, Some(to)) => Changed::Added(shown(name, to)),
            (Some(from), Some(to)) if from != to => {
                Changed::Other(shown(name, from).zip(shown(name, to)))
            }
            (Some(_), Some(_)) | (None, None) => return None,
        };
        let name = name.clone();
        Some(Difference { name, change })
    };
    names.into_iter().filter_map(difference).collect()
}

// A list counts as one value, as helm replaces it as a whole.
fn leaves<'a>(value: &'a Value, path: &mut Vec<&'a str>, all: &mut BTreeMap<String, &'a Value>) {
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                path.push(key);
                leaves(inner, path, all);
                path.pop();
            }
        }
        Value::Null if path.is_empty() => {}
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            all.insert(path.join("."), value);
        }
    }
}

fn shown(name: &str, value: &Value) -> Option<String> {
    let name = name.to_lowercase();
    if NOT_SHOWN.iter().any(|part| name.contains(part)) {
        return None;
    }
    let text = match value {
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => value.to_string(),
        Value::String(text) => text.clone(),
        Value::Null | Value::Object(_) => return None,
    };
    (text.len() <= LONGEST && !text.contains('\n')).then_some(text)
}

/// Returns true if two sets of values are equal. No values equal an empty set.
pub(crate) fn same(one: &Value, other: &Value) -> bool {
    let empty = |value: &Value| {
        value
            .as_object()
            .map_or(value.is_null(), serde_json::Map::is_empty)
    };
    one == other || (empty(one) && empty(other))
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Object(_), Value::Null) => {}
        (
            into @ (Value::Object(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)),
            from,
        ) => *into = from,
    }
}

// === impl Difference ===

impl Difference {
    /// What happens to the value, for a deed.
    pub(crate) fn verb(&self) -> &'static str {
        match self.change {
            Changed::Dropped(_) => "drop the value",
            Changed::Other(_) => "change the value",
            Changed::Added(_) => "add the value",
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.change {
            Changed::Dropped(Some(from)) => {
                write!(
                    f,
                    "{name}, which is {from}: the chart's default counts then"
                )
            }
            Changed::Dropped(None) => write!(f, "{name}: the chart's default counts then"),
            Changed::Other(Some((from, to))) => write!(f, "{name} from {from} to {to}"),
            Changed::Other(None) => f.write_str(name),
            Changed::Added(Some(to)) => write!(f, "{name}: {to}"),
            Changed::Added(None) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn later_values_files_override_earlier_ones_map_by_map() {
        let mut all = json!({});
        for values in [
            json!({ "a": { "x": 1, "y": [1, 2] }, "b": "old" }),
            json!({ "a": { "y": [3] }, "b": { "deep": true }, "c": null }),
        ] {
            merge(&mut all, values);
        }
        assert_eq!(
            all,
            json!({ "a": { "x": 1, "y": [3] }, "b": { "deep": true }, "c": null })
        );
    }

    #[test]
    fn differences_name_what_is_dropped_changed_and_added_but_no_secret() {
        let given = json!({
            "proxy": { "logLevel": "warn", "cores": 2 },
            "tolerations": [{ "key": "a" }],
            "identity": { "issuer": { "tls": { "keyPEM": "HUSH" } } },
            "same": 1,
        });
        let wanted = json!({
            "proxy": { "logLevel": "info" },
            "identity": { "issuer": { "tls": { "keyPEM": "OTHER" } } },
            "defaultInboundPolicy": "deny",
            "same": 1,
        });
        let all = differences(&given, &wanted);
        let said: Vec<String> = all.iter().map(|it| format!("{} {it}", it.verb())).collect();
        let expected = [
            "add the value defaultInboundPolicy: deny",
            "change the value identity.issuer.tls.keyPEM",
            "drop the value proxy.cores, which is 2: the chart's default counts then",
            "change the value proxy.logLevel from warn to info",
            "drop the value tolerations, which is [{\"key\":\"a\"}]: the chart's default counts then",
        ];
        assert_eq!(said, expected);
        assert!(differences(&Value::Null, &json!({})).is_empty());
    }

    #[test]
    fn no_values_are_an_empty_set() {
        assert!(same(&Value::Null, &json!({})));
        assert!(!same(&Value::Null, &json!({ "a": 1 })));
        assert!(!same(&json!({ "a": 2 }), &json!({ "a": 1 })));
    }

    #[test]
    fn places_names_the_keys_and_the_files_of_a_value() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            let name = name.to_owned();
            Copied { name, path }
        };
        let files = [
            file(
                "a.yaml",
                "linkerdVersion: v1\nproxy: {image: {version: v1, name: v2}}\n",
            ),
            file("b.yaml", "debug: [{version: v1}]\n"),
            file("c.yaml", "{"),
        ];
        let expected = [
            "`linkerdVersion` in `a.yaml`",
            "`proxy.image.version` in `a.yaml`",
            "`debug.version` in `b.yaml`",
        ];
        assert_eq!(places(&files, "v1"), expected);
        assert!(places(&files, "v3").is_empty());
    }

    #[test]
    fn an_error_in_a_values_file_does_not_quote_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("values.yaml");
        std::fs::write(&path, "a: 1\nkeyPEM: [SECRET\n").unwrap();
        let name = "values.yaml".to_owned();
        let error = format!("{:#}", read(&[Copied { name, path }]).unwrap_err());
        assert!(
            error.contains("values.yaml") && !error.contains("SECRET"),
            "{error}"
        );
    }
}
