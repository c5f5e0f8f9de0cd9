//! Interruptions of a run, and which of them the run has noticed.

use std::fmt;
use std::mem::{Discriminant, discriminant};

use mesh_cluster::Asked;

use crate::ending::{Ending, stopped};

/// Why a run may start nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// A first signal: the run stops in good order.
    Signal(u8),
    /// A second signal: the run ends at once.
    SecondSignal(u8),
    /// The reader of standard output has gone away.
    ReaderGone,
    /// The lock is lost, for this reason; nothing more may be written.
    LockLost(String),
}

/// The interruptions that a run has noticed.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) first: Option<u8>,
    pub(crate) second: Option<u8>,
    pub(crate) told: Vec<Discriminant<Interruption>>,
}

// === impl Heard ===

impl Heard {
    pub(crate) fn hear(&mut self, asked: Asked) {
        match asked {
            Asked::Once(number) => self.first = Some(number),
            Asked::Again(number) => self.second = Some(number),
        }
    }

    pub(crate) fn has_told(&self, interruption: &Interruption) -> bool {
        self.told.contains(&discriminant(interruption))
    }
}

impl From<Asked> for Interruption {
    fn from(asked: Asked) -> Self {
        match asked {
            Asked::Once(number) => Self::Signal(number),
            Asked::Again(number) => Self::SecondSignal(number),
        }
    }
}

impl fmt::Display for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(number) => write!(f, "stopped by signal {number}"),
            Self::SecondSignal(_) => f.write_str("ended at once by a second signal"),
            Self::ReaderGone => {
                f.write_str("the program that reads the records has ended (broken pipe)")
            }
            Self::LockLost(how) => write!(f, "the lock was lost: {how}"),
        }
    }
}

impl From<Interruption> for Ending {
    fn from(interruption: Interruption) -> Self {
        match interruption {
            Interruption::SecondSignal(signal) => Self::Left {
                signal,
                reason: format!("{interruption}; a write may still be in progress"),
            },
            Interruption::Signal(_) | Interruption::ReaderGone | Interruption::LockLost(_) => {
                stopped(interruption.to_string())
            }
        }
    }
}
