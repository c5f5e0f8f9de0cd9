//! How long the rollouts of a plan take, as far as the watches tell. Pure.

use jiff::SignedDuration;
use mesh_cluster::workload::rollout::{Observed, PodSeen};
use mesh_cluster::workload::steps::Steps;
use mesh_records::{Forecast, Strategy};

/// The API server's times have whole seconds, so a pod that was ready at once took up to this long.
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// Rollouts that begin when those before them are finished, so many at a time.
#[derive(Clone, Debug)]
pub(super) struct Wave {
    pub(super) slots: usize,
    /// In the order in which they begin; `None` where nothing tells.
    pub(super) durations: Vec<Option<SignedDuration>>,
}

/// Returns how long the rollout of a workload takes; `None` if nothing tells, such as pods that took
/// longer than `most`: they lost their readiness after they had got it.
pub(super) fn rollout<'a>(
    observed: &Observed,
    strategy: Strategy,
    pods: impl Iterator<Item = &'a PodSeen> + Clone,
    most: SignedDuration,
) -> Option<SignedDuration> {
    let last = match strategy {
        Strategy::Restart => last_rollout(observed, pods.clone()),
        Strategy::RestartAt | Strategy::Evict => None,
    };
    last.or_else(|| step_by_step(observed, strategy, pods, most))
}

// The time from the first pod of the newest template to the end of its rollout, if the pods of that
// rollout are all there: a later pod may stand for the first one.
fn last_rollout<'a>(
    observed: &Observed,
    pods: impl Iterator<Item = &'a PodSeen> + Clone,
) -> Option<SignedDuration> {
    let ended = observed.rolled_out?;
    let created = observed.newest_pods(pods).filter_map(|pod| pod.created);
    let created: Vec<_> = created.filter(|at| *at <= ended).collect();
    let wanted = usize::try_from(observed.pods.wanted).ok()?;
    let began = created.iter().min().filter(|_| created.len() == wanted)?;
    Some(ended.duration_since(*began).max(SECOND))
}

// Each step takes as long as the pods took to get ready, half of which are faster than the median.
fn step_by_step<'a>(
    observed: &Observed,
    strategy: Strategy,
    pods: impl Iterator<Item = &'a PodSeen>,
    most: SignedDuration,
) -> Option<SignedDuration> {
    let Steps { number, pause, .. } = observed.steps;
    let number = match strategy {
        Strategy::Restart | Strategy::RestartAt => number,
        Strategy::Evict => observed.pods.wanted,
    };
    let mut took: Vec<_> = pods.filter_map(PodSeen::got_ready_in).collect();
    took.sort_unstable();
    let median = took.len().saturating_sub(1) / 2;
    let median = took.get(median).filter(|took| **took <= most)?;
    let step = median.max(&SECOND).checked_add(pause)?;
    step.checked_mul(i32::try_from(number).ok()?)
}

/// Returns how long these waves take, each after the one before it, and `settle` after them; `None`
/// if there are no rollouts.
pub(super) fn whole(waves: &[Wave], settle: SignedDuration) -> Option<Forecast> {
    let durations = waves.iter().flat_map(|wave| &wave.durations);
    let all = durations.clone().count();
    let known = durations.flatten().count();
    if all == 0 {
        return None;
    }
    let takes = waves.iter().map(Wave::takes);
    let takes = takes.fold(settle, SignedDuration::saturating_add);
    Some(Forecast {
        seconds: (known > 0).then(|| seconds(takes)),
        unknown: u32::try_from(all.saturating_sub(known)).unwrap_or(u32::MAX),
    })
}

/// Returns whole seconds.
pub(super) fn seconds(takes: SignedDuration) -> u64 {
    u64::try_from(takes.as_secs()).unwrap_or(0)
}

// === impl Wave ===

impl Wave {
    // Each rollout takes the slot that is free first.
    fn takes(&self) -> SignedDuration {
        let known: Vec<SignedDuration> = self.durations.iter().copied().flatten().collect();
        let mut slots = vec![SignedDuration::ZERO; self.slots.min(known.len())];
        for takes in known {
            if let Some(first) = slots.iter_mut().min() {
                *first = first.saturating_add(takes);
            }
        }
        slots.into_iter().max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use mesh_cluster::object::{Deployment, Pod};

    use super::*;

    const MOST: SignedDuration = SignedDuration::from_mins(10);

    fn seconds_of(
        spec: &str,
        condition: &str,
        pods: &[(&str, &str)],
        strategy: Strategy,
    ) -> Option<i64> {
        let json = format!(
            r#"{{"metadata": {{"namespace": "shop", "name": "web", "annotations": {{"deployment.kubernetes.io/revision": "2"}}}},
            "spec": {{"replicas": 4 {spec}}}, "status": {{"updatedReplicas": 4, "conditions": [{{"type": "Progressing", {condition}}}]}}}}"#
        );
        let observed = Observed::of(&serde_json::from_str::<Deployment>(&json).unwrap());
        let pods: Vec<PodSeen> = pods
            .iter()
            .map(|(created, ready)| pod(created, ready))
            .collect();
        let takes = rollout(&observed, strategy, pods.iter(), MOST);
        takes.map(|takes| takes.as_secs())
    }

    // The times are minutes and seconds.
    fn pod(created: &str, ready: &str) -> PodSeen {
        let at = |time: &str| format!("2026-01-02T03:{time}Z");
        let ready = match ready {
            "" => r#"{"type": "Ready", "status": "False"}"#.to_owned(),
            ready => format!(
                r#"{{"type": "Ready", "status": "True", "lastTransitionTime": "{}"}}"#,
                at(ready)
            ),
        };
        let json = format!(
            r#"{{"metadata": {{"creationTimestamp": "{}", "labels": {{"pod-template-hash": "h"}}}}, "status": {{"conditions": [{ready}]}}}}"#,
            at(created)
        );
        PodSeen::of(&serde_json::from_str::<Pod>(&json).unwrap())
    }

    #[test]
    fn a_rollout_takes_as_long_as_the_last_one_or_its_steps_times_the_readiness_of_a_pod() {
        use Strategy::{Evict, Restart};
        let complete =
            r#""reason": "NewReplicaSetAvailable", "lastUpdateTime": "2026-01-02T03:01:30Z""#;
        let moving = r#""reason": "ReplicaSetUpdated", "lastUpdateTime": "2026-01-02T03:01:30Z""#;
        let four = [
            ("00:00", "00:20"),
            ("00:20", "00:40"),
            ("00:40", "01:02"),
            ("01:02", "01:30"),
        ];
        let replaced = [four[1], four[2], four[3], ("20:00", "20:20")];
        let flapped = [four[0], four[1], four[2], ("01:02", "59:00")];
        let alone = [("00:00", "59:00")];
        let slow = r#", "minReadySeconds": 10"#;
        // maxSurge and maxUnavailable are 25%: two of the four at a time.
        let table = [
            ("", complete, &four[..], Restart, Some(90)),
            ("", complete, &four, Evict, Some(80)),
            ("", moving, &four, Restart, Some(40)),
            ("", complete, &replaced, Restart, Some(40)),
            ("", moving, &flapped, Restart, Some(40)),
            (slow, moving, &four, Restart, Some(60)),
            ("", moving, &[("00:00", "00:00")], Restart, Some(2)),
            ("", moving, &alone, Restart, None),
            ("", moving, &[("00:00", "")], Restart, None),
            ("", moving, &[], Restart, None),
        ];
        for (number, (spec, condition, pods, strategy, expected)) in table.into_iter().enumerate() {
            let takes = seconds_of(spec, condition, pods, strategy);
            assert_eq!(takes, expected, "row {number}");
        }
    }

    #[test]
    fn a_plan_takes_its_waves_one_after_the_other_each_in_its_slots() {
        let wave = |slots, durations: &[i64]| Wave {
            slots,
            durations: durations
                .iter()
                .map(|takes| (*takes > 0).then(|| SignedDuration::from_secs(*takes)))
                .collect(),
        };
        let whole = |waves: &[Wave]| {
            let forecast = whole(waves, SignedDuration::from_secs(30))?;
            Some((forecast.seconds, forecast.unknown))
        };
        assert_eq!(whole(&[]), None);
        let table = [
            (vec![wave(1, &[10, 20])], Some(60), 0),
            // 50, and meanwhile 10, 20 and 40.
            (vec![wave(2, &[50, 10, 20, 40])], Some(100), 0),
            (vec![wave(9, &[50, 10]), wave(1, &[5])], Some(85), 0),
            (vec![wave(1, &[10, 0]), wave(1, &[0])], Some(40), 2),
            (vec![wave(1, &[0])], None, 1),
        ];
        for (waves, seconds, unknown) in table {
            assert_eq!(whole(&waves), Some((seconds, unknown)), "{waves:?}");
        }
    }
}
