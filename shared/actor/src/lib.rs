//! The common parts of the two actions, `mesh-cp-upgrade` and `mesh-roll`.
//!
//! - [`life`]: opens the bracket, runs what the tool does, and ends the run on every way out.
//! - [`actor`] and [`args`]: which tool it is, and the flags that both tools have.
//! - [`gate`]: which verdict lets a run begin.
//! - [`run`]: a run that is under way, and what it says.
//! - [`hear`] and [`interruption`]: a signal, a reader that is gone, a lost lock; what is checked
//!   before every write.
//! - [`lock`]: gets consent, takes the lock and lets it go.
//! - [`ending`]: how a run ends: outcome, exit code, reason and the next command.
//!
//! A tool supplies its further gate rules, its plan and its steps.

pub mod actor;
pub mod args;
pub mod ending;
pub mod gate;
pub mod hear;
pub mod interruption;
pub mod life;
pub mod lock;
mod next;
pub mod run;
mod voice;

pub use actor::Actor;
pub use args::ActorArgs;
pub use ending::{AGAIN, Ending, Outcome, hinted, refused, stopped};
pub use gate::{Gate, Judged, Shut};
pub use interruption::Interruption;
pub use lock::Taken;
pub use run::Run;
