//! Restarts the workloads that need new proxies, a few at a time, and checks that every new pod has
//! the right one.
//!
//! `gate` reads what belongs to the verdict; `roll` makes all later decisions and never waits.
//! `prepare` runs before it, `drive` waits for events, `watches` follow the cluster, `perform`
//! sends requests. The parts common to all actions are in `mesh-actor`.

mod args;
mod canary;
mod drive;
mod gate;
mod labels;
mod perform;
mod prepare;
mod rights;
mod roll;
mod select;
mod watches;
mod wave_gate;
mod window;

use std::process::ExitCode;

use clap::{Command, CommandFactory as _, Parser as _};

use crate::args::Args;

/// Returns the command line, of which the manual page and the completions are made.
#[must_use]
pub fn command() -> Command {
    Args::command()
}

/// Runs the tool on the process's own arguments.
pub fn main() -> ExitCode {
    drive::run(&Args::parse().spelled_out())
}
