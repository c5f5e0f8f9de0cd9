//! What is to be done with a workload, on the facts of this moment.

use jiff::Timestamp;
use mesh_cluster::rollout::{Observed, PodSeen, State, with_pods};
use mesh_records::{DowntimeGrade, Obstacle, WorkloadKind, WorkloadRef};

use super::proof::is_current;
use super::sight::Mesh;
use super::world::World;
use crate::select::{Choice, Selector};

/// What is to be done with a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Restart it.
    Restart,
    /// Wait for the rollout that is under way, whoever began it.
    Adopt,
    /// Leave it alone.
    Skip(Obstacle),
}

/// What the user wants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) choice: Choice,
    /// Workloads that may go down.
    pub(crate) allow_outage: Vec<Selector>,
}

/// A workload as it was surveyed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Task {
    pub(crate) key: WorkloadRef,
    pub(crate) uid: String,
    /// When it was seen with pods that differ from new ones, if it was.
    pub(crate) stale_at: Option<Timestamp>,
}

/// What is to be done with a workload now.
pub(crate) fn decide(task: &Task, world: &World, wishes: &Wishes, now: Timestamp) -> Decision {
    let Task { key, uid, stale_at } = task;
    if !wishes.choice.takes(key) {
        return Decision::Skip(Obstacle::NotSelected);
    }
    if let Some(obstacle) = kind_obstacle(&key.kind) {
        return Decision::Skip(obstacle);
    }
    let observed = world.workload(key);
    let Some(observed) = observed.filter(|observed| observed.uid == *uid && !observed.deleting)
    else {
        return Decision::Skip(Obstacle::Gone);
    };
    let pods: Vec<&PodSeen> = world.pods(key).collect();
    let mesh = world.target();
    let current = !pods.is_empty() && pods.iter().all(|pod| is_current(pod, mesh));
    if observed.under_way(now) && is_left_to_its_controller(observed) {
        return match with_pods(observed.standing, of_newest_template(observed, &pods)) {
            State::Ailing(_) | State::Failed(_) if current => Decision::Skip(Obstacle::Current),
            State::Ailing(_) | State::Failed(_) => Decision::Skip(Obstacle::Unhealthy),
            State::Progressing(_) | State::Settled | State::Blocked(_) | State::Superseded => {
                Decision::Adopt
            }
        };
    }
    if current && restarted_since(observed, *stale_at) {
        // A run that was killed began it and nobody has proven it yet.
        return Decision::Adopt;
    }
    if current {
        return Decision::Skip(Obstacle::Current);
    }
    match hindrance(observed, &pods, world, mesh, wishes) {
        Some(obstacle) => Decision::Skip(obstacle),
        None => Decision::Restart,
    }
}

fn restarted_since(observed: &Observed, stale_at: Option<Timestamp>) -> bool {
    let restarted_at = observed.restarted_at();
    let restarted_at = restarted_at.and_then(|value| value.parse::<Timestamp>().ok());
    restarted_at
        .zip(stale_at)
        .is_some_and(|(restarted_at, stale_at)| restarted_at >= stale_at)
}

fn hindrance(
    observed: &Observed,
    pods: &[&PodSeen],
    world: &World,
    mesh: &Mesh,
    wishes: &Wishes,
) -> Option<Obstacle> {
    let rules = world.rules(&observed.key.namespace);
    let injects = mesh.injects.as_deref().unwrap_or_default();
    if let Some(obstacle) = observed.obstacle(&rules, injects) {
        return Some(obstacle);
    }
    if !pods.is_empty() && pods.iter().all(|pod| pod.proxy.is_none()) {
        return Some(Obstacle::Unmeshed);
    }
    let settled = observed.standing == State::Settled;
    if !settled || pods.is_empty() || pods.iter().any(|pod| !pod.ready) {
        return Some(Obstacle::Unhealthy);
    }
    let key = &observed.key;
    let allowed = wishes.allow_outage.iter().any(|it| it.selects(key));
    (observed.downtime.grade == DowntimeGrade::Outage && !allowed).then_some(Obstacle::Outage)
}

// Its controller goes on with the rollout by itself.
fn is_left_to_its_controller(observed: &Observed) -> bool {
    matches!(observed.roll.reason, None | Some(Obstacle::ForeignOwner))
}

fn of_newest_template<'a>(
    observed: &'a Observed,
    pods: &'a [&'a PodSeen],
) -> impl Iterator<Item = &'a PodSeen> {
    let restart = observed.restarted_at();
    let pods = pods.iter().copied();
    pods.filter(move |pod| restart.is_some() && pod.restarted_at.as_deref() == restart)
}

fn kind_obstacle(kind: &WorkloadKind) -> Option<Obstacle> {
    match kind {
        WorkloadKind::Deployment | WorkloadKind::StatefulSet | WorkloadKind::DaemonSet => None,
        WorkloadKind::Job => Some(Obstacle::Job),
        WorkloadKind::CronJob => Some(Obstacle::CronJob),
        WorkloadKind::Pod => Some(Obstacle::BarePod),
        WorkloadKind::ReplicaSet
        | WorkloadKind::ReplicationController
        | WorkloadKind::Rollout
        | WorkloadKind::Other(_) => Some(Obstacle::ForeignOwner),
    }
}
