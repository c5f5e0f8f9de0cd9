//! PodDisruptionBudgets.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    kind::Kind,
    object::{
        controller, is_active, is_going, is_over, is_ready, name, namespace, selector, selects,
        share, tally, text, uid,
    },
    refusal::Refusal,
    store::Store,
};

pub(crate) fn status(store: &Store, budget: &Value) -> Value {
    let pods = store.all(Kind::Pod, namespace(budget)).map(|pod| &**pod);
    let pods: Vec<&Value> = pods
        .filter(|pod| !is_over(pod) && covers(budget, pod))
        .collect();
    let healthy = tally(&pods, |pod| is_ready(pod) && !is_going(pod));
    let (expected, spec) = (scale(store, &pods), &budget["spec"]);
    let bound = |field| share(&spec[field], expected, true);
    let desired = if spec["maxUnavailable"].is_null() {
        bound("minAvailable")
    } else {
        (expected - bound("maxUnavailable")).max(0)
    };
    json!({
        "observedGeneration": budget["metadata"]["generation"],
        "expectedPods": expected, "desiredHealthy": desired, "currentHealthy": healthy,
        "disruptionsAllowed": (healthy - desired).max(0).min(expected),
    })
}

/// Decides whether a pod may be evicted.
pub(crate) fn allows(store: &Store, pod: &Value) -> Result<(), Refusal> {
    let budgets = store.all(Kind::PodDisruptionBudget, namespace(pod));
    let covering: Vec<_> = budgets.filter(|budget| covers(budget, pod)).collect();
    if covering.is_empty() || !is_active(pod) || text(pod, "/status/phase") == "Pending" {
        return Ok(());
    }
    let [budget] = covering[..] else {
        let text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        // This answer of the real server has no reason.
        let mut refusal = Refusal::new(500, "", text);
        refusal.details = json!({});
        return Err(refusal);
    };
    let status = status(store, budget);
    if status["disruptionsAllowed"] != 0 {
        return Ok(());
    }
    let (name, desired) = (name(budget), &status["desiredHealthy"]);
    let healthy = &status["currentHealthy"];
    let why = format!(
        "The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
    );
    let cause = json!({ "reason": "DisruptionBudget", "message": why });
    let text = "Cannot evict pod as it would violate the pod's disruption budget.";
    let mut refusal = Refusal::new(429, "TooManyRequests", text);
    refusal.details = json!({ "name": name, "causes": [cause] });
    Err(refusal)
}

fn covers(budget: &Value, pod: &Value) -> bool {
    let of = &budget["spec"]["selector"];
    of.is_object() && selects(&selector(of), pod)
}

/// Returns the wanted replicas of the pods' owners; a pod without an owner counts as one.
fn scale(store: &Store, pods: &[&Value]) -> i64 {
    let mut owners = BTreeMap::new();
    for pod in pods {
        let mut owner = *pod;
        while let Some((_, key)) = controller(owner)
            && let Ok(next) = store.get(&key)
        {
            owner = next;
        }
        owners.insert(uid(owner), owner["spec"]["replicas"].as_i64().unwrap_or(1));
    }
    owners.values().sum()
}
