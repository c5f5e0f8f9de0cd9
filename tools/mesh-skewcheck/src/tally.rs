//! Counts the workloads that break a rule, to make one finding per rule.

use std::collections::BTreeMap;

use mesh_records::{Obstacle, Rule, Severity, SkewAction, SkewState, WorkloadRef};

use crate::question::Standpoint;
use crate::rules::workload::Judged;
use crate::seen::Identity;
use crate::smallest::Smallest;

/// The largest number of workloads that a finding names.
const NAMED: usize = 20;
/// The largest number of versions that a message names.
const VERSIONS: usize = 4;

/// The counts of one control plane's workloads. Its size does not grow with their number.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: Counts,
    by_rule: BTreeMap<Key, Group>,
}

/// What a group has in common; the last is the line of the waiver for it.
type Key = (Severity, Rule, Option<usize>);

/// The workloads that break one rule with one severity, all with or all without a waiver.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) count: u64,
    pub(crate) workloads: Smallest<WorkloadRef>,
    pub(crate) versions: Smallest<String>,
    /// Whether a roll reaches at least one of them.
    pub(crate) rollable: bool,
    /// Whether nothing but a pin holds back any of them.
    pub(crate) pinned: bool,
    /// The line of the waiver for them.
    pub(crate) waiver: Option<usize>,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    workloads: u64,
    pods: u64,
    meshed: u64,
    pub(crate) same: u64,
    behind: u64,
    pub(crate) ahead: u64,
    pub(crate) unknown: u64,
    pub(crate) roll: u64,
    leave: u64,
    pub(crate) skip: u64,
}

impl Tally {
    /// Counts one workload. A workload that breaks a rule with two versions counts once.
    pub(crate) fn add(&mut self, one: &Identity<'_>, judged: &Judged, at: &Standpoint<'_>) {
        self.counts.add(judged);
        for (index, hit) in judged.hits.iter().enumerate() {
            let waiver = at.waivers.of_workload(hit.rule, one.namespace, one.name);
            let waiver = waiver.map(|it| it.line);
            let key = (hit.severity, hit.rule, waiver);
            let group = self.by_rule.entry(key).or_default();
            group.waiver = waiver;
            group.versions.show_text(&hit.version);
            let mut before = judged.hits[..index].iter();
            if !before.any(|it| (it.severity, it.rule) == (hit.severity, hit.rule)) {
                group.add(one, judged);
            }
        }
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Returns the groups, the most severe first.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (Severity, Rule, &Group)> {
        let groups = self.by_rule.iter();
        groups.map(|((severity, rule, _), group)| (*severity, *rule, group))
    }
}

impl Default for Group {
    fn default() -> Self {
        Self {
            count: 0,
            workloads: Smallest::new(NAMED),
            versions: Smallest::new(VERSIONS),
            rollable: false,
            pinned: true,
            waiver: None,
        }
    }
}

impl Group {
    fn add(&mut self, one: &Identity<'_>, judged: &Judged) {
        self.count += 1;
        self.rollable |= judged.obstacle.is_none();
        self.pinned &= judged.obstacle == Some(Obstacle::VersionPinned);
        let this = (one.namespace, one.kind, one.name);
        let keep = self
            .workloads
            .would_keep(|last| this < (last.namespace.as_str(), &last.kind, last.name.as_str()));
        if keep {
            self.workloads.show(WorkloadRef {
                namespace: one.namespace.to_owned(),
                kind: one.kind.clone(),
                name: one.name.to_owned(),
            });
        }
    }
}

impl Counts {
    fn add(&mut self, judged: &Judged) {
        self.workloads += 1;
        self.pods += u64::from(judged.pods.total);
        self.meshed += u64::from(judged.pods.meshed);
        *match judged.state {
            SkewState::Same => &mut self.same,
            SkewState::Behind => &mut self.behind,
            SkewState::Ahead => &mut self.ahead,
            SkewState::Unknown => &mut self.unknown,
        } += 1;
        *match judged.action {
            SkewAction::Roll => &mut self.roll,
            SkewAction::Leave => &mut self.leave,
            SkewAction::Skip => &mut self.skip,
        } += 1;
    }

    pub(crate) fn as_record(&self) -> BTreeMap<String, u64> {
        let Self {
            workloads,
            pods,
            meshed,
            same,
            behind,
            ahead,
            unknown,
            roll,
            leave,
            skip,
        } = self;
        [
            ("workloads", workloads),
            ("pods", pods),
            ("meshed", meshed),
            ("same", same),
            ("behind", behind),
            ("ahead", ahead),
            ("unknown", unknown),
            ("roll", roll),
            ("leave", leave),
            ("skip", skip),
        ]
        .into_iter()
        .map(|(name, count)| (name.to_owned(), *count))
        .collect()
    }
}
