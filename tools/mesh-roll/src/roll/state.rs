//! What a run knows, and the small steps that all its parts take.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use mesh_cli::DryRun;
use mesh_records::{Paste, ProgressPods, Record, WorkloadKind, WorkloadRef};

use super::decide::{Decision, Task, Wishes, decide};
use super::event::Action;
use super::evicting::Doomed;
use super::flight::{Awaits, Flight};
use super::item::Item;
use super::limits::{Expected, Stop, Times};
use super::order::Rank;
use super::say::Saying;
use super::tally::Tally;
use super::vigil::Recheck;
use super::waves::Pace;
use super::world::World;
use crate::canary::Canary;
use crate::wave_gate::WaveGate;

/// The options of a run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The cluster's label.
    pub(crate) cluster: String,
    pub(crate) cluster_uid: String,
    /// Makes commands for people.
    pub(crate) paste: Paste,
    pub(crate) wishes: Wishes,
    /// What the verdict warns of.
    pub(crate) warnings: Vec<String>,
    /// The kinds of workloads that are watched.
    pub(crate) kinds: BTreeSet<WorkloadKind>,
    pub(crate) expected: Expected,
    /// The workloads that are rolled first, alone.
    pub(crate) canary: Option<Canary>,
    /// The label whose values make groups that are rolled one after the other.
    pub(crate) group_by: Option<String>,
    /// The command that decides whether the next wave may begin.
    pub(crate) gate: Option<WaveGate>,
    pub(crate) max_in_flight: usize,
    pub(crate) max_failures: u32,
    /// The time limit for one workload.
    pub(crate) timeout: SignedDuration,
    /// For how long the last proven workloads are watched before the run ends.
    pub(crate) settle: SignedDuration,
    pub(crate) deadline: Option<Timestamp>,
    /// The time after which the verdict is too old.
    pub(crate) verdict_until: Timestamp,
    pub(crate) dry_run: DryRun,
    pub(crate) fail_on_attention: bool,
    /// Whether a workload that this user may not restart refuses the run.
    pub(crate) refuses_forbidden: bool,
    /// Whether the plan shows what is written to each workload.
    pub(crate) diff: bool,
}

/// The state of a run. Each workload of the plan is in one of three states: waiting, in flight, or
/// finished.
#[derive(Debug)]
pub(crate) struct Roll {
    pub(super) settings: Settings,
    pub(super) world: World,
    /// In the order in which they start.
    pub(super) waiting: BTreeMap<Rank, Item>,
    pub(super) flying: Vec<Flight>,
    /// The pods that are to be evicted now.
    pub(super) doomed: Vec<(WorkloadRef, Doomed)>,
    pub(super) over: BTreeMap<WorkloadRef, Item>,
    pub(super) phase: Phase,
    /// The last workload whose own pod got the right proxy in a dry run.
    pub(super) witness: Option<WorkloadRef>,
    /// Whether any workload's list and dry run were answered.
    pub(super) is_answered: bool,
    pub(super) silent: Option<(&'static str, Timestamp)>,
    /// Rollouts that others began, with the time when each was seen first.
    pub(super) foreign: BTreeMap<WorkloadRef, Timestamp>,
    pub(super) pace: Pace,
    pub(super) jam: Option<Jam>,
    pub(super) stop: Option<Stop>,
    pub(super) tally: Tally,
    /// When a workload was proven last.
    pub(super) last_proof: Option<Timestamp>,
    pub(super) recheck: Recheck,
    /// Whether it was said that the run only watches.
    pub(super) said_settling: bool,
    /// Whether the answer on the nodes is on its way.
    pub(super) asks_nodes: bool,
    pub(super) nodes_asked_at: Option<Timestamp>,
    pub(super) now: Timestamp,
    pub(super) wake: Option<Timestamp>,
    pub(super) out: Vec<Action>,
}

/// Others keep every slot, so that nothing can start.
#[derive(Clone, Debug)]
pub(super) struct Jam {
    pub(super) since: Timestamp,
    pub(super) said: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Gathering,
    Asking,
    Locking,
    Rolling,
    Over,
}

// === impl Roll ===

impl Roll {
    /// Makes a run that brings the surveyed workloads up to date.
    pub(crate) fn new(
        settings: Settings,
        tasks: impl IntoIterator<Item = Task>,
        now: Timestamp,
    ) -> Self {
        let items = tasks.into_iter().map(Item::new);
        let waiting: BTreeMap<Rank, Item> = items.map(|it| (it.rank.clone(), it)).collect();
        let interest = waiting.values().map(|item| item.task.key.clone()).collect();
        Self {
            world: World::new(interest, settings.kinds.clone()),
            settings,
            waiting,
            flying: Vec::new(),
            doomed: Vec::new(),
            over: BTreeMap::new(),
            phase: Phase::Gathering,
            witness: None,
            is_answered: false,
            silent: None,
            foreign: BTreeMap::new(),
            pace: Pace::default(),
            jam: None,
            stop: None,
            tally: Tally::default(),
            last_proof: None,
            recheck: Recheck::default(),
            said_settling: false,
            asks_nodes: false,
            nodes_asked_at: None,
            now,
            wake: None,
            out: Vec::new(),
        }
    }

    // Keeps only the first reason.
    pub(super) fn stop(&mut self, stop: Stop) {
        self.stop.get_or_insert(stop);
    }

    /// Returns true if what is proven is watched until the run ends, whatever else failed.
    pub(super) fn watches_on(&self) -> bool {
        self.stop.as_ref().is_none_or(Stop::lets_watch)
    }

    pub(super) fn emit(&mut self, record: Record) {
        if self.settings.gate.is_some() {
            self.pace.note(&record, self.phase != Phase::Rolling);
        }
        self.out.push(Action::Emit(Box::new(record)));
    }

    pub(super) fn times(&self) -> Times {
        Times {
            verdict_until: self.settings.verdict_until,
            deadline: self.settings.deadline,
        }
    }

    // When to look again.
    pub(super) fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    pub(super) fn saying<'a>(&'a self, item: &'a Item) -> Saying<'a> {
        Saying {
            cluster: &self.settings.cluster,
            paste: &self.settings.paste,
            now: self.now,
            key: &item.task.key,
            uid: &item.task.uid,
            from: &item.from,
            strategy: item.strategy,
            strategy_reason: item.strategy_reason,
            is_dry: self.settings.dry_run != DryRun::None,
        }
    }

    pub(super) fn decide(&self, item: &Item) -> Decision {
        decide(&item.task, &self.world, &self.settings.wishes, self.now)
    }

    pub(super) fn await_answer(&mut self, key: &WorkloadRef, awaits: Awaits, action: Action) {
        if let Some(flight) = self.flight_mut(key) {
            flight.awaits = awaits;
            self.out.push(action);
        }
    }

    pub(super) fn selector(&self, key: &WorkloadRef) -> String {
        let observed = self.world.workload(key);
        let selector = observed.map(|observed| observed.selector.query());
        selector.unwrap_or_default()
    }

    pub(super) fn counts(&self, key: &WorkloadRef) -> ProgressPods {
        let observed = self.world.whole(key);
        let mut pods = observed.map(|it| it.pods).unwrap_or_default();
        // An owner whose pods are evicted keeps its template, so to it all pods are of the newest.
        if let Some(evicting) = self.flight(key).and_then(|it| it.evicting.as_ref()) {
            let all = self.world.pods(key);
            let new = all.filter(|pod| evicting.is_new(pod)).count();
            pods.updated = u32::try_from(new).unwrap_or(u32::MAX);
        }
        pods
    }

    /// Notes the workload's proxy versions before the restart.
    pub(super) fn note_versions(&self, item: &mut Item) {
        let pods = self.world.pods(&item.task.key);
        let versions: BTreeSet<String> = pods
            .filter_map(|pod| {
                let version = &pod.proxy.as_ref()?.version;
                version.version.clone().or_else(|| version.tag.clone())
            })
            .collect();
        item.from = versions.into_iter().collect();
    }

    pub(super) fn flying_keys(&self) -> Vec<WorkloadRef> {
        let flights = self.flying.iter();
        flights.map(|flight| flight.item.task.key.clone()).collect()
    }

    pub(super) fn flight(&self, key: &WorkloadRef) -> Option<&Flight> {
        let mut flights = self.flying.iter();
        flights.find(|flight| flight.item.task.key == *key)
    }

    pub(super) fn flight_mut(&mut self, key: &WorkloadRef) -> Option<&mut Flight> {
        let mut flights = self.flying.iter_mut();
        flights.find(|flight| flight.item.task.key == *key)
    }

    /// Removes a workload from those in flight.
    pub(super) fn land(&mut self, key: &WorkloadRef) -> Option<Flight> {
        let mut flights = self.flying.iter();
        let place = flights.position(|flight| flight.item.task.key == *key)?;
        Some(self.flying.remove(place))
    }

    fn waiting_rank(&self, key: &WorkloadRef) -> Option<Rank> {
        let mut waiting = self.waiting.iter();
        let (rank, _) = waiting.find(|(_, item)| item.task.key == *key)?;
        Some(rank.clone())
    }

    pub(super) fn item(&self, key: &WorkloadRef) -> Option<&Item> {
        let flying = self.flying.iter().map(|flight| &flight.item);
        let mut all = flying
            .chain(self.over.values())
            .chain(self.waiting.values());
        all.find(|item| item.task.key == *key)
    }

    pub(super) fn item_mut(&mut self, key: &WorkloadRef) -> Option<&mut Item> {
        if self.flight(key).is_some() {
            return self.flight_mut(key).map(|flight| &mut flight.item);
        }
        if self.over.contains_key(key) {
            return self.over.get_mut(key);
        }
        let rank = self.waiting_rank(key)?;
        self.waiting.get_mut(&rank)
    }

    pub(super) fn take_item(&mut self, key: &WorkloadRef) -> Option<Item> {
        if let Some(flight) = self.land(key) {
            return Some(flight.item);
        }
        if let Some(item) = self.over.remove(key) {
            return Some(item);
        }
        let rank = self.waiting_rank(key)?;
        self.waiting.remove(&rank)
    }
}
