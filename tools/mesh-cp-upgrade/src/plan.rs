//! What an upgrade will do, and with which commands.

use crate::identity::Change;
use crate::installer::helm::{Helm, Upgrade};
use crate::render::{Expected, Rendered};

/// What will be done.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) crds: Part,
    pub(crate) control_plane: Part,
    pub(crate) components: Vec<Expected>,
    /// The proxy version that the injector will give.
    pub(crate) injects: String,
    pub(crate) changes: Vec<Change>,
}

/// Both parts of it as they are rendered.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) crds: Part,
    pub(crate) control_plane: Part,
    /// What to do if another version than the target was rendered.
    pub(crate) hint: &'static str,
}

/// The definitions, or the control plane.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: String,
    /// The command that does it, or whose output is applied.
    pub(crate) command: Vec<String>,
    /// Whether the user's values go into it.
    pub(crate) is_given_values: bool,
    pub(crate) rendered: Rendered,
    pub(crate) is_needed: bool,
    /// The command to go back with.
    pub(crate) way_back: Option<String>,
    /// What is kept of the state before.
    pub(crate) backup: String,
    pub(crate) write: Write,
}

/// Who writes it.
#[derive(Debug)]
pub(crate) enum Write {
    /// helm, by itself.
    Helm(Box<Helming>),
    /// This tool, object by object.
    Apply,
}

/// What helm is told, and what it finds.
#[derive(Debug)]
pub(crate) struct Helming {
    pub(crate) helm: Helm,
    pub(crate) upgrade: Upgrade,
    /// The revision that it goes over.
    pub(crate) over: u32,
}

// === impl Part ===

impl Part {
    /// A hint, with the way back behind it where there is one.
    pub(crate) fn or_back(&self, hint: &str) -> String {
        match &self.way_back {
            Some(command) => format!("{hint}; or go back: {command}"),
            None => hint.to_owned(),
        }
    }
}

// === impl Plan ===

impl Plan {
    /// Whether there is nothing to write.
    pub(crate) fn is_done(&self) -> bool {
        !self.crds.is_needed && !self.control_plane.is_needed
    }
}
