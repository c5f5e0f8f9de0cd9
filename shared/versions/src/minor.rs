//! The minor version that a version belongs to, and how certain that is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::number::number;

/// A minor version: the X of 2.X. Linkerd promises compatibility by minor version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Minor(u32);

/// A minor version, and how it was determined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinorOf {
    /// The minor version.
    pub minor: Minor,
    /// How certain the minor version is.
    pub confidence: Confidence,
}

/// How certain a minor version is; a later variant is more certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// The release is newer than everything in the releases file, so it may belong to a later minor
    /// version.
    Guessed,
    /// Derived from the history of the branches: an old edge release or a preview. Linkerd
    /// publishes no table for these.
    Inferred,
    /// Stated by the number itself, or by Linkerd's table of edge releases.
    Known,
}

/// The error for a text that is not of the form `2.X`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a minor version such as 2.14")]
pub struct NotAMinor(String);

impl Minor {
    /// Makes the minor version 2.`x`.
    pub const fn new(x: u32) -> Self {
        Self(x)
    }

    /// Returns the X of 2.X.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Returns the next minor version.
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
