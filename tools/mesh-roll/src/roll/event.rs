//! What happens to a run, and what it wants done.

use std::collections::BTreeSet;

use jiff::Timestamp;
use mesh_cli::Exit;
use mesh_cluster::act::{Eviction, Restart};
use mesh_cluster::workload::rollout::{Observed, PodSeen};
use mesh_cluster::{Asked, Probe};
use mesh_records::{Intent, Record, WorkloadRef};

use super::watched::Watched;
use crate::wave_gate::WaveGate;

/// Something that happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Watched(Watched),
    /// The user agreed to the plan, or the run is a dry run.
    Agreed,
    /// The lock is taken; with the current resourceVersion of the control plane's configuration.
    Locked(String),
    /// The record before a write was written. The error says that the lock is lost.
    Announced(WorkloadRef, Result<(), String>),
    Patched(WorkloadRef, Answer),
    Evicted(WorkloadRef, Evicted),
    /// The answer to [`Action::Look`]; `None` if the object does not exist.
    Looked(WorkloadRef, Result<Option<Box<Observed>>, String>),
    /// The answer to [`Action::Prepare`]: all pods of a workload before it is restarted, and the dry
    /// run of a new one; `None` if the workload does not exist.
    Prepared(
        WorkloadRef,
        Result<Vec<PodSeen>, String>,
        Result<Option<Probe>, String>,
    ),
    /// The right to make dry-run pods of a workload is gone; with the RBAC rule.
    Forbidden(WorkloadRef, String),
    /// All pods of a workload right before one of them is evicted.
    ListedLast(WorkloadRef, Result<Vec<PodSeen>, String>),
    /// All pods of a workload after its controller was done.
    ListedProof(WorkloadRef, Result<Vec<PodSeen>, String>),
    /// All pods of the proven workloads, at the end of the run.
    ListedProven(Result<Vec<PodSeen>, String>),
    /// The dry run of a pod from the workload's own template; `None` if the workload does not exist.
    Probed(WorkloadRef, Result<Option<Probe>, String>),
    /// The dry run of another pod, for comparison with this workload's own.
    Compared(WorkloadRef, Sample, Result<Option<Probe>, String>),
    /// The answer to [`Action::Gate`], with what the command printed.
    Gated(Result<String, String>),
    /// The answer to [`Action::Nodes`]: the nodes that are not ready, if there was one.
    Nodes(Option<BTreeSet<String>>),
    LockLost(String),
    /// A watch has failed and ended.
    Blind(String),
    Asked(Asked),
    ReaderGone,
    Tick,
}

/// The answer to a write.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Done(Box<Observed>),
    /// The object is not there in the version that was read last.
    Changed,
    /// The object is not there, with the server's words. Whether that is so is for the next look: a gateway
    /// answers 404 too.
    Missing(String),
    /// The API server refused the write; a repetition would not help.
    Refused(String),
    /// A right that the user had before is gone; with the RBAC rule.
    Forbidden(String),
    /// The API server has too many requests and did not take this one.
    Busy(String),
    /// No answer arrived; the write may have happened.
    Lost(String),
}

/// The answer to an eviction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Evicted {
    Done,
    /// The pod is gone, or another one has its name.
    Other,
    /// A PodDisruptionBudget does not allow it now, in the API server's words.
    Disallowed(String),
    /// The namespace is being deleted, and the workload with it.
    Ends,
    /// The API server has too many requests and did not take this one.
    Busy(String),
    /// The API server can never evict this pod.
    Never(String),
    /// The API server refused; a repetition would not help.
    Refused(String),
    /// A right that the user had before is gone; with the RBAC rule.
    Forbidden(String),
    /// No answer arrived; the eviction may have happened.
    Lost(String),
}

/// An action of the core. Actions are performed in order, so a record before a write is written
/// before it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Ask for consent. The answer is [`Event::Agreed`] or the end of the run.
    Ask(Box<Intent>, String),
    /// Take the lock. The answer is [`Event::Locked`] or the end of the run.
    Lock,
    Emit(Box<Record>),
    /// Write the record and answer with [`Event::Announced`].
    Announce(WorkloadRef, Box<Record>),
    /// Check that the lock is still held, for a write that was announced already, and answer with
    /// [`Event::Announced`].
    Confirm(WorkloadRef),
    Patch(Restart),
    /// Evict a pod. The answer is [`Event::Evicted`].
    Evict(Eviction),
    Look(WorkloadRef),
    /// List the pods of a workload by this label selector, to see whether a restart is needed, and
    /// make a dry run of a pod from its own template, to see what the injector gives it.
    Prepare(WorkloadRef, String),
    /// List the pods of a workload by this label selector, to see whether one may still be evicted.
    ListLast(WorkloadRef, String),
    /// List the pods of a workload by this label selector, to see whether the restart succeeded.
    ListProof(WorkloadRef, String),
    /// List the pods of these workloads, to see whether they are still ready.
    ListProven(Vec<WorkloadRef>),
    /// Make a dry run of a pod from the workload's own template, because its controller creates none.
    Probe(WorkloadRef),
    /// Make a dry run of another pod, for comparison with this workload's own.
    Compare(WorkloadRef, Sample),
    /// List the nodes that are not ready.
    Nodes,
    /// Run this command with these records.
    Gate(WaveGate, Vec<Record>),
    WakeAt(Timestamp),
    Finish(Finish),
}

/// A pod whose dry run shows whether the injector works at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sample {
    /// A plain pod in this namespace.
    Plain(String),
    /// A pod from this workload's template.
    Of(WorkloadRef),
}

/// How the run ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finish {
    pub(crate) exit: Exit,
    pub(crate) reason: Option<String>,
    pub(crate) hint: String,
}
