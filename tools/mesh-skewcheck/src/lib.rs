//! Judges whether the proxies of a mesh are within parameters.
//!
//! A filter without a cluster, a clock or a network. `args` reads the command line and the releases
//! file; `drive` reads records and writes them; everything else is pure: `rule` is the table of
//! severities, `workload`, `target`, `health`, `certificates` and `extension` find what breaks a
//! rule, `tally` folds, `verdict` weighs.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;
use mesh_cli::{Exit, Output, Readers, records_from_stdin, report};

mod action;
mod args;
mod certificates;
mod drive;
mod extension;
mod fresh;
mod health;
mod plan;
mod proxy;
mod question;
mod remark;
mod rule;
mod seen;
mod sentence;
mod smallest;
mod survey;
mod tally;
mod target;
mod verdict;
mod workload;

#[cfg(test)]
mod tests;

use args::Args;

const PIPELINE: &str = "mesh-survey | mesh-skewcheck --to stable-2.14.10";

/// Runs the tool.
pub fn main() -> ExitCode {
    report("mesh-skewcheck", run(&Args::parse()))
}

fn run(args: &Args) -> Result<Exit> {
    let (question, demands) = args.question()?;
    let input = records_from_stdin(PIPELINE)?;
    let mut output = Output::stdout(&args.output, Readers::Needed);
    drive::drive(&question, &demands, input, &mut output)
}
