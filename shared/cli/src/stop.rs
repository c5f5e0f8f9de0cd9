//! Waits for a reader or a writer no longer than a signal allows.
//!
//! A `read` or `write` of a pipe blocks for as long as the other program likes. Here each happens on
//! a thread of its own, so that the tool can stop although the other program never answers.

use std::fmt;
use std::io::{self, BufRead, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Whether a signal has asked this process to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

/// The error of a write that a signal ended, because the reader does not read.
#[derive(Debug)]
pub(crate) struct Unread;

/// Standard output, which a signal can interrupt.
#[derive(Debug)]
pub struct Stdout(Patient);

/// Standard error, which a signal can interrupt.
#[derive(Debug)]
pub(crate) struct Stderr(Patient);

/// Standard input, which ends with an error after a signal.
#[derive(Debug)]
pub struct Stdin {
    chunks: Receiver<io::Result<Vec<u8>>>,
    stop: Stop,
    rest: io::Cursor<Vec<u8>>,
    is_over: bool,
}

/// Writes on another thread, in order, one write at a time.
#[derive(Debug)]
struct Patient {
    texts: Sender<Vec<u8>>,
    written: Receiver<io::Result<()>>,
    stop: Stop,
    is_lost: bool,
}

/// How often a wait looks for a signal.
const TICK: Duration = Duration::from_millis(50);
/// For how many ticks after a signal a reader may still take what is written: one second.
const TICKS: u32 = 20;
const CHUNK: usize = 64 * 1024;

static STOP: OnceLock<Stop> = OnceLock::new();

// === impl Stop ===

impl Stop {
    /// Starts to listen for the signals that end a program. From then on they no longer end the
    /// process by themselves. A second call returns the same.
    ///
    /// # Errors
    /// The handler of a signal cannot be set.
    pub fn listen() -> io::Result<Self> {
        if let Some(stop) = STOP.get() {
            return Ok(stop.clone());
        }
        let stop = STOP.get_or_init(Self::default).clone();
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&stop.0))?;
        }
        Ok(stop)
    }

    /// Returns true once a signal has asked to stop.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    // Returns `None` if a signal asked to stop and no answer came for `ticks` more, or if the other
    // thread is gone.
    fn answer<T>(&self, from: &Receiver<T>, mut ticks: u32) -> Option<T> {
        loop {
            match from.recv_timeout(TICK) {
                Ok(answer) => return Some(answer),
                Err(RecvTimeoutError::Timeout) if !self.is_asked() => {}
                Err(RecvTimeoutError::Timeout) if ticks > 0 => ticks -= 1,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }
}

// === impl Stdout ===

impl Stdout {
    /// Opens standard output.
    pub(crate) fn open(stop: Stop) -> io::Result<Self> {
        Ok(Self(Patient::new(io::stdout(), stop)?))
    }
}

impl Write for Stdout {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stderr {
    /// Opens standard error.
    pub(crate) fn open(stop: Stop) -> io::Result<Self> {
        Ok(Self(Patient::new(io::stderr(), stop)?))
    }
}

impl Write for Stderr {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes to standard error, unless nobody reads it and a signal asks to stop.
pub(crate) fn write_error(text: &str) -> io::Result<()> {
    let stop = STOP.get().cloned();
    let patient = stop.map(|stop| Patient::new(io::stderr(), stop));
    match patient {
        Some(Ok(mut patient)) => patient.write_all(text.as_bytes()),
        // Without another thread it can still be written.
        None | Some(Err(_)) => io::stderr().write_all(text.as_bytes()),
    }
}

// === impl Stdin ===

impl Stdin {
    /// Starts to read standard input.
    ///
    /// # Errors
    /// There can be no more threads.
    pub fn open(stop: Stop) -> io::Result<Self> {
        Self::of(io::stdin(), stop)
    }

    fn of(mut input: impl Read + Send + 'static, stop: Stop) -> io::Result<Self> {
        let (to, chunks) = sync_channel(1);
        let read = move || while read_on(&mut input, &to) {};
        thread::Builder::new().spawn(read)?;
        let rest = io::Cursor::default();
        Ok(Self {
            chunks,
            stop,
            rest,
            is_over: false,
        })
    }
}

impl Read for Stdin {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

// The chunks are its buffer.
impl BufRead for Stdin {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let stopped = || io::Error::other("stopped by a signal");
        if self.stop.is_asked() {
            return Err(stopped());
        }
        let is_read = self.rest.position() == self.rest.get_ref().len() as u64;
        if is_read && !self.is_over {
            let chunk = self.stop.answer(&self.chunks, 0).ok_or_else(stopped)??;
            self.is_over = chunk.is_empty();
            self.rest = io::Cursor::new(chunk);
        }
        self.rest.fill_buf()
    }

    fn consume(&mut self, length: usize) {
        self.rest.consume(length);
    }
}

// Sends an empty chunk for the end of the input. Returns whether there is more to read.
fn read_on(input: &mut impl Read, to: &SyncSender<io::Result<Vec<u8>>>) -> bool {
    let mut chunk = vec![0; CHUNK];
    let read = input.read(&mut chunk).map(|length| {
        chunk.truncate(length);
        chunk
    });
    let goes_on = match &read {
        Ok(chunk) => !chunk.is_empty(),
        Err(error) => error.kind() == io::ErrorKind::Interrupted,
    };
    to.send(read).is_ok() && goes_on
}

// === impl Patient ===

impl Patient {
    fn new(mut out: impl Write + Send + 'static, stop: Stop) -> io::Result<Self> {
        let (texts, each) = channel::<Vec<u8>>();
        let (to, written) = channel();
        thread::Builder::new().spawn(move || {
            for text in each {
                let result = out.write_all(&text).and_then(|()| out.flush());
                if to.send(result).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self {
            texts,
            written,
            stop,
            is_lost: false,
        })
    }
}

impl Write for Patient {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        // After a write that was given up, nothing more may be written: it would follow a torn line.
        let answer = match self.is_lost || self.texts.send(text.to_vec()).is_err() {
            true => None,
            false => self.stop.answer(&self.written, TICKS),
        };
        self.is_lost = answer.is_none();
        let unread = || io::Error::new(io::ErrorKind::BrokenPipe, Unread);
        answer.unwrap_or_else(|| Err(unread()))?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// === impl Unread ===

impl Unread {
    /// Returns true if the error is one of these.
    pub(crate) fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|cause| cause.is::<Self>())
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped by a signal; nobody read the records that were left")
    }
}

impl std::error::Error for Unread {}

/// Returns true if a terminal has gone away, by the error of reading or writing it.
pub(crate) fn has_hung_up(error: &io::Error) -> bool {
    const EIO: i32 = 5;
    error.raw_os_error() == Some(EIO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Stop {
        Stop(Arc::new(AtomicBool::new(true)))
    }

    // A reader that never reads: the write lasts until the test is over.
    struct Stalled(Receiver<()>);

    impl Write for Stalled {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.recv().ok();
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Read for Stalled {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            self.0.recv().ok();
            Ok(0)
        }
    }

    #[test]
    fn a_write_that_nobody_reads_ends_at_a_signal_and_nothing_follows_it() {
        let (over, until) = channel::<()>();
        let mut out = Patient::new(Stalled(until), asked()).unwrap();
        for _ in 0..2 {
            let error = out.write(b"{}\n").unwrap_err();
            assert!(Unread::is(&error), "{error}");
        }
        drop(over);
    }

    #[test]
    fn a_reader_that_reads_gets_everything_after_a_signal_too() {
        let (mut read, write) = io::pipe().unwrap();
        let mut out = Patient::new(write, asked()).unwrap();
        out.write_all(b"one\n").unwrap();
        out.write_all(b"two\n").unwrap();
        drop(out);
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\ntwo\n");
    }

    #[test]
    fn input_is_read_to_its_end_and_a_signal_ends_the_wait_for_more() {
        let text = "x".repeat(3 * CHUNK);
        let input = io::Cursor::new(text.clone().into_bytes());
        let mut read = String::new();
        let mut whole = Stdin::of(input, Stop::default()).unwrap();
        whole.read_to_string(&mut read).unwrap();
        assert_eq!(read, text);
        assert_eq!(whole.read(&mut [0; 8]).unwrap(), 0, "the end stays the end");

        let (over, until) = channel::<()>();
        let mut stalled = Stdin::of(Stalled(until), asked()).unwrap();
        assert!(stalled.read(&mut [0; 8]).is_err());
        drop(over);
    }
}
