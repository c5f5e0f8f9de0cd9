//! Evicts a workload's pods one by one: whose turn it is, and whether the last one was replaced. Pure.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use mesh_cluster::workload::rollout::{Observed, PodSeen, Problem};
use mesh_records::{WorkloadKind, after};

use super::proof::is_current;
use super::watched::Mesh;

/// How far the evictions of one workload are.
#[derive(Debug)]
pub(crate) struct Evicting {
    /// The uids of the pods from before the first eviction.
    old: BTreeSet<String>,
    /// The pod whose eviction was asked for last.
    last: Option<Doomed>,
    /// Since when it is this pod's turn.
    pub(crate) since: Timestamp,
    /// Why the API server did not allow the eviction.
    pub(crate) refused: Option<Problem>,
    not_before: Timestamp,
    pause: SignedDuration,
}

/// A pod that is to be evicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doomed {
    pub(crate) pod: String,
    pub(crate) uid: String,
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Evict(Doomed),
    /// The pod that was to be evicted is still there: look again then.
    Later(Timestamp),
    /// Not all pods are there and available.
    Short,
    /// Every pod is current.
    Done,
}

/// How long to wait before a pod is evicted again that is still there. A budget is asked again less
/// often, as `kubectl drain` does.
const PAUSE: SignedDuration = SignedDuration::from_secs(5);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(30);

// === impl Evicting ===

impl Evicting {
    /// Begins the evictions of a workload that has these pods.
    pub(crate) fn new<'a>(pods: impl Iterator<Item = &'a PodSeen>, now: Timestamp) -> Self {
        Self {
            old: pods.map(|pod| pod.uid.clone()).collect(),
            last: None,
            since: now,
            refused: None,
            not_before: now,
            pause: PAUSE,
        }
    }

    /// Returns true if a pod was created after the evictions began.
    pub(crate) fn is_new(&self, pod: &PodSeen) -> bool {
        !self.old.contains(&pod.uid)
    }

    /// Notes that a pod is asked to go now.
    pub(crate) fn ask(&mut self, doomed: Doomed, now: Timestamp) {
        if self.last.as_ref() != Some(&doomed) {
            self.since = now;
            self.refused = None;
            self.pause = PAUSE;
            self.last = Some(doomed);
        }
        self.not_before = after(now, self.pause);
    }

    /// Returns the pod whose eviction was asked for last.
    pub(crate) fn last(&self) -> Option<&Doomed> {
        self.last.as_ref()
    }

    /// Notes the answer: why the pod may not go, if it may not. It is asked again after a pause.
    pub(crate) fn answered(&mut self, refused: Option<Problem>, now: Timestamp) {
        if refused.is_some() {
            self.not_before = after(now, self.pause);
            self.pause = self.pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
        self.refused = refused;
    }

    /// Returns the next step. `pods` are the workload's pods that have not ended. No pod is evicted
    /// while another one is missing or is not available.
    pub(crate) fn turn(
        &self,
        observed: &Observed,
        pods: &[&PodSeen],
        mesh: &Mesh,
        now: Timestamp,
    ) -> Turn {
        let wanted = observed.pods.wanted;
        let enough = u32::try_from(pods.len()).is_ok_and(|there| there >= wanted);
        let whole = enough && pods.iter().all(|pod| pod.ready) && observed.available >= wanted;
        if !whole {
            return Turn::Short;
        }
        let last = self.last.as_ref();
        let last = pods
            .iter()
            .find(|pod| last.is_some_and(|last| last.uid == pod.uid));
        if last.is_some() && now < self.not_before {
            return Turn::Later(self.not_before);
        }
        // A new pod with the wrong proxy is not evicted: it would come back the same.
        let old = pods.iter().filter(|pod| !self.is_new(pod));
        let old = old.filter(|pod| !is_current(pod, mesh));
        let next = last.or_else(|| old.min_by_key(|pod| rank(&observed.key.kind, pod)));
        next.map_or(Turn::Done, |pod| {
            Turn::Evict(Doomed {
                pod: pod.name.clone(),
                uid: pod.uid.clone(),
            })
        })
    }
}

// Like its controller: the pods of a StatefulSet from the highest ordinal down, others by age.
fn rank<'a>(
    kind: &WorkloadKind,
    pod: &'a PodSeen,
) -> (Reverse<Option<u64>>, Option<Timestamp>, &'a str) {
    let ordinal = pod
        .name
        .rsplit('-')
        .next()
        .and_then(|text| text.parse().ok());
    let ordinal = ordinal.filter(|_| *kind == WorkloadKind::StatefulSet);
    (Reverse(ordinal), pod.created, &pod.name)
}

#[cfg(test)]
mod tests {
    use mesh_cluster::object::{Pod, StatefulSet};

    use super::*;

    const NOW: &str = "2026-01-02T03:04:05Z";

    fn set(ready: u32) -> Observed {
        let json = format!(
            r#"{{"metadata": {{"name": "db", "namespace": "shop"}}, "spec": {{"replicas": 3, "updateStrategy": {{"type": "OnDelete"}}}}, "status": {{"readyReplicas": {ready}}}}}"#
        );
        Observed::of(&serde_json::from_str::<StatefulSet>(&json).unwrap())
    }

    fn pod(name: &str, version: &str, is_ready: bool) -> PodSeen {
        let ready = if is_ready { "True" } else { "False" };
        let json = format!(
            r#"{{"metadata": {{"name": "{name}", "uid": "{name}/{version}", "creationTimestamp": "2026-01-01T00:00:00Z"}}, "spec": {{"containers": [{{"name": "linkerd-proxy", "image": "proxy:{version}"}}]}}, "status": {{"conditions": [{{"type": "Ready", "status": "{ready}"}}]}}}}"#
        );
        PodSeen::of(&serde_json::from_str::<Pod>(&json).unwrap())
    }

    const OLD: &str = "stable-2.13.7";
    const NEW: &str = "stable-2.14.10";

    fn turn(evicting: &Evicting, ready: u32, pods: &[PodSeen], now: Timestamp) -> Turn {
        let mesh = Mesh {
            injects: Some(NEW.to_owned()),
            ..Mesh::default()
        };
        let pods: Vec<&PodSeen> = pods.iter().collect();
        evicting.turn(&set(ready), &pods, &mesh, now)
    }

    fn doomed(name: &str) -> Doomed {
        Doomed {
            pod: name.to_owned(),
            uid: format!("{name}/{OLD}"),
        }
    }

    #[test]
    fn a_pod_is_evicted_only_while_all_are_available_and_the_next_only_after_the_last_is_replaced()
    {
        let now: Timestamp = NOW.parse().unwrap();
        let all = ["db-9", "db-10", "db-2"].map(|name| pod(name, OLD, true));
        let mut evicting = Evicting::new(all.iter(), now);
        let first = Turn::Evict(doomed("db-10"));
        assert_eq!(turn(&evicting, 3, &all, now), first, "the highest ordinal");
        assert_eq!(turn(&evicting, 2, &all, now), Turn::Short, "not available");
        assert_eq!(
            turn(&evicting, 3, &all[..2], now),
            Turn::Short,
            "one is missing"
        );

        evicting.ask(doomed("db-10"), now);
        evicting.answered(None, now);
        let again = after(now, PAUSE);
        assert_eq!(
            turn(&evicting, 3, &all, now),
            Turn::Later(again),
            "the watch may lag"
        );
        assert_eq!(turn(&evicting, 3, &all, again), first, "it did not go");

        let [nine, _, two] = all;
        let starting = [nine.clone(), pod("db-10", NEW, false), two.clone()];
        assert_eq!(turn(&evicting, 3, &starting, again), Turn::Short);
        let replaced = [nine, pod("db-10", NEW, true), two];
        assert_eq!(
            turn(&evicting, 2, &replaced, again),
            Turn::Short,
            "not for long enough"
        );
        assert_eq!(
            turn(&evicting, 3, &replaced, again),
            Turn::Evict(doomed("db-9"))
        );
        assert!(evicting.is_new(&replaced[1]) && !evicting.is_new(&replaced[0]));
        let done = ["db-9", "db-10", "db-2"].map(|name| pod(name, NEW, true));
        assert_eq!(turn(&evicting, 3, &done, again), Turn::Done);
    }

    #[test]
    fn a_budget_is_asked_again_after_longer_and_longer_pauses_and_the_turn_goes_on() {
        let now: Timestamp = NOW.parse().unwrap();
        let all = ["db-0", "db-1", "db-2"].map(|name| pod(name, OLD, true));
        let mut evicting = Evicting::new(all.iter(), now);
        let refused =
            super::super::conclusion::problem(mesh_records::Trouble::Budget, "no".to_owned());
        let mut at = now;
        for pause in [5, 10, 20, 30, 30] {
            evicting.ask(doomed("db-2"), at);
            evicting.answered(Some(refused.clone()), at);
            let next = after(at, SignedDuration::from_secs(pause));
            assert_eq!(turn(&evicting, 3, &all, at), Turn::Later(next));
            assert_eq!(turn(&evicting, 3, &all, next), Turn::Evict(doomed("db-2")));
            at = next;
        }
        assert_eq!(evicting.since, now, "one turn of one pod");
        evicting.ask(doomed("db-1"), at);
        assert_eq!((evicting.since, &evicting.refused), (at, &None));
    }
}
