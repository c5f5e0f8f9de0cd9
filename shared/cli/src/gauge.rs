//! A line on standard error that shows what a tool is at, while it is, where a person can see it.

use std::fmt::Write;
use std::io::{self, IsTerminal as _, Write as _};
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

    /// Returns the number that the line ends with, once it is more than zero.
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
                    count => format!("{words}: {count}"),
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
            look,
        })),
        Err(_) => ProgressDrawTarget::hidden(),
    }
}

/// A terminal by its control sequences (ECMA-48).
#[derive(Debug)]
struct Terminal {
    stderr: Mutex<Stderr>,
    look: Look,
}

impl Terminal {
    fn send(&self, text: &str) -> io::Result<()> {
        let mut stderr = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        stderr.write_all(text.as_bytes())
    }
}

impl TermLike for Terminal {
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

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.send(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.send("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
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
    let words: String = words.chars().take(room).collect();
    format!("{} {words}", frame.unwrap_or(&' '))
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
    }
}
