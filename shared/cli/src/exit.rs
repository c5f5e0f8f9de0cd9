//! The exit codes of all tools.
//!
//! How a run of an action ends is an `Ending`, and `Ending::last` in mesh-actor gives its code.

/// How a tool's process ends; [`Exit::code`] gives the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, and the answer is yes, or there was nothing to do.
    Yes,
    /// Done, and the answer is no.
    No,
    /// The tool could not do what was asked.
    Failed,
    /// Stopped early in good order, or somebody else holds the lock.
    Stopped,
    /// The program that read a filter's output went away.
    BrokenPipe,
    /// A second signal asked the tool to exit at once. The field is the signal's number.
    Signal(u8),
}

/// The table of exit codes in every tool's `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0      success: the answer is yes, or there was nothing to do
  1      the answer is no: a rule is broken, or an upgrade or a workload failed
  2      could not run: wrong usage, no access to the API, bad or too old input
  3      stopped cleanly before the end, or the lock is held: run it again
  141    the program that reads the records has ended (broken pipe)
  128+n  ended at once by a second signal";

impl Exit {
    /// Returns the exit code that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Yes => 0,
            Self::No => 1,
            Self::Failed => 2,
            Self::Stopped => 3,
            Self::BrokenPipe => 141,
            Self::Signal(number) => 128 + number,
        }
    }
}
