//! What happens to a run, and what it wants done.

use jiff::Timestamp;
use mesh_cli::Exit;
use mesh_cluster::act::Restart;
use mesh_cluster::workload::rollout::{Observed, PodSeen};
use mesh_cluster::{Asked, Probe};
use mesh_records::{Intent, Record, WorkloadRef};

use super::watched::Watched;

/// Something that happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Watched(Watched),
    /// The plan was agreed to, or is only to be shown.
    Agreed,
    /// The lock is held; the version of the control plane's configuration since then.
    Locked(String),
    /// The record before a write is written; whether the lock is held at this moment.
    Announced(WorkloadRef, Result<(), String>),
    Patched(WorkloadRef, Answer),
    /// A fresh look at an object; none if there is none.
    Looked(WorkloadRef, Result<Option<Box<Observed>>, String>),
    /// All pods of a workload before it is restarted.
    ListedBefore(WorkloadRef, Result<Vec<PodSeen>, String>),
    /// All pods of a workload after its controller was done.
    ListedProof(WorkloadRef, Result<Vec<PodSeen>, String>),
    Probed(String, Result<Probe, String>),
    /// The nodes that are not ready.
    Nodes(WorkloadRef, Vec<String>),
    LockLost(String),
    /// A watch has ended for good.
    Blind(String),
    Asked(Asked),
    ReaderGone,
    Tick,
}

/// The answer to a write.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Done(Box<Observed>),
    Conflict,
    Gone,
    /// It did not happen, and would not.
    Refused(String),
    /// It may have happened.
    Lost(String),
}

/// Something to be done. In order: what stands before a write is done before it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Ask for leave; the answer is [`Event::Agreed`], or the end of the run.
    Ask(Box<Intent>, String),
    /// Take the lock; the answer is [`Event::Locked`], or the end of the run.
    Lock,
    Emit(Box<Record>),
    /// Write the record and answer with [`Event::Announced`].
    Announce(WorkloadRef, Box<Record>),
    Patch(Restart),
    Look(WorkloadRef),
    /// List the pods of a workload by this label selector, to see whether a restart is needed.
    ListBefore(WorkloadRef, String),
    /// The same list, to see whether the restart did what it was for.
    ListProof(WorkloadRef, String),
    Probe(String),
    Nodes(WorkloadRef),
    WakeAt(Timestamp),
    Finish(Finish),
}

/// How the run ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finish {
    pub(crate) exit: Exit,
    pub(crate) reason: Option<String>,
    pub(crate) hint: &'static str,
}
