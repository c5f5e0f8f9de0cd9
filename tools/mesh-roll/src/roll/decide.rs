//! Decides what to do with a workload, from the latest facts.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use mesh_cluster::act::MANAGER;
use mesh_cluster::workload::rollout::{Observed, PodSeen, State, with_pods};
use mesh_records::{DowntimeGrade, Obstacle, RollBy, Strategy, WorkloadKind, WorkloadRef};

use super::budget;
use super::evicting::is_whole;
use super::proof::is_current;
use super::way::{Wanted, downtime, evicts, takes_away, way};
use super::world::World;
use crate::select::{Choice, Selector};

/// What to do with a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Give it new pods in this way.
    Roll(Strategy),
    /// Give it new pods in this way once it is healthy; it is not now.
    Later(Strategy),
    /// Wait for a rollout that is already in progress, whoever started it.
    Adopt,
    /// Do not roll it, for this reason.
    Skip(Obstacle),
}

/// The user's choices.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) choice: Choice,
    /// Workloads that may be down during the roll (`--allow-outage`).
    pub(crate) allow_outage: Vec<Selector>,
    /// The workloads that this user may not restart, with the RBAC rule that is missing.
    pub(crate) forbidden: BTreeMap<WorkloadRef, String>,
    /// Workloads that may be restarted against a budget that can never allow it (`--allow-budget`).
    pub(crate) allow_budget: Vec<Selector>,
    pub(crate) strategy: Wanted,
    /// How many pods of all workloads in flight may be unavailable (`--max-unavailable-pods`).
    pub(crate) max_unavailable: Option<u32>,
}

/// A workload from the survey.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Task {
    pub(crate) key: WorkloadRef,
    pub(crate) uid: String,
    /// When the survey saw that the workload needs a roll; `None` if it does not.
    pub(crate) stale_at: Option<Timestamp>,
    /// How the survey says that it gets new pods.
    pub(crate) by: RollBy,
    /// The GitOps tool or operator that the survey says manages it.
    pub(crate) managed_by: Option<String>,
}

/// For how long after its creation a pod may be one that an earlier, killed run waited for.
const YOUNG: SignedDuration = SignedDuration::from_mins(10);

/// Decides what to do with a workload now.
pub(crate) fn decide(task: &Task, world: &World, wishes: &Wishes, now: Timestamp) -> Decision {
    let Task {
        key, uid, stale_at, ..
    } = task;
    if !wishes.choice.takes(key) {
        return Decision::Skip(Obstacle::NotSelected);
    }
    if let Some(obstacle) = kind_obstacle(&key.kind) {
        return Decision::Skip(obstacle);
    }
    let is_forbidden = wishes.forbidden.contains_key(key);
    let observed = world.workload(key);
    // A kind that this user may not watch is not watched.
    if observed.is_none() && is_forbidden {
        return Decision::Skip(Obstacle::Forbidden);
    }
    let Some(observed) = observed.filter(|observed| observed.uid == *uid && !observed.deleting)
    else {
        return Decision::Skip(Obstacle::Gone);
    };
    if !wishes.choice.takes_labels(&observed.labels) {
        return Decision::Skip(Obstacle::NotSelected);
    }
    let pods: Vec<&PodSeen> = world.pods(key).collect();
    let current = !pods.is_empty() && pods.iter().all(|pod| is_current(pod, world.target()));
    let is_whole = is_whole(observed, &pods);
    // Whoever waits for this rollout waits in vain.
    if observed.stuck_behind(pods.iter().copied(), now).is_some() {
        return Decision::Skip(Obstacle::WorkloadUnhealthy);
    }
    if observed.under_way(now) && is_left_to_its_controller(observed) {
        return decide_under_way(task, observed, &pods, current, wishes, now);
    }
    // An earlier run was killed after this restart, so nobody has proven the workload yet; or after it
    // evicted the last old pod, whose replacement is not there or not ready yet.
    let is_left_off = !is_whole && was_evicted(observed, &pods, task, wishes.strategy, now);
    if current && (restarted_since(observed, *stale_at, now) || is_left_off) {
        return Decision::Adopt;
    }
    if current {
        return Decision::Skip(kept_as(observed, &pods, world, now));
    }
    decide_outdated(observed, &pods, world, wishes, now)
}

// Decides what to do with a workload whose controller is at a rollout, whoever began it.
fn decide_under_way(
    task: &Task,
    observed: &Observed,
    pods: &[&PodSeen],
    is_current: bool,
    wishes: &Wishes,
    now: Timestamp,
) -> Decision {
    let newest = observed.newest_pods(pods.iter().copied());
    match with_pods(observed.standing.clone(), newest, now) {
        State::Progressing(_) | State::Settled | State::Superseded => Decision::Adopt,
        // A recent restart may come from an earlier, killed run. Any other rollout with a
        // problem belongs to somebody else, and this run does not wait for it.
        State::HeldUp(_) if is_a_restart(observed, task.stale_at, now) => Decision::Adopt,
        // What this tool restarted and is not well is not done, whatever proxy its pods have.
        State::HeldUp(_) | State::Failed(_)
            if is_current && !is_ours(observed, task.stale_at, now) =>
        {
            Decision::Skip(Obstacle::Current)
        }
        State::HeldUp(_) if is_current => Decision::Skip(Obstacle::WorkloadUnhealthy),
        State::HeldUp(_) if wishes.forbidden.contains_key(&observed.key) => {
            Decision::Skip(Obstacle::Forbidden)
        }
        State::HeldUp(_) => {
            way(&observed.roll, wishes.strategy).map_or_else(Decision::Skip, Decision::Later)
        }
        State::Failed(_) => Decision::Skip(Obstacle::WorkloadUnhealthy),
    }
}

// Says why a workload is skipped whose pods are current, but for those that can neither stop nor start.
// What this tool restarted is not done while its pods are not well.
fn kept_as(observed: &Observed, pods: &[&PodSeen], world: &World, now: Timestamp) -> Obstacle {
    let mut left = world.stranded(&observed.key);
    let is_left = left.any(|pod| !is_current(pod, world.target()));
    let lasts = |since| now.duration_since(since) >= YOUNG;
    let is_ill = |pod: &&PodSeen| pod.problem.is_some() || pod.unready_since.is_some_and(lasts);
    match is_left || is_by_this_tool(observed) && pods.iter().any(is_ill) {
        true => Obstacle::WorkloadUnhealthy,
        false => Obstacle::Current,
    }
}

// Decides what to do with a workload that needs new pods and is not rolling out.
fn decide_outdated(
    observed: &Observed,
    pods: &[&PodSeen],
    world: &World,
    wishes: &Wishes,
    now: Timestamp,
) -> Decision {
    let strategy = match way(&observed.roll, wishes.strategy) {
        Ok(strategy) => strategy,
        Err(obstacle) => return Decision::Skip(obstacle),
    };
    match hindrance(observed, strategy, pods, world, wishes, now) {
        Some(obstacle) => Decision::Skip(obstacle),
        None if wishes.forbidden.contains_key(&observed.key) => Decision::Skip(Obstacle::Forbidden),
        None if !is_healthy(observed, strategy, pods, now) => Decision::Later(strategy),
        None if strategy == Strategy::Restart && world.is_full(observed) => {
            Decision::Later(strategy)
        }
        None => Decision::Roll(strategy),
    }
}

impl Decision {
    /// Returns how the workload gets new pods, now or later in the run.
    pub(crate) fn strategy(self) -> Option<Strategy> {
        match self {
            Self::Roll(strategy) | Self::Later(strategy) => Some(strategy),
            Self::Adopt | Self::Skip(_) => None,
        }
    }
}

/// Returns false for a workload that [`decide`] certainly does not adopt, at little cost.
pub(crate) fn may_be_adopted(observed: &Observed, task: &Task) -> bool {
    let is_whole = observed.pods.ready >= observed.pods.wanted;
    observed.standing != State::Settled
        || !is_whole
        || observed.restarted_at().is_some() && task.stale_at.is_some()
}

/// Returns true if an earlier run of this tool may have begun the rollout. Whoever wrote the last
/// restart is named beside it, unless the API server or its owner dropped that.
pub(crate) fn is_a_restart(
    observed: &Observed,
    stale_at: Option<Timestamp>,
    now: Timestamp,
) -> bool {
    if !observed.managers.of_restart.is_empty() && !is_by_this_tool(observed) {
        return false;
    }
    observed.restarted_recently(now) || restarted_since(observed, stale_at, now)
}

// Returns true if this tool wrote the last restart, however long ago, or may have.
fn is_ours(observed: &Observed, stale_at: Option<Timestamp>, now: Timestamp) -> bool {
    is_by_this_tool(observed) || is_a_restart(observed, stale_at, now)
}

// Returns true if this tool wrote the last restart.
fn is_by_this_tool(observed: &Observed) -> bool {
    let by = &observed.managers.of_restart;
    by.iter().any(|by| by == MANAGER)
}

fn restarted_since(observed: &Observed, stale_at: Option<Timestamp>, now: Timestamp) -> bool {
    let restarted_at = observed.restart_time(now);
    restarted_at
        .zip(stale_at)
        .is_some_and(|(restarted_at, stale_at)| restarted_at >= stale_at)
}

// Returns true if an earlier run may have evicted pods of the workload: it needed new ones at the time of
// the survey, or it is evicted and has a young pod.
fn was_evicted(
    observed: &Observed,
    pods: &[&PodSeen],
    task: &Task,
    wanted: Wanted,
    now: Timestamp,
) -> bool {
    let is_young = |pod: &&PodSeen| pod.created.is_some_and(|at| now.duration_since(at) < YOUNG);
    let is_evicted = way(&observed.roll, wanted) == Ok(Strategy::Evict);
    task.stale_at.is_some() || is_evicted && pods.iter().any(is_young)
}

fn hindrance(
    observed: &Observed,
    strategy: Strategy,
    pods: &[&PodSeen],
    world: &World,
    wishes: &Wishes,
    now: Timestamp,
) -> Option<Obstacle> {
    let rules = world.rules(&observed.key.namespace);
    let injects = world.target().injects.as_deref().unwrap_or_default();
    if let Some(obstacle) = observed.injection_obstacle(&rules, injects) {
        return Some(obstacle);
    }
    if !pods.is_empty() && pods.iter().all(|pod| pod.proxy.is_none()) {
        return Some(Obstacle::UnmeshedButAnnotated);
    }
    // Another time in that field would take back what somebody else intends; evictions leave it alone.
    if strategy == Strategy::RestartAt && observed.planned_restart(now).is_some() {
        return Some(Obstacle::RestartPlanned);
    }
    let key = &observed.key;
    let allowed = wishes.allow_outage.iter().any(|it| it.selects(key));
    if downtime(observed, strategy).grade == DowntimeGrade::Outage && !allowed {
        return Some(Obstacle::DowntimeOutage);
    }
    let most = wishes.max_unavailable;
    if most.is_some_and(|most| takes_away(observed, strategy) > most) {
        return Some(Obstacle::UnavailablePods);
    }
    let overridden = !evicts(strategy) && wishes.overrides_budgets(key);
    let forbidden = !overridden && budget::never(world, observed, strategy).is_some();
    forbidden.then_some(Obstacle::Budget)
}

fn is_healthy(observed: &Observed, strategy: Strategy, pods: &[&PodSeen], now: Timestamp) -> bool {
    // Evictions leave every pod at its own revision.
    let is_settled = observed.is_at_rest(now)
        || strategy == Strategy::Evict && observed.is_held_back_whole() && is_whole(observed, pods);
    let is_short = strategy == Strategy::Evict && !is_whole(observed, pods);
    is_settled && !is_short && !pods.is_empty() && pods.iter().all(|pod| pod.ready)
}

// === impl Wishes ===

impl Wishes {
    /// Returns true if a budget that can never allow the restart of this workload is ignored.
    pub(crate) fn overrides_budgets(&self, key: &WorkloadRef) -> bool {
        self.allow_budget.iter().any(|it| it.selects(key))
    }
}

// Returns true if the controller finishes the rollout by itself.
fn is_left_to_its_controller(observed: &Observed) -> bool {
    matches!(observed.roll.reason, None | Some(Obstacle::ForeignOwner))
}

fn kind_obstacle(kind: &WorkloadKind) -> Option<Obstacle> {
    match kind {
        WorkloadKind::Deployment
        | WorkloadKind::StatefulSet
        | WorkloadKind::DaemonSet
        | WorkloadKind::ReplicaSet
        | WorkloadKind::ReplicationController
        | WorkloadKind::Rollout => None,
        WorkloadKind::Job => Some(Obstacle::Job),
        WorkloadKind::CronJob => Some(Obstacle::CronJob),
        WorkloadKind::Pod => Some(Obstacle::BarePod),
        WorkloadKind::Other(_) => Some(Obstacle::ForeignOwner),
    }
}

#[cfg(test)]
mod tests {
    use mesh_cluster::Change;
    use mesh_cluster::object::label::CONFIG;
    use mesh_cluster::object::{ConfigMap, DaemonSet, Deployment, Namespace, Pod, StatefulSet};
    use mesh_cluster::workload::injection::Rules;

    use super::super::watched::{NamespaceRules, Watched};
    use super::super::world::KINDS;
    use super::*;

    const NOW: &str = "2026-01-02T03:04:05Z";
    const OLD: &str = "stable-2.13.7";
    const NEW: &str = "stable-2.14.10";
    const WELL: &str = r#""observedGeneration": 1, "updatedReplicas": 2, "replicas": 2, "readyReplicas": 2, "availableReplicas": 2,
        "currentRevision": "a", "updateRevision": "a""#;

    fn now() -> Timestamp {
        NOW.parse().unwrap()
    }

    // A workload, its namespace and its pods. A pod is the proxy's tag, if it has one, and whether
    // it is ready.
    struct Scene {
        kind: WorkloadKind,
        namespace: &'static str,
        spec: &'static str,
        template: &'static str,
        status: String,
        pods: Vec<(Option<&'static str>, bool)>,
        stale_at: Option<Timestamp>,
    }

    impl Default for Scene {
        fn default() -> Self {
            Self {
                kind: WorkloadKind::Deployment,
                namespace: r#""linkerd.io/inject": "enabled""#,
                spec: "",
                template: "",
                status: WELL.to_owned(),
                pods: vec![(Some(OLD), true), (Some(OLD), true)],
                stale_at: None,
            }
        }
    }

    impl Scene {
        fn decide(&self, wishes: &Wishes) -> Decision {
            let key = WorkloadRef {
                namespace: "shop".to_owned(),
                kind: self.kind.clone(),
                name: "web".to_owned(),
            };
            let mut world = World::new([key.clone()].into(), KINDS.into());
            let observed = self.observed();
            let change = Box::new(Change::Applied(observed));
            world.take(Watched::Workload(self.kind.clone(), change));
            let namespace = format!(
                r#"{{"metadata": {{"annotations": {{{}}}}}}}"#,
                self.namespace
            );
            let namespace: Namespace = serde_json::from_str(&namespace).unwrap();
            world.take(Watched::Namespace(Change::Applied(NamespaceRules {
                namespace: "shop".to_owned(),
                rules: Rules::of(&namespace.meta),
                ends: false,
            })));
            let values = format!("linkerdVersion: {NEW}");
            let mut config = ConfigMap::default();
            config.meta.name = CONFIG.to_owned();
            config.data.insert("values".to_owned(), values);
            world.take(Watched::Config(Change::Applied(config)));
            for (number, (proxy, ready)) in self.pods.iter().enumerate() {
                let pod = self.pod(number, *proxy, *ready);
                let change = Change::Applied(PodSeen::of(&pod));
                world.take(Watched::Pod(Box::new(change)));
            }
            let task = Task {
                key,
                uid: "u".to_owned(),
                stale_at: self.stale_at,
                by: RollBy::Restart,
                managed_by: None,
            };
            decide(&task, &world, wishes, now())
        }

        fn observed(&self) -> Observed {
            let Self {
                spec,
                template,
                status,
                ..
            } = self;
            let json = format!(
                r#"{{"metadata": {{"namespace": "shop", "name": "web", "uid": "u", "generation": 1, "labels": {{"team": "shop"}}}},
                "spec": {{"replicas": 2, "template": {{"metadata": {{"annotations": {{{template}}}}}, "spec": {{"containers": [{{"name": "web"}}]}}}} {spec}}}, "status": {{{status}}}}}"#
            );
            if self.kind == WorkloadKind::StatefulSet {
                Observed::of(&serde_json::from_str::<StatefulSet>(&json).unwrap())
            } else if self.kind == WorkloadKind::DaemonSet {
                Observed::of(&serde_json::from_str::<DaemonSet>(&json).unwrap())
            } else {
                Observed::of(&serde_json::from_str::<Deployment>(&json).unwrap())
            }
        }

        fn pod(&self, number: usize, proxy: Option<&str>, ready: bool) -> Pod {
            let owner = if self.kind == WorkloadKind::Deployment {
                r#""kind": "ReplicaSet", "name": "web-h""#.to_owned()
            } else {
                format!(r#""kind": "{}", "name": "web""#, self.kind)
            };
            let proxy =
                proxy.map(|tag| format!(r#"{{"name": "linkerd-proxy", "image": "m/p:{tag}"}}"#));
            let ready = if ready { "True" } else { "False" };
            let json = format!(
                r#"{{"metadata": {{"namespace": "shop", "name": "web-{number}", "labels": {{"pod-template-hash": "h"}},
                "ownerReferences": [{{"apiVersion": "apps/v1", {owner}, "uid": "u", "controller": true}}]}},
                "spec": {{"containers": [{}]}}, "status": {{"conditions": [{{"type": "Ready", "status": "{ready}"}}]}}}}"#,
                proxy.unwrap_or_default()
            );
            serde_json::from_str(&json).unwrap()
        }
    }

    fn scene(change: impl FnOnce(&mut Scene)) -> Scene {
        let mut scene = Scene::default();
        change(&mut scene);
        scene
    }

    #[test]
    fn the_own_labels_of_a_workload_select_it_and_not_those_of_its_pods() {
        let wishes = |labels: &str| Wishes {
            choice: Choice {
                labels: Some(labels.parse().unwrap()),
                ..Choice::default()
            },
            ..Wishes::default()
        };
        let decide = |labels| Scene::default().decide(&wishes(labels));
        assert_eq!(decide("team=shop"), Decision::Roll(Strategy::Restart));
        for labels in ["team=bank", "pod-template-hash"] {
            let found = decide(labels);
            assert_eq!(found, Decision::Skip(Obstacle::NotSelected), "{labels}");
        }
    }

    #[test]
    fn decide_restarts_adopts_or_skips_with_the_obstacle() {
        use Decision::{Adopt, Later, Roll, Skip};
        const RESTART: Decision = Roll(Strategy::Restart);
        let rolling = WELL.replace(r#""updatedReplicas": 2"#, r#""updatedReplicas": 1"#);
        let sick = WELL.replace(r#""availableReplicas": 2"#, r#""availableReplicas": 1"#);
        let restarted = r#""kubectl.kubernetes.io/restartedAt": "2026-01-02T03:00:00Z""#;
        let before = "2026-01-02T02:00:00Z".parse().ok();
        let after = "2026-01-02T03:01:00Z".parse().ok();
        let new = vec![(Some(NEW), true), (Some(NEW), true)];
        let table = [
            (scene(|_| {}), RESTART),
            (scene(|s| s.pods[0].0 = Some(NEW)), RESTART),
            (scene(|s| s.pods[0].0 = None), RESTART),
            (scene(|s| s.pods.clone_from(&new)), Skip(Obstacle::Current)),
            (
                scene(|s| s.pods = vec![(None, true), (None, true)]),
                Skip(Obstacle::UnmeshedButAnnotated),
            ),
            (scene(|s| s.pods[1].1 = false), Later(Strategy::Restart)),
            (scene(|s| s.status = sick), Later(Strategy::Restart)),
            (scene(|s| s.status.clone_from(&rolling)), Adopt),
            (
                scene(|s| {
                    s.status.clone_from(&rolling);
                    s.spec = r#", "paused": true"#;
                }),
                Skip(Obstacle::Paused),
            ),
            (
                scene(|s| s.spec = r#", "paused": true"#),
                Skip(Obstacle::Paused),
            ),
            (
                scene(|s| s.spec = r#", "strategy": {"type": "Recreate"}"#),
                Skip(Obstacle::DowntimeOutage),
            ),
            (
                scene(|s| s.template = r#""config.linkerd.io/proxy-version": "stable-2.13.7""#),
                Skip(Obstacle::VersionPinned),
            ),
            (
                scene(|s| s.template = r#""config.linkerd.io/proxy-version": "stable-2.14.10""#),
                RESTART,
            ),
            (
                scene(|s| s.template = r#""linkerd.io/inject": "disabled""#),
                Skip(Obstacle::WouldLoseProxy),
            ),
            (scene(|s| s.namespace = ""), Skip(Obstacle::WouldLoseProxy)),
            (scene(|s| s.pods.clear()), Later(Strategy::Restart)),
            (
                scene(|s| {
                    s.pods[1].1 = false;
                    s.namespace = "";
                }),
                Skip(Obstacle::WouldLoseProxy),
            ),
            (
                scene(|s| {
                    s.kind = WorkloadKind::StatefulSet;
                    s.spec = r#", "updateStrategy": {"rollingUpdate": {"partition": 1}}"#;
                }),
                Roll(Strategy::Evict),
            ),
            (
                scene(|s| {
                    s.kind = WorkloadKind::StatefulSet;
                    s.spec = r#", "updateStrategy": {"type": "OnDelete"}"#;
                }),
                Roll(Strategy::Evict),
            ),
            (
                scene(|s| {
                    s.kind = WorkloadKind::StatefulSet;
                    s.spec = r#", "updateStrategy": {"type": "OnDelete"}"#;
                    let status =
                        WELL.replace(r#""updateRevision": "a""#, r#""updateRevision": "b""#);
                    s.status = status.replace(r#""updatedReplicas": 2"#, r#""updatedReplicas": 1"#);
                }),
                Skip(Obstacle::OnDelete),
            ),
            (scene(|s| s.kind = WorkloadKind::Job), Skip(Obstacle::Job)),
            (
                scene(|s| s.kind = WorkloadKind::Pod),
                Skip(Obstacle::BarePod),
            ),
            (
                scene(|s| {
                    s.pods.clone_from(&new);
                    s.template = restarted;
                    s.stale_at = before;
                }),
                Adopt,
            ),
            (
                scene(|s| {
                    s.pods.clone_from(&new);
                    s.template = restarted;
                    s.stale_at = after;
                }),
                Skip(Obstacle::Current),
            ),
            (
                scene(|s| {
                    s.kind = WorkloadKind::StatefulSet;
                    s.spec = r#", "updateStrategy": {"type": "OnDelete"}"#;
                    s.pods.clone_from(&new);
                    s.pods.pop();
                    s.stale_at = before;
                }),
                Adopt,
            ),
            (
                scene(|s| {
                    s.pods.clone_from(&new);
                    s.pods.pop();
                }),
                Skip(Obstacle::Current),
            ),
            (
                scene(|s| {
                    s.kind = WorkloadKind::StatefulSet;
                    s.spec = r#", "updateStrategy": {"type": "OnDelete"}"#;
                    s.pods.pop();
                }),
                Later(Strategy::Evict),
            ),
        ];
        for (number, (scene, expected)) in table.into_iter().enumerate() {
            let decision = scene.decide(&Wishes::default());
            assert_eq!(decision, expected, "row {number}");
        }
    }

    #[test]
    fn an_outage_needs_allow_outage_and_unselected_workloads_are_skipped() {
        let recreated = scene(|s| s.spec = r#", "strategy": {"type": "Recreate"}"#);
        let wishes = |allow: &str, exclude: &str| Wishes {
            choice: Choice {
                exclude: vec![exclude.parse().unwrap()],
                ..Choice::default()
            },
            allow_outage: vec![allow.parse().unwrap()],
            ..Wishes::default()
        };
        let table = [
            ("shop/web", "x", Decision::Roll(Strategy::Restart)),
            ("shop/db", "x", Decision::Skip(Obstacle::DowntimeOutage)),
            ("shop", "shop/w*", Decision::Skip(Obstacle::NotSelected)),
        ];
        for (allow, exclude, expected) in table {
            let decision = recreated.decide(&wishes(allow, exclude));
            assert_eq!(decision, expected, "{allow} {exclude}");
        }
    }
}
