//! NetworkPolicies, as far as they concern a single port.

use serde::Deserialize;

use super::message::{Message, Unreadable, Value, message};
use super::meta::{IntOrPercent, Meta, Object, Resource, object};
use super::selector::Selector;

/// A NetworkPolicy.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NetworkPolicy {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: NetworkPolicySpec,
}

/// A NetworkPolicy's spec.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NetworkPolicySpec {
    pub pod_selector: Selector,
    pub ingress: Vec<IngressRule>,
    pub policy_types: Vec<String>,
}

/// What one rule lets in. A rule without ports lets in every port, one without peers everybody.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct IngressRule {
    pub ports: Vec<IngressPort>,
    #[serde(rename = "from")]
    pub peers: Vec<Peer>,
}

/// A port, or a range of ports, of a rule.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct IngressPort {
    /// TCP if it is absent.
    pub protocol: Option<String>,
    /// A number or the name of a container's port; every port if it is absent.
    pub port: Option<IntOrPercent>,
    /// The last port of a range.
    pub end_port: Option<i32>,
}

/// Whom a rule lets in; only whether there is one is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Peer {}

message!(NetworkPolicy { 1: meta, 2: spec });

message!(NetworkPolicySpec {
    1: pod_selector,
    2: ingress,
    4: policy_types
});

message!(IngressRule { 1: ports, 2: peers });

message!(IngressPort {
    1: protocol,
    2: port,
    3: end_port
});

impl Message for Peer {
    fn merge(&mut self, value: Value<'_>) -> Result<(), Unreadable> {
        value.bytes().map(|_| ())
    }
}

object!(NetworkPolicy, "networking.k8s.io", "v1", "networkpolicies");

// === impl NetworkPolicy ===

impl NetworkPolicy {
    /// Returns the rules for incoming traffic; none if the policy is not about that.
    pub fn ingress(&self) -> &[IngressRule] {
        let types = &self.spec.policy_types;
        let is_about = types.is_empty() || types.iter().any(|it| it == "Ingress");
        if is_about { &self.spec.ingress } else { &[] }
    }
}

impl IngressRule {
    /// Returns true if the rule lets everybody in.
    pub fn is_for_all(&self) -> bool {
        self.peers.is_empty()
    }

    /// Returns whether the rule lets in TCP connections to a port with this number and name; `None`
    /// if the rule is about other protocols only.
    pub fn allows(&self, number: i32, name: &str) -> Option<bool> {
        if self.ports.is_empty() {
            return Some(true);
        }
        let mut of_tcp = self.ports.iter().filter(|it| it.is_tcp()).peekable();
        of_tcp.peek()?;
        Some(of_tcp.any(|it| it.covers(number, name)))
    }
}

impl IngressPort {
    fn is_tcp(&self) -> bool {
        self.protocol.as_deref().is_none_or(|it| it == "TCP")
    }

    fn covers(&self, number: i32, name: &str) -> bool {
        match &self.port {
            None => true,
            Some(IntOrPercent::Int(first)) => {
                (*first..=self.end_port.unwrap_or(*first)).contains(&number)
            }
            Some(IntOrPercent::Percent(named)) => named == name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_lets_in_the_ports_that_it_lists() {
        let table = [
            ("{}", Some(true)),
            (r#"{"ports": [{}]}"#, Some(true)),
            (r#"{"ports": [{"port": 4143}]}"#, Some(true)),
            (r#"{"ports": [{"port": 80}, {"port": 4143}]}"#, Some(true)),
            (
                r#"{"ports": [{"port": 4000, "endPort": 5000}]}"#,
                Some(true),
            ),
            (r#"{"ports": [{"port": "linkerd-proxy"}]}"#, Some(true)),
            (r#"{"ports": [{"port": "http"}]}"#, Some(false)),
            (
                r#"{"ports": [{"port": 4000, "endPort": 4142}]}"#,
                Some(false),
            ),
            (
                r#"{"ports": [{"port": 8080, "protocol": "TCP"}]}"#,
                Some(false),
            ),
            (r#"{"ports": [{"port": 4143, "protocol": "UDP"}]}"#, None),
            (
                r#"{"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53}]}"#,
                Some(false),
            ),
        ];
        for (json, expected) in table {
            let rule: IngressRule = serde_json::from_str(json).unwrap();
            assert_eq!(rule.allows(4143, "linkerd-proxy"), expected, "{json}");
        }
    }

    #[test]
    fn a_policy_for_outgoing_traffic_has_no_rules_for_incoming() {
        let rules = |types: &str| {
            let json = format!(r#"{{"spec": {{"policyTypes": {types}, "ingress": [{{}}]}}}}"#);
            let policy: NetworkPolicy = serde_json::from_str(&json).unwrap();
            policy.ingress().len()
        };
        assert_eq!(rules(r#"["Egress"]"#), 0);
        assert_eq!(rules(r#"["Ingress", "Egress"]"#), 1);
        assert_eq!(rules("[]"), 1);
    }
}
