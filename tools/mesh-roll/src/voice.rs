//! What a run says: its records, its bracket, and its last word.

use anyhow::Context as _;
use mesh_cli::{Closing, Exit, Output, OutputArgs, Readers, argv, host, warn};
use mesh_cluster::{Cluster, User};
use mesh_records::{By, EndOutcome, Explained, Record, Stream, Tool, whole_seconds};

use crate::args::{Args, PIPELINE};

/// The tool's name and version, as the API server sees them.
pub(crate) const AGENT: &str = concat!("mesh-roll/", env!("CARGO_PKG_VERSION"));
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Writes the records of one run.
#[derive(Debug)]
pub(crate) struct Voice {
    output: Output,
    label: Option<String>,
    opened: bool,
    blind: Vec<String>,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) exit: Exit,
    pub(crate) outcome: EndOutcome,
    /// Why it is not what was asked for, with the way out.
    pub(crate) because: Option<anyhow::Error>,
}

// === impl Voice ===

impl Voice {
    pub(crate) fn new(args: &OutputArgs, label: Option<String>) -> Self {
        Self {
            output: Output::stdout(args, Readers::Optional),
            label,
            opened: false,
            blind: Vec::new(),
        }
    }

    pub(crate) fn record_to(&mut self, args: &Args) -> Result<(), Explained> {
        match &args.record {
            Some(path) => self.output.record_to(path),
            None => Ok(()),
        }
    }

    /// Opens the bracket.
    pub(crate) fn open(
        &mut self,
        cluster: &Cluster,
        uid: &str,
        user: &User,
        run: &str,
    ) -> anyhow::Result<()> {
        self.label = Some(cluster.label().to_owned());
        let stream = Stream {
            cluster: self.label.clone(),
            run: Some(run.to_owned()),
            time: cluster.now().map(whole_seconds),
            cluster_uid: Some(uid.to_owned()),
            by: Some(By {
                user: user.username.clone(),
                groups: user.groups.clone(),
                host: host(),
            }),
            argv: argv(),
            ..Stream::of(Tool::MeshRoll, VERSION)
        };
        self.opened = true;
        self.emit(&Record::Stream(Box::new(stream)))
    }

    /// Writes and flushes a record. A reader that went away is no error.
    pub(crate) fn emit(&mut self, record: &Record) -> anyhow::Result<()> {
        let emitted = self.output.emit(record);
        emitted.context("cannot write the records")
    }

    pub(crate) fn reader_is_gone(&self) -> bool {
        self.output.reader_is_gone()
    }

    /// Remembers something that could not be looked at.
    pub(crate) fn blind(&mut self, what: &str) {
        if !self.blind.iter().any(|known| known == what) {
            self.blind.push(what.to_owned());
        }
    }

    /// Closes the bracket, and says on standard error what was not done.
    pub(crate) fn close(mut self, ending: Ending) -> anyhow::Result<Exit> {
        let Ending {
            exit,
            outcome,
            because,
        } = ending;
        if !self.opened {
            let stream = Stream {
                cluster: self.label.clone(),
                argv: argv(),
                ..Stream::of(Tool::MeshRoll, VERSION)
            };
            self.emit(&Record::Stream(Box::new(stream)))?;
        }
        let closed = self.output.end(Closing {
            tool: Tool::MeshRoll,
            cluster: self.label,
            outcome,
            exit,
            blind: self.blind,
            reason: because.as_ref().map(|error| format!("{error:#}")),
            next: (outcome == EndOutcome::Stopped || exit == Exit::No).then(next),
        });
        match (because, exit) {
            (Some(error), Exit::Failed) => Err(error),
            (Some(error), _) => {
                warn("mesh-roll", &error);
                closed.context("cannot write the records").map(|()| exit)
            }
            (None, _) => closed.context("cannot write the records").map(|()| exit),
        }
    }
}

// The pipeline with this run's own arguments.
fn next() -> String {
    let args = argv();
    // A digest is one plan's, and the next run's plan is another.
    let own = args.iter().skip(1).filter(|arg| !arg.starts_with("--yes="));
    let own = own.map(|arg| quoted(arg));
    let mut words = vec![PIPELINE.to_owned()];
    words.extend(own);
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

// === impl Ending ===

impl Ending {
    /// It could not be done.
    pub(crate) fn failed(error: anyhow::Error) -> Self {
        Self {
            exit: Exit::Failed,
            outcome: EndOutcome::Failed,
            because: Some(error),
        }
    }

    /// It was stopped in good order.
    pub(crate) fn stopped(why: &str, hint: &str, stop_ok: bool) -> Self {
        Self {
            exit: if stop_ok { Exit::Yes } else { Exit::Stopped },
            outcome: EndOutcome::Stopped,
            because: Some(Explained::new(why, hint).into()),
        }
    }

    /// It was done, and the answer is no.
    pub(crate) fn no(error: Explained) -> Self {
        Self {
            exit: Exit::No,
            outcome: EndOutcome::Complete,
            because: Some(error.into()),
        }
    }
}
