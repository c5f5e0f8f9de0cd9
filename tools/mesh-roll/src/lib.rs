//! Rolls the workloads that need new proxies, at a pace, with proof.
//!
//! `gate` reads what comes with the verdict, `roll` decides everything from then on and waits for
//! nothing. `prepare` comes before it, `drive` waits, `watches` see, `perform` writes to the
//! cluster. What it shares with every tool that acts is `mesh-actor`.

mod args;
mod drive;
mod gate;
mod perform;
mod prepare;
mod roll;
mod select;
mod watches;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Args;

/// Runs the tool on the process's own arguments.
pub fn main() -> ExitCode {
    drive::run(&Args::parse())
}
