//! Upgrades the Linkerd control plane through what installed it, and watches it until it is proven.
//!
//! `gate`, `history`, `render`, `identity`, `contained` and `board` decide and wait for nothing;
//! `drive` is the order of the steps: `prepare` and `preflight` come before the first write,
//! `act` and `apply` write, `monitor` watches. `child` alone starts processes, `session` alone speaks.

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
mod ending;
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

use anyhow::Context as _;
use clap::Parser as _;
use mesh_cli::Exit;

use crate::args::Args;

/// Runs the tool on the process's own arguments.
#[must_use]
pub fn main() -> ExitCode {
    let args = Args::parse();
    mesh_cli::report("mesh-cp-upgrade", run(args))
}

fn run(args: Args) -> anyhow::Result<Exit> {
    // The lock is renewed on a thread of its own: a reader that is slow to take a record must not
    // cost the lock.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let runtime = runtime.context("cannot start")?;
    let exit = runtime.block_on(drive::run(args));
    // A question on the terminal or a read of standard input is not waited for.
    runtime.shutdown_background();
    exit
}
