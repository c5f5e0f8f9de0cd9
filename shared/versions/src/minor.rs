//! The 2.x that a version belongs to, and how sure that is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::number::number;

/// The X of 2.X, the unit in which Linkerd promises compatibility.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Minor(u32);

/// A 2.x, and on what authority it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinorOf {
    /// The 2.x.
    pub minor: Minor,
    /// How sure it is.
    pub confidence: Confidence,
}

/// How a 2.x was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// It is newer than everything in the releases file: it may already belong to a later 2.x.
    Guessed,
    /// By a floor that no table of Linkerd's states: an old edge, or a preview.
    Inferred,
    /// The number says it, or Linkerd's own table of edges does.
    Known,
}

/// A text that is not `2.X`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not of the form 2.X")]
pub struct NotAMinor(String);

impl Minor {
    /// The 2.x with this X.
    pub const fn new(x: u32) -> Self {
        Self(x)
    }

    /// The X of 2.X.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The 2.x after this one.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "2.{}", self.0)
    }
}

impl FromStr for Minor {
    type Err = NotAMinor;

    fn from_str(text: &str) -> Result<Self, NotAMinor> {
        let x = text
            .strip_prefix("2.")
            .filter(|x| !x.is_empty())
            .and_then(number);
        x.map(Self).ok_or_else(|| NotAMinor(text.to_owned()))
    }
}

impl Serialize for Minor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Minor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}
