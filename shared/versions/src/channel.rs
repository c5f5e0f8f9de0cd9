//! The channels that Linkerd is released in.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A line of releases that is ordered in itself.
///
/// Between two channels there is no order but that of the 2.x (Linkerd docs, "Releases and
/// Versions"; edges are not semantically versioned).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// `stable-2.X.Y`, the open-source releases up to 2.14.
    Stable,
    /// `edge-YY.M.N`, the open-source releases since.
    Edge,
    /// `enterprise-2.X.Y[-N]`, Buoyant's builds.
    Enterprise,
    /// `preview-YY.M.N`, Buoyant's previews, numbered as edges are.
    Preview,
}

impl Channel {
    /// The word before the first dash.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Edge => "edge",
            Self::Enterprise => "enterprise",
            Self::Preview => "preview",
        }
    }

    /// Reads the word before the first dash.
    pub fn of_word(word: &str) -> Option<Self> {
        match word {
            "stable" => Some(Self::Stable),
            "edge" => Some(Self::Edge),
            "enterprise" => Some(Self::Enterprise),
            "preview" => Some(Self::Preview),
            _ => None,
        }
    }

    /// Whether its releases are numbered by date (`YY.M.N`) rather than by 2.X.Y.
    pub fn is_dated(self) -> bool {
        match self {
            Self::Edge | Self::Preview => true,
            Self::Stable | Self::Enterprise => false,
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
