//! The forms of output that are not for programs.

use mesh_records::Record;

use crate::github::Annotations;
use crate::screen::Screen;

/// Shows records: at once what somebody waits for, the rest at the end.
#[derive(Debug)]
pub(crate) enum View {
    /// Text for people.
    Screen(Box<Screen>),
    /// Annotations of GitHub Actions.
    Github(Annotations),
}

impl View {
    /// Adds another tool's line. A line that is not a record of this schema is not shown.
    pub(crate) fn add_line(&mut self, line: &str) -> Option<String> {
        let record = serde_json::from_str(line).ok()?;
        self.add(&record)
    }

    /// Adds a record, and returns what is shown at once.
    pub(crate) fn add(&mut self, record: &Record) -> Option<String> {
        match self {
            Self::Screen(screen) => screen.add(record),
            Self::Github(annotations) => {
                annotations.add(record);
                None
            }
        }
    }

    /// Returns what is shown when all records are there.
    pub(crate) fn close(&self) -> String {
        match self {
            Self::Screen(screen) => screen.close(),
            Self::Github(annotations) => annotations.to_string(),
        }
    }
}
