//! How to go back to the version before.

use mesh_records::Release;

use crate::installer::helm::Helm;
use crate::render::Conflicts;

/// How to go back to the version before.
#[derive(Clone, Debug)]
pub(crate) enum WayBack {
    Helm(Box<Revisit>),
    /// This command. The linkerd CLI of the old version renders the objects, so that nobody can ask
    /// the API server about them.
    Cli(String),
}

/// Why there is no way back without an earlier revision.
pub(crate) const NO_REVISION: &str = "helm has no earlier revision";
const OLD_CLI: &str = "the linkerd CLI of the old version (not rehearsed: only that CLI can render \
                       the objects)";

/// A rollback to a revision that helm keeps.
#[derive(Clone, Debug)]
pub(crate) struct Revisit {
    pub(crate) helm: Helm,
    pub(crate) release: Release,
    pub(crate) revision: u32,
    /// The chart of the revision, its name and version joined by a dash.
    pub(crate) chart: String,
    pub(crate) conflicts: Conflicts,
}

/// The words of helm's rollback.
pub(crate) fn rollback(release: &Release, revision: u32, conflicts: Conflicts) -> Vec<String> {
    let Release { name, namespace } = release;
    let revision = revision.to_string();
    let words = ["rollback", name, &revision, "-n", namespace];
    let words = words.into_iter().chain(conflicts.flag());
    words.map(str::to_owned).collect()
}

// === impl WayBack ===

impl WayBack {
    /// The command, for people.
    pub(crate) fn command(&self) -> String {
        match self {
            Self::Helm(revisit) => revisit.helm.way_back(&revisit.words()),
            Self::Cli(command) => command.clone(),
        }
    }

    /// What the command needs besides, in words.
    pub(crate) fn needs(&self) -> Option<&'static str> {
        match self {
            Self::Helm(_) => None,
            Self::Cli(_) => Some(OLD_CLI),
        }
    }

    /// Offers the command after `lead`. It comes last, so that it can be pasted.
    pub(crate) fn offered(&self, lead: &str) -> String {
        let command = self.command();
        match self.needs() {
            None => format!("{lead}: {command}"),
            Some(needs) => format!("{lead}, by {needs}: {command}"),
        }
    }
}

// === impl Revisit ===

impl Revisit {
    /// The words for helm.
    pub(crate) fn words(&self) -> Vec<String> {
        rollback(&self.release, self.revision, self.conflicts)
    }
}
