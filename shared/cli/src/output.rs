//! Writes records: as NDJSON for programs, as text for people, and to the file of `--record`.

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use mesh_records::{End, EndOutcome, Explained, RawLine, Record, RecordType, Tool, Writer};
use serde::Serialize;

use crate::Exit;
use crate::consent::end_question;
use crate::evidence::{Evidence, named};
use crate::flights::Flights;
use crate::format::{Format, OutputArgs};
use crate::gauge::Gauge;
use crate::stop::{Stdout, Stop, Unread, has_hung_up};
use crate::view::View;

const BUFFER: usize = 64 * 1024;

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
    view: Option<View>,
    gauge: Option<Gauge>,
    flights: Flights,
    evidence: Option<Evidence>,
    // A terminal that has gone away fails writes with EIO; so does a broken disk under a file.
    is_terminal: bool,
    gone: bool,
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
        let gauge = Gauge::stderr();
        let mut view = args.view();
        if let Some(View::Screen(screen)) = view.as_mut().filter(|_| gauge.is_seen()) {
            screen.leave_flights_to_the_gauge();
        }
        Ok(Self {
            is_terminal: io::stdout().is_terminal(),
            view,
            gauge: Some(gauge),
            ..Self::new(out, args.format(), readers)
        })
    }
}

impl<W: Write> Output<W> {
    /// Makes an output to `out`.
    pub fn new(out: W, format: Format, readers: Readers) -> Self {
        Self {
            writer: Writer::new(out),
            readers,
            view: format.view_of_file(),
            gauge: None,
            flights: Flights::default(),
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

    /// Leaves the plan to the question that shows it.
    pub fn leave_plan_to_the_question(&mut self) {
        if let Some(View::Screen(screen)) = &mut self.view {
            screen.leave_plan_to_the_question();
        }
    }

    /// Shows on standard error what is under way, where a person can see it; `None` takes it away.
    pub fn under_way(&mut self, words: Option<String>) {
        if let Some(gauge) = &mut self.gauge {
            gauge.show(words);
        }
    }

    /// Shows what is under way, with the number of pods that the counter has at each moment.
    pub fn counts(&mut self, what: String) -> Arc<AtomicU64> {
        self.under_way(Some(what));
        self.gauge.as_ref().map(Gauge::counter).unwrap_or_default()
    }

    /// Returns the workloads in flight.
    pub fn in_flight(&self) -> Vec<String> {
        self.flights.workloads()
    }

    /// Takes the line of what is under way away while something else is written.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.gauge {
            Some(gauge) => gauge.aside(write),
            None => write(),
        }
    }

    /// Passes on another tool's line unchanged.
    pub fn pass(&mut self, line: RawLine<'_>) -> io::Result<()> {
        let written = match &mut self.view {
            Some(view) => {
                let text = view.add_line(line.text);
                self.say(text)
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
        let written = match &mut self.view {
            Some(view) => {
                let mut spliced = Vec::new();
                line.splice(field, value, &mut spliced)?;
                let text = view.add_line(&String::from_utf8_lossy(&spliced));
                self.say(text)
            }
            None => self.writer.splice(line, field, value),
        };
        self.heard(written)
    }

    /// Writes the `end` record and what people see last; then flushes.
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
        self.under_way(None);
        let text = self.view.take().map(|view| view.close());
        let said = self.say(text).and_then(|()| self.writer.flush());
        self.heard(said)
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
        let under_way = self.flights.after(record);
        let shown = match &mut self.view {
            Some(view) => {
                self.writer.count(record.kind());
                let text = view.add(record);
                self.say(text)
            }
            None => self.write(record),
        };
        if let Some(under_way) = under_way {
            self.under_way(under_way);
        }
        shown
    }

    fn write(&mut self, record: &Record) -> io::Result<()> {
        let Self {
            writer,
            gauge,
            readers,
            ..
        } = self;
        let mut write = || {
            writer.write(record)?;
            match (*readers, record.kind()) {
                (Readers::Optional, _) | (_, RecordType::Stream | RecordType::End) => {
                    writer.flush()
                }
                (Readers::Needed, _) => Ok(()),
            }
        };
        match gauge {
            Some(gauge) => gauge.aside(write),
            None => write(),
        }
    }

    // Writes a text for people at once.
    fn say(&mut self, text: Option<String>) -> io::Result<()> {
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Ok(());
        };
        end_question();
        let Self { writer, gauge, .. } = self;
        let mut write = || {
            writer.out().write_all(text.as_bytes())?;
            writer.flush()
        };
        match gauge {
            Some(gauge) => gauge.aside(write),
            None => write(),
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

#[cfg(test)]
mod tests {
    use mesh_records::Intent;

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
