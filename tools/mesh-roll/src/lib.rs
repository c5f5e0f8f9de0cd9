//! Restarts the workloads that need new proxies, a few at a time, and checks that every new pod has
//! the right one.
//!
//! `gate` reads what belongs to the verdict; `roll` makes all later decisions and never waits.
//! `prepare` runs before it, `drive` waits for events, `watches` follow the cluster, `perform`
//! sends requests. The parts common to all actions are in `mesh-actor`.

mod args;
mod drive;
mod gate;
mod perform;
mod prepare;
mod rights;
mod roll;
mod select;
mod watches;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Args;

/// Runs the tool on the process's own arguments.
pub fn main() -> ExitCode {
    drive::run(&Args::parse().spelled_out())
}
