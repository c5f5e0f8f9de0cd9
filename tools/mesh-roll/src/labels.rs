//! Label selectors of the command line, in the syntax of `kubectl -l`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use mesh_cluster::object::{Selector, SelectorExpression};

/// A label selector, with the text that the user wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LabelSelector {
    text: String,
    selector: Selector,
}

/// The longest name of a label and the longest value that Kubernetes allows.
const LONGEST: usize = 63;

// Reads a text from left to right; blanks before a word or a sign do not count.
struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

// === impl LabelSelector ===

impl LabelSelector {
    /// Returns true if the selector matches these labels.
    pub(crate) fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.selector.selects(labels)
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for LabelSelector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text, rest: text };
        let mut terms = vec![reader.term()?];
        while reader.takes(",") {
            terms.push(reader.term()?);
        }
        if !reader.is_at_end() {
            return Err(reader.expected("`,` or the end"));
        }
        Ok(Self {
            text: text.to_owned(),
            selector: Selector {
                match_labels: BTreeMap::new(),
                match_expressions: terms,
            },
        })
    }
}

/// Parses the key of a label.
pub(crate) fn parse_key(text: &str) -> Result<String, String> {
    let mut reader = Reader { text, rest: text };
    let key = reader.key()?;
    if !reader.is_at_end() {
        return Err(reader.expected("the end of the label's key"));
    }
    Ok(key)
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn term(&mut self) -> Result<SelectorExpression, String> {
        if self.takes("!") {
            return Ok(term(self.key()?, "DoesNotExist", Vec::new()));
        }
        let key = self.key()?;
        if self.takes("!=") {
            return Ok(term(key, "NotIn", vec![self.value()?]));
        }
        if self.takes("==") || self.takes("=") {
            return Ok(term(key, "In", vec![self.value()?]));
        }
        let before = self.rest;
        let operator = match self.word() {
            "" => return Ok(term(key, "Exists", Vec::new())),
            "in" => "In",
            "notin" => "NotIn",
            _ => {
                self.rest = before;
                return Err(self.expected("=, !=, in, notin or `,`"));
            }
        };
        Ok(term(key, operator, self.values()?))
    }

    fn values(&mut self) -> Result<Vec<String>, String> {
        if !self.takes("(") {
            return Err(self.expected("`(`"));
        }
        let mut values = vec![self.value()?];
        while self.takes(",") {
            values.push(self.value()?);
        }
        match self.takes(")") {
            true => Ok(values),
            false => Err(self.expected("`,` or `)`")),
        }
    }

    fn key(&mut self) -> Result<String, String> {
        let before = self.rest;
        let key = self.word();
        let (prefix, name) = key.rsplit_once('/').unwrap_or(("prefix", key));
        if !name.is_empty() && is_value(name) && !prefix.is_empty() && !prefix.contains('/') {
            return Ok(key.to_owned());
        }
        self.rest = before;
        Err(self.expected("the key of a label"))
    }

    // A value may be empty.
    fn value(&mut self) -> Result<String, String> {
        let before = self.rest;
        let value = self.word();
        if is_value(value) {
            return Ok(value.to_owned());
        }
        self.rest = before;
        Err(self.expected("the value of a label"))
    }

    fn word(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        let is_part = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn takes(&mut self, sign: &str) -> bool {
        self.rest = self.rest.trim_start();
        let rest = self.rest.strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn is_at_end(&self) -> bool {
        self.rest.trim_start().is_empty()
    }

    fn expected(&self, what: &str) -> String {
        let rest = self.rest.trim_start();
        let place = self.text.chars().count() - rest.chars().count() + 1;
        match rest {
            "" => format!("expected {what} at its end"),
            rest => format!("expected {what} at character {place}, before `{rest}`"),
        }
    }
}

fn term(key: String, operator: &str, values: Vec<String>) -> SelectorExpression {
    SelectorExpression {
        key,
        operator: operator.to_owned(),
        values,
    }
}

fn is_value(text: &str) -> bool {
    let ends = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    let mut chars = text.chars();
    text.len() <= LONGEST && !text.contains('/') && ends(chars.next()) && ends(chars.next_back())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_selector_matches_like_kubectls() {
        let labels = [("app", "web"), ("example.com/tier", "front"), ("empty", "")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let labels = BTreeMap::from(labels);
        let table = [
            ("app=web", true),
            ("app==web", true),
            ("app = web , example.com/tier=front", true),
            ("app=web,app=db", false),
            ("app!=web", false),
            ("other!=web", true),
            ("app", true),
            ("other", false),
            ("!other", true),
            ("! app", false),
            ("app in (db, web)", true),
            ("app in (db)", false),
            ("app notin (db,cache),empty=", true),
            ("other notin (db)", true),
            ("empty in (,x)", true),
        ];
        for (text, expected) in table {
            let selector: LabelSelector = text.parse().unwrap();
            assert_eq!(selector.selects(&labels), expected, "{text}");
            assert_eq!(selector.to_string(), text);
        }
    }

    #[test]
    fn a_wrong_label_selector_is_refused_with_its_place() {
        let table = [
            ("", "expected the key of a label at its end"),
            ("app=web,", "expected the key of a label at its end"),
            (
                "app=web tier=db",
                "expected `,` or the end at character 9, before `tier=db`",
            ),
            ("app in db", "expected `(` at character 8, before `db`"),
            ("app in (db", "expected `,` or `)` at its end"),
            (
                "app > 3",
                "expected `,` or the end at character 5, before `> 3`",
            ),
            (
                "app is web",
                "expected =, !=, in, notin or `,` at character 5, before `is web`",
            ),
            (
                "app=-web",
                "expected the value of a label at character 5, before `-web`",
            ),
            (
                "/app=web",
                "expected the key of a label at character 1, before `/app=web`",
            ),
        ];
        for (text, expected) in table {
            let error = text.parse::<LabelSelector>().unwrap_err();
            assert_eq!(error, expected, "{text}");
        }
        assert!(parse_key("example.com/zone").is_ok());
        assert!(parse_key("zone=a").is_err());
        assert!(parse_key(&"x".repeat(64)).is_err());
    }
}
