//! Upgrades the Linkerd control plane with the tool that installed it, and watches it until every
//! component runs the target.
//!
//! `drive` is the order of the steps. `gate` reads the verdict, `scene` looks at the control plane
//! under the lock, `prepare` and `preflight` compare before the first write and refuse what
//! `--allow-change` does not name, `agree` asks, `act` and `apply` write, `monitor` watches. `live`
//! reads the control plane and what installed it; `installer` is that program, helm or the linkerd
//! CLI; `plan` is what will be done; `render`, `identity`, `contained` and `board` decide and wait
//! for nothing. `child` alone starts processes. What this tool shares with every tool that acts is
//! `mesh-actor`.

mod act;
mod agree;
mod apply;
mod args;
mod board;
mod child;
mod contained;
mod drive;
mod field_managers;
mod gate;
mod identity;
mod installer;
mod live;
mod monitor;
mod plan;
mod preflight;
mod prepare;
mod prove;
mod render;
mod scene;
mod session;
mod values;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Args;

/// Runs the tool on the process's own arguments.
pub fn main() -> ExitCode {
    drive::run(&Args::parse())
}
