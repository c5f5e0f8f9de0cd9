//! Writes the records of one run, from the `stream` to the `end`.

use std::io;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use jiff::SignedDuration;
use mesh_cli::{Closing, Exit, Output, Readers, argv, run_id, tell};
use mesh_cluster::Asked;
use mesh_records::{DryRun, Record, Stream};

use crate::actor::Actor;
use crate::args::ActorArgs;
use crate::ending::{Ending, Last};
use crate::next::again;

/// Writes all output of a run.
#[derive(Debug)]
pub(crate) struct Voice {
    pub(crate) actor: Actor,
    pub(crate) label: Option<String>,
    pub(crate) run: String,
    /// The pipeline of this run, as a command that runs it again.
    pub(crate) again: String,
    dry_run: Option<DryRun>,
    output: Output,
    is_open: bool,
    blind: Vec<String>,
}

/// The version of all tools.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Voice {
    pub(crate) fn new(actor: Actor, args: &ActorArgs) -> io::Result<Self> {
        let mut output = Output::stdout(&args.output, Readers::Optional)?;
        if args.consent.asks() {
            output.leave_plan_to_the_question();
        }
        Ok(Self {
            again: again(&actor, &args.cluster, &argv()),
            actor,
            label: args.cluster.label(),
            run: run_id(),
            dry_run: args.consent.dry_run.recorded(),
            output,
            is_open: false,
            blind: Vec::new(),
        })
    }

    pub(crate) fn record_to(&mut self, args: &ActorArgs) -> anyhow::Result<()> {
        match &args.record {
            Some(path) => Ok(self.output.record_to(path)?),
            None => Ok(()),
        }
    }

    /// Makes a `stream` record without facts about a cluster.
    pub(crate) fn stream(&self) -> Stream {
        Stream {
            cluster: self.label.clone(),
            run: Some(self.run.clone()),
            argv: argv(),
            dry_run: self.dry_run,
            ..Stream::of(self.actor.tool, VERSION)
        }
    }

    pub(crate) fn open(&mut self, stream: Stream) -> anyhow::Result<()> {
        self.is_open = true;
        self.emit(&Record::Stream(Box::new(stream)))
    }

    pub(crate) fn emit(&mut self, record: &Record) -> anyhow::Result<()> {
        let record = self.stamped(record.clone());
        let emitted = self.output.emit(&record);
        emitted.context("cannot write the records")
    }

    /// Adds what every record of this run has.
    pub(crate) fn stamped(&self, record: Record) -> Record {
        record.of_run(&self.run, self.dry_run)
    }

    pub(crate) fn reader_is_gone(&self) -> bool {
        self.output.reader_is_gone()
    }

    /// Says after a first signal which rollouts are waited for, and for how long at most.
    pub(crate) fn says_what_it_waits_for(&self, asked: Asked, patience: Option<Duration>) {
        let names = self.output.in_flight();
        if let (Asked::Once(_), [_, ..]) = (asked, &names[..]) {
            let most = patience.and_then(|most| SignedDuration::try_from(most).ok());
            let most = most.map(|most| format!(" (at most {most:#})"));
            let most = most.unwrap_or_default();
            self.says(&format!("waiting for {} in flight{most}", names.join(", ")));
        }
    }

    /// Says after a first signal that what is being written is waited for.
    pub(crate) fn says_that_it_waits(&self, asked: Asked) {
        if let Asked::Once(_) = asked {
            self.says("waiting for the write that is in progress");
        }
    }

    fn says(&self, what: &str) {
        let words = format!("stopping: {what}; a second signal (Ctrl-C) leaves at once");
        self.output
            .aside(|| tell(self.actor.tool.name(), &anyhow!(words)));
    }

    pub(crate) fn blind(&mut self, what: &str) {
        if !self.blind.iter().any(|known| known == what) {
            self.blind.push(what.to_owned());
        }
    }

    /// Writes the `end` record, and on standard error why the run did not do all that was asked.
    pub(crate) fn close(mut self, ending: Ending, args: &ActorArgs) -> Exit {
        let opened = match self.is_open {
            true => Ok(()),
            false => self.open(self.stream()),
        };
        let Last {
            outcome,
            exit,
            reason,
            next,
        } = ending.last(args.stop_ok, self.again);
        let ended = self.output.end(Closing {
            tool: self.actor.tool,
            cluster: self.label,
            run: Some(self.run),
            outcome,
            exit,
            blind: self.blind,
            reason,
            next,
        });
        let written = opened.and(ended.context("cannot write the records"));
        let tool = self.actor.tool.name();
        if let Some(error) = ending.into_error() {
            tell(tool, &error);
        }
        match written {
            Ok(()) => exit,
            // If the run failed because records cannot be written, this error is the same one.
            Err(_) if exit == Exit::Failed => exit,
            Err(error) => {
                tell(tool, &error);
                Exit::Failed
            }
        }
    }
}
