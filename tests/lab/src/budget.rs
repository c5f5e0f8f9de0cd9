//! Disruption budgets and evictions.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use crate::{
    object::{self, count, is_going, is_over, is_ready, share},
    refusal::Refusal,
    resource::{BUDGETS, Key, PODS, Resource},
    selector::Selector,
    store::Store,
};

/// How much of what a budget protects may go.
#[derive(Clone, Copy, Debug)]
struct Room {
    expected: i64,
    desired: i64,
    healthy: i64,
}

/// The status of a budget.
pub(crate) fn status(store: &Store, budget: &Value) -> Value {
    let room = room(store, budget);
    let allowed = room.allowed();
    json!({
        "expectedPods": room.expected,
        "desiredHealthy": room.desired,
        "currentHealthy": room.healthy,
        "disruptionsAllowed": allowed,
        "observedGeneration": budget["metadata"]["generation"],
    })
}

/// Whether a pod may be evicted.
pub(crate) fn allows(store: &Store, pod: &Value) -> Result<(), Refusal> {
    if is_over(pod) || is_going(pod) || object::text(pod, "/status/phase") == "Pending" {
        return Ok(());
    }
    let budgets = store
        .all(&BUDGETS, object::namespace(pod))
        .map(|(_, budget)| budget);
    let covering: Vec<_> = budgets.filter(|budget| covers(budget, pod)).collect();
    let budget = match covering[..] {
        [] => return Ok(()),
        [one] => one,
        [..] => {
            let message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(Refusal::new(500, "InternalError", message));
        }
    };
    let room = room(store, budget);
    let always = budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
    let spare = !is_ready(pod) && (always || room.healthy >= room.desired && room.desired > 0);
    if spare || room.allowed() > 0 {
        return Ok(());
    }
    let name = object::name(budget);
    let Room {
        desired, healthy, ..
    } = room;
    let message = format!(
        "The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
    );
    Err(Refusal::no_disruption(name, &message))
}

/// Whether a budget is for a pod.
pub(crate) fn covers(budget: &Value, pod: &Value) -> bool {
    let selector = &budget["spec"]["selector"];
    selector.is_object() && Selector::of(selector).matches(pod)
}

impl Room {
    fn allowed(self) -> i64 {
        if self.expected == 0 {
            0
        } else {
            (self.healthy - self.desired).max(0)
        }
    }
}

fn room(store: &Store, budget: &Value) -> Room {
    let pods = store
        .all(&PODS, object::namespace(budget))
        .map(|(_, pod)| pod);
    let pods: Vec<&Arc<Value>> = pods
        .filter(|pod| !is_over(pod) && covers(budget, pod))
        .collect();
    let healthy = pods
        .iter()
        .filter(|pod| is_ready(pod) && !is_going(pod))
        .count();
    let present = i64::try_from(pods.len()).unwrap_or(i64::MAX);
    let spec = &budget["spec"];
    let (expected, desired) = if !spec["maxUnavailable"].is_null() {
        let expected = scale(store, &pods);
        (
            expected,
            expected - share(&spec["maxUnavailable"], expected, true),
        )
    } else if spec["minAvailable"].is_string() {
        let expected = scale(store, &pods);
        (expected, share(&spec["minAvailable"], expected, true))
    } else {
        (present, count(spec, "/minAvailable"))
    };
    Room {
        expected,
        desired: desired.max(0),
        healthy: i64::try_from(healthy).unwrap_or(i64::MAX),
    }
}

/// The replicas that the pods' owners are to have.
fn scale(store: &Store, pods: &[&Arc<Value>]) -> i64 {
    let mut owners = BTreeMap::new();
    for pod in pods {
        let mut owner: Option<Arc<Value>> = None;
        let mut of = Arc::clone(pod);
        while let Some(next) = parent(store, &of) {
            owner = Some(Arc::clone(&next));
            of = next;
        }
        if let Some(owner) = owner {
            owners.insert(
                object::uid(&owner).to_owned(),
                count(&owner, "/spec/replicas"),
            );
        }
    }
    owners.values().sum()
}

fn parent(store: &Store, object: &Value) -> Option<Arc<Value>> {
    let owner = object::controller(object)?;
    let resource = Resource::of_kind(
        object::text(owner, "/apiVersion"),
        object::text(owner, "/kind"),
    )?;
    let key = Key::new(
        resource,
        object::namespace(object),
        object::name(&json!({ "metadata": owner })),
    );
    store.get(&key).cloned()
}
