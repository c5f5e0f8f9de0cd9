//! Where records go: NDJSON for programs, a table for people, and a file for evidence.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use mesh_records::{
    Deed, End, EndOutcome, Explain as _, Explained, InFlight, Intent, RawLine, Record, RecordType,
    Tool, Writer,
};
use serde::Serialize;

use crate::table::Table;
use crate::{Clean, Exit};

const BUFFER: usize = 64 * 1024;

/// How a tool shows its records.
#[derive(Args, Clone, Debug)]
pub struct OutputArgs {
    /// How to write: a table on a terminal and records elsewhere, unless told otherwise
    #[arg(short, long, value_enum, env = "MESH_OUTPUT", value_name = "FORMAT")]
    pub output: Option<Format>,
}

/// The forms of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON record a line.
    Ndjson,
    /// Aligned text for people.
    Table,
}

/// What it means when the reader of standard output goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// There is no point in going on: the write fails. Lines are buffered.
    Needed,
    /// Remembered, for an action to stop in good order. Every line is flushed.
    Optional,
}

/// What a tool's `end` says beside its totals.
#[derive(Clone, Debug)]
pub struct Closing {
    /// Who ends.
    pub tool: Tool,
    /// The cluster's label.
    pub cluster: Option<String>,
    /// The run of an action.
    pub run: Option<String>,
    /// Whether it did what it was asked.
    pub outcome: EndOutcome,
    /// The exit code to come.
    pub exit: Exit,
    /// Optional permissions that were missing.
    pub blind: Vec<String>,
    /// Why it did not complete.
    pub reason: Option<String>,
    /// The command to go on with.
    pub next: Option<String>,
}

/// Writes records to standard output and, for actions, to a file.
#[derive(Debug)]
pub struct Output<W: Write = BufWriter<Stdout>> {
    writer: Writer<W>,
    readers: Readers,
    table: Option<Table>,
    evidence: Option<Evidence>,
    gone: bool,
}

/// The file that outlives the reader.
#[derive(Debug)]
struct Evidence {
    file: File,
    path: PathBuf,
}

// === impl OutputArgs ===

impl OutputArgs {
    /// The form that was asked for, or the one that fits standard output.
    pub fn format(&self) -> Format {
        let fits = if io::stdout().is_terminal() {
            Format::Table
        } else {
            Format::Ndjson
        };
        self.output.unwrap_or(fits)
    }
}

// === impl Output ===

impl Output {
    /// Standard output.
    pub fn stdout(args: &OutputArgs, readers: Readers) -> Self {
        Self::new(
            BufWriter::with_capacity(BUFFER, io::stdout()),
            args.format(),
            readers,
        )
    }
}

impl<W: Write> Output<W> {
    /// Any output.
    pub fn new(out: W, format: Format, readers: Readers) -> Self {
        let table = (format == Format::Table).then(Table::default);
        Self {
            writer: Writer::new(out),
            readers,
            table,
            evidence: None,
            gone: false,
        }
    }

    /// Also appends every record to the file at `path`, readable by its owner only and synced line
    /// by line: evidence that outlives the reader and the machine's next moment.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    pub fn record_to(&mut self, path: &Path) -> Result<(), Explained> {
        let file = File::options()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path);
        let what = format!("cannot write the record file `{}`", path.display());
        let file = file.explain(what, "name a file in a folder that you may write to")?;
        let path = path.to_owned();
        self.evidence = Some(Evidence { file, path });
        Ok(())
    }

    /// Writes a record of this tool's own.
    ///
    /// # Errors
    /// The output cannot be written; a reader that went away only where readers are needed. Evidence
    /// that cannot be kept is an error once; standard output still gets what comes after.
    pub fn emit(&mut self, record: &Record) -> io::Result<()> {
        let kept = self.evidence.as_mut().map(|evidence| evidence.keep(record));
        let kept = kept.unwrap_or(Ok(()));
        if kept.is_err() {
            self.evidence = None;
        }
        let written = self.show(record);
        self.heard(written).and(kept)
    }

    /// Passes another tool's line on, byte for byte.
    pub fn pass(&mut self, line: RawLine<'_>) -> io::Result<()> {
        let written = match &mut self.table {
            Some(table) => {
                table.add_line(line.text);
                Ok(())
            }
            None => self.writer.pass(line),
        };
        self.heard(written)
    }

    /// Passes another tool's line on with one more field.
    pub fn splice(
        &mut self,
        line: RawLine<'_>,
        field: &str,
        value: &impl Serialize,
    ) -> io::Result<()> {
        let written = match &mut self.table {
            Some(table) => {
                let mut text = Vec::new();
                line.splice(field, value, &mut text)?;
                table.add_line(&String::from_utf8_lossy(&text));
                Ok(())
            }
            None => self.writer.splice(line, field, value),
        };
        self.heard(written)
    }

    /// Writes the `end`, and the table if there is one, and flushes.
    pub fn end(&mut self, closing: Closing) -> io::Result<()> {
        let Closing {
            tool,
            cluster,
            run,
            outcome,
            exit,
            blind,
            reason,
            next,
        } = closing;
        let totals = self.writer.totals().clone();
        let exit = exit.code();
        let end = End {
            tool,
            cluster,
            run,
            outcome,
            exit,
            totals,
            blind,
            reason,
            next,
        };
        self.emit(&Record::End(Box::new(end)))?;
        let flushed = match self.table.take() {
            Some(table) => write!(self.writer.out(), "{table}").and_then(|()| self.writer.flush()),
            None => self.writer.flush(),
        };
        self.heard(flushed)
    }

    /// Flushes what is buffered.
    pub fn flush(&mut self) -> io::Result<()> {
        let flushed = self.writer.flush();
        self.heard(flushed)
    }

    /// Whether the reader of standard output has gone away.
    pub fn reader_is_gone(&self) -> bool {
        self.gone
    }

    fn show(&mut self, record: &Record) -> io::Result<()> {
        if self.gone {
            self.writer.count(record.kind());
            return Ok(());
        }
        let Some(table) = &mut self.table else {
            self.writer.write(record)?;
            return match (self.readers, record.kind()) {
                (Readers::Optional, _) | (_, RecordType::Stream | RecordType::End) => {
                    self.writer.flush()
                }
                (Readers::Needed, _) => Ok(()),
            };
        };
        self.writer.count(record.kind());
        match message(record) {
            Some(message) => {
                writeln!(self.writer.out(), "{}", Clean(message))?;
                if let Record::Intent(Intent { deeds, digest, .. }) = record {
                    for Deed { verb, object } in deeds {
                        writeln!(self.writer.out(), "  {} {}", Clean(verb), Clean(object))?;
                    }
                    writeln!(self.writer.out(), "  digest {digest}")?;
                }
                self.writer.flush()
            }
            None => {
                table.add(record);
                Ok(())
            }
        }
    }

    fn heard(&mut self, written: io::Result<()>) -> io::Result<()> {
        match (written, self.readers) {
            (Err(error), Readers::Optional) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.gone = true;
                Ok(())
            }
            (written, Readers::Needed | Readers::Optional) => {
                written.map_err(|error| named(&error, "cannot write to standard output"))
            }
        }
    }
}

// === impl Evidence ===

impl Evidence {
    fn keep(&mut self, record: &Record) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        let written = self.file.write_all(&line);
        let kept = written.and_then(|()| self.file.sync_data());
        let what = || format!("cannot write the record file `{}`", self.path.display());
        kept.map_err(|error| named(&error, &what()))
    }
}

fn named(error: &io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

// What an action says to people, line by line as it happens.
fn message(record: &Record) -> Option<&str> {
    match record {
        Record::Intent(record) => Some(&record.message),
        Record::Step(record) => Some(&record.message),
        // Each change of a workload in flight is for programs; people want its start and its end.
        Record::Progress(record) if record.reason.is_some() && is_workload(record.of.as_ref()) => {
            None
        }
        Record::Progress(record) => Some(&record.message),
        Record::Rolled(record) => Some(&record.message),
        Record::Skipped(record) => Some(&record.message),
        Record::Stream(_)
        | Record::ControlPlane(_)
        | Record::Extension(_)
        | Record::Workload(_)
        | Record::Proxy(_)
        | Record::Anomaly(_)
        | Record::Unseen(_)
        | Record::Finding(_)
        | Record::Plan(_)
        | Record::Verdict(_)
        | Record::End(_) => None,
    }
}

fn is_workload(of: Option<&InFlight>) -> bool {
    matches!(of, Some(InFlight::Workload { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Deaf;

    impl Write for Deaf {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn stream() -> Record {
        Record::Stream(Box::new(mesh_records::Stream::of(Tool::MeshRoll, "0")))
    }

    #[test]
    fn a_reader_that_went_away_fails_a_filter() {
        let mut output = Output::new(Deaf, Format::Ndjson, Readers::Needed);
        let error = output.emit(&stream()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_reader_that_went_away_is_remembered_by_an_action_and_the_evidence_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("evidence.ndjson");
        let mut output = Output::new(Deaf, Format::Ndjson, Readers::Optional);
        output.record_to(&path).unwrap();
        output.emit(&stream()).unwrap();
        assert!(output.reader_is_gone());
        let closing = Closing {
            tool: Tool::MeshRoll,
            cluster: None,
            run: None,
            outcome: EndOutcome::Stopped,
            exit: Exit::Stopped,
            blind: Vec::new(),
            reason: None,
            next: None,
        };
        output.end(closing).unwrap();
        let evidence = std::fs::read_to_string(&path).unwrap();
        assert_eq!(evidence.lines().count(), 2);
        assert!(evidence.lines().last().unwrap().contains("\"exit\":3"));
    }
}
