//! The look at its pods before a workload is restarted.
//!
//! The watch of pods may lag behind that of their owner, and then shows the pods of before a rollout
//! that is over. A list that is taken after the owner was seen at rest does not; the write bears the
//! version that the owner was seen in, so that nothing has come in between.

use mesh_cluster::workload::rollout::PodSeen;

use super::flight::Flight;
use super::proof::is_current;
use super::start::PAUSE;
use super::{Roll, Stop};

/// How often the pods are listed when there is no answer.
const LISTS: u32 = 3;

impl Roll {
    pub(super) fn check(&mut self, place: usize) {
        let key = self.items[place].task.key.clone();
        let observed = self.world.workload(&key);
        let version = observed.map(|observed| observed.resource_version.clone());
        let flight = Flight::checking(version.unwrap_or_default(), self.now);
        self.fly_with(place, flight);
        self.list_pods(key);
    }

    /// Its pods are listed: only where one of them differs from a new one is anything to be done.
    pub(super) fn checked(
        &mut self,
        place: usize,
        version: String,
        pods: Result<Vec<PodSeen>, String>,
    ) {
        self.wait_again(place, None);
        if self.stop.is_some() {
            return;
        }
        match pods {
            Ok(pods) => {
                let mesh = self.world.target();
                let mut pods = pods.iter().filter(|pod| !pod.over);
                if pods.any(|pod| !is_current(pod, mesh)) {
                    self.announce(place, version);
                } else {
                    self.adopt(place);
                }
            }
            Err(why) => self.unlisted(place, &why),
        }
    }

    fn unlisted(&mut self, place: usize, why: &str) {
        let item = &mut self.items[place];
        item.unlisted += 1;
        if item.unlisted < LISTS {
            item.not_before = Some(self.now + PAUSE);
            return;
        }
        let what = format!("cannot list the pods of {}: {why}", item.task.key);
        self.stop(Stop::Blind(what));
    }
}
