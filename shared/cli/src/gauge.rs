//! A line on standard error that shows what a tool is at, while it is, where a person can see it.

use std::fmt::{self, Write};
use std::io::{self, IsTerminal as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::ColorChoice;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, TermLike};

use crate::Clean;
use crate::screen::Look;
use crate::stop::{Stderr, Stop};

/// What takes less is not shown.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often the line moves, as a sign of life.
const TICK: Duration = Duration::from_millis(125);

/// Shows one line as long as something is under way.
#[derive(Debug)]
pub(crate) struct Gauge {
    words: Arc<Mutex<String>>,
    counter: Arc<AtomicU64>,
    bar: Option<ProgressBar>,
    is_seen: bool,
}

// === impl Gauge ===

impl Gauge {
    /// Makes a gauge that shows nothing yet; where standard error is no terminal it never does.
    pub(crate) fn stderr() -> Self {
        Self {
            words: Arc::default(),
            counter: Arc::default(),
            bar: None,
            is_seen: io::stderr().is_terminal(),
        }
    }

    /// Returns true if a person can see it.
    pub(crate) fn is_seen(&self) -> bool {
        self.is_seen
    }

    /// Shows what is under way, or takes the line away.
    pub(crate) fn show(&mut self, under_way: Option<String>) {
        let Some(words) = under_way.filter(|_| self.is_seen) else {
            self.clear();
            return;
        };
        *self.words.lock().unwrap_or_else(PoisonError::into_inner) = Clean(&words).to_string();
        let (shared, counter) = (&self.words, &self.counter);
        let start = || start(Arc::clone(shared), Arc::clone(counter));
        self.bar.get_or_insert_with(start);
    }

    /// Returns the number of pods that the line ends with, once it is more than zero.
    pub(crate) fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.counter)
    }

    /// Takes the line away while something else is written.
    pub(crate) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        self.clear();
    }
}

fn start(words: Arc<Mutex<String>>, counter: Arc<AtomicU64>) -> ProgressBar {
    let look = Look::of(&io::stderr(), ColorChoice::Auto);
    let bar = ProgressBar::with_draw_target(None, target(look));
    if let Ok(style) = ProgressStyle::with_template("{late}") {
        let late = move |state: &ProgressState, out: &mut dyn Write| {
            if state.elapsed() >= PATIENCE {
                let words = words.lock().unwrap_or_else(PoisonError::into_inner);
                let words = match counter.load(Ordering::Relaxed) {
                    0 => words.clone(),
                    count => format!("{words}, {count} pods so far"),
                };
                // A line that cannot be written is not shown.
                let _ignored = out.write_str(&line(&words, state.elapsed(), look));
            }
        };
        bar.set_style(style.with_key("late", late));
    }
    bar.enable_steady_tick(TICK);
    bar
}

// The terminal is written to like standard output: if nobody reads it, a signal ends the wait.
fn target(look: Look) -> ProgressDrawTarget {
    let stderr = Stop::listen().and_then(Stderr::open);
    match stderr {
        Ok(stderr) => ProgressDrawTarget::term_like(Box::new(Terminal {
            stderr: Mutex::new(stderr),
            drawn: Mutex::default(),
            look,
        })),
        Err(_) => ProgressDrawTarget::hidden(),
    }
}

/// A terminal by its control sequences (ECMA-48).
///
/// The tools of a pipe draw on the same line, so each drawing is one write: in pieces they would
/// mix, and leave a line behind each time.
#[derive(Debug)]
struct Terminal<W = Stderr> {
    stderr: Mutex<W>,
    drawn: Mutex<String>,
    look: Look,
}

impl<W> Terminal<W> {
    #[expect(clippy::unnecessary_wraps, reason = "TermLike wants a result")]
    fn send(&self, text: &str) -> io::Result<()> {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        drawn.push_str(text);
        Ok(())
    }
}

impl<W: io::Write + fmt::Debug + Send> TermLike for Terminal<W> {
    fn width(&self) -> u16 {
        let columns = self.look.size.map_or(80, |size| size.columns);
        u16::try_from(columns).unwrap_or(u16::MAX)
    }

    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        if lines == 0 {
            Ok(())
        } else {
            self.send(&format!("\x1b[{lines}A"))
        }
    }

    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        if lines == 0 {
            Ok(())
        } else {
            self.send(&format!("\x1b[{lines}B"))
        }
    }

    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        if columns == 0 {
            Ok(())
        } else {
            self.send(&format!("\x1b[{columns}C"))
        }
    }

    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        if columns == 0 {
            Ok(())
        } else {
            self.send(&format!("\x1b[{columns}D"))
        }
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.send(&format!("{text}\n"))
    }

    // The blanks behind the line are left out: a `^C` that the terminal shows has to stay on it.
    fn write_str(&self, text: &str) -> io::Result<()> {
        match text.trim() {
            "" => Ok(()),
            _ => self.send(text),
        }
    }

    fn clear_line(&self) -> io::Result<()> {
        self.send("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let drawn = std::mem::take(&mut *drawn);
        if drawn.is_empty() {
            return Ok(());
        }
        let mut stderr = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        stderr.write_all(format!("\r{drawn}\r").as_bytes())
    }
}

// A line that is longer than the terminal would leave a part of itself there.
fn line(words: &str, elapsed: Duration, look: Look) -> String {
    let frames: Vec<char> = look.frames().chars().collect();
    let number = elapsed.as_millis() / TICK.as_millis().max(1);
    let number = usize::try_from(number).unwrap_or(0);
    let frame = frames.get(number.checked_rem(frames.len()).unwrap_or(0));
    let room = look
        .size
        .map_or(usize::MAX, |size| size.columns.saturating_sub(3));
    format!("{} {}", frame.unwrap_or(&' '), look.cut(words, room))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_moves_and_keeps_to_the_terminal() {
        let at = |milliseconds| {
            line(
                "0123456789abc",
                Duration::from_millis(milliseconds),
                Look::terminal(10),
            )
        };
        assert_ne!(at(0), at(125));
        assert_eq!(at(0), at(125 * 8));
        assert_eq!(at(0).chars().count(), 9);
        assert!(at(0).ends_with("012345…"), "{}", at(0));
    }

    #[derive(Debug, Default)]
    struct Writes(Vec<String>);

    impl io::Write for Writes {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.push(String::from_utf8_lossy(text).into_owned());
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_drawing_is_one_write_from_the_begin_of_the_line() {
        let terminal = Terminal {
            stderr: Mutex::new(Writes::default()),
            drawn: Mutex::default(),
            look: Look::terminal(20),
        };
        for _ in 0..2 {
            terminal.clear_line().unwrap();
            terminal.write_str("surveying eu").unwrap();
            terminal.write_str("   ").unwrap();
            terminal.flush().unwrap();
        }
        terminal.flush().unwrap();
        let written = terminal.stderr.into_inner().unwrap().0;
        assert_eq!(written.len(), 2, "{written:?}");
        let drawn = "\r\r\u{1b}[2Ksurveying eu\r";
        assert!(written.iter().all(|it| it == drawn), "{written:?}");
    }
}
