//! A run in progress, and its records.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mesh_cli::{DryRun, argv};
use mesh_cluster::{Cluster, Lock, Signals};
use mesh_records::{Paste, Record, Writer};

use crate::args::ActorArgs;
use crate::interruption::Heard;
use crate::next::again;
use crate::voice::Voice;

/// The state of a run.
#[derive(Debug)]
pub struct Run {
    /// The cluster.
    pub cluster: Arc<Cluster>,
    /// The cluster's identity.
    pub cluster_uid: String,
    pub(crate) args: ActorArgs,
    pub(crate) voice: Voice,
    pub(crate) signals: Signals,
    pub(crate) heard: Heard,
    pub(crate) lock: Option<Lock>,
    /// How long what is in flight may take.
    pub(crate) patience: Option<Duration>,
    /// `user@host`.
    pub(crate) by: String,
}

impl Run {
    /// Returns the API server's time.
    pub fn now(&self) -> Timestamp {
        let now = self.cluster.now();
        now.expect("the server's date was read before the bracket opened")
    }

    /// Sets how long the tool waits for what is in flight, for what it says after a signal.
    pub fn waits_at_most(&mut self, patience: Duration) {
        self.patience = Some(patience);
    }

    /// Returns true for a dry run.
    pub fn is_dry(&self) -> bool {
        self.args.consent.dry_run != DryRun::None
    }

    /// Writes and flushes a record. A reader that went away is not an error.
    ///
    /// # Errors
    /// Standard output or the record file cannot be written.
    pub fn emit(&mut self, record: &Record) -> anyhow::Result<()> {
        self.voice.emit(record)
    }

    /// Returns records as lines, as [`Run::emit`] writes them.
    ///
    /// # Errors
    /// A record cannot be written as JSON.
    pub fn lines(&self, records: Vec<Record>) -> anyhow::Result<Vec<u8>> {
        let mut writer = Writer::new(Vec::new());
        for record in records {
            writer.write(&self.voice.stamped(record))?;
        }
        Ok(std::mem::take(writer.out()))
    }

    /// Remembers an optional permission that is missing.
    pub fn blind(&mut self, what: &str) {
        self.voice.blind(what);
    }

    /// Sets the flags with which `mesh-skewcheck` gives this run's verdict.
    pub fn set_question(&mut self, question: String) {
        self.voice.actor.question = Some(question);
        self.voice.again = again(&self.voice.actor, &self.args.cluster, &argv());
    }

    /// Returns what makes commands for this run's cluster that work as pasted.
    pub fn paste(&self) -> Paste {
        self.cluster.paste()
    }

    /// Returns the command that runs the same pipeline again.
    pub fn again(&self) -> &str {
        &self.voice.again
    }

    /// Returns the command that does what this dry run showed.
    pub fn for_real(&self) -> String {
        let is_dry = |arg: &String| {
            let dry = ["--dry-run", "--preflight", "--plan-only"];
            dry.contains(&arg.as_str()) || arg.starts_with("--dry-run=")
        };
        let argv: Vec<String> = argv().into_iter().filter(|arg| !is_dry(arg)).collect();
        again(&self.voice.actor, &self.args.cluster, &argv)
    }
}
