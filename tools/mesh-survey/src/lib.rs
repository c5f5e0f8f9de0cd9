//! Surveys the data plane and the control planes of a Linkerd mesh.
//!
//! - `args` reads the command line, `drive` chooses what is looked at, `report` writes the records.
//! - `look` waits for the API server: it lists, and reads what the control planes are made of.
//! - `dump` reads files instead of a server.
//! - `plane`, `ground`, `fold` and `survey` are pure: a control plane by its objects, what pods are
//!   read against, pods counted by owner, and the whole.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Command, CommandFactory as _, Parser as _};
use mesh_cli::{Exit, report as end};

mod args;
mod drive;
mod dump;
mod fold;
mod ground;
mod look;
mod plane;
mod report;
mod survey;

use args::Args;

/// Returns the command line, of which the manual page and the completions are made.
#[must_use]
pub fn command() -> Command {
    Args::command()
}

/// Runs the tool.
pub fn main() -> ExitCode {
    end("mesh-survey", run(&Args::parse()))
}

fn run(args: &Args) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let exit = runtime.block_on(drive::drive(args));
    // Does not wait for a writer thread that a stalled reader blocks.
    runtime.shutdown_background();
    exit
}
