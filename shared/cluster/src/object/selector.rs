//! Matches label selectors, and writes them for requests.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::message::message;

/// A label selector of an object's spec.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Selector {
    pub match_labels: BTreeMap<String, String>,
    pub match_expressions: Vec<SelectorExpression>,
}

/// A term of a label selector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SelectorExpression {
    pub key: String,
    pub operator: String,
    pub values: Vec<String>,
}

message!(Selector {
    1: match_labels,
    2: match_expressions
});

message!(SelectorExpression {
    1: key,
    2: operator,
    3: values
});

// === impl Selector ===

impl Selector {
    /// Returns true if the selector matches these labels. An empty selector matches all.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        let equal = |(key, value): (&String, &String)| labels.get(key) == Some(value);
        self.match_labels.iter().all(equal)
            && self.match_expressions.iter().all(|term| term.holds(labels))
    }

    /// Returns the selector in the form that a request needs.
    pub fn query(&self) -> String {
        let equal = self.match_labels.iter();
        let equal = equal.map(|(key, value)| format!("{key}={value}"));
        let terms = self.match_expressions.iter();
        let terms = terms.map(SelectorExpression::query);
        equal.chain(terms).collect::<Vec<_>>().join(",")
    }
}

impl SelectorExpression {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let listed = value.is_some_and(|value| self.values.contains(value));
        match self.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            "DoesNotExist" => value.is_none(),
            // `Exists`; the API server allows no other operator.
            _ => value.is_some(),
        }
    }

    fn query(&self) -> String {
        let Self {
            key,
            operator,
            values,
        } = self;
        let values = values.join(",");
        match operator.as_str() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_matches_if_all_its_terms_match() {
        let labels = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
        let table = [
            ("{}", true, ""),
            (r#"{"matchLabels": {"app": "web"}}"#, true, "app=web"),
            (r#"{"matchLabels": {"app": "db"}}"#, false, "app=db"),
            (
                r#"{"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "Exists"}]}"#,
                false,
                "app=web,tier",
            ),
            (
                r#"{"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}"#,
                true,
                "!tier",
            ),
            (
                r#"{"matchExpressions": [{"key": "app", "operator": "In", "values": ["db", "web"]}]}"#,
                true,
                "app in (db,web)",
            ),
            (
                r#"{"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}"#,
                false,
                "app notin (web)",
            ),
        ];
        for (json, expected, query) in table {
            let selector: Selector = serde_json::from_str(json).unwrap();
            assert_eq!(selector.selects(&labels), expected, "{json}");
            assert_eq!(selector.query(), query, "{json}");
        }
    }
}
