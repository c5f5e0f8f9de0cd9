//! The faults of a world, one at a time.

use mesh_cluster::{Asked, Change};

use super::super::super::Event;
use super::super::super::watched::Watched;
use super::super::model::Fate;
use super::{Bed, Run, WATCHES, Watch};

impl Bed {
    // Makes one random fault happen.
    pub(super) fn wrong(&mut self, run: &mut Run) {
        let place = self.dice.roll(self.model.bodies.len());
        match self.dice.roll(23) {
            0..=2 => {
                let change = self.model.touch(place);
                self.show(run, vec![change]);
            }
            3 => {
                let change = self.model.redeploy(place);
                self.show(run, vec![change]);
            }
            16 | 17 => {
                let changes = self.model.falter(place, &mut self.dice);
                self.show(run, changes);
            }
            18 | 19 => {
                let changes = self.model.drain(place, &mut self.dice);
                self.show(run, changes);
            }
            20..=22 => {
                let number = 1 + self.dice.roll(2);
                let changes = self.model.toggle(number);
                self.show(run, changes);
            }
            4..=6 => self.model.meddle(&mut self.dice),
            7 => {
                run.lock = false;
                run.watcher.lock = false;
                run.watcher.told_to_stop.get_or_insert("the lock is lost");
                self.tell(run, Event::LockLost("taken".to_owned()));
            }
            8 => {
                run.watcher.told_to_stop.get_or_insert("nobody reads");
                self.tell(run, Event::ReaderGone);
            }
            9 => {
                run.watcher.told_to_stop.get_or_insert("a signal");
                run.signals += 1;
                let asked = if run.signals == 1 {
                    Asked::Once(15)
                } else {
                    Asked::Again(15)
                };
                self.tell(run, Event::Asked(asked));
            }
            10 => {
                self.config += 1;
                let change = Watched::Config(Change::Applied(self.config_map()));
                let queue = run.watches.entry(Watch::Config).or_default();
                queue.push_back(change);
            }
            11 => self.model.bodies[place].fate = Fate::Crash,
            12 => self.model.bodies[place].fate = Fate::Unschedulable,
            13 | 14 => {
                let watch = *self.dice.pick(&WATCHES);
                self.list(run, watch);
            }
            _ => {
                // The lock is lost, but the core has not been told yet.
                run.lock = false;
                run.watcher.lock = false;
            }
        }
    }
}
