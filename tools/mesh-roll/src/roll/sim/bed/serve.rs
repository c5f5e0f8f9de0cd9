//! The model's API server: executes requests and delivers or loses their answers.

use std::collections::BTreeMap;

use mesh_cluster::act::{Eviction, Restart};
use mesh_cluster::workload::proxy::ProxyVersion;
use mesh_cluster::workload::rollout::PodSeen;
use mesh_cluster::{Injected, Probe, Refusal, Refuser};
use mesh_records::{DowntimeGrade, VersionSource, WorkloadRef};

use super::super::super::{Action, Answer, Event, Evicted};
use super::super::model::{Changed, Injector, TARGET};
use super::{Bed, Run};

impl Bed {
    // Executes a request; its effect stays even if the answer is lost.
    pub(super) fn serve(&mut self, run: &mut Run) {
        if run.asked.is_empty() {
            return;
        }
        let number = self.dice.roll(run.asked.len());
        let action = run.asked.swap_remove(number);
        let event = match action {
            Action::Patch(restart) => self.patch(run, &restart),
            Action::Evict(eviction) => self.evict(run, &eviction),
            Action::Look(key) => {
                let observed = self.model.body(&key).observed();
                let lost = self.goes_wrong(10);
                let answer = if lost {
                    Err("cut".to_owned())
                } else {
                    Ok(Some(Box::new(observed)))
                };
                Event::Looked(key, answer)
            }
            Action::Prepare(key, _) => {
                let (pods, probe) = (self.list_pods(run, &key), self.probe());
                if self.may_restart(&key, probe.as_ref().ok().and_then(Option::as_ref)) {
                    run.watcher.probed.insert(key.clone());
                }
                Event::Prepared(key, pods, probe)
            }
            Action::ListLast(key, _) => {
                let pods = self.list_pods(run, &key);
                Event::ListedLast(key, pods)
            }
            Action::ListProof(key, _) => {
                let pods = self.list_pods(run, &key);
                Event::ListedProof(key, pods)
            }
            Action::ListProven(keys) => self.list_proven(run, &keys),
            Action::Probe(key) => Event::Probed(key, self.probe()),
            Action::Compare(key, sample) => Event::Compared(key, sample, self.probe()),
            Action::Nodes if self.goes_wrong(10) => Event::Nodes(None),
            Action::Nodes => Event::Nodes(Some(self.model.away.clone())),
            Action::Gate(..) if self.goes_wrong(4) => Event::Gated(Err("too slow".to_owned())),
            Action::Gate(..) => Event::Gated(Ok(String::new())),
            Action::Ask(..) => Event::Agreed,
            Action::Lock => {
                run.lock = true;
                Event::Locked(self.config.to_string())
            }
            Action::Announce(..)
            | Action::Confirm(_)
            | Action::Emit(_)
            | Action::WakeAt(_)
            | Action::Finish(_) => return,
        };
        run.answers.push(event);
    }

    fn list_pods(&mut self, run: &mut Run, key: &WorkloadRef) -> Result<Vec<PodSeen>, String> {
        let body = self.model.body(key);
        let pods: Vec<_> = body.pods.iter().map(|pod| body.seen(pod)).collect();
        run.watcher.lists.insert(key.clone(), pods.clone());
        if self.goes_wrong(10) {
            return Err("cut".to_owned());
        }
        Ok(pods)
    }

    fn list_proven(&mut self, run: &mut Run, keys: &[WorkloadRef]) -> Event {
        let bodies = self
            .model
            .bodies
            .iter()
            .filter(|body| keys.contains(&body.key));
        let pods = bodies.flat_map(|body| body.pods.iter().map(|pod| body.seen(pod)));
        let pods: Vec<PodSeen> = pods.collect();
        if self.goes_wrong(10) {
            return Event::ListedProven(Err("cut".to_owned()));
        }
        run.watcher.last_list = pods.clone();
        Event::ListedProven(Ok(pods))
    }

    fn patch(&mut self, run: &mut Run, restart: &Restart) -> Event {
        let key = restart.key.clone();
        run.watcher.asked.remove(&key);
        if self.goes_wrong(30) {
            return Event::Patched(key, Answer::Lost("refused to connect".to_owned()));
        }
        let Some(change) = self.take_restart(restart) else {
            return Event::Patched(key, Answer::Changed);
        };
        run.watcher
            .written
            .insert(key.clone(), restart.value.clone());
        let observed = self.model.body(&key).observed();
        self.show(run, vec![change]);
        if self.goes_wrong(10) {
            return Event::Patched(key, Answer::Lost("cut".to_owned()));
        }
        Event::Patched(key, Answer::Done(Box::new(observed)))
    }

    fn evict(&mut self, run: &mut Run, eviction: &Eviction) -> Event {
        let key = eviction.key.clone();
        run.watcher.asked.remove(&key);
        if self.goes_wrong(30) {
            return Event::Evicted(key, Evicted::Lost("refused to connect".to_owned()));
        }
        if self.goes_wrong(20) {
            let said = "The disruption budget x needs 1 healthy pods".to_owned();
            return Event::Evicted(key, Evicted::Disallowed(said));
        }
        let place = self.model.place(&key);
        let mut pods = self.model.bodies[place].pods.iter();
        let seed = self.seed;
        assert!(
            !pods.any(|pod| eviction.pod == pod.name && pod.proxy == Some(TARGET)),
            "seed {seed}: a pod of {key} was current already"
        );
        let Some(changes) = self.model.evict(place, &eviction.uid) else {
            return Event::Evicted(key, Evicted::Other);
        };
        run.watcher
            .written
            .insert(key.clone(), eviction.uid.clone());
        self.census.insert("Evicted".to_owned());
        self.show(run, changes);
        if self.goes_wrong(10) {
            return Event::Evicted(key, Evicted::Lost("cut".to_owned()));
        }
        Event::Evicted(key, Evicted::Done)
    }

    pub(super) fn take_restart(&mut self, restart: &Restart) -> Option<Changed> {
        let (seed, key) = (self.seed, &restart.key);
        let place = self.model.place(key);
        let before = self.model.bodies[place].clone();
        let version = &restart.resource_version;
        let change = self.model.restart(place, version, &restart.value)?;
        assert!(
            !before.is_current(),
            "seed {seed}: {key} was current already"
        );
        assert!(
            before.may_be_restarted(),
            "seed {seed}: {key} was on its way already: {before:?}"
        );
        *self.writes.entry(key.clone()).or_default() += 1;
        Some(change)
    }

    // A workload that takes an old pod away first makes room in a quota.
    fn may_restart(&self, key: &WorkloadRef, probe: Option<&Probe>) -> bool {
        match probe {
            Some(Probe::Injected(_)) => self.model.injector == Injector::Gives(TARGET),
            Some(Probe::Refused(_)) => {
                let observed = self.model.body(key).observed();
                observed.downtime.grade != DowntimeGrade::None
            }
            Some(Probe::NotInjected) | None => false,
        }
    }

    fn probe(&mut self) -> Result<Option<Probe>, String> {
        if self.goes_wrong(20) {
            return Err("cut".to_owned());
        }
        if self.goes_wrong(20) {
            return Ok(Some(Probe::Refused(Refusal {
                by: Refuser::Quota,
                words: "exceeded quota".to_owned(),
            })));
        }
        Ok(Some(match self.model.injector {
            Injector::Nothing => Probe::NotInjected,
            Injector::Gives(version) => Probe::Injected(Injected {
                version: ProxyVersion {
                    version: Some(version.to_owned()),
                    tag: None,
                    source: VersionSource::Image,
                },
                image: format!("m/proxy:{version}"),
                native: false,
                anchors: None,
                is_pinned: false,
                labels: BTreeMap::new(),
            }),
        }))
    }

    pub(super) fn answer(&mut self, run: &mut Run) {
        if run.answers.is_empty() {
            return;
        }
        let number = self.dice.roll(run.answers.len());
        let event = run.answers.swap_remove(number);
        if matches!(event, Event::Locked(_)) {
            run.watcher.lock = run.lock;
            run.watcher.begin();
        }
        if let Event::Gated(answer) = &event {
            run.watcher.gated(answer.is_ok());
        }
        if let Event::Patched(_, Answer::Done(observed)) | Event::Looked(_, Ok(Some(observed))) =
            &event
        {
            run.watcher.note_workload(observed);
        }
        self.tell(run, event);
    }

    // After a kill, each sent request is either executed or lost.
    pub(super) fn arrive(&mut self, run: &mut Run) {
        while !run.asked.is_empty() {
            if self.dice.once_in(2) {
                self.serve(run);
            } else if let Some(Action::Patch(restart)) = run.asked.pop() {
                self.strays.push(restart);
            }
        }
    }
}
