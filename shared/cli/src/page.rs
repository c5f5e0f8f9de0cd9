//! Shows a text instead of records: what a tool explains about itself.

use std::io::{self, Write as _};

use crate::Clean;
use crate::stop::{Stdout, Stop};

/// Writes a text to standard output, free of control characters but for line ends.
///
/// # Errors
/// Standard output cannot be written. A reader that went away gives `BrokenPipe`.
pub fn page(text: &str) -> io::Result<()> {
    let mut out = Stdout::open(Stop::listen()?)?;
    for line in text.lines() {
        writeln!(out, "{}", Clean(line))?;
    }
    out.flush()
}
