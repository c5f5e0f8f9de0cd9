//! Rolls workloads: one pure function from what happens to what is to be done.
//!
//! [`Roll::on`] takes every event and the time, and answers with actions in order; it never waits
//! and never speaks to anybody. Each write passes one gate, [`start`], after the record that
//! announces it was written. Every way out passes [`end`].

mod decide;
mod end;
mod flight;
mod flights;
mod limits;
mod order;
mod plan;
mod probing;
mod proof;
mod say;
mod start;
mod watched;
mod world;

#[cfg(test)]
mod sim;

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use mesh_cli::{DryRun, Exit};
use mesh_cluster::act::Restart;
use mesh_cluster::workload::rollout::{Observed, PodSeen};
use mesh_cluster::{Asked, Probe};
use mesh_records::{Intent, Outcome, Record, WorkloadRef};

pub(crate) use decide::{Task, Wishes};
use end::Tally;
use flight::Flight;
pub(crate) use limits::Expected;
use limits::{Stop, Times};
use order::{Rank, Wave};
use probing::Proven;
pub(crate) use watched::{NamespaceRules, Watched};
use world::World;

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

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The cluster's label.
    pub(crate) cluster: String,
    pub(crate) cluster_uid: String,
    pub(crate) wishes: Wishes,
    pub(crate) expected: Expected,
    pub(crate) max_in_flight: usize,
    pub(crate) max_failures: u32,
    /// For one workload.
    pub(crate) timeout: SignedDuration,
    pub(crate) deadline: Option<Timestamp>,
    /// When the verdict is too old.
    pub(crate) verdict_until: Timestamp,
    pub(crate) dry_run: DryRun,
    pub(crate) fail_on_attention: bool,
}

/// A run. Each workload of the plan is in one of three places: it waits, it is in flight, or it is
/// over.
#[derive(Debug)]
pub(crate) struct Roll {
    settings: Settings,
    world: World,
    /// In the order in which they start.
    waiting: BTreeMap<Rank, Item>,
    flying: Vec<Flight>,
    over: BTreeMap<WorkloadRef, Item>,
    phase: Phase,
    probes: HashMap<(Wave, String), Proven>,
    no_endpoint_since: Option<Timestamp>,
    stop: Option<Stop>,
    tally: Tally,
    now: Timestamp,
    wake: Option<Timestamp>,
    out: Vec<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Gathering,
    Asking,
    Locking,
    Rolling,
    Over,
}

/// A workload of the plan.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) task: Task,
    rank: Rank,
    /// The versions that it ran before it was touched.
    from: Vec<String>,
    attempts: u32,
    /// Lists of its pods that had no answer.
    unlisted: u32,
    not_before: Option<Timestamp>,
    /// What an unanswered write bore: whichever copy of it lands is recognised by it.
    value: Option<String>,
    /// What was said of it last.
    outcome: Option<Outcome>,
    broken: bool,
}

// === impl Roll ===

impl Roll {
    /// A run that is to bring the surveyed workloads up to date.
    pub(crate) fn new(
        settings: Settings,
        tasks: impl IntoIterator<Item = Task>,
        now: Timestamp,
    ) -> Self {
        let items = tasks.into_iter().map(Item::new);
        let waiting: BTreeMap<Rank, Item> = items.map(|it| (it.rank.clone(), it)).collect();
        let interest = waiting.values().map(|item| item.task.key.clone()).collect();
        Self {
            settings,
            world: World::new(interest),
            waiting,
            flying: Vec::new(),
            over: BTreeMap::new(),
            phase: Phase::Gathering,
            probes: HashMap::new(),
            no_endpoint_since: None,
            stop: None,
            tally: Tally::default(),
            now,
            wake: None,
            out: Vec::new(),
        }
    }

    /// What is to be done after `event`.
    pub(crate) fn on(&mut self, event: Event, now: Timestamp) -> Vec<Action> {
        self.now = self.now.max(now);
        self.wake = None;
        if self.phase == Phase::Over {
            return Vec::new();
        }
        self.take(event);
        match self.phase {
            Phase::Gathering => self.plan(),
            Phase::Asking | Phase::Locking if self.stop.is_some() => self.finish(),
            Phase::Asking | Phase::Locking | Phase::Over => {}
            Phase::Rolling => {
                self.go_on();
                self.finish_if_done();
            }
        }
        if let Some(wake) = self.wake
            && self.phase != Phase::Over
        {
            self.out.push(Action::WakeAt(wake));
        }
        std::mem::take(&mut self.out)
    }

    // What was started may be over already: a rollout that is waited for need not have waited.
    fn go_on(&mut self) {
        loop {
            self.fly();
            let before = self.flying.len();
            self.start();
            if self.flying.len() == before {
                return;
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Watched(watched) => {
                for key in self.world.take(watched) {
                    self.check_fresh_pods(&key);
                }
            }
            Event::Agreed => self.agreed(),
            Event::Locked(version) => self.locked(&version),
            Event::Announced(key, lock) => self.announced(&key, lock),
            Event::Patched(key, answer) => self.patched(&key, answer),
            Event::Looked(key, answer) => self.looked(&key, answer),
            Event::ListedBefore(key, pods) => self.listed_before(&key, pods),
            Event::ListedProof(key, pods) => self.listed_proof(&key, pods),
            Event::Probed(namespace, answer) => self.probed(&namespace, answer),
            Event::Nodes(key, nodes) => self.nodes(&key, &nodes),
            Event::LockLost(why) => self.stop(Stop::LockLost(why)),
            Event::Blind(why) => {
                let what = format!("the cluster cannot be watched any more: {why}");
                self.stop(Stop::Blind(what));
                self.interrupt();
            }
            Event::Asked(Asked::Once(number)) => self.stop(Stop::Signal(number)),
            Event::Asked(Asked::Again(number)) => {
                self.stop(Stop::Signal(number));
                self.interrupt();
                self.leave(number);
            }
            Event::ReaderGone => self.stop(Stop::ReaderGone),
            Event::Tick => {}
        }
    }

    // The first reason stands; what comes after it changes nothing.
    fn stop(&mut self, stop: Stop) {
        self.stop.get_or_insert(stop);
    }

    fn emit(&mut self, record: Record) {
        self.out.push(Action::Emit(Box::new(record)));
    }

    fn times(&self) -> Times {
        Times {
            verdict_until: self.settings.verdict_until,
            deadline: self.settings.deadline,
        }
    }

    // When to look again.
    fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }
}

// === impl Item ===

impl Item {
    fn new(task: Task) -> Self {
        let rank = Rank::of(&task.key, None);
        Self {
            task,
            rank,
            from: Vec::new(),
            attempts: 0,
            unlisted: 0,
            not_before: None,
            value: None,
            outcome: None,
            broken: false,
        }
    }
}
