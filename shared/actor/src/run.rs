//! A run that is under way, and what it says.

use std::sync::Arc;

use jiff::Timestamp;
use mesh_cli::{DryRun, argv};
use mesh_cluster::{Cluster, Lock, Signals};
use mesh_records::Record;

use crate::args::ActorArgs;
use crate::interruption::Heard;
use crate::next::again;
use crate::voice::Voice;

/// A run that is under way.
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
    /// `user@host`.
    pub(crate) by: String,
}

impl Run {
    /// The server's time.
    pub fn now(&self) -> Timestamp {
        let now = self.cluster.now();
        now.expect("the server's date was read before the bracket opened")
    }

    /// Whether nothing is to be written.
    pub fn is_dry(&self) -> bool {
        self.args.consent.dry_run != DryRun::None
    }

    /// Writes and flushes a record. A reader that is gone is no error.
    ///
    /// # Errors
    /// Standard output or the record file cannot be written.
    pub fn emit(&mut self, record: &Record) -> anyhow::Result<()> {
        self.voice.emit(record)
    }

    /// Remembers something that could not be looked at.
    pub fn blind(&mut self, what: &str) {
        self.voice.blind(what);
    }

    /// Sets the flags of `mesh-skewcheck` that ask for the verdict of this run.
    pub fn set_question(&mut self, question: String) {
        self.voice.actor.question = Some(question);
    }

    /// The command that acts where this run only showed what it would do.
    pub fn for_real(&self) -> String {
        let is_dry = |arg: &String| arg == "--dry-run" || arg.starts_with("--dry-run=");
        let argv: Vec<String> = argv().into_iter().filter(|arg| !is_dry(arg)).collect();
        again(&self.voice.actor, &self.args.cluster, &argv)
    }
}
