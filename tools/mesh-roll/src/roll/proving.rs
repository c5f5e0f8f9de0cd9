//! Whether the pods of a rollout prove it, once its controller is done.

use jiff::Timestamp;
use mesh_cluster::workload::rollout::{PodSeen, Problem};
use mesh_records::{Outcome, WorkloadRef};

use super::conclusion::Conclusion;
use super::flight::{Awaits, Course, Flight, over};
use super::proof::{Lack, Proof, judge};
use super::state::Roll;
use super::watched::Mesh;

impl Flight {
    /// Returns the next step after a list of pods that was read after the controller was done.
    ///
    /// Returns an error for a pod without a proxy or with the wrong one.
    pub(crate) fn listed_proof(
        &mut self,
        pods: &[PodSeen],
        mesh: &Mesh,
        wanted: u32,
        now: Timestamp,
    ) -> Result<Course, Problem> {
        let image = self.item.image.as_deref();
        Ok(match judge(pods.iter(), mesh, self.ours(), image, wanted) {
            Proof::Proven(by) => over(Conclusion {
                proven: by,
                ..Conclusion::of(Outcome::Proven)
            }),
            Proof::Broken(problem) => return Err(problem),
            Proof::NotYet(lack) => match (lack, &self.superseded) {
                (Lack::OldPod, Some(by)) => over(Conclusion::taken_back(by)),
                (Lack::OldPod, None) if self.is_anothers() => Course::Again,
                (_, _) => {
                    self.later(Awaits::Rollout, now);
                    Course::Wait("its pods to prove it")
                }
            },
        })
    }
}

impl Roll {
    /// Handles the list of pods that was read after the controller was done.
    pub(super) fn listed_proof(&mut self, key: &WorkloadRef, pods: Result<Vec<PodSeen>, String>) {
        let now = self.now;
        let mesh = self.world.target().clone();
        let wanted = self.world.workload(key).map_or(0, |it| it.pods.wanted);
        let pods = pods.map(|pods| self.on_living_nodes(key, pods));
        let Some(flight) = self.flight_mut(key) else {
            return;
        };
        let Ok(pods) = pods else {
            flight.later(Awaits::Rollout, now);
            return;
        };
        match flight.listed_proof(&pods, &mesh, wanted, now) {
            Ok(course) => self.follow(key, course),
            Err(problem) => self.not_as_injected(key, problem),
        }
    }
}
