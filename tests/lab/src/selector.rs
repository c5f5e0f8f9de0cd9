//! Label and field selectors.

use serde_json::Value;

use crate::{refusal::Refusal, resource::Resource};

/// What labels must be; without a need it is fulfilled by all.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Selector(Vec<Need>);

#[derive(Clone, Debug, PartialEq)]
struct Need {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

/// What fields must be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(Vec<(String, bool, String)>);

// === impl Selector ===

impl Selector {
    /// Reads the syntax of a query.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let needs = parts(text).into_iter().map(|part| need(part.trim()));
        let needs: Option<_> = needs.collect();
        needs
            .map(Self)
            .ok_or_else(|| Refusal::bad_request(format!("unable to parse requirement: {text}")))
    }

    /// Reads a `LabelSelector`.
    pub(crate) fn of(selector: &Value) -> Self {
        let mut needs = Self::equal(&selector["matchLabels"]).0;
        for one in selector["matchExpressions"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let values = one["values"].as_array().into_iter().flatten();
            let values = values
                .filter_map(|value| value.as_str().map(str::to_owned))
                .collect();
            let test = match one["operator"].as_str() {
                Some("In") => Test::In(values),
                Some("NotIn") => Test::NotIn(values),
                Some("Exists") => Test::Exists,
                _ => Test::Absent,
            };
            let key = one["key"].as_str().unwrap_or_default().to_owned();
            needs.push(Need { key, test });
        }
        Self(needs)
    }

    /// Reads a map of labels that must be there.
    pub(crate) fn equal(labels: &Value) -> Self {
        let labels = labels.as_object().into_iter().flatten();
        let needs = labels.map(|(key, value)| Need {
            key: key.clone(),
            test: Test::In(value.as_str().map(str::to_owned).into_iter().collect()),
        });
        Self(needs.collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.0.iter().all(|Need { key, test }| {
            let value = labels[key].as_str();
            let among =
                |values: &[String]| value.is_some_and(|value| values.iter().any(|v| v == value));
            match test {
                Test::In(values) => among(values),
                Test::NotIn(values) => !among(values),
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
            }
        })
    }
}

/// Splits at the commas that stand outside parentheses.
fn parts(text: &str) -> Vec<&str> {
    let mut inside = false;
    let split = text.split(|c| {
        inside = c == '(' || inside && c != ')';
        c == ',' && !inside
    });
    split.filter(|part| !part.trim().is_empty()).collect()
}

fn need(part: &str) -> Option<Need> {
    let listed = |text: &str| -> Option<Vec<String>> {
        let inner = text.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(
            inner
                .split(',')
                .map(|value| value.trim().to_owned())
                .collect(),
        )
    };
    let one = |value: &str| vec![value.trim().to_owned()];
    let (key, test) = if let Some((key, value)) = part.split_once("!=") {
        (key, Test::NotIn(one(value)))
    } else if let Some((key, value)) = part.split_once('=') {
        (key, Test::In(one(value.trim_start_matches('='))))
    } else if let Some((key, values)) = part.split_once(" notin ") {
        (key, Test::NotIn(listed(values)?))
    } else if let Some((key, values)) = part.split_once(" in ") {
        (key, Test::In(listed(values)?))
    } else if let Some(key) = part.strip_prefix('!') {
        (key, Test::Absent)
    } else {
        (part, Test::Exists)
    };
    let key = key.trim();
    let known = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    (!key.is_empty() && key.chars().all(known)).then(|| Need {
        key: key.to_owned(),
        test,
    })
}

// === impl Fields ===

impl Fields {
    pub(crate) fn parse(resource: &Resource, text: &str) -> Result<Self, Refusal> {
        let mut fields = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (field, equal, value) = match (part.split_once("!="), part.split_once('=')) {
                (Some((field, value)), _) => (field, false, value),
                (None, Some((field, value))) => (field, true, value.trim_start_matches('=')),
                (None, None) => {
                    return Err(Refusal::bad_request(format!("invalid selector: {part}")));
                }
            };
            let of_pods =
                resource.plural == "pods" && matches!(field, "spec.nodeName" | "status.phase");
            if !of_pods && !matches!(field, "metadata.name" | "metadata.namespace") {
                return Err(Refusal::unsupported(format!(
                    "the field {field} of {}",
                    resource.plural
                )));
            }
            let pointer = format!("/{}", field.replace('.', "/"));
            fields.push((pointer, equal, value.to_owned()));
        }
        Ok(Self(fields))
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|(pointer, equal, value)| {
            (crate::object::text(object, pointer) == value) == *equal
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_selector_means_what_the_api_says() {
        let object =
            json!({ "metadata": { "labels": { "app": "web", "tier": "front", "a/b": "" } } });
        for (text, wanted) in [
            ("", true),
            ("app", true),
            ("!app", false),
            ("app=web,tier==front", true),
            ("app=web,tier!=front", false),
            ("other!=x", true),
            ("app in (api, web),tier notin (back)", true),
            ("other notin (x)", true),
            ("other in (x,y)", false),
            ("a/b=", true),
        ] {
            assert_eq!(
                Selector::parse(text).unwrap().matches(&object),
                wanted,
                "{text:?}"
            );
        }
        for wrong in ["a in b", "=x", "a>1", "a b"] {
            assert!(Selector::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
