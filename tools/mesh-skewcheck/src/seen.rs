//! The fields of a workload record that are judged, borrowed from its line.

use std::borrow::Cow;

use mesh_records::{
    DowntimeGrade, Obstacle, Pin, PodCounts, Roll, RollBy, TrustAnchors, WorkloadKind,
};
use mesh_versions::same_release;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

#[derive(Debug, Deserialize)]
pub(crate) struct Seen<'a> {
    /// The type was looked at only at the beginning of the line; a second one would be another
    /// record.
    #[serde(rename = "type")]
    _type: IgnoredAny,
    pub(crate) kind: WorkloadKind,
    #[serde(borrow)]
    pub(crate) namespace: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) name: Cow<'a, str>,
    #[serde(default, borrow)]
    pub(crate) uid: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) control_plane: Cow<'a, str>,
    pub(crate) pods: PodCounts,
    #[serde(borrow)]
    pub(crate) proxies: Vec<SeenProxy<'a>>,
    /// The proxies of pods on their way out.
    #[serde(default, borrow)]
    pub(crate) terminating_proxies: Vec<SeenProxy<'a>>,
    pub(crate) trust_anchors: TrustAnchors,
    #[serde(default)]
    pub(crate) pins: Vec<Pin>,
    pub(crate) roll: Roll,
    pub(crate) downtime: SeenDowntime,
    /// Whether the record already has a `skew` field; another one would make a duplicate field.
    #[serde(default, rename = "skew", deserialize_with = "is_there")]
    pub(crate) is_judged: bool,
}

/// What names a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Identity<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) kind: &'a WorkloadKind,
    pub(crate) name: &'a str,
    /// Two API groups may have kinds with the same name.
    pub(crate) uid: &'a str,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SeenProxy<'a> {
    #[serde(default, borrow)]
    version: Cow<'a, str>,
    #[serde(default, borrow)]
    tag: Cow<'a, str>,
    pub(crate) count: u32,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SeenDowntime {
    pub(crate) grade: DowntimeGrade,
}

// A field with the value `null` counts as present.
fn is_there<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

// === impl Seen ===

impl Seen<'_> {
    pub(crate) fn identity(&self) -> Identity<'_> {
        Identity {
            namespace: &self.namespace,
            kind: &self.kind,
            name: &self.name,
            uid: &self.uid,
        }
    }

    /// Whether some of its proxies are not listed: they are not known to be fine.
    pub(crate) fn has_unlisted(&self) -> bool {
        let counts = self.proxies.iter().map(|proxy| u64::from(proxy.count));
        counts.sum::<u64>() < u64::from(self.pods.meshed)
    }

    /// Returns true for what ends by itself: a Job, whatever made it.
    pub(crate) fn ends_by_itself(&self) -> bool {
        self.roll.by == RollBy::Itself
    }

    /// Returns true if its pods are to be up: it does not end, and something makes pods again that are
    /// gone. A pod whose owner is gone is a bare one.
    pub(crate) fn keeps_its_pods(&self) -> bool {
        let is_bare = self.kind == WorkloadKind::Pod || self.roll.reason == Some(Obstacle::Gone);
        !self.ends_by_itself() && !is_bare
    }

    /// Returns how the counts contradict each other, if they do.
    pub(crate) fn contradiction(&self) -> Option<&'static str> {
        let PodCounts {
            total,
            ready,
            meshed,
            wanted: _,
            terminating: _,
            held_by_proxy: _,
            refused: _,
        } = self.pods;
        let listed: u64 = self.proxies.iter().map(|it| u64::from(it.count)).sum();
        if ready > total || meshed > total {
            Some("more pods are ready or meshed than it has pods")
        } else if listed > u64::from(meshed) {
            Some("`proxies` lists proxies on more pods than are meshed (pods.meshed)")
        } else {
            None
        }
    }
}

// === impl SeenProxy ===

impl SeenProxy<'_> {
    /// Returns the text to compare: the version, or else the tag, which may have an alias;
    /// otherwise empty.
    pub(crate) fn text(&self) -> &str {
        if self.version.is_empty() {
            &self.tag
        } else {
            &self.version
        }
    }

    /// Returns true if there is a tag and it is the release `text`.
    pub(crate) fn has_tag_of(&self, text: &str) -> bool {
        !self.tag.is_empty() && same_release(&self.tag, text)
    }
}
