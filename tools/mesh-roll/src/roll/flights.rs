//! The workloads in flight: seen on, proven, ended.

use std::collections::BTreeSet;

use mesh_cluster::workload::rollout::{PodSeen, State, Wait};
use mesh_records::{Outcome, ProgressPods, Trouble, WorkloadRef};

use super::flight::{self, Clock, Course, Ending, Flight};
use super::proof::fault;
use super::say::Facts;
use super::start::{ending, interrupted};
use super::world::owner_of;
use super::{Action, Item, Phase, Roll, Stage, Stop};

impl Roll {
    /// Looks at every workload in flight.
    pub(super) fn fly(&mut self) {
        for place in self.flying.clone() {
            let mut clock = Clock {
                now: self.now,
                timeout: self.settings.timeout,
                deadline: self.settings.deadline,
                wake: self.wake,
            };
            let Item { task, stage, .. } = &mut self.items[place];
            let Stage::Flying(flight) = stage else {
                continue;
            };
            let course = flight.assess(&task.key, &task.uid, &self.world, &mut clock);
            self.wake = clock.wake;
            self.follow(place, course);
        }
    }

    fn follow(&mut self, place: usize, course: Course) {
        let key = self.items[place].task.key.clone();
        match course {
            Course::Wait("") => {}
            Course::Wait(reason) => self.tell(place, reason),
            Course::Verify => {
                self.set_stage(place, flight::Stage::Verifying);
                self.list_pods(key);
            }
            Course::AskNodes => {
                self.set_stage(place, flight::Stage::Nodes);
                self.out.push(Action::Nodes(key));
            }
            Course::Look => {
                self.set_stage(place, flight::Stage::Looking);
                self.out.push(Action::Look(key));
            }
            Course::Over(ending) => self.end_flight(place, ending),
            Course::Again => self.again(place),
        }
    }

    pub(super) fn list_pods(&mut self, key: WorkloadRef) {
        let observed = self.world.workload(&key);
        let selector = observed.map(|observed| observed.selector.query());
        let verify = Action::Verify(key, selector.unwrap_or_default());
        self.out.push(verify);
    }

    // Somebody else's rollout is over and its pods are not as they should be.
    fn again(&mut self, place: usize) {
        match self.stop.as_ref().map(Stop::trouble) {
            Some(trouble) => self.end_flight(place, interrupted(trouble)),
            None => {
                self.land(place);
                self.items[place].stage = Stage::Waiting;
            }
        }
    }

    fn tell(&mut self, place: usize, reason: &str) {
        let pods = self.counts(place);
        let Stage::Flying(flight) = &mut self.items[place].stage else {
            return;
        };
        let told = flight.told.as_ref();
        if told.is_some_and(|(before, why)| *before == pods && why == reason) {
            return;
        }
        flight.told = Some((pods, reason.to_owned()));
        let record = self.saying(place).waiting(pods, reason);
        self.emit(record);
    }

    pub(super) fn verified(&mut self, key: &WorkloadRef, pods: Result<Vec<PodSeen>, String>) {
        let Some(place) = self.flying_at(key) else {
            return;
        };
        let Stage::Flying(flight) = &mut self.items[place].stage else {
            return;
        };
        let mine = |pod: &PodSeen| owner_of(pod).is_some_and(|owner| owner == *key);
        let pods = pods.map(|pods| pods.into_iter().filter(mine).collect::<Vec<_>>());
        if flight.stage == flight::Stage::Checking {
            let version = std::mem::take(&mut flight.version);
            return self.checked(place, version, pods);
        }
        let Ok(pods) = pods else {
            flight.later(flight::Stage::Rolling, self.now);
            return;
        };
        let course = flight.verified(&pods, self.world.target(), self.now);
        let Course::Over(Ending {
            reason: Some(trouble @ (Trouble::NotInjected | Trouble::StillOld)),
            ..
        }) = course
        else {
            return self.follow(place, course);
        };
        if trouble == Trouble::StillOld && self.has_changed() {
            // The injector gives what the control plane is now, which is not what this run is for.
            return self.end_flight(place, ending(Outcome::Superseded, None));
        }
        self.break_off(place, trouble);
    }

    pub(super) fn nodes(&mut self, key: &WorkloadRef, nodes: &[String]) {
        let Some(place) = self.flying_at(key) else {
            return;
        };
        let Stage::Flying(flight) = &self.items[place].stage else {
            return;
        };
        let course = match self.world.workload(key) {
            Some(observed) => flight.timed_out(observed, &self.world, nodes),
            None => Course::Over(ending(Outcome::Gone, None)),
        };
        self.follow(place, course);
    }

    /// A pod that was created since the run began shows what the injector does. One that is not as
    /// it should be stops everything, whichever workload it belongs to.
    pub(super) fn check_fresh_pods(&mut self, key: &WorkloadRef) {
        if self.phase != Phase::Rolling {
            return;
        }
        let Some(&place) = self.places.get(key) else {
            return;
        };
        let Some(trouble) = self.fresh_fault(key) else {
            return;
        };
        self.break_off(place, trouble);
    }

    pub(super) fn check_all_pods(&mut self) {
        let keys: Vec<WorkloadRef> = self
            .items
            .iter()
            .map(|item| item.task.key.clone())
            .collect();
        for key in keys {
            self.check_fresh_pods(&key);
        }
    }

    fn break_off(&mut self, place: usize, trouble: Trouble) {
        if std::mem::replace(&mut self.items[place].broken, true) {
            return;
        }
        self.stop(Stop::Broken(trouble));
        if self.items[place].outcome != Some(Outcome::Failed) {
            self.end_flight(place, ending(Outcome::Failed, Some(trouble)));
        }
    }

    fn has_changed(&self) -> bool {
        let expected = &self.settings.expected;
        expected.change(self.world.mesh()).is_some()
    }

    fn fresh_fault(&self, key: &WorkloadRef) -> Option<Trouble> {
        let observed = self.world.workload(key)?;
        let mesh = self.world.target();
        let rules = self.world.rules(&key.namespace);
        let injects = mesh.injects.as_deref()?;
        // Nobody expects the default proxy there, unless it is this run that takes it away.
        if observed.injection_obstacle(&rules, injects).is_some() {
            return self.unmeshed_by_us(key);
        }
        // After the control plane has changed, another proxy is no fault of the injector's.
        let forgiven = self.has_changed().then_some(Trouble::StillOld);
        let pods = self.world.fresh_pods(key);
        let mut faults = pods.filter_map(|pod| fault(pod, mesh));
        faults.find(|trouble| Some(*trouble) != forgiven)
    }

    fn unmeshed_by_us(&self, key: &WorkloadRef) -> Option<Trouble> {
        let Stage::Flying(flight) = &self.items[*self.places.get(key)?].stage else {
            return None;
        };
        let ours = flight.restart.as_deref()?;
        let mut pods = self.world.fresh_pods(key);
        let bare = pods.any(|pod| pod.proxy.is_none() && pod.restarted_at.as_deref() == Some(ours));
        bare.then_some(Trouble::NotInjected)
    }

    /// Ends a workload: its record, its place in the tally, and what follows from a failure.
    pub(super) fn end_flight(&mut self, place: usize, ending: Ending) {
        let (since, new) = match &self.items[place].stage {
            Stage::Flying(flight) => (Some(flight.since), self.new_pods(place, flight)),
            Stage::Waiting | Stage::Over => (None, 0),
        };
        let facts = Facts {
            ending,
            target: self.world.target().injects.as_deref(),
            wanted: self.counts(place).wanted,
            new,
            since,
        };
        let record = self.saying(place).rolled(facts);
        self.emit(record);
        self.land(place);
        let item = &mut self.items[place];
        item.stage = Stage::Over;
        item.outcome = Some(ending.outcome);
        self.tally.ended(ending.outcome);
        if self.tally.failed > self.settings.max_failures {
            self.stop(Stop::Failures);
        }
    }

    fn new_pods(&self, place: usize, flight: &Flight) -> u32 {
        let key = &self.items[place].task.key;
        let Some(observed) = self.world.workload(key) else {
            return 0;
        };
        let pods = self.world.pods(key);
        let new = pods.filter(|pod| flight.is_new(pod, observed)).count();
        u32::try_from(new).unwrap_or(u32::MAX)
    }

    /// Everything in flight goes on without us.
    pub(super) fn interrupt(&mut self) {
        let trouble = self.stop.as_ref().map_or(Trouble::Stopped, Stop::trouble);
        for place in self.flying.clone() {
            self.end_flight(place, interrupted(trouble));
        }
    }

    pub(super) fn fly_with(&mut self, place: usize, flight: Flight) {
        self.items[place].stage = Stage::Flying(Box::new(flight));
        self.flying.push(place);
    }

    pub(super) fn land(&mut self, place: usize) {
        self.flying.retain(|other| *other != place);
    }

    pub(super) fn set_stage(&mut self, place: usize, stage: flight::Stage) {
        if let Stage::Flying(flight) = &mut self.items[place].stage {
            flight.stage = stage;
        }
    }

    pub(super) fn flying_at(&self, key: &WorkloadRef) -> Option<usize> {
        let place = *self.places.get(key)?;
        self.flying.contains(&place).then_some(place)
    }

    pub(super) fn counts(&self, place: usize) -> ProgressPods {
        let Some(observed) = self.world.workload(&self.items[place].task.key) else {
            return ProgressPods::default();
        };
        match observed.standing {
            // The status counts the pods of the template before.
            State::Progressing(Wait::Unobserved) => ProgressPods {
                updated: 0,
                ..observed.pods
            },
            State::Progressing(_)
            | State::Settled
            | State::Ailing(_)
            | State::Failed(_)
            | State::Blocked(_)
            | State::Superseded => observed.pods,
        }
    }

    /// Keeps the versions that it runs before it is touched.
    pub(super) fn note_versions(&mut self, place: usize) {
        let item = &self.items[place];
        let pods = self.world.pods(&item.task.key);
        let versions: BTreeSet<String> = pods
            .filter_map(|pod| {
                let version = &pod.proxy.as_ref()?.version;
                version.version.clone().or_else(|| version.tag.clone())
            })
            .collect();
        self.items[place].from = versions.into_iter().collect();
    }
}
