//! Writes records and counts them for the `end` record.

use std::io::{self, Write};

use serde::Serialize;

use crate::{RawLine, Record, RecordType, Totals};

/// Writes one record per line and counts each type.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    totals: Totals,
}

impl<W: Write> Writer<W> {
    /// Makes a writer to `out`.
    pub fn new(out: W) -> Self {
        Self {
            out,
            totals: Totals::new(),
        }
    }

    /// Writes a record of this tool and counts it.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn write(&mut self, record: &Record) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, record)?;
        self.out.write_all(b"\n")?;
        self.count(record.kind());
        Ok(())
    }

    /// Counts a record that is printed in another form, such as a table row.
    pub fn count(&mut self, kind: RecordType) {
        if matches!(kind, RecordType::Stream | RecordType::End) {
            return;
        }
        match self.totals.get_mut(kind.as_str()) {
            Some(count) => *count += 1,
            None => {
                self.totals.insert(kind.as_str().to_owned(), 1);
            }
        }
    }

    /// Writes a line of another tool unchanged, without counting it.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn pass(&mut self, line: RawLine<'_>) -> io::Result<()> {
        self.out.write_all(line.text.as_bytes())?;
        self.out.write_all(b"\n")
    }

    /// Writes a line of another tool with one more field, without counting it.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn splice(
        &mut self,
        line: RawLine<'_>,
        field: &str,
        value: &impl Serialize,
    ) -> io::Result<()> {
        line.splice(field, value, &mut self.out)
    }

    /// Returns the number of records of each type that were counted.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Flushes the output.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Returns the output.
    pub fn out(&mut self) -> &mut W {
        &mut self.out
    }
}
