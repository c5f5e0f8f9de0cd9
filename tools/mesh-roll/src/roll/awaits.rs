//! The stages of a workload in flight.

/// What a workload in flight waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaits {
    /// The list of its pods and the dry run of one from its template, before the restart.
    Preparation,
    /// The dry run of another pod, because its own got no proxy.
    Comparison,
    /// The writing of the record that announces the write.
    Announcement,
    /// The list of its pods right before an eviction.
    LastLook,
    /// The last look at the lock before an eviction.
    Confirmation,
    /// The answer to the write.
    Answer,
    /// A new read of the object, because the write met a conflict or had no answer.
    Look,
    /// The time of the next read, because the last one failed.
    NextLook,
    /// The controller and the pods.
    Rollout,
    /// The list of its pods, to prove the result.
    ListProof,
    /// The list of nodes that are not ready.
    Nodes,
    /// The dry run of a pod from its template, because its controller creates none.
    Refusal,
}
