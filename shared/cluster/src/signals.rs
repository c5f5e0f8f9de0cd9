//! Signals: the first asks the tool to stop in good order, the second to exit at once.
//!
//! A hang-up (SIGHUP) only asks to stop. One terminal that goes away sends it several times, from the
//! kernel and from the shell, and a session manager sends it together with SIGTERM, so it is never
//! the second signal and makes no other signal the second.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens for the signals that end a program.
#[derive(Debug)]
pub struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
    hung_up: bool,
    heard: bool,
}

/// What a signal asks for. The field is the signal's number, which makes the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Stop in good order.
    Once(u8),
    /// Exit at once.
    Again(u8),
}

const HANGUP: u8 = 1;
const INTERRUPT: u8 = 2;
const TERMINATE: u8 = 15;

impl Signals {
    /// Starts to listen. From then on a signal no longer ends the process by itself.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hung_up: false,
            heard: false,
        })
    }

    /// Waits for the next signal. Cancelling the future loses no signal.
    pub async fn next(&mut self) -> Asked {
        loop {
            let number = tokio::select! {
                _ = self.hangup.recv() => HANGUP,
                _ = self.interrupt.recv() => INTERRUPT,
                _ = self.terminate.recv() => TERMINATE,
            };
            if let Some(asked) = self.count(number) {
                return asked;
            }
        }
    }

    // Returns `None` for a hang-up that says nothing new.
    fn count(&mut self, number: u8) -> Option<Asked> {
        if number == HANGUP {
            let is_first = !std::mem::replace(&mut self.hung_up, true) && !self.heard;
            return is_first.then_some(Asked::Once(number));
        }
        match std::mem::replace(&mut self.heard, true) {
            true => Some(Asked::Again(number)),
            false => Some(Asked::Once(number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_hang_ups_of_one_terminal_count_once_and_never_as_the_second_signal() {
        use Asked::{Again, Once};
        // signals in their order, what each asks for
        let table: [(&[u8], &[Option<Asked>]); 5] = [
            (&[1, 1, 1], &[Some(Once(1)), None, None]),
            (&[15, 1], &[Some(Once(15)), None]),
            (&[1, 15], &[Some(Once(1)), Some(Once(15))]),
            (
                &[1, 1, 2, 1, 15],
                &[Some(Once(1)), None, Some(Once(2)), None, Some(Again(15))],
            ),
            (&[2, 2], &[Some(Once(2)), Some(Again(2))]),
        ];
        for (numbers, expected) in table {
            let mut signals = Signals::listen().unwrap();
            let asked: Vec<Option<Asked>> = numbers
                .iter()
                .map(|number| signals.count(*number))
                .collect();
            assert_eq!(asked, expected, "{numbers:?}");
        }
    }
}
