//! Evicts a workload's pods one by one: whose turn it is, and whether the last one was replaced. Pure.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use mesh_cluster::object::Template;
use mesh_cluster::workload::rollout::{Observed, PodSeen, Problem, State, Wait};
use mesh_records::{Trouble, WorkloadKind, after};

use super::proof::is_current;
use super::watched::Mesh;

/// How far the evictions of one workload are.
#[derive(Debug)]
pub(crate) struct Evicting {
    /// The uids of the pods from before the first eviction.
    old: BTreeSet<String>,
    /// The pod template at the first eviction: what the dry run showed is true of this one only.
    template: Template,
    /// The pod whose turn it was last.
    last: Option<Doomed>,
    /// Whether its eviction was announced.
    announced: bool,
    /// Whether its eviction was sent.
    pub(crate) sent: bool,
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
    /// Begins the evictions of a workload that has these pods, also those that have ended.
    pub(crate) fn new<'a>(
        pods: impl Iterator<Item = &'a PodSeen>,
        template: Template,
        now: Timestamp,
    ) -> Self {
        Self {
            old: pods.map(|pod| pod.uid.clone()).collect(),
            template,
            last: None,
            announced: false,
            sent: false,
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

    /// Returns the uids of the pods from before the first eviction.
    pub(crate) fn old(&self) -> &BTreeSet<String> {
        &self.old
    }

    /// Returns true if the pods still get the template of the first eviction.
    pub(crate) fn is_of(&self, template: &Template) -> bool {
        self.template == *template
    }

    /// Notes that it is the turn of a pod now. It is looked at again after a pause.
    pub(crate) fn ask(&mut self, doomed: Doomed, now: Timestamp) {
        if self.last.as_ref() != Some(&doomed) {
            self.since = now;
            self.refused = None;
            self.pause = PAUSE;
            self.announced = false;
            self.sent = false;
            self.last = Some(doomed);
        }
        self.not_before = after(now, self.pause);
    }

    /// Returns true if the eviction must be announced: once for each pod, however often it is tried.
    pub(crate) fn announce(&mut self) -> bool {
        !std::mem::replace(&mut self.announced, true)
    }

    /// Notes that the eviction is sent now.
    pub(crate) fn send(&mut self, now: Timestamp) {
        self.sent = true;
        self.not_before = after(now, self.pause);
    }

    /// Returns true if the pod whose turn it is may still go, as a list shows that was read after the
    /// eviction was announced.
    pub(crate) fn may_go(&self, observed: &Observed, listed: &[PodSeen], mesh: &Mesh) -> bool {
        let pods: Vec<&PodSeen> = listed.iter().filter(|pod| !pod.over).collect();
        let mine = |pod: &&&PodSeen| self.last.as_ref().is_some_and(|it| it.uid == pod.uid);
        let pod = pods.iter().find(mine);
        is_whole(observed, &pods) && pod.is_some_and(|pod| !is_current(pod, mesh))
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
        if !is_whole(observed, pods) {
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

/// Returns true if all the pods that a workload wants are there and available.
pub(crate) fn is_whole(observed: &Observed, pods: &[&PodSeen]) -> bool {
    let wanted = observed.pods.wanted;
    let enough = u32::try_from(pods.len()).is_ok_and(|there| there >= wanted);
    enough && pods.iter().all(|pod| pod.ready) && observed.available >= wanted
}

/// Returns how far a workload is whose pods are evicted. Its status is about templates, which evictions do
/// not change; only why its owner cannot create pods counts.
pub(crate) fn standing_of_evicted(observed: &Observed) -> State {
    match &observed.standing {
        State::HeldUp(problem) if problem.trouble == Trouble::ReplicaFailure => {
            State::HeldUp(problem.clone())
        }
        State::HeldUp(_)
        | State::Progressing(_)
        | State::Settled
        | State::Failed(_)
        | State::Superseded => State::Progressing(Wait::Availability),
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
        let mut evicting = Evicting::new(all.iter(), Template::default(), now);
        let first = Turn::Evict(doomed("db-10"));
        assert_eq!(turn(&evicting, 3, &all, now), first, "the highest ordinal");
        assert_eq!(turn(&evicting, 2, &all, now), Turn::Short, "not available");
        assert_eq!(
            turn(&evicting, 3, &all[..2], now),
            Turn::Short,
            "one is missing"
        );

        evicting.ask(doomed("db-10"), now);
        assert!(evicting.announce(), "announced");
        evicting.ask(doomed("db-10"), now);
        assert!(!evicting.announce(), "and only once");
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
    fn a_pod_goes_only_if_a_list_from_after_the_announcement_shows_all_the_others_ready() {
        let now: Timestamp = NOW.parse().unwrap();
        let mesh = Mesh {
            injects: Some(NEW.to_owned()),
            ..Mesh::default()
        };
        let all = ["db-0", "db-1", "db-2"].map(|name| pod(name, OLD, true));
        let mut evicting = Evicting::new(all.iter(), Template::default(), now);
        evicting.ask(doomed("db-2"), now);
        let may_go = |pods: &[PodSeen]| evicting.may_go(&set(3), pods, &mesh);
        assert!(may_go(&all));
        assert!(!may_go(&all[1..]), "one is missing");
        assert!(!may_go(&all[..2]), "it is gone itself");
        let [zero, one, two] = all;
        let unready = [pod("db-0", OLD, false), one.clone(), two.clone()];
        assert!(!may_go(&unready), "another one is not ready");
        let ends = PodSeen { over: true, ..zero };
        assert!(!may_go(&[ends, one, two]), "another one is on its way out");
    }

    #[test]
    fn a_budget_is_asked_again_after_longer_and_longer_pauses_and_the_turn_goes_on() {
        let now: Timestamp = NOW.parse().unwrap();
        let all = ["db-0", "db-1", "db-2"].map(|name| pod(name, OLD, true));
        let mut evicting = Evicting::new(all.iter(), Template::default(), now);
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
