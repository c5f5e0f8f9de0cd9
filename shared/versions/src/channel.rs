//! Linkerd's release channels.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A release channel. Releases of one channel have an order.
///
/// Releases of two channels can be compared only by minor version (Linkerd docs, "Releases and
/// Versions"; edge releases do not follow semantic versioning).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// `stable-2.X.Y`, the open-source releases up to 2.14.
    Stable,
    /// `edge-YY.M.N`, the open-source releases after stable-2.14.
    Edge,
    /// `enterprise-2.X.Y[-N]`, Buoyant's builds.
    Enterprise,
    /// `preview-YY.M.N`, Buoyant's previews, numbered like edge releases.
    Preview,
}

impl Channel {
    /// Returns the word before the first dash.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Edge => "edge",
            Self::Enterprise => "enterprise",
            Self::Preview => "preview",
        }
    }

    /// Returns the channel with this word before the first dash.
    pub fn of_word(word: &str) -> Option<Self> {
        match word {
            "stable" => Some(Self::Stable),
            "edge" => Some(Self::Edge),
            "enterprise" => Some(Self::Enterprise),
            "preview" => Some(Self::Preview),
            _ => None,
        }
    }

    /// Returns true if the releases are numbered by date (`YY.M.N`) instead of 2.X.Y.
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
