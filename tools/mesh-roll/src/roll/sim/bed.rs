//! Connects the core and the model, with watches that lag, lost answers and crashes.

mod serve;
mod wrong;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::{SignedDuration, Timestamp};
use mesh_cli::{DryRun, Exit};
use mesh_cluster::Change;
use mesh_cluster::act::Restart;
use mesh_cluster::object::label::{CONFIG, SERVICE};
use mesh_cluster::object::{
    ConfigMap, DisruptionBudget, Endpoint, EndpointSlice, IntOrPercent, Meta, Selector,
};
use mesh_cluster::workload::injection::Rules;
use mesh_dice::Dice;
use mesh_records::{Outcome, Record, WorkloadKind, WorkloadRef, after};

use super::super::watched::{Mesh, NamespaceRules, PROXIES_NEED, Watched};
use super::super::{Action, Event, Expected, KINDS, Roll, Settings, Task, Wishes};
use super::model::{Body, Changed, Fate, Injector, Model, RING, TARGET, budget_label};
use super::watcher::{Limits, Watcher};
use crate::canary::Canary;

/// Which faults happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chaos {
    None,
    All,
}

/// A cluster, and the tool that runs on it one or more times.
pub(super) struct Bed {
    seed: u64,
    pub(super) chaos: Chaos,
    dice: Dice,
    model: Model,
    now: Timestamp,
    config: u64,
    /// Writes of a killed run that have not reached the server yet.
    strays: Vec<Restart>,
    surveyed: Vec<Task>,
    /// The number of accepted writes to each workload, over all runs.
    writes: BTreeMap<WorkloadRef, u32>,
    /// The names of the things that happened.
    pub(super) census: BTreeSet<String>,
}

/// One run of the tool.
struct Run {
    core: Roll,
    watcher: Watcher,
    watches: BTreeMap<Watch, VecDeque<Watched>>,
    asked: Vec<Action>,
    answers: Vec<Event>,
    wake: Option<Timestamp>,
    signals: u8,
    lock: bool,
    /// A watch that lags far behind the others.
    slow: Option<Watch>,
}

/// The watches; each lags by its own amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Watch {
    Pods,
    Deployments,
    StatefulSets,
    DaemonSets,
    Namespaces,
    Budgets,
    Config,
    Endpoints,
}

const WATCHES: [Watch; 8] = [
    Watch::Pods,
    Watch::Deployments,
    Watch::StatefulSets,
    Watch::DaemonSets,
    Watch::Namespaces,
    Watch::Budgets,
    Watch::Config,
    Watch::Endpoints,
];

/// The limit of events for a run; no correct run needs so many.
const MOST: usize = 20_000;
/// After this many events of a run no more faults happen.
const WRONG: usize = 500;
const OUTAGE: &str = "*";

impl Bed {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        Self {
            seed,
            chaos: Chaos::All,
            model: Model::new(&mut dice),
            dice,
            now: "2026-01-02T03:04:05Z".parse().expect("a time"),
            config: 7,
            strays: Vec::new(),
            surveyed: Vec::new(),
            writes: BTreeMap::new(),
            census: BTreeSet::new(),
        }
    }

    /// Makes a few runs with faults, then runs without faults until one finishes.
    pub(super) fn live(&mut self) {
        for _ in 0..1 + self.dice.roll(3) {
            self.run();
        }
        self.heal();
        for _ in 0..4 {
            if self.run() == Some(Exit::Yes) {
                self.check_all_current();
                return;
            }
        }
        panic!("seed {}: it does not come to an end", self.seed);
    }

    fn heal(&mut self) {
        self.chaos = Chaos::None;
        self.model.injector = Injector::Gives(TARGET);
        self.model.away.clear();
        // An hour later every write of a killed run has arrived.
        for stray in std::mem::take(&mut self.strays) {
            self.take_restart(&stray);
        }
        for place in 0..self.model.bodies.len() {
            self.model.bodies[place].fate = Fate::Ready;
            // A crashed pod recovers: let the controllers work until all pods are ready.
            let mut dice = Dice::new(1);
            for _ in 0..200 {
                self.model.step(place, &mut dice);
            }
        }
        self.now = after(self.now, SignedDuration::from_hours(1));
    }

    pub(super) fn check_all_current(&self) {
        for body in &self.model.bodies {
            // If a broken injector removed every proxy of a workload, a roll cannot fix it.
            let unmeshed = body.pods.iter().all(|pod| pod.proxy.is_none());
            assert!(
                (unmeshed || body.is_current()) && body.is_settled(),
                "seed {}: {} was left behind: {body:?}",
                self.seed,
                body.key
            );
        }
    }

    pub(super) fn check_one_write_each(&self) {
        for (key, writes) in &self.writes {
            assert_eq!(*writes, 1, "seed {}: {key}", self.seed);
        }
    }

    /// Makes one run of the tool, until it ends or crashes.
    pub(super) fn run(&mut self) -> Option<Exit> {
        let mut run = self.begin();
        let chaos = self.chaos;
        let exit = self.happenings(&mut run);
        self.chaos = chaos;
        self.census.extend(run.watcher.census());
        exit
    }

    fn happenings(&mut self, run: &mut Run) -> Option<Exit> {
        for number in 0..MOST {
            if let Some(finish) = &run.watcher.finish {
                return Some(finish.exit);
            }
            if number == WRONG {
                self.chaos = Chaos::None;
            }
            if self.goes_wrong(600) {
                // The run is killed; requests that were sent may still arrive.
                self.arrive(run);
                self.check_a_bug_names_what_is_in_flight(run);
                return None;
            }
            self.happen(run);
        }
        panic!("seed {}: a run does not end", self.seed);
    }

    fn check_a_bug_names_what_is_in_flight(&self, run: &mut Run) {
        let mut begun = Vec::new();
        for flight in &run.core.flying {
            let key = flight.item.task.key.clone();
            if flight.item.began {
                begun.push(key);
            } else {
                let watcher = &run.watcher;
                let is_written = watcher.asked.contains(&key) || watcher.written.contains_key(&key);
                assert!(!is_written, "seed {}: {key} is not begun", self.seed);
            }
        }
        let mut named = Vec::new();
        for action in run.core.abandoned() {
            if let Action::Emit(record) = action
                && let Record::Rolled(rolled) = *record
            {
                assert_eq!(rolled.outcome, Outcome::Interrupted, "seed {}", self.seed);
                named.push(rolled.identity);
            }
        }
        assert_eq!(named, begun, "seed {}", self.seed);
    }

    fn goes_wrong(&mut self, once_in: usize) -> bool {
        self.chaos == Chaos::All && self.dice.once_in(once_in)
    }

    fn begin(&mut self) -> Run {
        let limits = self.limits();
        let verdict_until = after(self.now, SignedDuration::from_mins(60));
        let mesh = self.mesh();
        let expected = mesh.clone();
        let settings = Settings {
            cluster: "model".to_owned(),
            paste: mesh_records::Paste::default(),
            cluster_uid: "model".to_owned(),
            wishes: Wishes {
                allow_outage: vec![OUTAGE.parse().expect("a selector")],
                max_unavailable: limits.pods,
                ..Wishes::default()
            },
            warnings: Vec::new(),
            kinds: KINDS.into(),
            expected: Expected {
                namespace: "linkerd".to_owned(),
                version: TARGET.to_owned(),
                config_resource_version: mesh.config_resource_version,
                injects: mesh.injects,
                anchors: None,
            },
            canary: limits.canary.clone(),
            group_by: limits.has_groups.then(|| RING.to_owned()),
            gate: limits.has_gate.then(|| "gate".parse().expect("a command")),
            max_in_flight: limits.most,
            max_failures: u32::try_from(limits.failures).unwrap_or(0),
            timeout: SignedDuration::from_mins(5),
            settle: limits.settle,
            deadline: None,
            verdict_until,
            dry_run: DryRun::None,
            fail_on_attention: false,
            refuses_forbidden: false,
            diff: false,
        };
        let tasks = self.survey();
        let mut run = Run {
            core: Roll::new(settings, tasks, self.now),
            watcher: Watcher::new(self.seed, limits, verdict_until, expected),
            watches: BTreeMap::new(),
            asked: Vec::new(),
            answers: Vec::new(),
            wake: None,
            signals: 0,
            lock: false,
            slow: None,
        };
        self.look(&mut run);
        run
    }

    fn limits(&mut self) -> Limits {
        // A canary that cannot begin is refused, however often the tool is run.
        let mut bodies = self.model.bodies.iter();
        let has_bare = bodies.any(|body| body.pods.iter().all(|pod| pod.proxy.is_none()));
        let is_refused = self.chaos == Chaos::None && has_bare;
        let canaries = [
            None,
            Some(Canary::First(1)),
            Some(Canary::Percent(50)),
            Some(Canary::Those("*/w*".parse().expect("a selector"))),
        ];
        // A workload that takes away more than all may could never begin.
        let bodies = self.model.bodies.iter();
        let away = bodies.map(|body| body.observed().takes_away);
        let most_at_once = away.max().unwrap_or(1).max(1);
        let canaries = &canaries[..canaries.len() - usize::from(is_refused)];
        Limits {
            most: 1 + self.dice.roll(3),
            failures: self.dice.roll(3),
            settle: SignedDuration::from_secs(*self.dice.pick(&[0, 1, 30])),
            pods: self.dice.once_in(3).then_some(most_at_once),
            canary: self.dice.pick(canaries).clone(),
            has_groups: self.dice.once_in(3),
            has_gate: self.dice.once_in(3),
        }
    }

    // The lists are read at different moments, and the world changes in between.
    fn look(&mut self, run: &mut Run) {
        let mut lists = WATCHES.to_vec();
        while !lists.is_empty() {
            let watch = lists.swap_remove(self.dice.roll(lists.len()));
            self.list(run, watch);
            if self.chaos == Chaos::All {
                for _ in 0..self.dice.roll(20) {
                    self.world(run);
                }
            }
        }
        if self.goes_wrong(3) {
            run.slow = Some(*self.dice.pick(&WATCHES));
        }
    }

    // A run may use the survey of an earlier run.
    fn survey(&mut self) -> Vec<Task> {
        if self.surveyed.is_empty() || self.dice.once_in(2) {
            let bodies = self.model.bodies.iter();
            let tasks = bodies.map(|body| Task {
                key: body.key.clone(),
                uid: body.uid.clone(),
                by: body.observed().roll.by,
                managed_by: None,
                stale_at: (!body.is_current()).then_some(self.now),
            });
            self.surveyed = tasks.collect();
        }
        self.surveyed.clone()
    }

    fn mesh(&self) -> Mesh {
        Mesh {
            version: Some(TARGET.to_owned()),
            config_resource_version: Some(self.config.to_string()),
            injects: Some(TARGET.to_owned()),
            anchors: None,
            silent: None,
        }
    }

    // Delivers a new list; events that were not delivered yet are lost.
    fn list(&mut self, run: &mut Run, watch: Watch) {
        let bodies = &self.model.bodies;
        let workloads = |kind: WorkloadKind| {
            let mine = bodies.iter().filter(|body| body.key.kind == kind);
            let changes = list_of(mine.map(Body::observed));
            let changes = changes.map(|change| Watched::Workload(kind.clone(), Box::new(change)));
            changes.collect()
        };
        let namespaces = ["a", "b"].into_iter();
        let queue = match watch {
            Watch::Pods => {
                let pods = bodies
                    .iter()
                    .flat_map(|body| body.pods.iter().map(|pod| body.seen(pod)));
                list_of(pods)
                    .map(|change| Watched::Pod(Box::new(change)))
                    .collect()
            }
            Watch::Deployments => workloads(WorkloadKind::Deployment),
            Watch::StatefulSets => workloads(WorkloadKind::StatefulSet),
            Watch::DaemonSets => workloads(WorkloadKind::DaemonSet),
            Watch::Namespaces => list_of(namespaces.map(rules))
                .map(Watched::Namespace)
                .collect(),
            Watch::Budgets => list_of(namespaces.map(budget))
                .map(|change| Watched::Budget(Box::new(change)))
                .collect(),
            Watch::Config => list_of([self.config_map()]).map(Watched::Config).collect(),
            Watch::Endpoints => list_of(PROXIES_NEED.map(endpoint))
                .map(Watched::Slice)
                .collect(),
        };
        run.watches.insert(watch, queue);
    }

    fn config_map(&self) -> ConfigMap {
        let mut config = ConfigMap::default();
        config.meta.name = CONFIG.to_owned();
        config.meta.resource_version = self.config.to_string();
        let values = format!("linkerdVersion: {TARGET}");
        config.data.insert("values".to_owned(), values);
        config
    }

    // Makes one random thing happen.
    fn happen(&mut self, run: &mut Run) {
        match self.dice.roll(10) {
            0..=2 => self.world(run),
            3..=6 => self.deliver(run),
            7 => self.serve(run),
            8 => self.answer(run),
            _ => self.pass_time(run),
        }
        if self.goes_wrong(40) {
            self.wrong(run);
        }
    }

    fn world(&mut self, run: &mut Run) {
        if self.dice.once_in(20)
            && let Some(stray) = self.strays.pop()
            && let Some(change) = self.take_restart(&stray)
        {
            self.show(run, vec![change]);
        }
        let bodies = self.model.bodies.iter().enumerate();
        let moving = bodies.filter(|(_, body)| !self.model.is_still(body));
        let moving: Vec<usize> = moving.map(|(place, _)| place).collect();
        // Without faults nothing is late.
        let place = match self.chaos {
            Chaos::None if !moving.is_empty() => *self.dice.pick(&moving),
            Chaos::None | Chaos::All => self.dice.roll(self.model.bodies.len()),
        };
        let changes = self.model.step(place, &mut self.dice);
        self.show(run, changes);
    }

    fn show(&mut self, run: &mut Run, changes: Vec<Changed>) {
        for change in changes {
            let (watch, watched) = match change {
                Changed::Workload(observed) => {
                    let kind = observed.key.kind.clone();
                    let change = Box::new(Change::Applied(*observed));
                    (watch_of(&kind), Watched::Workload(kind, change))
                }
                Changed::Pod(pod) => {
                    let change = Box::new(Change::Applied(*pod));
                    (Watch::Pods, Watched::Pod(change))
                }
                Changed::PodGone(pod) => {
                    let change = Box::new(Change::Deleted(*pod));
                    (Watch::Pods, Watched::Pod(change))
                }
            };
            run.watches.entry(watch).or_default().push_back(watched);
        }
    }

    fn deliver(&mut self, run: &mut Run) {
        let ready: Vec<Watch> = run
            .watches
            .iter()
            .filter(|(_, queue)| !queue.is_empty())
            .map(|(watch, _)| *watch)
            .collect();
        if ready.is_empty() {
            return self.pass_time(run);
        }
        let watch = *self.dice.pick(&ready);
        if run.slow == Some(watch) && !self.dice.once_in(30) {
            return;
        }
        let queue = run.watches.get_mut(&watch);
        let Some(watched) = queue.and_then(VecDeque::pop_front) else {
            return;
        };
        run.watcher.note(&watched);
        self.tell(run, Event::Watched(watched));
    }

    fn pass_time(&mut self, run: &mut Run) {
        self.now = after(self.now, SignedDuration::from_secs(1));
        if let Some(wake) = run.wake {
            let mut bodies = self.model.bodies.iter();
            let still = bodies.all(|body| self.model.is_still(body));
            let idle = still && run.asked.is_empty() && run.answers.is_empty();
            if idle && run.watches.values().all(VecDeque::is_empty) {
                self.now = self.now.max(wake);
            }
            if self.now >= wake {
                run.wake = None;
                self.tell(run, Event::Tick);
            }
        }
    }

    fn tell(&mut self, run: &mut Run, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in run.core.on(event, self.now) {
                run.watcher.see(&action, &self.model, self.now);
                match action {
                    Action::WakeAt(at) => run.wake = Some(at),
                    Action::Emit(_) | Action::Finish(_) => {}
                    Action::Confirm(key) => {
                        let lock = run.lock.then_some(()).ok_or_else(|| "gone".to_owned());
                        events.push_back(Event::Announced(key, lock));
                    }
                    Action::Announce(key, _) => {
                        if self.goes_wrong(60) {
                            run.watcher.told_to_stop.get_or_insert("nobody reads");
                            events.push_front(Event::ReaderGone);
                        }
                        let lock = if run.lock {
                            Ok(())
                        } else {
                            Err("gone".to_owned())
                        };
                        events.push_back(Event::Announced(key, lock));
                    }
                    Action::Ask(..)
                    | Action::Lock
                    | Action::Patch(_)
                    | Action::Evict(_)
                    | Action::Look(_)
                    | Action::Prepare(..)
                    | Action::ListLast(..)
                    | Action::ListProof(..)
                    | Action::ListProven(_)
                    | Action::Probe(_)
                    | Action::Compare(..)
                    | Action::Gate(..)
                    | Action::Nodes => run.asked.push(action),
                }
            }
        }
    }
}

fn list_of<T>(objects: impl IntoIterator<Item = T>) -> impl Iterator<Item = Change<T>> {
    let listed = Change::Listed {
        resource_version: String::new(),
    };
    let seen = objects.into_iter().map(Change::Seen);
    std::iter::once(Change::Began).chain(seen).chain([listed])
}

fn watch_of(kind: &WorkloadKind) -> Watch {
    if *kind == WorkloadKind::StatefulSet {
        Watch::StatefulSets
    } else if *kind == WorkloadKind::DaemonSet {
        Watch::DaemonSets
    } else {
        Watch::Deployments
    }
}

fn rules(namespace: &str) -> NamespaceRules {
    let mut meta = Meta::default();
    let annotations = &mut meta.annotations;
    annotations.insert("linkerd.io/inject".to_owned(), "enabled".to_owned());
    NamespaceRules {
        namespace: namespace.to_owned(),
        ends: false,
        rules: Rules::of(&meta),
    }
}

fn budget(namespace: &str) -> DisruptionBudget {
    let mut budget = DisruptionBudget::default();
    budget.meta.namespace = namespace.to_owned();
    budget.meta.name = "budget".to_owned();
    budget.spec.max_unavailable = Some(IntOrPercent::Int(1));
    let labels = [budget_label()];
    budget.spec.selector = Some(Selector {
        match_labels: labels.into(),
        match_expressions: Vec::new(),
    });
    budget
}

fn endpoint(service: &str) -> EndpointSlice {
    let mut slice = EndpointSlice::default();
    service.clone_into(&mut slice.meta.name);
    let label = (SERVICE.to_owned(), service.to_owned());
    slice.meta.labels = [label].into();
    slice.endpoints = vec![Endpoint::default()];
    slice
}
