//! Signals: the first says to stop in good order, the second to leave at once.

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

/// How often it was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Stop in good order.
    Once(u8),
    /// Leave at once; the signal's number makes the exit code.
    Again(u8),
}

const HANGUP: u8 = 1;
const INTERRUPT: u8 = 2;
const TERMINATE: u8 = 15;

impl Signals {
    /// Begins to listen; from here on a signal no longer ends the process by itself.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            heard: false,
        })
    }

    /// Waits for the next signal. May be cancelled without losing one.
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
