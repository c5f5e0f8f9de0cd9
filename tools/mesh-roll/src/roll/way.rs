//! How a workload gets new pods in this run: what it allows (the survey's `roll`), and what the user
//! asks for (`--strategy`). Pure.

use mesh_cluster::workload::how::one_by_one;
use mesh_cluster::workload::rollout::Observed;
use mesh_records::{Downtime, Obstacle, Roll, RollBy, Strategy};

/// The user's choice (`--strategy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// As each workload allows.
    #[default]
    Auto,
    Restart,
    Evict,
}

/// Returns true if pods are taken away by evictions, of each of which the API server asks the budgets:
/// this tool's own, or those of Argo's controller.
pub(crate) fn evicts(strategy: Strategy) -> bool {
    match strategy {
        Strategy::Evict | Strategy::RestartAt => true,
        Strategy::Restart => false,
    }
}

/// Returns how a workload is rolled, or what stands in the way.
pub(crate) fn way(roll: &Roll, wanted: Wanted) -> Result<Strategy, Obstacle> {
    let Roll { by, reason } = roll;
    match roll.hindrance() {
        // The user rolls out the change of the template too that its owner holds back.
        Some(Obstacle::OnDelete) if wanted == Wanted::Evict => return Ok(Strategy::Evict),
        Some(obstacle) => return Err(obstacle),
        None => {}
    }
    match (wanted, by) {
        (Wanted::Evict, _) => Ok(Strategy::Evict),
        (_, RollBy::Restart) => Ok(Strategy::Restart),
        (_, RollBy::RestartAt) => Ok(Strategy::RestartAt),
        (Wanted::Auto, _) => Ok(Strategy::Evict),
        (Wanted::Restart, _) => match reason {
            // A restart works, unless the owner takes it back.
            Some(Obstacle::ForeignOwner) => Ok(Strategy::Restart),
            Some(reason) => Err(*reason),
            None => Err(Obstacle::NoRestart),
        },
    }
}

/// Returns how many pods a roll in this way takes away before their replacements are ready.
pub(crate) fn takes_away(observed: &Observed, strategy: Strategy) -> u32 {
    match strategy {
        Strategy::Restart | Strategy::RestartAt => observed.takes_away,
        Strategy::Evict => 1,
    }
}

/// Returns how much of a workload is down while it is rolled in this way.
pub(crate) fn downtime(observed: &Observed, strategy: Strategy) -> Downtime {
    match strategy {
        Strategy::Restart | Strategy::RestartAt => observed.downtime.clone(),
        Strategy::Evict => one_by_one(observed.pods.wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workload_decides_how_it_is_rolled_and_the_user_may_choose_otherwise_where_it_works() {
        use Obstacle::{
            BarePod, ForeignOwner, NoRestart, OnDelete, Partition, Paused, ScaledToZero,
        };
        use Strategy::{Evict, Restart, RestartAt};
        type Found = Result<Strategy, Obstacle>;
        let table: [(RollBy, Option<Obstacle>, [Found; 3]); 11] = [
            (RollBy::Restart, None, [Ok(Restart), Ok(Restart), Ok(Evict)]),
            (
                RollBy::RestartAt,
                None,
                [Ok(RestartAt), Ok(RestartAt), Ok(Evict)],
            ),
            (RollBy::Evict, None, [Ok(Evict), Err(NoRestart), Ok(Evict)]),
            (
                RollBy::Evict,
                Some(OnDelete),
                [Ok(Evict), Err(OnDelete), Ok(Evict)],
            ),
            (
                RollBy::Evict,
                Some(Partition),
                [Ok(Evict), Err(Partition), Ok(Evict)],
            ),
            (
                RollBy::Evict,
                Some(ForeignOwner),
                [Ok(Evict), Ok(Restart), Ok(Evict)],
            ),
            (
                RollBy::None,
                Some(OnDelete),
                [Err(OnDelete), Err(OnDelete), Ok(Evict)],
            ),
            (RollBy::None, Some(BarePod), [Err(BarePod); 3]),
            (RollBy::None, None, [Err(ForeignOwner); 3]),
            (RollBy::Restart, Some(Paused), [Err(Paused); 3]),
            (RollBy::Restart, Some(ScaledToZero), [Err(ScaledToZero); 3]),
        ];
        for (by, reason, expected) in table {
            let roll = Roll { by, reason };
            let found = [Wanted::Auto, Wanted::Restart, Wanted::Evict].map(|it| way(&roll, it));
            assert_eq!(found, expected, "{by:?} {reason:?}");
        }
    }
}
