//! Reads `linkerd-config`: the values that a control plane was installed with.

use std::collections::BTreeMap;

use mesh_versions::Setting;
use serde_json::Value as Fact;
use serde_norway::Value;

use crate::object::ConfigMap;

/// The values in a control plane's `linkerd-config`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    values: Value,
}

/// The values that upgrade notes are about, each with its path.
const SETTINGS: [(Setting, &str); 13] = [
    (Setting::CniEnabled, "cniEnabled"),
    (Setting::ControlPlaneTracing, "controlPlaneTracing"),
    (Setting::IdentityDisabled, "disableIdentity"),
    (Setting::IptablesMode, "proxyInit.iptablesMode"),
    (Setting::LogFormat, "proxy.logFormat"),
    (Setting::NativeSidecar, "proxy.nativeSidecar"),
    (
        Setting::PolicyImageVersion,
        "policyController.image.version",
    ),
    (Setting::ProxyInitCpu, "proxyInit.resources.cpu.limit"),
    (Setting::ProxyInitMemory, "proxyInit.resources.memory.limit"),
    (Setting::ProxyImage, "proxy.image.name"),
    (Setting::ShutdownEndpoint, "proxy.enableShutdownEndpoint"),
    (
        Setting::TracingCollector,
        "proxy.tracing.collector.endpoint",
    ),
    (
        Setting::WaitBeforeExitSeconds,
        "proxy.waitBeforeExitSeconds",
    ),
];

/// Other values that tell how a control plane was installed, each with its path.
const FACTS: [(&str, &str); 12] = [
    ("await", "proxy.await"),
    ("cli_version", "cliVersion"),
    ("cluster_domain", "clusterDomain"),
    ("controller_image_version", "controllerImageVersion"),
    ("controller_replicas", "controllerReplicas"),
    ("external_ca", "identity.externalCA"),
    ("failure_policy", "webhookFailurePolicy"),
    ("issuer_scheme", "identity.issuer.scheme"),
    ("pod_disruption_budget", "enablePodDisruptionBudget"),
    ("proxy_image_version", "proxy.image.version"),
    ("proxy_init_image_version", "proxyInit.image.version"),
    ("trust_domain", "identityTrustDomain"),
];

impl Config {
    /// Reads the ConfigMap; returns `None` if it has no values that can be parsed.
    pub fn of(config: &ConfigMap) -> Option<Self> {
        let values: Value = serde_norway::from_str(config.data.get("values")?).ok()?;
        values.is_mapping().then_some(Self { values })
    }

    /// Returns the control plane's version. It changes as soon as the configuration is applied,
    /// before any component has rolled.
    pub fn version(&self) -> Option<&str> {
        self.text("linkerdVersion")
    }

    /// Returns the proxy version that a new pod gets without an annotation that pins another.
    pub fn injects(&self) -> Option<&str> {
        self.text("proxy.image.version").or_else(|| self.version())
    }

    /// Returns true if the control plane is highly available. The value exists since stable-2.14.0;
    /// for older versions three replicas are the sign.
    pub fn is_highly_available(&self) -> bool {
        let replicas = || self.value("controllerReplicas").and_then(Value::as_u64);
        let stated = self.value("highAvailability").and_then(Value::as_bool);
        stated.unwrap_or_else(|| replicas().is_some_and(|replicas| replicas >= 3))
    }

    /// Returns true if a proxy needs the token that its pod mounts, since it gets none of its own.
    pub fn mounts_tokens(&self) -> bool {
        let projected = self.value("identity.serviceAccountTokenProjection");
        projected.and_then(Value::as_bool) == Some(false)
    }

    /// Returns the values that rules and upgrade notes are about, by their names in the records.
    pub fn facts(&self) -> BTreeMap<String, Fact> {
        let settings = SETTINGS.into_iter();
        let all = settings.map(|(setting, path)| (setting.as_str(), path));
        let facts = all.chain(FACTS).filter_map(|(name, path)| {
            let fact = fact(self.value(path)?)?;
            Some((name.to_owned(), fact))
        });
        facts.collect()
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.value(path)?.as_str().filter(|text| !text.is_empty())
    }

    // Before stable-2.10 all values were under `global`.
    fn value(&self, path: &str) -> Option<&Value> {
        let within = |root| {
            path.split('.')
                .try_fold(root, |value: &Value, key| value.get(key))
        };
        within(&self.values).or_else(|| within(self.values.get("global")?))
    }
}

fn fact(value: &Value) -> Option<Fact> {
    match value {
        Value::Bool(is_so) => Some(Fact::Bool(*is_so)),
        Value::Number(number) => number.as_i64().map(Fact::from),
        Value::String(text) if !text.is_empty() => Some(Fact::from(text.as_str())),
        Value::Null
        | Value::String(_)
        | Value::Sequence(_)
        | Value::Mapping(_)
        | Value::Tagged(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(values: &str) -> Option<Config> {
        let data = BTreeMap::from([("values".to_owned(), values.to_owned())]);
        Config::of(&ConfigMap {
            data,
            ..ConfigMap::default()
        })
    }

    #[test]
    fn new_pods_get_the_pinned_proxy_else_the_control_planes_version() {
        let table = [
            ("linkerdVersion: stable-2.13.7", Some("stable-2.13.7")),
            (
                "{linkerdVersion: stable-2.13.7, proxy: {image: {version: ''}}}",
                Some("stable-2.13.7"),
            ),
            (
                "{linkerdVersion: stable-2.13.7, proxy: {image: {version: stable-2.13.5}}}",
                Some("stable-2.13.5"),
            ),
            (
                "{global: {linkerdVersion: stable-2.9.5}}",
                Some("stable-2.9.5"),
            ),
            ("linkerdVersion: ''", None),
            ("{}", None),
        ];
        for (values, injects) in table {
            assert_eq!(config(values).unwrap().injects(), injects, "{values}");
        }
    }

    #[test]
    fn config_of_returns_none_for_values_that_cannot_be_parsed() {
        for values in ["", "a: [", "just text"] {
            assert_eq!(config(values), None, "{values:?}");
        }
        assert_eq!(Config::of(&ConfigMap::default()), None);
    }

    #[test]
    fn high_availability_is_stated_or_shown_by_three_replicas() {
        let table = [
            ("{highAvailability: true, controllerReplicas: 1}", true),
            ("{highAvailability: false, controllerReplicas: 3}", false),
            ("controllerReplicas: 3", true),
            ("controllerReplicas: 1", false),
            ("{}", false),
        ];
        for (values, expected) in table {
            assert_eq!(
                config(values).unwrap().is_highly_available(),
                expected,
                "{values}"
            );
        }
    }

    #[test]
    fn facts_come_from_the_values_and_are_absent_without_a_value() {
        let facts = config(
            "{cniEnabled: false, proxy: {logFormat: '', nativeSidecar: true, waitBeforeExitSeconds: 5}}",
        );
        let facts = serde_json::to_string(&facts.unwrap().facts()).unwrap();
        assert_eq!(
            facts,
            r#"{"cni_enabled":false,"native_sidecar":true,"wait_before_exit_seconds":5}"#
        );
    }
}
