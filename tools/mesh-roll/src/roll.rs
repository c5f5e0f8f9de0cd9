//! Rolls workloads: a pure state machine from events to actions.
//!
//! [`Roll::on`] takes an event and the time and returns actions in order; it never waits and does
//! no input or output. Every write passes the checks in [`start`] after the record that announces
//! it was written. Every run ends in [`end`].
//!
//! [`event`] has the events and actions, [`state`] what a run knows. The parts stand on it: [`plan`]
//! says what will be done, [`pace`] opens the waves, [`start`] begins workloads, [`probing`] asks the injector first,
//! [`evictions`] writes where a restart cannot,
//! [`flights`] follows what has begun, [`settle`] watches what is proven, [`recheck`] lists it once
//! more, [`end`] chooses the exit code.

mod awaits;
mod budget;
mod clock;
mod compare;
mod conclusion;
mod decide;
mod end;
mod event;
mod evicting;
mod evictions;
mod flight;
mod flights;
mod forecast;
mod fresh;
mod hold;
mod item;
mod known_nodes;
mod limits;
mod missing;
mod neighbours;
mod nodes;
mod order;
mod pace;
mod plan;
mod preview;
mod probing;
mod proof;
mod proving;
mod recheck;
mod say;
mod see;
mod settle;
mod skips;
mod slots;
mod start;
mod state;
mod tally;
mod timeout;
mod turn;
mod vigil;
mod watched;
mod waves;
mod way;
mod words;
mod world;
mod written;

#[cfg(test)]
mod sim;

use jiff::Timestamp;
use mesh_cluster::Asked;

pub(crate) use decide::{Task, Wishes};
pub(crate) use event::{Action, Answer, Event, Evicted, Finish, Sample};
pub(crate) use limits::Expected;
use limits::{Stop, Times};
use state::Phase;
pub(crate) use state::{Roll, Settings};
pub(crate) use watched::{NamespaceRules, PROXIES_NEED, Watched};
pub(crate) use way::Wanted;
pub(crate) use world::KINDS;

impl Roll {
    /// Returns the actions that follow from `event`.
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
                self.check_short();
                self.go_on();
                self.finish_if_done();
                self.wake_at_the_end();
            }
        }
        if let Some(wake) = self.wake
            && self.phase != Phase::Over
        {
            self.out.push(Action::WakeAt(wake));
        }
        std::mem::take(&mut self.out)
    }

    /// Returns the actions that name what is in flight, after a bug has ended the run.
    pub(crate) fn abandoned(&mut self) -> Vec<Action> {
        self.out.clear();
        self.interrupt();
        std::mem::take(&mut self.out)
    }

    // Whatever the workloads that are not started wait for, the wait has an end, and with it the time
    // for which the run holds the lock.
    fn wake_at_the_end(&mut self) {
        if self.stop.is_some() || self.waiting.is_empty() {
            return;
        }
        let Times {
            verdict_until,
            deadline,
        } = self.times();
        self.wake_at(deadline.map_or(verdict_until, |deadline| deadline.min(verdict_until)));
    }

    // Repeats until nothing changes, because a workload may be finished as soon as it is started,
    // such as an adopted rollout, and the last one of a wave opens the next.
    fn go_on(&mut self) {
        loop {
            self.fly();
            self.evict_next();
            let before = (self.flying.len(), self.waiting.len());
            self.start();
            if (self.flying.len(), self.waiting.len()) == before {
                return;
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Watched(watched) => {
                for key in self.world.take(watched) {
                    self.check_fresh_pods(&key);
                    self.check_proven(&key);
                    self.ask_nodes_in_flight(&key);
                }
            }
            Event::Agreed => self.agreed(),
            Event::Locked(version) => self.locked(&version),
            Event::Announced(key, lock) => {
                let flight = self.flight(&key);
                if flight.is_some_and(|flight| flight.evicting.is_some()) {
                    self.announced_eviction(&key, lock);
                } else {
                    self.announced(&key, lock);
                }
            }
            Event::Patched(key, answer) => self.patched(&key, answer),
            Event::Evicted(key, answer) => self.evicted(&key, answer),
            Event::Looked(key, answer) => self.looked(&key, answer),
            Event::Prepared(key, pods, probe) => self.prepared(&key, pods, probe),
            Event::Forbidden(key, why) => self.forbidden(&key, why),
            Event::ListedLast(key, pods) => self.looked_last(&key, pods),
            Event::ListedProof(key, pods) => self.listed_proof(&key, pods),
            Event::ListedProven(pods) => self.listed_proven(pods),
            Event::Probed(key, answer) => self.explained(&key, answer),
            Event::Compared(key, sample, answer) => self.compared(&key, &sample, &answer),
            Event::Gated(answer) => self.gated(answer),
            Event::Nodes(nodes) => self.nodes(nodes),
            Event::LockLost(why) => self.stop(Stop::LockLost(why)),
            Event::Blind(why) => {
                self.be_blind(format!("the cluster cannot be read any more: {why}"));
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
}
