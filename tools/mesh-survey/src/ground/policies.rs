//! NetworkPolicies that keep meshed traffic from a pod's proxy.

use std::collections::BTreeMap;

use mesh_cluster::object::{Meta, NetworkPolicy, Selector};

/// The port that proxies since edge-25.3.2 send all meshed traffic to, and its name on a pod.
const INBOUND: (i32, &str) = (4143, "linkerd-proxy");

/// The policies for incoming traffic, by namespace, as far as they matter to a proxy's port.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policies {
    by_namespace: BTreeMap<String, Vec<Policy>>,
}

#[derive(Clone, Debug)]
struct Policy {
    pods: Selector,
    /// It lists ports, and the proxy's is not among them.
    leaves_out: bool,
    /// It lets everybody connect to the proxy's port.
    lets_in_all: bool,
}

// === impl Policies ===

impl Policies {
    /// Adds a policy. One that lets nothing in changes nothing for the proxy's port.
    pub(crate) fn add(&mut self, policy: NetworkPolicy) {
        let (number, name) = INBOUND;
        let allows: Vec<(bool, Option<bool>)> = policy
            .ingress()
            .iter()
            .map(|rule| (rule.is_for_all(), rule.allows(number, name)))
            .collect();
        let (leaves_out, lets_in_all) = (
            allows.iter().any(|(_, allows)| *allows == Some(false)),
            allows.contains(&(true, Some(true))),
        );
        if leaves_out || lets_in_all {
            let pods = policy.spec.pod_selector;
            let all = self.by_namespace.entry(policy.meta.namespace).or_default();
            all.push(Policy {
                pods,
                leaves_out,
                lets_in_all,
            });
        }
    }

    /// Adds the policies of other namespaces.
    pub(crate) fn extend(&mut self, other: Self) {
        self.by_namespace.extend(other.by_namespace);
    }

    /// Returns true if a policy lets somebody in on listed ports of the pod without the proxy's, and
    /// no other opens that to everybody. Who the peers of a rule are is not compared.
    pub(crate) fn leave_out_proxy(&self, pod: &Meta) -> bool {
        let all = self.by_namespace.get(&pod.namespace).into_iter().flatten();
        let mut on_pod = all.filter(|it| it.pods.selects(&pod.labels)).peekable();
        let mut leaves_out = false;
        on_pod.all(|it| {
            leaves_out |= it.leaves_out;
            !it.lets_in_all
        }) && leaves_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_policy_that_lists_ports_without_the_proxys_leaves_it_out() {
        let of_web = json!({"matchLabels": {"app": "web"}});
        let listed = json!([{"from": [{"podSelector": {}}], "ports": [{"port": 8080}]}]);
        let open = json!([{"ports": [{"port": 4143}]}]);
        let partly = json!([{"from": [{"podSelector": {}}], "ports": [{"port": 4143}]}]);
        let none = json!([]);
        let everything = json!([{}]);
        let table: [(&[(&Value, &Value)], bool); 8] = [
            (&[], false),
            (&[(&of_web, &listed)], true),
            (&[(&json!({}), &listed)], true),
            (&[(&json!({"matchLabels": {"app": "db"}}), &listed)], false),
            (&[(&of_web, &listed), (&of_web, &partly)], true),
            (&[(&of_web, &listed), (&of_web, &open)], false),
            (&[(&of_web, &everything), (&of_web, &listed)], false),
            (&[(&of_web, &none)], false),
        ];
        for (policies, expected) in table {
            let mut all = Policies::default();
            for (pods, ingress) in policies {
                let policy = json!({"metadata": {"name": "x", "namespace": "shop"},
                    "spec": {"podSelector": pods, "ingress": ingress, "policyTypes": ["Ingress"]}});
                all.add(serde_json::from_value(policy).unwrap());
            }
            let pod = |namespace: &str| -> Meta {
                let meta =
                    json!({"name": "web-1", "namespace": namespace, "labels": {"app": "web"}});
                serde_json::from_value(meta).unwrap()
            };
            assert_eq!(all.leave_out_proxy(&pod("shop")), expected, "{policies:?}");
            assert!(!all.leave_out_proxy(&pod("other")), "{policies:?}");
        }
    }
}
