//! Rolls the workloads that need new proxies, at a pace, with proof.
//!
//! `gate` reads the verdict, `roll` decides everything from then on and waits for nothing.
//! `prepare` comes before it, `drive` waits, `watches` see, `perform` writes to the cluster, `voice` alone speaks.

mod args;
mod drive;
mod gate;
mod mesh;
mod perform;
mod prepare;
mod roll;
mod select;
mod voice;
mod watches;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use mesh_cli::Exit;

use crate::args::Args;

/// Runs the tool on the process's own arguments.
#[must_use]
pub fn main() -> ExitCode {
    let args = Args::parse();
    mesh_cli::report("mesh-roll", run(args))
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
