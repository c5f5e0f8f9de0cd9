//! What an upgrade will do, and with which commands.

use mesh_actor::{AGAIN, Ending};
use mesh_records::Explained;

use crate::identity::{Change, Key};
use crate::installer::helm::{Helm, Upgrade};
use crate::render::{Expected, Manifest, Rendered, crds};

/// The plan of the upgrade.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) crds: Part,
    pub(crate) control_plane: Part,
    pub(crate) components: Vec<Expected>,
    /// The proxy version that the injector will give after the upgrade.
    pub(crate) injects: String,
    pub(crate) changes: Vec<Change>,
}

/// Both rendered parts of the upgrade.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) crds: Part,
    pub(crate) control_plane: Part,
    /// The hint if another version than the target was rendered.
    pub(crate) hint: &'static str,
}

/// What can be rendered before the first write.
#[derive(Debug)]
pub(crate) enum Staged<T> {
    /// Everything.
    Whole(T),
    /// The definitions alone: the linkerd CLI renders the control plane only when they are in the
    /// cluster.
    Definitions(Box<Definitions>),
}

/// The definitions that are written before the control plane can be rendered.
#[derive(Debug)]
pub(crate) struct Definitions {
    pub(crate) part: Part,
    /// What the cluster lacks: definitions, and versions of definitions.
    pub(crate) missing: Vec<String>,
    pub(crate) rest: Rest,
}

/// What is known of the control plane before it is rendered.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) name: String,
    pub(crate) command: Vec<String>,
    pub(crate) essence: String,
    pub(crate) backup: String,
}

/// One part of the upgrade: the definitions or the control plane.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: String,
    /// The command that upgrades the part, or whose output is applied, for people.
    pub(crate) command: Vec<String>,
    /// The command for the digest: without names that decide nothing.
    pub(crate) essence: String,
    pub(crate) rendered: Rendered,
    /// The objects that helm deletes, because the new chart lacks them.
    pub(crate) removed: Vec<Manifest>,
    /// The objects that helm installed and that somebody deleted since.
    pub(crate) restored: Vec<Manifest>,
    pub(crate) is_needed: bool,
    /// The command for a rollback.
    pub(crate) way_back: Option<String>,
    /// A sentence on what is kept for a rollback.
    pub(crate) backup: String,
    pub(crate) write: Write,
}

/// How the part is written.
#[derive(Debug)]
pub(crate) enum Write {
    /// helm, by itself.
    Helm(Box<Helming>),
    /// This tool applies the objects one by one.
    Apply,
}

/// An upgrade by helm, and the release's state before it.
#[derive(Clone, Debug)]
pub(crate) struct Helming {
    pub(crate) helm: Helm,
    pub(crate) upgrade: Upgrade,
    /// The release's newest revision before the upgrade.
    pub(crate) over: u32,
}

// === impl Part ===

impl Part {
    /// Says that this part is written.
    pub(crate) fn written(&self) -> String {
        format!("{} is at {}", self.name, self.rendered.chart)
    }

    /// Returns the hint with the command for a rollback added, if there is one.
    pub(crate) fn or_back(&self, hint: &str) -> String {
        match &self.way_back {
            Some(command) => format!("{hint}; or go back with: {command}"),
            None => hint.to_owned(),
        }
    }
}

// === impl Plan ===

impl Plan {
    /// Returns true if nothing has to be written.
    pub(crate) fn is_done(&self) -> bool {
        !self.crds.is_needed && !self.control_plane.is_needed
    }

    /// Returns the definitions that helm would delete. All objects of their kinds would be deleted too.
    pub(crate) fn losses(&self) -> Option<Change> {
        let removed = self.crds.removed.iter().chain(&self.control_plane.removed);
        let lost = crds(removed);
        (!lost.is_empty()).then(|| {
            let lost: Vec<&str> = lost.into_iter().collect();
            Change {
                key: Key::Crds,
                from: "installed".to_owned(),
                to: format!("deleted with all their objects ({})", lost.join(", ")),
                known_as: None,
            }
        })
    }

    /// Makes the ending of an upgrade that has failed. The old pods of unready components still run,
    /// so going back is only a hint.
    pub(crate) fn failed(&self, why: &str) -> Ending {
        let hint = self
            .control_plane
            .or_back(&format!("fix the cause, then {AGAIN}"));
        Ending::No(Explained::new(format!("the upgrade failed: {why}"), hint))
    }
}
