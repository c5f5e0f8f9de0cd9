//! Surveys the data plane and the control plane of a Linkerd mesh.
//!
//! `args` reads the command line, `drive` waits, `dump` reads files, `report` writes. What is looked at and how it is
//! folded is in mesh-cluster.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use mesh_cli::{Exit, report as end};

mod args;
mod drive;
mod dump;
mod fold;
mod group;
mod look;
mod oddity;
mod report;
mod sight;
mod usage;

use args::Args;

/// Runs the tool.
pub fn main() -> ExitCode {
    end("mesh-survey", run(&Args::parse()))
}

fn run(args: &Args) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting")?;
    let exit = runtime.block_on(drive::drive(args));
    // Nobody waits for a reader that keeps the writer waiting.
    runtime.shutdown_background();
    exit
}
