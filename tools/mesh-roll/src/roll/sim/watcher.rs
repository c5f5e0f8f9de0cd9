//! Checks that the core keeps its promises.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use mesh_cluster::Change;
use mesh_cluster::act::{Eviction, Restart};
use mesh_cluster::workload::rollout::{Observed, PodSeen};
use mesh_records::{
    Obstacle, Outcome, Record, SkipClass, Trouble, WorkloadKind, WorkloadRef, after,
};

use super::super::order::{Group, Rank, Wave};
use super::super::watched::{Mesh, Watched};
use super::super::{Action, Finish};
use super::model::{Body, Model, RING, TARGET, budget_label};
use crate::canary::Canary;

/// What the user of one run asks for.
#[derive(Clone, Debug, Default)]
pub(super) struct Limits {
    pub(super) most: usize,
    pub(super) failures: usize,
    pub(super) settle: SignedDuration,
    /// How many pods may be unavailable.
    pub(super) pods: Option<u32>,
    pub(super) canary: Option<Canary>,
    /// Whether the workloads are rolled by their rings.
    pub(super) has_groups: bool,
    /// Whether a command decides between two waves.
    pub(super) has_gate: bool,
}

/// What the core of one run was told, and what it did.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    pub(super) seed: u64,
    limits: Limits,
    /// The number of the wave of each workload of the plan.
    waves: BTreeMap<String, u32>,
    /// Whether the first wave is that of the canaries.
    has_canaries: bool,
    /// The last group that was written to.
    group: Option<Group>,
    proven_at: BTreeMap<WorkloadRef, Timestamp>,
    /// The last wave that has begun; whether a workload has ended since, and the gate has agreed since.
    begun: u32,
    has_ended: bool,
    has_agreed: bool,
    /// Why nothing may be written from now on.
    pub(super) told_to_stop: Option<&'static str>,
    pub(super) lock: bool,
    pub(super) plane_changed: bool,
    pub(super) verdict_until: Option<Timestamp>,
    /// Workloads whose own pod got the right proxy since their last write.
    pub(super) probed: BTreeSet<WorkloadRef>,
    pub(super) config: Option<Mesh>,
    pub(super) lists: BTreeMap<WorkloadRef, Vec<PodSeen>>,
    pub(super) bare: BTreeSet<WorkloadRef>,
    /// The workloads that were skipped because none of their pods had a proxy: another one says nothing.
    apart: BTreeSet<WorkloadRef>,
    workloads: BTreeMap<WorkloadRef, Observed>,
    pods: BTreeMap<String, Delivered>,
    /// The pods of a list that is not complete.
    coming: BTreeMap<String, Delivered>,
    listed_once: bool,
    rolling: bool,
    announced: BTreeSet<WorkloadRef>,
    /// Workloads that were announced at any time.
    named: BTreeSet<WorkloadRef>,
    /// Writes that have not been answered yet.
    pub(super) asked: BTreeSet<WorkloadRef>,
    pub(super) written: BTreeMap<WorkloadRef, String>,
    proofs: BTreeMap<WorkloadRef, Proof>,
    /// Proven workloads with a pod that failed afterwards.
    fallen: BTreeSet<WorkloadRef>,
    ended: BTreeMap<WorkloadRef, Outcome>,
    /// The workloads with a pod on a node that is not ready.
    left_on_nodes: BTreeSet<WorkloadRef>,
    /// The last list of the pods of all proven workloads.
    pub(super) last_list: Vec<PodSeen>,
    pub(super) finish: Option<Finish>,
}

// A pod that the core knows.
#[derive(Debug)]
struct Delivered {
    key: WorkloadRef,
    fresh: bool,
    bare: bool,
    /// Whether a budget counts it, and it is ready.
    counts: bool,
    ready: bool,
    /// Whether something is wrong with it besides.
    ill: bool,
    over: bool,
    template: Option<String>,
    created: Option<Timestamp>,
}

// What a workload was proven by.
#[derive(Debug)]
struct Proof {
    pods: BTreeSet<String>,
    /// There are two where somebody else changed the workload meanwhile.
    templates: BTreeSet<Option<String>>,
    /// Whether the core was told since then that all of them are ready.
    whole: bool,
    /// Whether the core was told last that too few of them are ready.
    short: bool,
    newest: Option<Timestamp>,
}

impl Watcher {
    pub(super) fn new(seed: u64, limits: Limits, verdict_until: Timestamp, config: Mesh) -> Self {
        Self {
            seed,
            limits,
            verdict_until: Some(verdict_until),
            config: Some(config),
            ..Self::default()
        }
    }

    /// Notes what the core is going to be told; it must not act against it afterwards.
    pub(super) fn note(&mut self, watched: &Watched) {
        match watched {
            Watched::Config(Change::Seen(config) | Change::Applied(config)) => {
                let expected = self.config.as_ref();
                let expected = expected.and_then(|mesh| mesh.config_resource_version.as_ref());
                self.plane_changed = expected != Some(&config.meta.resource_version);
            }
            Watched::Pod(change) => self.note_pod(change),
            Watched::Workload(_, change) => {
                if let Change::Seen(observed) | Change::Applied(observed) = &**change {
                    self.note_workload(observed);
                }
            }
            Watched::Config(_) | Watched::Namespace(_) | Watched::Budget(_) | Watched::Slice(_) => {
            }
        }
    }

    /// Notes a workload from a watch or an answer, unless a newer version is known.
    pub(super) fn note_workload(&mut self, observed: &Observed) {
        let version = |observed: &Observed| observed.resource_version.parse::<u64>().ok();
        let known = self.workloads.get(&observed.key);
        if known.is_none_or(|known| version(known) <= version(observed)) {
            self.workloads
                .insert(observed.key.clone(), observed.clone());
        }
    }

    fn note_pod(&mut self, change: &Change<PodSeen>) {
        match change {
            Change::Began => self.coming.clear(),
            Change::Seen(pod) => {
                let delivered = self.delivered(pod);
                self.coming.insert(pod.uid.clone(), delivered);
            }
            Change::Listed { .. } => {
                self.pods = std::mem::take(&mut self.coming);
                self.listed_once = true;
                self.look_for_bare_pods();
                self.look_for_fallen_pods();
            }
            Change::Applied(pod) => {
                let delivered = self.delivered(pod);
                self.pods.insert(pod.uid.clone(), delivered);
                self.look_for_bare_pods();
                self.look_for_fallen_pods();
            }
            Change::Deleted(pod) => {
                self.pods.remove(&pod.uid);
                self.look_for_fallen_pods();
            }
        }
    }

    fn delivered(&self, pod: &PodSeen) -> Delivered {
        let known = self.pods.get(&pod.uid);
        Delivered {
            key: pod.owner.clone().expect("every pod has an owner"),
            fresh: known.map_or(self.listed_once, |known| known.fresh),
            bare: pod.proxy.is_none(),
            counts: pod.ready && !pod.over && pod.labels.contains_key(&budget_label().0),
            ready: pod.ready,
            ill: pod.problem.is_some(),
            over: pod.over,
            template: pod.template.clone(),
            created: pod.created,
        }
    }

    /// Begins to count a new pod without a proxy as a failure.
    pub(super) fn begin(&mut self) {
        self.rolling = true;
        self.look_for_bare_pods();
    }

    fn look_for_bare_pods(&mut self) {
        for pod in self.pods.values() {
            if self.rolling && pod.fresh && pod.bare && !self.apart.contains(&pod.key) {
                self.told_to_stop.get_or_insert("a pod without a proxy");
                self.bare.insert(pod.key.clone());
            }
        }
    }

    // A pod that proved a workload, was told as ready, and is told as one that cannot run has failed, unless
    // enough other pods are ready or somebody else rolls the workload out.
    fn look_for_fallen_pods(&mut self) {
        for (key, proof) in &mut self.proofs {
            let mine = |pod: &&Delivered| pod.key == *key && !pod.over;
            if self
                .pods
                .values()
                .filter(mine)
                .any(|pod| !proof.templates.contains(&pod.template) && pod.created > proof.newest)
            {
                // From now on, it is somebody else's.
                proof.pods.clear();
            }
            let ready = self
                .pods
                .values()
                .filter(mine)
                .filter(|pod| pod.ready && proof.templates.contains(&pod.template))
                .count();
            proof.short = ready < proof.pods.len();
            if !proof.short {
                proof.whole = true;
            } else if proof.whole {
                let failed = proof.pods.iter().filter_map(|uid| self.pods.get(uid));
                if failed.filter(mine).any(|pod| !pod.ready && pod.ill) && self.rolling {
                    self.told_to_stop.get_or_insert("a proven pod failed");
                    self.fallen.insert(key.clone());
                }
            }
        }
    }

    pub(super) fn see(&mut self, action: &Action, model: &Model, now: Timestamp) {
        let seed = self.seed;
        assert!(self.finish.is_none(), "seed {seed}: acts after its end");
        match action {
            Action::Announce(key, _) => {
                self.announced.insert(key.clone());
                self.named.insert(key.clone());
            }
            Action::Confirm(key) => {
                assert!(self.named.contains(key), "seed {seed}: {key} is not named");
                self.announced.insert(key.clone());
            }
            Action::Emit(record) => self.record(record, model, now),
            Action::Patch(restart) => self.patch(restart, model, now),
            Action::Evict(eviction) => self.evict(eviction, model, now),
            Action::Finish(finish) => {
                self.check_jam(finish, model);
                self.check_watched(finish, now);
                self.finish(finish);
            }
            Action::Prepare(key, _) | Action::ListLast(key, _) => self.check_begun(key),
            Action::Ask(..)
            | Action::Lock
            | Action::Look(_)
            | Action::Gate(..)
            | Action::ListProof(..)
            | Action::ListProven(_)
            | Action::Probe(_)
            | Action::Compare(..)
            | Action::Nodes
            | Action::WakeAt(_) => {}
        }
    }

    // As far as the core was told, all other pods of the workload are there and ready.
    fn evict(&mut self, eviction: &Eviction, model: &Model, now: Timestamp) {
        let (seed, key) = (self.seed, &eviction.key);
        self.may_write(key, now);
        self.check_pace(key, model, now);
        let mine = self
            .pods
            .values()
            .filter(|pod| pod.key == *key && !pod.over);
        let ready = mine.filter(|pod| pod.ready).count();
        let wanted = model.body(key).wanted;
        assert!(
            ready >= wanted,
            "seed {seed}: {key} has {ready} of {wanted} pods"
        );
        self.asked.insert(key.clone());
    }

    fn may_write(&mut self, key: &WorkloadRef, now: Timestamp) {
        let seed = self.seed;
        assert_eq!(self.told_to_stop, None, "seed {seed}: {key} is started");
        assert!(self.lock, "seed {seed}: {key} is started without the lock");
        assert!(
            !self.plane_changed,
            "seed {seed}: {key}: another control plane"
        );
        let until = self.verdict_until.expect("a run has a verdict");
        assert!(now < until, "seed {seed}: {key}: the verdict is stale");
        assert!(
            self.announced.remove(key),
            "seed {seed}: {key} is written to unannounced"
        );
    }

    fn patch(&mut self, restart: &Restart, model: &Model, now: Timestamp) {
        let (seed, key) = (self.seed, &restart.key);
        self.may_write(key, now);
        assert!(
            self.probed.remove(key),
            "seed {seed}: {key}: nobody tried the injector for it"
        );
        let open: BTreeSet<&WorkloadRef> = self.open().filter(|other| *other != key).collect();
        assert!(
            open.len() < self.limits.most,
            "seed {seed}: {key} is one too many beside {open:?}"
        );
        let is_door = |key: &WorkloadRef| Rank::of(key, None, None).is_door;
        let doors = open.iter().chain([&key]).filter(|key| is_door(key));
        assert!(
            doors.count() == 0 || open.is_empty(),
            "seed {seed}: {key} is started beside {open:?}"
        );
        let body = model.body(key);
        for other in open {
            let other = model.body(other);
            let shared = body.budget && other.budget && body.key.namespace == other.key.namespace;
            assert!(!shared, "seed {seed}: {key} shares a budget");
        }
        self.check_budget(key, model, now);
        self.check_pace(key, model, now);
        self.asked.insert(key.clone());
    }

    // As far as the core was told: nobody rolls out another workload of the budget, and a restart
    // that takes a pod away leaves the budget its pods.
    fn check_budget(&self, key: &WorkloadRef, model: &Model, now: Timestamp) {
        let seed = self.seed;
        if !model.body(key).budget {
            return;
        }
        let mine = |body: &&Body| body.budget && body.key.namespace == key.namespace;
        let mut expected = 0;
        for body in model.bodies.iter().filter(mine) {
            expected += body.wanted;
            let known = self.workloads.get(&body.key);
            // What is left on a lost node keeps no budget.
            let rolls = known.is_some_and(|known| known.under_way(now)) && !body.is_stricken();
            let other = &body.key;
            assert!(
                other == key || !rolls,
                "seed {seed}: {key} is started beside a rollout of {other}"
            );
        }
        let pods = self.pods.values();
        let pods = pods.filter(|pod| pod.counts && pod.key.namespace == key.namespace);
        let (ready, surges) = (pods.count(), key.kind == WorkloadKind::Deployment);
        assert!(
            surges || ready >= expected,
            "seed {seed}: {key} is started, and its budget has {ready} of {expected} pods"
        );
    }

    // Canaries come first and are watched after their proof; groups come one after the other; and the
    // rollouts in flight together take away no more pods than they may.
    fn check_pace(&mut self, key: &WorkloadRef, model: &Model, now: Timestamp) {
        let seed = self.seed;
        if let Some(most) = self.limits.pods {
            let open = self.open().chain([key]);
            let open: BTreeSet<&WorkloadRef> = open.collect();
            let away = |key: &&WorkloadRef| model.body(key).observed().takes_away;
            let away: u32 = open.iter().map(away).sum();
            assert!(
                away <= most,
                "seed {seed}: {key} takes too many pods away beside {open:?}"
            );
        }
        let is_canary = |key: &str| self.has_canaries && self.waves.get(key) == Some(&1);
        if is_canary(&key.to_string()) {
            return;
        }
        let canaries = self.waves.keys().filter(|key| is_canary(key));
        let canaries: BTreeSet<&str> = canaries.map(String::as_str).collect();
        let is_chosen = |key: &WorkloadRef| canaries.contains(&*key.to_string());
        let ended = self.ended.iter().filter(|(key, _)| is_chosen(key));
        for (canary, outcome) in ended {
            let is_well = *outcome == Outcome::Proven;
            assert!(
                is_well,
                "seed {seed}: {key} is started after {canary}: {outcome:?}"
            );
        }
        let open = self.open().find(|key| is_chosen(key));
        assert_eq!(open, None, "seed {seed}: {key} is started beside a canary");
        let proven = self.proven_at.iter().filter(|(key, _)| is_chosen(key));
        let last = proven.map(|(_, at)| *at).max();
        if !canaries.is_empty() {
            let until = last.map(|at| after(at, self.limits.settle));
            let is_late = until.is_some_and(|until| now >= until);
            assert!(is_late, "seed {seed}: {key} is started before {until:?}");
        }
        let observed = model.body(key).observed();
        if let Wave::Tier(group, _) = Rank::of(key, Some(&observed), Some(RING)).wave
            && self.limits.has_groups
        {
            assert!(
                self.group.as_ref() <= Some(&group),
                "seed {seed}: {key} is late"
            );
            self.group = Some(group);
        }
    }

    // A wave is written to only when it has begun.
    fn check_begun(&self, key: &WorkloadRef) {
        let wave = self.waves.get(&key.to_string()).copied().unwrap_or(0);
        let seed = self.seed;
        let is_alone = self.waves.values().all(|it| *it == 1);
        assert!(
            is_alone || wave <= self.begun,
            "seed {seed}: {key} is written before its wave begins"
        );
    }

    // The gate agrees before a wave begins, if anything has ended that it was not told of.
    fn begins(&mut self, wave: u32) {
        let is_asked = self.has_agreed || !self.has_ended;
        let seed = self.seed;
        assert!(
            is_asked || !self.limits.has_gate,
            "seed {seed}: wave {wave} passes no gate"
        );
        self.begun = wave;
        self.has_ended = false;
        self.has_agreed = false;
    }

    /// Notes the answer of the gate.
    pub(super) fn gated(&mut self, agrees: bool) {
        self.has_agreed = agrees;
        if !agrees {
            self.told_to_stop.get_or_insert("the gate does not agree");
        }
    }

    fn record(&mut self, record: &Record, model: &Model, now: Timestamp) {
        if let Record::Intent(intent) = record {
            let deeds = intent.deeds.iter();
            let waves = deeds.filter_map(|deed| Some((deed.object.clone(), deed.wave?)));
            self.waves = waves.collect();
            let first = intent.waves.first();
            self.has_canaries = first.is_some_and(|title| *title == Wave::Canary.title(None));
        }
        if let Record::Progress(progress) = record
            && let Some(begins) = progress.message.strip_prefix("wave ")
            && let Some((number, _)) = begins.split_once(' ')
        {
            self.begins(number.parse().expect("a number"));
        }
        if let Record::Skipped(skipped) = record
            && self.has_canaries
            && skipped.class == SkipClass::Attention
            && self.waves.get(&skipped.identity.to_string()) == Some(&1)
            && self.begun > 0
        {
            self.told_to_stop.get_or_insert("a canary needs attention");
        }
        if let Record::Skipped(skipped) = record
            && skipped.reason == Obstacle::UnmeshedButAnnotated
        {
            self.apart.insert(skipped.identity.clone());
        }
        let Record::Rolled(rolled) = record else {
            return;
        };
        let seed = self.seed;
        let key = rolled.identity.clone();
        self.has_ended = true;
        // The gate was asked before it had seen this.
        self.has_agreed = false;
        if rolled.outcome == Outcome::Proven {
            self.proof(&key, model);
            self.proven_at.insert(key.clone(), now);
            self.watch_over(&key);
        }
        if rolled.reason == Some(Trouble::NodeNotReady) {
            self.left_on_nodes.insert(key.clone());
        }
        let before = self.ended.insert(key.clone(), rolled.outcome);
        // The failure of a rollout that somebody else began is not one of this run.
        let failed = self.ended.iter().filter(|(_, it)| **it == Outcome::Failed);
        let failed = failed.filter(|(key, _)| self.written.contains_key(*key));
        if failed.count() > self.limits.failures {
            self.told_to_stop.get_or_insert("too many failures");
        }
        let corrected = before != Some(Outcome::Failed) && rolled.outcome == Outcome::Failed;
        assert!(
            before.is_none() || corrected,
            "seed {seed}: {key} ends twice"
        );
    }

    fn proof(&self, key: &WorkloadRef, model: &Model) {
        let seed = self.seed;
        let pods = self.lists.get(key);
        let pods = pods.unwrap_or_else(|| panic!("seed {seed}: {key} is proven by no list"));
        assert!(!pods.is_empty(), "seed {seed}: {key} is proven by no pod");
        let restart = self.written.get(key);
        for pod in pods.iter().filter(|pod| !pod.over) {
            let version = pod
                .proxy
                .as_ref()
                .and_then(|proxy| proxy.version.version.as_deref());
            assert_eq!(version, Some(TARGET), "seed {seed}: {key} is no proof");
            assert!(
                pod.ready,
                "seed {seed}: {key} is proven by a pod that is not ready"
            );
            let bears = restart == model.body(key).restarted_at.as_ref();
            if bears && restart.is_some() {
                let ours = pod.restarted_at.as_ref() == restart;
                assert!(ours, "seed {seed}: {key} is proven by a pod from before");
            }
        }
    }

    fn watch_over(&mut self, key: &WorkloadRef) {
        let pods: Vec<&PodSeen> = self.lists[key].iter().filter(|pod| !pod.over).collect();
        let proof = Proof {
            pods: pods.iter().map(|pod| pod.uid.clone()).collect(),
            templates: pods.iter().map(|pod| pod.template.clone()).collect(),
            whole: false,
            short: true,
            newest: pods.iter().filter_map(|pod| pod.created).max(),
        };
        self.proofs.insert(key.clone(), proof);
        self.look_for_fallen_pods();
    }

    /// Returns the names of the things that happened in the run.
    pub(super) fn census(&self) -> impl Iterator<Item = String> {
        let ended = self.ended.values().map(|outcome| format!("{outcome:?}"));
        let away = self.left_on_nodes.iter();
        let ended = ended.chain(away.map(|_| "NodeNotReady".to_owned()));
        let exit = self
            .finish
            .iter()
            .map(|finish| format!("{:?}", finish.exit));
        let fallen = self.fallen.iter().map(|_| "Fallen".to_owned());
        let reasons = self.finish.iter().filter_map(|it| it.reason.as_ref());
        let reasons = reasons.flat_map(|reason| {
            let told = [("canary", "Canary"), ("the gate", "Gate")].into_iter();
            let told = told.filter(|(part, _)| reason.contains(part));
            told.map(|(_, word)| word.to_owned())
        });
        ended.chain(exit).chain(fallen).chain(reasons)
    }

    // Workloads that were written to and have no result yet.
    fn open(&self) -> impl Iterator<Item = &WorkloadRef> {
        let written = self.written.keys();
        let unended = written.filter(|key| !self.ended.contains_key(key));
        unended.chain(&self.asked)
    }

    // Whether the last list shows too few ready pods of a workload that nobody else rolls out.
    fn lacks(&self, key: &WorkloadRef, proof: &Proof) -> bool {
        let mine = |pod: &&PodSeen| pod.owner.as_ref() == Some(key) && !pod.over;
        let mut pods = self.last_list.iter().filter(mine);
        let is_mine = |pod: &PodSeen| proof.templates.contains(&pod.template);
        let is_foreign = |pod: &PodSeen| !is_mine(pod) && pod.created > proof.newest;
        if pods.clone().any(is_foreign) {
            return false;
        }
        let mut ready = pods.by_ref().filter(|pod| pod.ready && is_mine(pod));
        ready.by_ref().count() < proof.pods.len()
    }

    // Only what a run began may keep its slot until the run ends.
    fn check_jam(&self, finish: &Finish, model: &Model) {
        let seed = self.seed;
        let Some(reason) = &finish.reason else {
            return;
        };
        let by = model.bodies.iter().find(|body| {
            let keeps = [format!("{} keeps", body.key), format!("{} and", body.key)];
            keeps.iter().any(|keeps| reason.contains(keeps.as_str()))
        });
        let is_ours = by.is_none_or(|body| {
            let restarted = body.restarted_at.as_deref();
            body.on_delete || restarted.is_some_and(|at| at > "2026")
        });
        assert!(is_ours, "seed {seed}: somebody else ends it: {reason}");
    }

    // What is proven is watched for as long as was asked, whatever became of the others.
    fn check_watched(&self, finish: &Finish, now: Timestamp) {
        let seed = self.seed;
        let whole = [
            "a workload failed",
            "more workloads failed",
            "workloads are not finished",
        ];
        let reason = finish.reason.as_deref();
        let is_stopped = reason.is_some_and(|it| !whole.iter().any(|of| it.starts_with(of)));
        let proven = self.proofs.iter().filter(|(key, proof)| {
            let is_proven = self.ended.get(key) == Some(&Outcome::Proven);
            is_proven && !proof.pods.is_empty()
        });
        let last = proven.filter_map(|(key, _)| self.proven_at.get(key)).max();
        let until = last.map(|at| after(*at, self.limits.settle));
        assert!(
            is_stopped || until.is_none_or(|until| now >= until),
            "seed {seed}: it ends before {until:?}"
        );
    }

    fn finish(&mut self, finish: &Finish) {
        let seed = self.seed;
        let written = self.written.keys();
        let open: Vec<_> = written
            .filter(|key| !self.ended.contains_key(key))
            .collect();
        assert!(open.is_empty(), "seed {seed}: nothing is said of {open:?}");
        for key in &self.bare {
            let ended = self.ended.get(key);
            assert_eq!(
                ended,
                Some(&Outcome::Failed),
                "seed {seed}: {key} has a pod without a proxy"
            );
        }
        if finish.exit == mesh_cli::Exit::Yes {
            let short = self
                .proofs
                .iter()
                .find(|(key, proof)| self.lacks(key, proof));
            let short = short.map(|(key, _)| key);
            assert_eq!(
                short, None,
                "seed {seed}: it ends well, and pods are not ready"
            );
        }
        for key in &self.fallen {
            let ended = self.ended.get(key);
            assert_eq!(
                ended,
                Some(&Outcome::Failed),
                "seed {seed}: {key} was proven, and its pod failed"
            );
        }
        if self
            .ended
            .values()
            .any(|outcome| *outcome == Outcome::Failed)
        {
            let left = matches!(finish.exit, mesh_cli::Exit::No | mesh_cli::Exit::Signal(_));
            assert!(left, "seed {seed}: a failure ends as {:?}", finish.exit);
        }
        self.finish = Some(finish.clone());
    }
}
