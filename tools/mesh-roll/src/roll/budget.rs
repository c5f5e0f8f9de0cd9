//! PodDisruptionBudgets: which of them a workload touches, and whether they have room for its
//! restart.
//!
//! Kubernetes asks a budget only before an eviction; the controllers that perform a rollout ignore
//! it. It is this tool's policy that a restart respects budgets too.

use mesh_cluster::object::{DisruptionBudget, IntOrPercent};
use mesh_cluster::workload::rollout::{Observed, PodSeen};

use mesh_records::Strategy;

use super::way::{evicts, takes_away};
use super::world::World;

/// Why a budget does not allow a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lack {
    /// The budget's name.
    pub(crate) budget: String,
    /// What it does not allow, for people.
    pub(crate) said: String,
}

/// The pods that a budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Room {
    /// The pods that its workloads should have.
    expected: u32,
    /// How many pods must be ready.
    desired: u32,
    ready: u32,
    /// How many pods may be taken away now.
    allowed: u32,
}

/// Returns a budget that both workloads touch.
pub(crate) fn shared<'a>(
    world: &'a World,
    one: &Observed,
    other: &Observed,
) -> Option<&'a DisruptionBudget> {
    if one.key.namespace != other.key.namespace {
        return None;
    }
    let mut budgets = world.budgets(&one.key.namespace);
    budgets.find(|budget| touches(world, budget, one) && touches(world, budget, other))
}

/// Returns a budget that can never allow this restart, however many pods are ready.
pub(crate) fn never(world: &World, observed: &Observed, strategy: Strategy) -> Option<Lack> {
    let mut budgets = binding(world, observed, strategy);
    budgets.find_map(|(budget, need)| forbids(budget, &Room::of(world, budget), need))
}

/// Returns a budget that does not allow this restart now. Budgets that can never allow it are left
/// out if `overridden`.
pub(crate) fn no_room(
    world: &World,
    observed: &Observed,
    strategy: Strategy,
    overridden: bool,
) -> Option<Lack> {
    let mut budgets = binding(world, observed, strategy);
    budgets.find_map(|(budget, need)| {
        let room = Room::of(world, budget);
        let is_void = overridden && forbids(budget, &room, need).is_some();
        if is_void || need <= room.allowed {
            return None;
        }
        let Room {
            desired,
            ready,
            allowed,
            ..
        } = room;
        let said = if allowed == 0 {
            format!("allows no disruption: {ready} of its pods are ready, and {desired} must be")
        } else {
            format!(
                "allows {allowed} disruptions now, and the restart takes away {need} pods at once"
            )
        };
        Some(lack(budget, &said))
    })
}

// Admission may add labels that the template does not have, and since a while ago only: then only the
// dry run shows which budgets will count the new pods. In the middle of a rollout a workload
// may have no pod; then the labels of its last one count.
fn touches(world: &World, budget: &DisruptionBudget, observed: &Observed) -> bool {
    let last = world.last_labels(&observed.key);
    let future = world.future_labels(&observed.key);
    let mut pods = world.pods(&observed.key);
    budget.selects(&observed.template.meta.labels)
        || last.is_some_and(|labels| budget.selects(labels))
        || future.is_some_and(|labels| budget.selects(labels))
        || pods.any(|pod| budget.selects(&pod.labels))
}

// Returns the budgets that count pods which the roll takes away, with the number of those pods.
fn binding<'a>(
    world: &'a World,
    observed: &'a Observed,
    strategy: Strategy,
) -> impl Iterator<Item = (&'a DisruptionBudget, u32)> {
    let budgets = world.budgets(&observed.key.namespace);
    budgets.filter_map(move |budget| {
        let pods = world.pods(&observed.key);
        let counted = count(pods.filter(|pod| budget.selects(&pod.labels)));
        let takes = match evicts(strategy) {
            true => 1,
            false => takes_away(observed, strategy),
        };
        let need = takes.min(counted);
        (need > 0).then_some((budget, need))
    })
}

fn forbids(budget: &DisruptionBudget, room: &Room, need: u32) -> Option<Lack> {
    let most = room.expected.saturating_sub(desired(budget, room.expected));
    if need <= most {
        return None;
    }
    let expected = room.expected;
    let said = if most == 0 {
        let spec = &budget.spec;
        let spec = match (&spec.max_unavailable, &spec.min_available) {
            (Some(value), _) => format!("maxUnavailable is {value}"),
            (None, Some(value)) => format!("minAvailable is {value}"),
            (None, None) => "its spec has no value".to_owned(),
        };
        format!("can never allow a disruption: {spec} for {expected} pods")
    } else {
        format!(
            "can allow {most} disruptions at most, and the restart takes away {need} pods at once"
        )
    };
    Some(lack(budget, &said))
}

fn lack(budget: &DisruptionBudget, said: &str) -> Lack {
    let budget = budget.meta.name.clone();
    Lack {
        said: format!("PodDisruptionBudget {budget} {said}"),
        budget,
    }
}

// How many pods must be ready, computed like the disruption controller.
fn desired(budget: &DisruptionBudget, expected: u32) -> u32 {
    let spec = &budget.spec;
    match (&spec.max_unavailable, &spec.min_available) {
        (Some(value), _) => expected.saturating_sub(scaled(value, expected).unwrap_or(0)),
        (None, Some(value)) => scaled(value, expected).unwrap_or(expected),
        (None, None) => 0,
    }
}

// Percentages are rounded up.
fn scaled(value: &IntOrPercent, total: u32) -> Option<u32> {
    match value {
        IntOrPercent::Int(number) => u32::try_from(*number).ok(),
        IntOrPercent::Percent(text) => {
            let percent: u32 = text.strip_suffix('%')?.parse().ok()?;
            Some(total.saturating_mul(percent).div_ceil(100))
        }
    }
}

fn count<'a>(pods: impl Iterator<Item = &'a PodSeen>) -> u32 {
    u32::try_from(pods.count()).unwrap_or(u32::MAX)
}

// === impl Room ===

impl Room {
    // The status may be older than the spec, and older than the pods; the smaller room counts.
    fn of(world: &World, budget: &DisruptionBudget) -> Self {
        let pods = world.pods_in(&budget.meta.namespace);
        let pods = pods.filter(|pod| budget.selects(&pod.labels));
        let ready = count(pods.clone().filter(|pod| pod.ready));
        let status = &budget.status;
        let is_fresh = status.observed_generation >= budget.meta.generation.max(1);
        let mut expected = expected(world, budget, pods);
        if is_fresh {
            expected = expected.max(status.expected_pods);
        }
        let desired = if is_fresh {
            status.desired_healthy
        } else {
            desired(budget, expected)
        };
        let seen = ready.saturating_sub(desired);
        Self {
            expected,
            desired,
            ready,
            allowed: if is_fresh {
                seen.min(status.disruptions_allowed)
            } else {
                seen
            },
        }
    }
}

// Returns how many pods the budget's workloads should have, also those that have no pod now.
fn expected<'a>(
    world: &World,
    budget: &DisruptionBudget,
    pods: impl Iterator<Item = &'a PodSeen>,
) -> u32 {
    let workloads = world.workloads_in(&budget.meta.namespace);
    let workloads = workloads.filter(|observed| touches(world, budget, observed));
    // A pod on a node that is not ready is missing in the budget, as any other.
    let wanted = workloads.map(|observed| {
        let whole = world.whole(&observed.key);
        whole.unwrap_or(observed).pods.wanted
    });
    let is_known = |pod: &&PodSeen| {
        let owner = pod.owner.as_ref();
        owner.is_some_and(|key| world.workload(key).is_some() && world.is_own(key, pod))
    };
    let others = count(pods.filter(|pod| !is_known(pod)));
    wanted.fold(others, u32::saturating_add)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use mesh_cluster::Change;
    use mesh_cluster::object::{Deployment, Pod, StatefulSet};

    use super::super::watched::Watched;
    use super::super::world::KINDS;
    use super::*;

    const RESTART: Strategy = Strategy::Restart;

    fn read<T: serde::de::DeserializeOwned>(json: &str) -> T {
        serde_json::from_str(json).unwrap()
    }

    // A world with StatefulSets `a` and `b` of two pods and a Deployment `web` of eight. Admission
    // gave their pods the label `db`. As many pods are unready as told.
    fn world(budget: &str, unready: usize) -> World {
        let mut world = World::new(BTreeSet::new(), KINDS.into());
        world.take(Watched::Budget(Box::new(Change::Applied(read(budget)))));
        let mut left = unready;
        let owners = [
            ("StatefulSet", "a", 2),
            ("StatefulSet", "b", 2),
            ("ReplicaSet", "web-h", 8),
        ];
        for (kind, name, pods) in owners {
            for number in 0..pods {
                let ready = if left > 0 { "False" } else { "True" };
                left = left.saturating_sub(1);
                let pod: Pod = read(&format!(
                    r#"{{"metadata": {{"namespace": "shop", "name": "{name}-{number}", "uid": "{name}-{number}",
                    "labels": {{"db": "x", "app": "{name}", "pod-template-hash": "h"}},
                    "ownerReferences": [{{"apiVersion": "apps/v1", "kind": "{kind}", "name": "{name}", "uid": "u", "controller": true}}]}},
                    "status": {{"conditions": [{{"type": "Ready", "status": "{ready}"}}]}}}}"#
                ));
                world.take(Watched::Pod(Box::new(Change::Applied(PodSeen::of(&pod)))));
            }
        }
        for observed in [set("a"), set("b"), web("")] {
            world.take_workload(observed);
        }
        world
    }

    fn set(name: &str) -> Observed {
        let json = format!(
            r#"{{"metadata": {{"namespace": "shop", "name": "{name}"}}, "spec": {{"replicas": 2}}}}"#
        );
        Observed::of(&read::<StatefulSet>(&json))
    }

    fn web(strategy: &str) -> Observed {
        let json = format!(
            r#"{{"metadata": {{"namespace": "shop", "name": "web"}}, "spec": {{"replicas": 8, "strategy": {{{strategy}}}}}}}"#
        );
        Observed::of(&read::<Deployment>(&json))
    }

    fn budget(spec: &str, status: &str) -> String {
        format!(
            r#"{{"metadata": {{"namespace": "shop", "name": "x", "generation": 1}}, "spec": {{{spec}}}, "status": {{{status}}}}}"#
        )
    }

    #[test]
    fn a_budget_is_found_by_the_labels_that_admission_gave_the_pods() {
        let table = [
            (r#""selector": {"matchLabels": {"db": "x"}}"#, true),
            (r#""selector": {}"#, true),
            (r#""selector": {"matchLabels": {"app": "a"}}"#, false),
            (r#""minAvailable": 1"#, false),
        ];
        for (spec, expected) in table {
            let world = world(&budget(spec, ""), 0);
            let found = shared(&world, &set("a"), &set("b")).is_some();
            assert_eq!(found, expected, "{spec}");
        }
    }

    #[test]
    fn a_budget_is_found_by_the_labels_that_only_a_dry_run_shows() {
        let selector = r#""selector": {"matchLabels": {"team": "x"}}"#;
        let mut world = world(&budget(selector, ""), 0);
        let (one, other) = (set("a"), web(""));
        let team = || [("team".to_owned(), "x".to_owned())].into();
        assert_eq!(shared(&world, &one, &other), None);
        world.note_future_labels(&one.key, team());
        assert_eq!(shared(&world, &one, &other), None);
        world.note_future_labels(&other.key, team());
        assert!(shared(&world, &one, &other).is_some());
        // No pod has the label yet, so the restart takes none away from the budget.
        assert_eq!(no_room(&world, &one, RESTART, false), None);
    }

    #[test]
    fn an_eviction_takes_one_pod_away_whatever_a_restart_would_take() {
        let webs = r#""selector": {"matchLabels": {"app": "web-h"}}"#;
        let surge = r#""rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}"#;
        // Each row: how many pods may be unavailable, and whether that forbids a restart and an eviction.
        let table = [(1, "", true, false), (0, surge, false, true)];
        for (most, strategy, restart, eviction) in table {
            let spec = format!(r#"{webs}, "maxUnavailable": {most}"#);
            let world = world(&budget(&spec, ""), 0);
            let forbids = |by| never(&world, &web(strategy), by).is_some();
            let found = (forbids(RESTART), forbids(Strategy::Evict));
            assert_eq!(found, (restart, eviction), "{most}");
            // Argo's controller evicts, too.
            assert_eq!(forbids(Strategy::RestartAt), eviction, "{most}");
        }
    }

    #[test]
    fn only_a_restart_that_takes_pods_away_needs_room_and_a_void_budget_can_be_overridden() {
        let surge = r#""rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}"#;
        let (sets, webs) = (r#""a", "b""#, r#""web-h""#);
        // Each row: the budget's apps and bound, unready pods, the workload, what the budget can
        // never allow, and what it does not allow now. An empty text is for nothing.
        let table = [
            (sets, r#""maxUnavailable": 1"#, 0, set("a"), "", ""),
            (
                sets,
                r#""maxUnavailable": 1"#,
                1,
                set("b"),
                "",
                "allows no disruption: 3 of",
            ),
            (
                sets,
                r#""maxUnavailable": 0"#,
                0,
                set("a"),
                "maxUnavailable is 0 for 4",
                "",
            ),
            (
                sets,
                r#""maxUnavailable": "0%""#,
                0,
                set("a"),
                "maxUnavailable is 0%",
                "",
            ),
            (
                sets,
                r#""minAvailable": 4"#,
                0,
                set("a"),
                "minAvailable is 4 for 4",
                "",
            ),
            (sets, r#""minAvailable": 3"#, 0, set("a"), "", ""),
            (
                sets,
                r#""minAvailable": 3"#,
                1,
                set("b"),
                "",
                "allows no disruption: 3 of",
            ),
            (
                sets,
                r#""minAvailable": "100%""#,
                0,
                set("a"),
                "minAvailable is 100%",
                "",
            ),
            (sets, r#""minAvailable": "51%""#, 0, set("a"), "", ""),
            (
                webs,
                r#""maxUnavailable": 1"#,
                0,
                web(""),
                "1 disruptions at most",
                "",
            ),
            (webs, r#""maxUnavailable": 2"#, 0, web(""), "", ""),
            (webs, r#""maxUnavailable": 0"#, 0, web(surge), "", ""),
            (
                webs,
                r#""maxUnavailable": 4"#,
                7,
                web(""),
                "",
                "allows 1 disruptions now",
            ),
        ];
        for (number, (apps, bound, unready, observed, void, full)) in table.into_iter().enumerate()
        {
            let selector = format!(
                r#""selector": {{"matchExpressions": [{{"key": "app", "operator": "In", "values": [{apps}]}}]}}, {bound}"#
            );
            let world = world(&budget(&selector, ""), unready);
            let lacks = [
                never(&world, &observed, RESTART),
                no_room(&world, &observed, RESTART, true),
            ];
            for (lack, expected) in lacks.into_iter().zip([void, full]) {
                let said = lack.map(|lack| lack.said).unwrap_or_default();
                assert!(said.contains(expected), "row {number}: {said}");
                assert_eq!(said.is_empty(), expected.is_empty(), "row {number}: {said}");
            }
        }
    }

    #[test]
    fn a_fresh_status_can_only_narrow_what_the_pods_show() {
        let spec = r#""selector": {"matchLabels": {"db": "x"}}, "maxUnavailable": 1"#;
        let counts = r#""expectedPods": 12, "desiredHealthy": 11"#;
        // Each row: the generation of the status, what it allows, unready pods, whether there is
        // room.
        let table = [
            (1, 1, 0, true),
            (1, 0, 0, false),
            (1, 1, 1, false),
            (0, 0, 0, true),
        ];
        for (generation, allowed, unready, expected) in table {
            let status = format!(
                r#""observedGeneration": {generation}, "disruptionsAllowed": {allowed}, {counts}"#
            );
            let world = world(&budget(spec, &status), unready);
            let found = no_room(&world, &set("a"), RESTART, false);
            assert_eq!(found.is_none(), expected, "{status} {unready}: {found:?}");
        }
    }
}
