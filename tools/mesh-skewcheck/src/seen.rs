//! The fields of a workload that are judged, borrowed from its line.

use std::borrow::Cow;

use mesh_records::{
    DowntimeGrade, Pin, PodCounts, Roll, TrustAnchors, VersionSource, WorkloadKind,
};
use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Debug, Deserialize)]
pub(crate) struct Seen<'a> {
    pub(crate) kind: WorkloadKind,
    #[serde(borrow)]
    pub(crate) namespace: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) name: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) control_plane: Cow<'a, str>,
    pub(crate) pods: PodCounts,
    #[serde(borrow)]
    pub(crate) proxies: Vec<SeenProxy<'a>>,
    pub(crate) trust_anchors: TrustAnchors,
    #[serde(default)]
    pub(crate) pins: Vec<Pin>,
    pub(crate) roll: Roll,
    pub(crate) downtime: SeenDowntime,
    /// A judgement that is there already; a second one would be a doubled field.
    #[serde(default)]
    pub(crate) skew: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SeenProxy<'a> {
    #[serde(default, borrow)]
    version: Cow<'a, str>,
    #[serde(default, borrow)]
    tag: Cow<'a, str>,
    pub(crate) source: VersionSource,
    pub(crate) pods: u32,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SeenDowntime {
    pub(crate) grade: DowntimeGrade,
}

impl SeenProxy<'_> {
    /// What it is judged by: its version, else the tag, which an alias may explain; else nothing.
    pub(crate) fn text(&self) -> &str {
        if self.version.is_empty() {
            &self.tag
        } else {
            &self.version
        }
    }

    /// Whether it is what this text names, by version or by a tag that is none.
    pub(crate) fn is(&self, text: &str) -> bool {
        !text.is_empty() && (self.version == text || self.tag == text)
    }
}
