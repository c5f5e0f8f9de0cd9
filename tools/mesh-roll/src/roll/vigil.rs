//! What a proven workload must keep, and how it stands. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use mesh_cluster::workload::rollout::{Passes, PodSeen, Problem};
use mesh_records::{Trouble, WorkloadRef, after};

use super::proof::ProvenBy;

/// How long a pod that proved a workload may be not ready without any other sign of trouble.
pub(super) const GRACE: SignedDuration = SignedDuration::from_secs(30);

/// What a proven workload must keep.
#[derive(Debug)]
pub(super) struct Vigil {
    by: ProvenBy,
    /// Whether the watch, which may lag behind the list of the proof, has shown all of them ready.
    pub(super) seen_whole: bool,
    /// Since when the watch has shown too few ready pods.
    pub(super) short: Option<Timestamp>,
    /// Since when lists have shown too few ready pods, whatever the watch shows.
    pub(super) listed_short: Option<Timestamp>,
    /// The [`Recheck::until`] of the looks of which a late one has shown it whole.
    pub(super) whole_until: Option<Timestamp>,
}

/// Where the pods come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The watch, which may lag behind the list of the proof.
    Watch,
    /// A list that was read after the proof.
    List,
}

/// How far the last look at the proven workloads is.
#[derive(Debug, Default)]
pub(super) struct Recheck {
    /// Whether the list is asked for.
    pub(super) is_asked: bool,
    /// Whether nothing was in flight since the list was asked for.
    pub(super) is_last: bool,
    /// Until when the last looks wait for one that shows every workload whole. After that each must be seen
    /// whole in one of the later looks: where others go on taking pods away, all never are at one time.
    pub(super) until: Option<Timestamp>,
    /// Whether every proven workload was whole in one such list, or each in one of the late ones.
    pub(super) is_done: bool,
    /// The pods of workloads that seem to have failed, until their objects are read.
    pub(super) listed: BTreeMap<WorkloadRef, Vec<PodSeen>>,
    pub(super) not_before: Option<Timestamp>,
    /// How often a list, or the object after it, could not be read in a row.
    pub(super) failures: u32,
    /// How often the list showed too few ready pods.
    pub(super) times: u32,
}

/// How a proven workload stands now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Whole,
    /// Too few pods are ready, but none of those that proved it has failed, such as after an
    /// eviction.
    Short(Problem),
    /// A pod is not ready any more.
    Fallen(Problem),
    /// It was deleted, or somebody else changed it, so it is no concern of this run.
    Left,
}

// === impl Vigil ===

impl Vigil {
    /// Begins to watch a workload that was proven at `now`.
    pub(super) fn new(by: ProvenBy, now: Timestamp) -> Self {
        Self {
            by,
            seen_whole: false,
            short: Some(now),
            listed_short: None,
            whole_until: None,
        }
    }

    /// Returns true if too few pods are seen ready.
    pub(super) fn is_short(&self) -> bool {
        self.short.is_some()
    }

    /// Returns true if the workload was whole and has too few ready pods now.
    pub(super) fn is_unwhole(&self) -> bool {
        self.seen_whole && self.short.is_some()
    }

    /// Returns how the workload stands, given how many pods it wants and all its pods.
    pub(super) fn standing<'a>(
        &self,
        wanted: u32,
        pods: impl Iterator<Item = &'a PodSeen> + Clone,
        source: Source,
        now: Timestamp,
    ) -> Standing {
        // A pod of before the proof is older than all that proved it, and so is what a late watch shows.
        let is_foreign = |pod: &PodSeen| !self.is_mine(pod) && pod.created >= self.by.newest;
        if pods.clone().any(|pod| !pod.over && is_foreign(pod)) {
            return Standing::Left;
        }
        let unready = pods.clone().filter(|pod| !pod.ready);
        let fallen = unready
            .clone()
            .find_map(|pod| self.fallen(pod, source, now));
        let mine = pods.filter(|pod| self.is_mine(pod));
        let ready = mine.filter(|pod| pod.ready && !pod.over).count();
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        // More pods than proved it may be wanted by now; they do not hide one of those.
        let mut proofs = unready.clone().filter(|pod| self.was_proof(pod, source));
        let enough = if proofs.any(|pod| pod.lack().is_some()) {
            wanted
        } else {
            wanted.min(self.by.uids.len())
        };
        if ready >= enough {
            return Standing::Whole;
        }
        match fallen {
            Some(problem) => Standing::Fallen(problem),
            None => {
                let problem = unready.clone().find_map(PodSeen::lack);
                Standing::Short(problem.unwrap_or_else(|| too_few(ready, wanted)))
            }
        }
    }

    fn is_mine(&self, pod: &PodSeen) -> bool {
        self.by.templates.contains(&pod.template)
    }

    // A pod that is being deleted was stopped by somebody; its replacement comes. A pod that proved
    // the workload and cannot run after that has failed. One that is only not ready may be ready again
    // in a moment, as after a late answer to its probe.
    fn fallen(&self, pod: &PodSeen, source: Source, now: Timestamp) -> Option<Problem> {
        let since = pod.unready_since.or(self.short).or(self.listed_short);
        let lasts = since.is_some_and(|since| now >= after(since, GRACE));
        let has_failed = self.was_proof(pod, source) && (lasts || pod.problem.is_some());
        pod.lack().filter(|_| has_failed)
    }

    fn was_proof(&self, pod: &PodSeen, source: Source) -> bool {
        let is_newer = self.seen_whole || source == Source::List;
        is_newer && self.by.uids.contains(&pod.uid)
    }
}

/// Returns true if the last looks wait no longer for one that shows every workload whole.
pub(super) fn is_late(until: Option<Timestamp>, now: Timestamp) -> bool {
    until.is_some_and(|until| now >= until)
}

fn too_few(ready: usize, wanted: usize) -> Problem {
    Problem {
        trouble: Trouble::ReadinessLost,
        pod: None,
        container: None,
        said: format!("{ready} of {wanted} pods are ready"),
        passes: Passes::Maybe,
    }
}
