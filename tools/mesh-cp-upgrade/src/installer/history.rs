//! A Helm release's history, and what it means for an upgrade.

use std::cmp::Ordering;
use std::fmt;

use mesh_versions::Version;
use serde::Deserialize;

/// One revision of a release, as `helm history -o json` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Revision {
    pub(crate) revision: u32,
    pub(crate) status: Status,
    /// The chart's name and version, joined by a dash.
    pub(crate) chart: String,
    #[serde(default)]
    pub(crate) app_version: String,
    /// What helm says of it, such as "Rollback to 1".
    #[serde(default)]
    pub(crate) description: String,
}

/// Helm's release statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    Unknown,
    Deployed,
    Uninstalled,
    Superseded,
    Failed,
    Uninstalling,
    PendingInstall,
    PendingUpgrade,
    PendingRollback,
}

/// A release's revisions, oldest first; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct History {
    revisions: Vec<Revision>,
}

/// Whether a release can be upgraded now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// The release can be upgraded.
    Ready,
    /// A helm is at work on the release, or died during its work.
    Pending,
    /// The release is uninstalled, or its status is unknown.
    Gone,
}

// === impl History ===

impl History {
    /// Parses the output of `helm history`.
    pub(crate) fn parse(json: &[u8]) -> anyhow::Result<Self> {
        let mut revisions: Vec<Revision> = serde_json::from_slice(json)?;
        anyhow::ensure!(
            !revisions.is_empty(),
            "helm lists no revision of the release"
        );
        revisions.sort_by_key(|revision| revision.revision);
        Ok(Self { revisions })
    }

    /// Returns the newest revision.
    pub(crate) fn latest(&self) -> &Revision {
        self.revisions.last().expect("a history has a revision")
    }

    /// Returns whether the release can be upgraded now.
    pub(crate) fn readiness(&self) -> Readiness {
        match self.latest().status {
            Status::Deployed | Status::Failed | Status::Superseded => Readiness::Ready,
            Status::PendingInstall | Status::PendingUpgrade | Status::PendingRollback => {
                Readiness::Pending
            }
            Status::Unknown | Status::Uninstalled | Status::Uninstalling => Readiness::Gone,
        }
    }

    /// Returns true if the newest revision is deployed and of `chart`.
    pub(crate) fn is_at(&self, chart: &str) -> bool {
        let latest = self.latest();
        latest.status == Status::Deployed && latest.chart == chart
    }

    /// Returns true if another helm wrote a revision after `revision`. A failed revision is our
    /// own: a helm that finds another helm's revision first writes none.
    pub(crate) fn overtook(&self, revision: u32) -> bool {
        let latest = self.latest();
        latest.revision > revision && latest.status != Status::Failed
    }

    /// Returns the revision for a rollback: the newest that was deployed completely and is of
    /// another chart than `chart`.
    pub(crate) fn way_back(&self, chart: &str) -> Option<&Revision> {
        let sound = |revision: &&Revision| {
            matches!(revision.status, Status::Deployed | Status::Superseded)
                && revision.chart != chart
        };
        self.revisions.iter().rev().find(sound)
    }

    /// Returns a revision by its number.
    pub(crate) fn of(&self, number: u32) -> Option<&Revision> {
        self.revisions.iter().find(|it| it.revision == number)
    }

    /// Returns the revision that a rollback goes back to: the newest that was deployed completely and is
    /// of this release, or else of an older one than the newest revision.
    pub(crate) fn before(&self, release: Option<&str>) -> Option<&Revision> {
        let latest = Version::of_tag(&self.latest().app_version);
        let fits = |it: &&Revision| match release {
            Some(release) => it.app_version == release,
            None => Version::of_tag(&it.app_version).order(&latest) == Some(Ordering::Less),
        };
        let sound = |it: &&Revision| matches!(it.status, Status::Deployed | Status::Superseded);
        self.revisions.iter().rev().filter(sound).find(fits)
    }

    /// Returns true if the newest revision is deployed and came from a rollback to this release, or to
    /// any.
    pub(crate) fn is_rolled_back(&self, release: Option<&str>) -> bool {
        let latest = self.latest();
        let is_meant = match release {
            Some(release) => latest.app_version == release,
            None => latest.description.starts_with("Rollback to "),
        };
        latest.status == Status::Deployed && is_meant
    }

    /// Returns the newest revision that was deployed completely.
    pub(crate) fn last_sound(&self) -> Option<u32> {
        self.way_back("").map(|it| it.revision)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "revision {} ({}, {})",
            self.revision, self.chart, self.status
        )
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Deployed => "deployed",
            Self::Uninstalled => "uninstalled",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
            Self::Uninstalling => "uninstalling",
            Self::PendingInstall => "pending-install",
            Self::PendingUpgrade => "pending-upgrade",
            Self::PendingRollback => "pending-rollback",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(rows: &[(&str, &str, &str)]) -> History {
        let rows: Vec<String> = (1..)
            .zip(rows)
            .map(|(number, (status, chart, app))| {
                format!(
                    r#"{{"revision":{number},"status":"{status}","chart":"{chart}","app_version":"{app}","updated":"x"}}"#
                )
            })
            .collect();
        History::parse(format!("[{}]", rows.join(",")).as_bytes()).unwrap()
    }

    const OLD: (&str, &str, &str) = ("superseded", "cp-1.12.7", "stable-2.13.7");

    fn latest(status: &str, chart: &str, app: &str) -> History {
        history(&[OLD, (status, chart, app)])
    }

    #[test]
    fn readiness_follows_the_status_of_the_newest_revision() {
        use Readiness::{Gone, Pending, Ready};
        let table = [
            ("deployed", Ready),
            ("failed", Ready),
            ("superseded", Ready),
            ("pending-upgrade", Pending),
            ("pending-rollback", Pending),
            ("pending-install", Pending),
            ("uninstalling", Gone),
            ("uninstalled", Gone),
            ("unknown", Gone),
        ];
        for (status, expected) in table {
            let history = latest(status, "cp-1.16.11", "stable-2.14.10");
            assert_eq!(history.readiness(), expected, "{status}");
        }
    }

    #[test]
    fn the_way_back_is_the_newest_sound_revision_of_another_chart() {
        let new = "cp-1.16.11";
        let table = [
            (vec![("deployed", "cp-1.12.7", "a")], Some(1)),
            (vec![OLD, ("deployed", new, "b")], Some(1)),
            (vec![OLD, ("failed", new, "b")], Some(1)),
            (
                vec![OLD, ("failed", "cp-1.16.0", "b"), ("deployed", new, "b")],
                Some(1),
            ),
            (
                vec![("failed", "cp-1.12.7", "a"), ("deployed", new, "b")],
                None,
            ),
        ];
        for (number, (rows, expected)) in table.into_iter().enumerate() {
            let history = history(&rows);
            let back = history.way_back(new).map(|it| it.revision);
            assert_eq!(back, expected, "row {number}");
        }
    }

    #[test]
    fn a_rollback_goes_to_an_older_release_and_never_forward() {
        let (old, new) = (
            ("superseded", "cp-1.12.7", "stable-2.13.7"),
            "stable-2.14.10",
        );
        let failed = ("failed", "cp-1.16.11", new);
        let back = ("deployed", "cp-1.12.7", "stable-2.13.7");
        let upgraded = ("superseded", "cp-1.16.11", new);
        let before = |rows: &[_], release| {
            let history = history(rows);
            history.before(release).map(|it| it.revision)
        };
        assert_eq!(before(&[old, failed], None), Some(1));
        assert_eq!(before(&[old, upgraded, back], None), None);
        assert_eq!(before(&[old, upgraded, back], Some(new)), Some(2));
        assert_eq!(before(&[old, failed], Some(new)), None);
        let mut rolled = history(&[old, upgraded, back]);
        assert!(!rolled.is_rolled_back(None));
        assert!(rolled.is_rolled_back(Some("stable-2.13.7")));
        rolled.revisions[2].description = "Rollback to 1".to_owned();
        assert!(rolled.is_rolled_back(None));
        rolled.revisions[2].status = Status::Failed;
        assert!(!rolled.is_rolled_back(None));
    }

    #[test]
    fn is_at_needs_a_deployed_revision_of_the_same_chart() {
        let chart = "cp-1.16.11";
        assert!(latest("deployed", chart, "").is_at(chart));
        assert!(!latest("failed", chart, "").is_at(chart));
        assert!(!latest("deployed", "cp-1.16.10", "").is_at(chart));
    }

    #[test]
    fn overtook_is_true_for_a_later_revision_that_did_not_fail() {
        let table = [
            ("pending-upgrade", 1, true),
            ("deployed", 1, true),
            ("failed", 1, false),
            ("pending-upgrade", 2, false),
            ("deployed", 2, false),
        ];
        for (status, over, expected) in table {
            let history = latest(status, "cp-1.16.11", "stable-2.14.10");
            assert_eq!(history.overtook(over), expected, "{status} over {over}");
        }
    }

    #[test]
    fn a_status_that_helm_does_not_have_is_an_error() {
        assert!(History::parse(br#"[{"revision":1,"status":"fine","chart":"c"}]"#).is_err());
        assert!(History::parse(b"[]").is_err());
    }
}
