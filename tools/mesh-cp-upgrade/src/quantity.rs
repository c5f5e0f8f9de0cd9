//! Amounts of a resource in Kubernetes' notation. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// An amount of a resource, in thousandths of its unit (a CPU, a byte, a pod).
pub(crate) type Amount = i128;

/// Amounts by the resource's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amounts(BTreeMap<String, Amount>);

// Kubernetes' suffixes and what they stand for (k8s.io/apimachinery, api/resource).
const BINARY: [(&str, i32); 6] = [
    ("Ki", 1),
    ("Mi", 2),
    ("Gi", 3),
    ("Ti", 4),
    ("Pi", 5),
    ("Ei", 6),
];
const DECIMAL: [(&str, i32); 9] = [
    ("n", -3),
    ("u", -2),
    ("m", -1),
    ("k", 1),
    ("M", 2),
    ("G", 3),
    ("T", 4),
    ("P", 5),
    ("E", 6),
];

/// Reads an amount such as `100m`, `1.5Gi` or `2e3`; returns `None` if it is none.
pub(crate) fn amount(text: &str) -> Option<Amount> {
    let scaled = |table: &[(&str, i32)], base: f64| {
        table.iter().find_map(|(suffix, power)| {
            let number = text.strip_suffix(suffix)?.parse::<f64>().ok()?;
            Some(number * base.powi(*power))
        })
    };
    // `1e3` and `1E3` have an exponent, `1E` has a suffix.
    let number = scaled(&BINARY, 1024.0)
        .or_else(|| text.parse().ok())
        .or_else(|| scaled(&DECIMAL, 1000.0))?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a cast to an integer saturates"
    )]
    let thousandths = (number * 1000.0).round() as Amount;
    number.is_finite().then_some(thousandths)
}

// === impl Amounts ===

impl Amounts {
    /// Adds all of `other`.
    pub(crate) fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let known = self.0.entry(name.clone()).or_default();
            *known = known.saturating_add(*amount);
        }
    }

    /// Raises every amount that is smaller than that of `other`.
    pub(crate) fn raise(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let known = self.0.entry(name.clone()).or_default();
            *known = (*known).max(*amount);
        }
    }

    /// Sets every amount that `other` has.
    pub(crate) fn replace(&mut self, other: &Self) {
        self.0.extend(other.0.clone());
    }

    /// Adds one of a resource that is counted.
    pub(crate) fn count(&mut self, name: &str) {
        self.add(&Self([(name.to_owned(), 1000)].into()));
    }

    /// Returns the first resource of which `all` has less than this and what is `taken` together.
    pub(crate) fn lacking_in(&self, all: &Self, taken: &Self) -> Option<&str> {
        let of = |amounts: &Self, name: &str| amounts.0.get(name).copied().unwrap_or(0);
        let mut asked = self.0.iter().filter(|(_, amount)| **amount > 0);
        let lacking =
            asked.find(|(name, amount)| of(all, name) < of(taken, name).saturating_add(**amount));
        lacking.map(|(name, _)| name.as_str())
    }

    /// Returns true if nothing is known of any resource.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, String)> for Amounts {
    // What cannot be read is left out, as nobody knows how much it is.
    fn from_iter<I: IntoIterator<Item = (String, String)>>(all: I) -> Self {
        let read = |(name, text): (String, String)| Some((name, amount(&text)?));
        Self(all.into_iter().filter_map(read).collect())
    }
}

impl<'de> Deserialize<'de> for Amounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = BTreeMap::<String, String>::deserialize(deserializer)?;
        Ok(all.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_in_every_notation_of_kubernetes() {
        let table = [
            ("100m", Some(100)),
            ("1", Some(1000)),
            ("0.1", Some(100)),
            ("2e3", Some(2_000_000)),
            ("2E3", Some(2_000_000)),
            ("1E", Some(1_000_000_000_000_000_000_000)),
            ("1k", Some(1_000_000)),
            ("1Ki", Some(1_024_000)),
            ("1.5Gi", Some(1_610_612_736_000)),
            ("128974848000m", Some(128_974_848_000)),
            ("1500000n", Some(2)),
            ("", None),
            ("x", None),
            ("1Zi", None),
            ("NaN", None),
        ];
        for (text, expected) in table {
            assert_eq!(amount(text), expected, "{text}");
        }
    }

    #[test]
    fn a_resource_lacks_if_what_is_asked_and_what_is_taken_exceed_all() {
        let amounts = |json: &str| serde_json::from_str::<Amounts>(json).unwrap();
        let all = amounts(r#"{"cpu": "1", "memory": "1Gi"}"#);
        let taken = amounts(r#"{"cpu": "900m"}"#);
        let table = [
            (r#"{"cpu": "100m"}"#, None),
            (r#"{"cpu": "101m"}"#, Some("cpu")),
            (r#"{"memory": "1Gi"}"#, None),
            (r#"{"example.com/card": "1"}"#, Some("example.com/card")),
            (r#"{"example.com/card": "0"}"#, None),
        ];
        for (asked, expected) in table {
            assert_eq!(amounts(asked).lacking_in(&all, &taken), expected, "{asked}");
        }
    }
}
