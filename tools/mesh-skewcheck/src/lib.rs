//! Judges surveys: whether an upgrade or a roll may start, and which proxies are too old or too
//! new.
//!
//! A filter without a cluster, a clock or a network. `args` reads the command line and the releases
//! file; `drive` reads records and writes them; everything else is pure: `rule` is the table of
//! severities, `rules` finds what breaks a rule, `tally` counts the workloads of each finding,
//! `verdict` answers.
//!
//! # A new rule
//! 1. Its word and its place in the set `Rule`: `word.rs` in mesh-records.
//! 2. Its severity for each question: a row of `TABLE` in `rule`, in the order of the set.
//! 3. What breaks it: a file of `rules`, as a `Remark` on the control plane, or as a `Hit` of a
//!    workload. A new file is called in `verdict`.
//! 4. Its sentence and its hint: `sentence` for workloads, the `Remark` itself otherwise.
//! 5. What a person should know about it: a paragraph of `about.txt`.
//! 6. Its tests, in `tests/rules.rs`: where it applies, where it does not, and where that cannot be
//!    told.

use std::io;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Command, CommandFactory as _, Parser as _};
use mesh_cli::{Exit, Output, Readers, Stdin, Stop, page, records_from_stdin, report};

mod about;
mod acknowledged;
mod across;
mod action;
mod alike;
mod args;
mod condition;
mod drive;
mod fresh;
mod next;
mod notes;
mod once;
mod page;
mod plan;
mod proxy;
mod question;
mod remark;
mod rule;
mod rules;
mod seen;
mod sentence;
mod smallest;
mod steps;
mod survey;
mod tally;
mod verdict;
mod waiver;

#[cfg(test)]
mod tests;

use args::Args;

const PIPELINE: &str = "mesh-survey | mesh-skewcheck --to stable-2.14.10";
const START: &str = "cannot start";

/// Returns the command line, of which the manual page and the completions are made.
#[must_use]
pub fn command() -> Command {
    Args::command()
}

/// Runs the tool.
pub fn main() -> ExitCode {
    report("mesh-skewcheck", run(&Args::parse()))
}

fn run(args: &Args) -> Result<Exit> {
    if let Some(text) = args.shown()? {
        page(&text)?;
        return Ok(Exit::Yes);
    }
    let (question, demands) = args.question()?;
    drop(records_from_stdin(PIPELINE)?);
    if args.notes {
        let stop = Stop::listen().context(START)?;
        let input = Stdin::open(stop.clone()).context(START)?;
        return drive::page(&question, &demands, &stop, input, io::stdout());
    }
    let mut output = Output::stdout(&args.output, Readers::Needed).context(START)?;
    let stop = Stop::listen().context(START)?;
    let input = Stdin::open(stop.clone()).context(START)?;
    drive::drive(&question, &demands, &stop, input, &mut output)
}
