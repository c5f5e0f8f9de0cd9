//! Upgrade notes: what Linkerd's documentation asks people to read before an upgrade, as data.

use serde::Deserialize;

use crate::channel::Channel;
use crate::fact::{Count, Setting, Use};
use crate::minor::Minor;
use crate::version::Version;

/// One thing that changes on the way from one minor version to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The id: `HOP/NAME`, such as `2.15-2.16/shutdown-endpoint`.
    pub id: String,
    /// The minor version that the note belongs to: the end of its hop.
    pub to: Minor,
    /// The first edge release with the change, if it is known; else it comes with the minor version.
    pub since: Option<Version>,
    /// What changes, in one or two sentences.
    pub text: String,
    /// Whom it concerns.
    pub concerns: String,
    /// What to do, if there is anything.
    pub act: Option<String>,
    /// The address of Linkerd's own page about it.
    pub page: String,
    /// How serious it is for those whom it concerns.
    pub demand: Demand,
    /// Whether ignoring it may destroy something that the upgrade cannot bring back.
    pub destructive: bool,
    /// Whether it concerns a cluster.
    pub when: Condition,
}

/// What a note demands of those whom it concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Demand {
    /// Somebody must act before the upgrade.
    Act,
    /// Somebody should look at it.
    Look,
    /// It is good to know.
    Know,
}

/// When a note concerns a cluster. Each condition may hold, not hold, or be unknown, because the
/// survey may lack the fact.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It concerns every cluster.
    Always,
    /// No survey can tell; the text says what to look for.
    Unseen(String),
    /// All of these hold.
    All(Vec<Self>),
    /// One of these holds.
    Any(Vec<Self>),
    /// This does not hold.
    Not(Box<Self>),
    /// A value of the control plane is this.
    Is(Setting, serde_json::Value),
    /// A value of the control plane is set.
    Set(Setting),
    /// A value of the control plane is above this number.
    Above(Setting, i64),
    /// Some workloads do what this fact lists.
    Used(Use),
    /// There are some of what this fact counts.
    Counted(Count),
    /// The cluster has this extension.
    Extension(String),
    /// The extension has a part with a name that begins so.
    Part(String, String),
    /// The control plane was installed by one of these.
    InstalledBy(Vec<String>),
    /// The control plane has a Deployment of this name.
    Component(String),
    /// The cluster has this custom resource definition.
    Definition(String),
    /// Objects of this definition may be stored in this version.
    Stored(String, String),
    /// The cluster has definitions of the Gateway API of this kind.
    GatewayApi(GatewayApi),
    /// The Gateway API's bundle is outside this range of versions.
    GatewayBundleOutside(String, String),
    /// The cluster's Kubernetes is older.
    KubernetesBelow(String),
    /// The control plane runs a release of this channel.
    Channel(Channel),
}

/// Who installed definitions of the Gateway API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatewayApi {
    /// Linkerd's chart or CLI.
    FromLinkerd,
    /// Somebody else.
    FromOthers,
}

/// Returns whether a version of the Gateway API's bundle (`v1.2.0`) is in a range, both ends
/// included; `None` if one of the three is no version.
pub fn bundle_within(bundle: &str, low: &str, high: &str) -> Option<bool> {
    let version = |text: &str| {
        let bare = text.strip_prefix('v').unwrap_or(text);
        semver::Version::parse(bare).ok()
    };
    let bundle = version(bundle)?;
    Some(version(low)? <= bundle && bundle <= version(high)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_within_its_range_or_outside_or_no_version() {
        for (bundle, within) in [
            ("v1.1.1", Some(true)),
            ("1.2.1", Some(true)),
            ("v1.2.0", Some(true)),
            ("v1.1.0", Some(false)),
            ("v1.2.2", Some(false)),
            ("v1.10.0", Some(false)),
            ("v1.1.1-rc1", Some(false)),
            ("main", None),
            ("", None),
        ] {
            assert_eq!(bundle_within(bundle, "1.1.1", "1.2.1"), within, "{bundle}");
        }
    }
}
