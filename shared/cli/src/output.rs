//! Writes records: as NDJSON for programs, as a table for people, and to the file of `--record`.

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::Path;

use clap::{Args, ValueEnum};
use mesh_records::{
    Deed, End, EndOutcome, Explained, InFlight, Intent, RawLine, Record, RecordType, Tool, Writer,
};
use serde::Serialize;

use crate::evidence::{Evidence, named};
use crate::github::Annotations;
use crate::stop::{Stdout, Stop, Unread};
use crate::view::View;
use crate::{Clean, Exit};

const BUFFER: usize = 64 * 1024;

/// How a tool shows its records.
#[derive(Args, Clone, Debug)]
pub struct OutputArgs {
    /// Output format; the default is a table on a terminal and NDJSON otherwise
    #[arg(short, long, value_enum, env = "MESH_OUTPUT", value_name = "FORMAT")]
    pub output: Option<Format>,
}

/// The forms of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON record per line.
    #[value(alias = "json")]
    Ndjson,
    /// Aligned text for people.
    Table,
    /// Annotations of GitHub Actions.
    Github,
}

/// What to do when the program that reads standard output goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Fail the write. Lines are buffered.
    Needed,
    /// Remember it, so that an action can stop in good order. Every line is flushed.
    Optional,
}

/// The fields of a tool's `end` record, without the totals.
#[derive(Clone, Debug)]
pub struct Closing {
    /// The tool that ends.
    pub tool: Tool,
    /// The cluster's label.
    pub cluster: Option<String>,
    /// The run of an action.
    pub run: Option<String>,
    /// Whether the tool did what it was asked to do.
    pub outcome: EndOutcome,
    /// How the process will exit.
    pub exit: Exit,
    /// Optional permissions that were missing.
    pub blind: Vec<String>,
    /// Why the tool did not complete.
    pub reason: Option<String>,
    /// The next command.
    pub next: Option<String>,
}

/// Writes records to standard output and, for actions, to a file.
#[derive(Debug)]
pub struct Output<W: Write = BufWriter<Stdout>> {
    writer: Writer<W>,
    readers: Readers,
    table: Option<View>,
    evidence: Option<Evidence>,
    // A terminal that has gone away fails writes with EIO; so does a broken disk under a file.
    is_terminal: bool,
    gone: bool,
}

// === impl OutputArgs ===

impl OutputArgs {
    /// Returns the format that was asked for; by default a table on a terminal, else NDJSON.
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
    /// Makes an output to standard output. A signal ends a write that waits for a reader; that is
    /// a reader that went away.
    ///
    /// # Errors
    /// Signals cannot be listened for, or there can be no more threads.
    pub fn stdout(args: &OutputArgs, readers: Readers) -> io::Result<Self> {
        let out = BufWriter::with_capacity(BUFFER, Stdout::open(Stop::listen()?)?);
        Ok(Self {
            is_terminal: io::stdout().is_terminal(),
            ..Self::new(out, args.format(), readers)
        })
    }
}

impl<W: Write> Output<W> {
    /// Makes an output to `out`.
    pub fn new(out: W, format: Format, readers: Readers) -> Self {
        let table = match format {
            Format::Ndjson => None,
            Format::Table => Some(View::Table(Box::default())),
            Format::Github => Some(View::Github(Annotations::default())),
        };
        Self {
            writer: Writer::new(out),
            readers,
            table,
            evidence: None,
            is_terminal: false,
            gone: false,
        }
    }

    /// Also appends each of this tool's own records to the file at `path`. Only the owner can read
    /// the file, and each line is synced to disk, so it survives a crash of the machine.
    ///
    /// # Errors
    /// There is something else than a file, or it cannot be opened for appending.
    pub fn record_to(&mut self, path: &Path) -> Result<(), Explained> {
        self.evidence = Some(Evidence::open(path)?);
        Ok(())
    }

    /// Writes a record of this tool.
    ///
    /// # Errors
    /// Standard output cannot be written, or the file of [`Output::record_to`] cannot. A reader
    /// that went away is an error only with [`Readers::Needed`]. The file fails only once: later
    /// records go to standard output alone.
    pub fn emit(&mut self, record: &Record) -> io::Result<()> {
        let record = &*record.cleaned();
        let kept = self.evidence.as_mut().map(|evidence| evidence.keep(record));
        let kept = kept.unwrap_or(Ok(()));
        if kept.is_err() {
            self.evidence = None;
        }
        let written = self.show(record);
        self.heard(written).and(kept)
    }

    /// Passes on another tool's line unchanged.
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

    /// Passes on another tool's line with one more field.
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

    /// Writes the `end` record and, with the table format, the table; then flushes.
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

    /// Flushes the buffered lines.
    pub fn flush(&mut self) -> io::Result<()> {
        let flushed = self.writer.flush();
        self.heard(flushed)
    }

    /// Returns true once the reader of standard output has gone away.
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
                table.note(record);
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
        let written = written.map_err(|error| match self.is_terminal && has_hung_up(&error) {
            true => io::Error::new(io::ErrorKind::BrokenPipe, error),
            false => error,
        });
        match (written, self.readers) {
            (Err(error), Readers::Optional) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.gone = true;
                Ok(())
            }
            (Err(error), Readers::Needed) if Unread::is(&error) => Err(error),
            (written, Readers::Needed | Readers::Optional) => {
                written.map_err(|error| named(&error, "cannot write to standard output"))
            }
        }
    }
}

/// Returns true if a terminal has gone away, by the error of reading or writing it.
pub(crate) fn has_hung_up(error: &io::Error) -> bool {
    const EIO: i32 = 5;
    error.raw_os_error() == Some(EIO)
}

// The message of an action's record, which people see at once rather than in the table.
fn message(record: &Record) -> Option<&str> {
    match record {
        Record::Intent(record) => Some(&record.message),
        Record::Step(record) => Some(&record.message),
        // Progress with a reason repeats often during one rollout; people need only its start and
        // its result.
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

    // What a terminal that has gone away answers.
    struct HungUp;

    impl Write for HungUp {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(5))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

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
    fn with_readers_needed_a_reader_that_went_away_is_an_error() {
        let mut output = Output::new(Deaf, Format::Ndjson, Readers::Needed);
        let error = output.emit(&stream()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_terminal_that_has_gone_away_is_a_lost_reader_and_a_broken_disk_is_not() {
        for (is_terminal, format) in [
            (true, Format::Ndjson),
            (true, Format::Table),
            (false, Format::Ndjson),
        ] {
            let with = |readers| Output {
                is_terminal,
                ..Output::new(HungUp, format, readers)
            };
            let progress = Record::Intent(intent());
            let mut output = with(Readers::Optional);
            assert_eq!(output.emit(&progress).is_ok(), is_terminal);
            assert_eq!(output.reader_is_gone(), is_terminal);
            let error = with(Readers::Needed)
                .emit(&progress)
                .and_then(|()| with(Readers::Needed).emit(&stream()));
            let is_gone = error.unwrap_err().kind() == io::ErrorKind::BrokenPipe;
            assert_eq!(is_gone, is_terminal);
        }
    }

    fn intent() -> Intent {
        let now = jiff::Timestamp::UNIX_EPOCH;
        Intent::new("eu", "u1", now, "restart 1 workload".to_owned(), Vec::new())
    }

    #[test]
    fn with_readers_optional_a_lost_reader_is_remembered_and_the_file_goes_on() {
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
