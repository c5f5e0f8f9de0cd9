//! The forms of output for people.

use std::fmt;

use mesh_records::Record;

use crate::github::Annotations;
use crate::table::Table;

/// Collects records and shows them at the end.
#[derive(Debug)]
pub(crate) enum View {
    /// Aligned text.
    Table(Box<Table>),
    /// Annotations of GitHub Actions.
    Github(Annotations),
}

impl View {
    pub(crate) fn add_line(&mut self, line: &str) {
        match self {
            Self::Table(table) => table.add_line(line),
            Self::Github(annotations) => annotations.add_line(line),
        }
    }

    /// Adds a record whose message was shown at once.
    pub(crate) fn note(&mut self, record: &Record) {
        match self {
            Self::Table(_) => {}
            Self::Github(annotations) => annotations.add(record),
        }
    }

    pub(crate) fn add(&mut self, record: &Record) {
        match self {
            Self::Table(table) => table.add(record),
            Self::Github(annotations) => annotations.add(record),
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(table) => table.fmt(f),
            Self::Github(annotations) => annotations.fmt(f),
        }
    }
}
