//! Asks for a new pod of each component, as a dry run: the dry run of a Deployment creates no pods, so
//! what refuses those would show only after the write.

use futures::future::join_all;
use mesh_cluster::object::{Deployment, Selector};
use mesh_cluster::workload::rollout::Observed;
use mesh_cluster::{Cluster, Error, Refusal, Refuser};
use serde::Deserialize as _;
use serde_json::Value;

use crate::capacity::{Coming, PodAsked};

/// What the API server says of the components' pods.
#[derive(Debug, Default)]
pub(crate) struct Pods {
    /// The components whose pods it would refuse, with its words.
    pub(crate) refused: Vec<(String, String)>,
    /// The components whose pods a quota has no room for now, with the API server's words.
    pub(crate) crowded: Vec<(String, String)>,
    /// The pods that it would take.
    pub(crate) coming: Vec<Coming>,
    /// Why there may be more.
    pub(crate) unread: Option<Error>,
}

/// Asks for a pod of each of `deployments`. Their service accounts may be among `to_come`: what the
/// upgrade only creates.
pub(crate) async fn pods(
    cluster: &Cluster,
    namespace: &str,
    deployments: &[&Value],
    to_come: &[&str],
) -> Pods {
    let asking = deployments
        .iter()
        .map(|body| cluster.admitted::<PodAsked>(namespace, body));
    let mut pods = Pods::default();
    for (body, admitted) in deployments.iter().zip(join_all(asking).await) {
        let name = body["metadata"]["name"].as_str();
        let component = format!("Deployment {}", name.unwrap_or("without a name"));
        match admitted {
            // Where another scheduler places pods, such as one that makes a node for each, or none comes.
            Ok(Some(Ok(pod))) if !pod.is_for_usual_scheduler() || body["spec"]["replicas"] == 0 => {
            }
            Ok(Some(Ok(pod))) => pods.coming.push(Coming {
                component,
                pod,
                leaving: leaving(body),
                namespace: namespace.to_owned(),
            }),
            Ok(Some(Err(refusal))) if refusal.by == Refuser::Quota => {
                pods.crowded.push((component, refusal.words));
            }
            Ok(Some(Err(refusal))) if is_final(&refusal, namespace, to_come) => {
                pods.refused.push((component, refusal.words));
            }
            Ok(_) => {}
            // A right that is missing is passed over; it must not hide that there was no answer.
            Err(error) if error.rule().is_some() && pods.unread.is_some() => {}
            Err(error) => pods.unread = Some(error),
        }
    }
    pods
}

// Selects the pods of a Deployment that may stop before new ones are ready.
fn leaving(deployment: &Value) -> Option<Selector> {
    let observed = Observed::of(&Deployment::deserialize(deployment).ok()?);
    (observed.takes_away > 0).then_some(observed.selector)
}

// A quota may have room again when the pods are created, the control plane's own webhooks are upgraded,
// and of a webhook that takes no dry runs nobody knows what it will say.
fn is_final(refusal: &Refusal, namespace: &str, to_come: &[&str]) -> bool {
    match refusal.by {
        Refuser::Policy => !to_come.iter().any(|account| {
            let missing = format!("error looking up service account {namespace}/{account}: ");
            refusal.words.starts_with(&missing)
        }),
        Refuser::AwayWebhook => true,
        Refuser::Quota | Refuser::AwayInjector | Refuser::Injector | Refuser::NoDryRuns => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_leave_before_others_come_where_the_strategy_lets_them() {
        let leaves = |replicas: u32, strategy: Value| {
            let spec = json!({ "replicas": replicas, "strategy": strategy, "selector": {} });
            leaving(&json!({ "spec": spec })).is_some()
        };
        let rolling = |surge: Value, away: Value| json!({ "rollingUpdate": { "maxSurge": surge, "maxUnavailable": away } });
        assert!(!leaves(1, json!({})), "a quarter of one is none");
        assert!(leaves(4, json!({})));
        assert!(leaves(3, rolling("25%".into(), 1.into())));
        assert!(!leaves(3, rolling(1.into(), 0.into())));
        assert!(leaves(1, json!({ "type": "Recreate" })));
        assert!(!leaves(0, json!({})));
    }

    #[test]
    fn only_what_will_still_be_refused_is_final() {
        let missing = "error looking up service account linkerd/linkerd-new: not found";
        let table = [
            (Refuser::Policy, "denied", true),
            (Refuser::Policy, missing, false),
            (Refuser::Policy, &missing.replace("new", "newer"), true),
            (Refuser::AwayWebhook, "failed calling webhook", true),
            (Refuser::Quota, "exceeded quota", false),
            (Refuser::Injector, "denied", false),
            (Refuser::AwayInjector, "failed calling webhook", false),
            (Refuser::NoDryRuns, "does not support dry run", false),
        ];
        for (by, words, expected) in table {
            let words = words.to_owned();
            let refusal = Refusal { by, words };
            let is_final = is_final(&refusal, "linkerd", &["linkerd-new"]);
            assert_eq!(is_final, expected, "{refusal:?}");
        }
    }
}
