//! A Helm release's history, and what it means for an upgrade.

use std::fmt;

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

/// A release's revisions, oldest first, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct History {
    revisions: Vec<Revision>,
}

/// Whether a release can be upgraded now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It can.
    Ready,
    /// A helm is at work on it, or died in the middle.
    Pending,
    /// It is going away.
    Gone,
}

// === impl History ===

impl History {
    /// What helm wrote.
    pub(crate) fn parse(json: &[u8]) -> anyhow::Result<Self> {
        let mut revisions: Vec<Revision> = serde_json::from_slice(json)?;
        anyhow::ensure!(!revisions.is_empty(), "helm lists no revision");
        revisions.sort_by_key(|revision| revision.revision);
        Ok(Self { revisions })
    }

    /// The newest revision.
    pub(crate) fn latest(&self) -> &Revision {
        self.revisions.last().expect("a history has a revision")
    }

    /// Whether it can be upgraded now.
    pub(crate) fn readiness(&self) -> Readiness {
        match self.latest().status {
            Status::Deployed | Status::Failed | Status::Superseded => Readiness::Ready,
            Status::PendingInstall | Status::PendingUpgrade | Status::PendingRollback => {
                Readiness::Pending
            }
            Status::Unknown | Status::Uninstalled | Status::Uninstalling => Readiness::Gone,
        }
    }

    /// Whether `chart` is what is deployed.
    pub(crate) fn is_at(&self, chart: &str) -> bool {
        let latest = self.latest();
        latest.status == Status::Deployed && latest.chart == chart
    }

    /// Whether another helm got in behind `revision`. A failed revision is nobody else's: a helm
    /// that finds another one before it leaves none.
    pub(crate) fn overtook(&self, revision: u32) -> bool {
        let latest = self.latest();
        latest.revision > revision && latest.status != Status::Failed
    }

    /// The newest revision that was once deployed whole and is not of `chart`: the way back.
    pub(crate) fn way_back(&self, chart: &str) -> Option<u32> {
        let sound = |revision: &&Revision| {
            matches!(revision.status, Status::Deployed | Status::Superseded)
                && revision.chart != chart
        };
        self.revisions
            .iter()
            .rev()
            .find(sound)
            .map(|revision| revision.revision)
    }

    /// The newest revision that was once deployed whole.
    pub(crate) fn last_sound(&self) -> Option<u32> {
        self.way_back("")
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
    fn a_release_is_ready_pending_or_gone_by_its_newest_revision() {
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
            assert_eq!(history(&rows).way_back(new), expected, "row {number}");
        }
    }

    #[test]
    fn only_a_deployed_revision_of_the_very_chart_is_at_it() {
        let chart = "cp-1.16.11";
        assert!(latest("deployed", chart, "").is_at(chart));
        assert!(!latest("failed", chart, "").is_at(chart));
        assert!(!latest("deployed", "cp-1.16.10", "").is_at(chart));
    }

    #[test]
    fn a_revision_behind_ours_that_did_not_fail_is_another_helms() {
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
