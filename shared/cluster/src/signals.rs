//! Signals: the first asks the tool to stop in good order, the second to exit at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens for the signals that end a program.
#[derive(Debug)]
pub struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
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
            heard: false,
        })
    }

    /// Waits for the next signal. Cancelling the future loses no signal.
    pub async fn next(&mut self) -> Asked {
        let number = tokio::select! {
            _ = self.hangup.recv() => HANGUP,
            _ = self.interrupt.recv() => INTERRUPT,
            _ = self.terminate.recv() => TERMINATE,
        };
        if std::mem::replace(&mut self.heard, true) {
            Asked::Again(number)
        } else {
            Asked::Once(number)
        }
    }
}
