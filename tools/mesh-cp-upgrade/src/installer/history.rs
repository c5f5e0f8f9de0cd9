//! A Helm release's history, and what it means for an upgrade.

use std::cmp::Ordering;
use std::fmt;
use std::sync::LazyLock;

use mesh_versions::{Releases, Version};
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

/// Who wrote a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Author {
    Ours,
    Another,
}

/// What helm says where it finds another helm at work, or where that helm was quicker.
const ANOTHER: [&str; 2] = ["another operation", "already exists"];

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

    /// Says whose the revision after `revision` is, if there is one. `said` is what our own helm said
    /// when it failed; `None` if it was not started.
    pub(crate) fn author(&self, revision: u32, said: Option<&str>) -> Option<Author> {
        let latest = self.latest();
        if latest.revision <= revision {
            return None;
        }
        Some(match (latest.status, said) {
            // A helm that finds another helm's revision first writes none.
            (Status::Failed, _) => Author::Ours,
            // Ours could not say that it failed, or was killed.
            (Status::PendingUpgrade | Status::PendingRollback, Some(said))
                if !ANOTHER.iter().any(|words| said.contains(words)) =>
            {
                Author::Ours
            }
            _ => Author::Another,
        })
    }

    /// Returns the revision that helm upgrades from: what it compares objects and values with.
    pub(crate) fn base(&self) -> &Revision {
        let is_deployed = |it: &&Revision| it.status == Status::Deployed;
        let deployed = self.revisions.iter().rev().find(is_deployed);
        deployed.unwrap_or_else(|| self.latest())
    }

    /// Returns the newest revision that was deployed completely: what a rollback of the next write
    /// goes back to.
    pub(crate) fn way_back(&self) -> Option<&Revision> {
        self.revisions.iter().rev().find(|it| it.is_sound())
    }

    /// Returns a revision by its number.
    pub(crate) fn of(&self, number: u32) -> Option<&Revision> {
        self.revisions.iter().find(|it| it.revision == number)
    }

    /// Returns the revision that a rollback goes back to: the newest that was deployed completely and is
    /// of this release, or else of an older one than the newest revision. A change that was not finished
    /// counts as none: after it that is what was deployed last, and after an unfinished rollback the
    /// release that it went back to.
    pub(crate) fn before(&self, release: Option<&str>) -> Option<&Revision> {
        let (latest, older) = self.revisions.split_last()?;
        let sound = self.way_back().filter(|_| !latest.is_sound());
        let order = sound.and_then(|sound| sound.order(latest));
        let release = match (release, order) {
            (None, Some(Ordering::Equal)) => return sound,
            (None, Some(Ordering::Greater)) => Some(latest.app_version.as_str()),
            (None, Some(Ordering::Less) | None) | (Some(_), _) => release,
        };
        let fits = |it: &&Revision| match release {
            Some(release) => it.app_version == release,
            None => it.order(latest) == Some(Ordering::Less),
        };
        let mut older = older.iter().rev();
        let older = older.find(|it| it.is_sound() && fits(it));
        // Nothing is left to write where the newest is the only one.
        older.or_else(|| Some(latest).filter(|it| it.is_sound() && fits(it)))
    }

    /// Returns the newest revision if it is deployed and came from a rollback to this release, or to what
    /// was deployed before: an older release, or the same before a change that failed.
    pub(crate) fn rolled_back(&self, release: Option<&str>) -> Option<&Revision> {
        let (latest, older) = self.revisions.split_last()?;
        // A rollback that was killed, or that wrote something anew, has the same version before it.
        let mut others = older.iter().rev();
        let was = others.find(|it| it.app_version != latest.app_version);
        let is_older = was.is_some_and(|was| latest.order(was) == Some(Ordering::Less));
        let is_meant = match release {
            Some(release) => latest.app_version == release,
            None => is_older || self.took_back_a_change(),
        };
        let is_done = latest.status == Status::Deployed && latest.is_rollback();
        (is_done && is_meant).then_some(latest)
    }

    // Returns whether the newest revisions are rollbacks, and what they took back is a change that failed
    // at their own version.
    fn took_back_a_change(&self) -> bool {
        let latest = self.latest();
        let of_version = |it: &&Revision| it.app_version == latest.app_version;
        let mut same = self.revisions.iter().rev().take_while(of_version);
        let change = same.find(|it| !(it.is_sound() && it.is_rollback()));
        change.is_some_and(|it| !it.is_sound()) && same.any(Revision::is_sound)
    }
}

// === impl Revision ===

impl Revision {
    // Returns true if helm wrote all of it.
    fn is_sound(&self) -> bool {
        matches!(self.status, Status::Deployed | Status::Superseded)
    }

    fn is_rollback(&self) -> bool {
        self.description.starts_with("Rollback to ")
    }

    fn order(&self, other: &Self) -> Option<Ordering> {
        static RELEASES: LazyLock<Releases> = LazyLock::new(Releases::embedded);
        let version = |it: &Self| Version::of_tag(&it.app_version);
        RELEASES.order(&version(self), &version(other))
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
    fn the_way_back_is_the_newest_sound_revision() {
        let new = "cp-1.16.11";
        let table = [
            (vec![("deployed", "cp-1.12.7", "a")], Some(1)),
            (vec![OLD, ("deployed", new, "b")], Some(2)),
            (vec![OLD, ("failed", new, "b")], Some(1)),
            (
                vec![OLD, ("deployed", new, "b"), ("failed", new, "b")],
                Some(2),
            ),
            (vec![("failed", "cp-1.12.7", "a")], None),
        ];
        for (number, (rows, expected)) in table.into_iter().enumerate() {
            let history = history(&rows);
            let back = history.way_back().map(|it| it.revision);
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
        for unfinished in ["pending-rollback", "failed"] {
            let unfinished = (unfinished, "cp-1.12.7", "stable-2.13.7");
            let deployed = ("deployed", "cp-1.16.11", new);
            assert_eq!(before(&[old, deployed, unfinished], None), Some(1));
            let skipped = ("superseded", "cp-1.14.0", "stable-2.14.0");
            let history = [old, skipped, deployed, unfinished];
            assert_eq!(before(&history, None), Some(1), "where it went");
            // The rollback of an upgrade that failed was not finished.
            let oldest = ("superseded", "cp-1.9.7", "stable-2.12.6");
            let history = [oldest, back, failed, unfinished];
            assert_eq!(before(&history, None), Some(2), "of a failed upgrade");
            let history = [back, failed, unfinished];
            assert_eq!(before(&history, None), Some(1), "without an older one");
        }
        assert_eq!(before(&[old, upgraded, back], Some(new)), Some(2));
        assert_eq!(before(&[old, failed], Some(new)), None);
        // Away from the values of the newest, at the same version.
        let newest = ("deployed", "cp-1.16.11", new);
        assert_eq!(before(&[old, upgraded, newest], Some(new)), Some(2));
        assert_eq!(before(&[old, newest], Some(new)), Some(2));
        let mut rolled = history(&[old, upgraded, back]);
        let is = |history: &History, release| history.rolled_back(release).is_some();
        assert!(!is(&rolled, None) && !is(&rolled, Some("stable-2.13.7")));
        rolled.revisions[2].description = "Rollback to 1".to_owned();
        assert!(is(&rolled, None) && is(&rolled, Some("stable-2.13.7")));
        assert!(!is(&rolled, Some(new)));
        rolled.revisions[2].status = Status::Failed;
        assert!(!is(&rolled, None));
        // A rollback that was killed was finished, or what was gone was written anew.
        for between in ["pending-rollback", "superseded"] {
            let between = (between, "cp-1.12.7", "stable-2.13.7");
            let mut again = history(&[old, upgraded, between, back]);
            again.revisions[3].description = "Rollback to 1".to_owned();
            assert!(is(&again, None), "{between:?}");
        }
        let mut forward = history(&[upgraded, old, ("deployed", "cp-1.16.11", new)]);
        forward.revisions[2].description = "Rollback to 1".to_owned();
        assert!(!is(&forward, None));
    }

    // Each row: the releases with their statuses and descriptions, where a rollback goes, and whether the
    // newest revision is one that is done.
    #[test]
    fn a_rollback_takes_back_a_failed_change_and_goes_across_channels() {
        type Row = (&'static str, &'static str, &'static str);
        const BEFORE: Row = ("superseded", "stable-2.12.6", "");
        const CHANGED: Row = ("failed", "stable-2.13.7", "Upgrade failed");
        const IS: Row = ("deployed", "stable-2.13.7", "Upgrade complete");
        const WAS: Row = ("superseded", "stable-2.13.7", "Upgrade complete");
        const BACK: Row = ("deployed", "stable-2.13.7", "Rollback to 2");
        const STABLE: Row = ("superseded", "stable-2.14.10", "");
        let table: [(&[Row], Option<u32>, bool); 12] = [
            (&[BEFORE, IS, CHANGED], Some(2), false),
            (&[BEFORE, IS, CHANGED, CHANGED], Some(2), false),
            (&[BEFORE, WAS, CHANGED, BACK], Some(1), true),
            (&[WAS, CHANGED, BACK], None, true),
            // What was gone was written anew.
            (
                &[
                    BEFORE,
                    WAS,
                    CHANGED,
                    ("superseded", "stable-2.13.7", "Rollback to 2"),
                    BACK,
                ],
                Some(1),
                true,
            ),
            // No change failed, or the first try to come to this version did.
            (&[BEFORE, WAS, BACK], Some(1), false),
            (&[BEFORE, CHANGED, WAS, BACK], Some(1), false),
            (&[BEFORE, CHANGED, BACK], Some(1), false),
            (&[STABLE, ("deployed", "edge-24.2.4", "")], Some(1), false),
            (
                &[
                    WAS,
                    STABLE,
                    ("failed", "edge-24.2.4", ""),
                    ("deployed", "stable-2.14.10", "Rollback to 2"),
                ],
                Some(1),
                true,
            ),
            (
                &[
                    WAS,
                    STABLE,
                    ("deployed", "edge-24.2.4", ""),
                    ("failed", "stable-2.14.10", ""),
                ],
                Some(2),
                false,
            ),
            // A rebuild is the same version.
            (
                &[BEFORE, IS, ("failed", "stable-2.13.7-acme", "")],
                Some(2),
                false,
            ),
        ];
        for (number, (rows, goes, is_done)) in table.into_iter().enumerate() {
            let plain: Vec<_> = rows
                .iter()
                .map(|(status, app, _)| (*status, "cp", *app))
                .collect();
            let mut history = history(&plain);
            for (revision, (_, _, said)) in history.revisions.iter_mut().zip(rows) {
                revision.description = (*said).to_owned();
            }
            let before = history.before(None).map(|it| it.revision);
            assert_eq!(before, goes, "row {number}");
            assert_eq!(history.rolled_back(None).is_some(), is_done, "row {number}");
        }
    }

    #[test]
    fn is_at_needs_a_deployed_revision_of_the_same_chart() {
        let chart = "cp-1.16.11";
        assert!(latest("deployed", chart, "").is_at(chart));
        assert!(!latest("failed", chart, "").is_at(chart));
        assert!(!latest("deployed", "cp-1.16.10", "").is_at(chart));
    }

    #[test]
    fn helm_upgrades_from_the_newest_deployed_revision_or_else_from_the_newest() {
        let failed = ("failed", "cp-1.16.11", "stable-2.14.10");
        let deployed = ("deployed", "cp-1.12.7", "stable-2.13.7");
        let base = |rows: &[_]| history(rows).base().revision;
        assert_eq!(base(&[OLD, deployed, failed, failed]), 2);
        assert_eq!(base(&[OLD, failed]), 2);
        assert_eq!(base(&[OLD, deployed]), 2);
    }

    #[test]
    fn a_revision_that_our_dead_helm_left_is_ours() {
        use Author::{Another, Ours};
        let busy = "UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress";
        let table = [
            ("pending-upgrade", 1, None, Some(Another)),
            ("pending-upgrade", 1, Some(busy), Some(Another)),
            (
                "pending-upgrade",
                1,
                Some("release: already exists"),
                Some(Another),
            ),
            ("pending-upgrade", 1, Some(""), Some(Ours)),
            ("pending-rollback", 1, Some("timed out"), Some(Ours)),
            ("deployed", 1, Some("already exists"), Some(Another)),
            ("failed", 1, Some("refused"), Some(Ours)),
            ("failed", 1, None, Some(Ours)),
            ("pending-upgrade", 2, None, None),
            ("deployed", 2, Some(""), None),
        ];
        for (status, over, said, expected) in table {
            let history = latest(status, "cp-1.16.11", "stable-2.14.10");
            let author = history.author(over, said);
            assert_eq!(author, expected, "{status} over {over}: {said:?}");
        }
    }

    #[test]
    fn a_status_that_helm_does_not_have_is_an_error() {
        assert!(History::parse(br#"[{"revision":1,"status":"fine","chart":"c"}]"#).is_err());
        assert!(History::parse(b"[]").is_err());
    }
}
