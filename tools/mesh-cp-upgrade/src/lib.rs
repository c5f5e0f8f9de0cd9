//! Upgrades the Linkerd control plane through what installed it, and watches it until it is proven.
//!
//! `gate`, `history`, `render`, `identity`, `contained` and `board` decide and wait for nothing;
//! `drive` is the order of the steps: `prepare` and `preflight` come before the first write,
//! `act` and `apply` write, `monitor` watches. `child` alone starts processes, `session` says the steps.
//! What it shares with every tool that acts is `mesh-actor`.

mod act;
mod agree;
mod apply;
mod args;
mod board;
mod charts;
mod child;
mod cli;
mod contained;
mod drive;
mod followed;
mod gate;
mod helm;
mod history;
mod identity;
mod installer;
mod live;
mod monitor;
mod preflight;
mod prepare;
mod releases;
mod render;
mod session;
mod values;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Args;

/// Runs the tool on the process's own arguments.
#[must_use]
pub fn main() -> ExitCode {
    drive::run(&Args::parse())
}
