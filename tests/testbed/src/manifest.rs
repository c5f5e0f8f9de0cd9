//! Renders the two charts without helm, for the lab.
//!
//! A test checks that the result equals helm's, except for the random certificates.

mod chart;
mod component;
mod definition;

use std::fs;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value, json};

pub(crate) use self::chart::Chart;
use self::chart::{encoded, remove};
use crate::{injector::NAMESPACE, pki::Pair};

impl Chart {
    /// Renders the control plane's chart.
    pub(crate) fn render_control_plane(&self) -> anyhow::Result<Vec<Value>> {
        let mut objects = vec![self.config()?];
        objects.extend(self.stored_values()?);
        objects.extend(self.identity()?);
        objects.extend(self.destination()?);
        objects.extend(self.proxy_injector()?);
        objects.extend(self.heartbeat());
        Ok(objects)
    }

    fn config(&self) -> anyhow::Result<Value> {
        let mut values = self.values.clone();
        remove(&mut values, &["sim", "global"]);
        remove(&mut values["identity"]["issuer"], &["tls"]);
        if self.release.minor >= 20 {
            remove(&mut values["proxyInit"], &["image"]);
        }
        let data = json!({
            "linkerd-crds-chart-version": "linkerd-crds-1.0.0-edge",
            "values": serde_norway::to_string(&values)?,
        });
        let metadata = self.metadata("controller", "linkerd-config");
        Ok(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data }))
    }

    /// Returns the values that the installation stores for a later upgrade by the CLI.
    fn stored_values(&self) -> anyhow::Result<Option<Value>> {
        if self.text("/cliVersion").is_empty() {
            return Ok(None);
        }
        let kept = [
            "identityTrustAnchorsPEM",
            "clusterNetworks",
            "identity",
            "controllerReplicas",
            "highAvailability",
            "webhookFailurePolicy",
            "deploymentStrategy",
            "enablePodAntiAffinity",
            "enablePodDisruptionBudget",
            "sim",
        ];
        let kept: Map<String, Value> = kept
            .into_iter()
            .map(|field| (field.to_owned(), self.values[field].clone()))
            .collect();
        let data = json!({ "linkerd-config-overrides": encoded(&serde_norway::to_string(&kept)?) });
        let metadata = self.metadata("controller", "linkerd-config-overrides");
        Ok(Some(
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data }),
        ))
    }

    fn identity(&self) -> anyhow::Result<Vec<Value>> {
        let mut objects = Vec::new();
        if !self.is_set("/identity/externalCA") {
            let anchors = self.required(
                "/identityTrustAnchorsPEM",
                "Please provide the identity trust anchors",
            )?;
            objects.push(json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": self.metadata("identity", "linkerd-identity-trust-roots"),
                "data": { "ca-bundle.crt": anchors.trim() },
            }));
        }
        if self.text("/identity/issuer/scheme") == "linkerd.io/tls" {
            let certificate = "Please provide the identity issuer certificate";
            let key = "Please provide the identity issuer private key";
            let data = json!({
                "crt.pem": encoded(self.required("/identity/issuer/tls/crtPEM", certificate)?.trim()),
                "key.pem": encoded(self.required("/identity/issuer/tls/keyPEM", key)?.trim()),
            });
            let metadata = self.metadata("identity", "linkerd-identity-issuer");
            objects.push(
                json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data }),
            );
        }
        objects.push(self.service("identity", "linkerd-identity", ("grpc", 8080, 8080)));
        let containers = [("identity", self.controller())];
        objects.extend(self.component("identity", "linkerd-identity", &containers, ""));
        Ok(objects)
    }

    fn destination(&self) -> anyhow::Result<Vec<Value>> {
        let profiles = self_signed("linkerd-sp-validator")?;
        let policies = self_signed("linkerd-policy-validator")?;
        let controller = self.controller();
        let version = self.either("/policyController/image/version", self.version());
        let policy = match self.release.minor {
            19.. => controller.clone(),
            _ => format!("{}:{version}", self.text("/policyController/image/name")),
        };
        let containers = [
            ("destination", controller.clone()),
            ("sp-validator", controller),
            ("policy", policy),
        ];
        let certificates = [&*profiles.certificate, &policies.certificate].concat();
        let mut objects = vec![
            self.tls_secret("destination", "linkerd-sp-validator", &profiles),
            self.tls_secret("destination", "linkerd-policy-validator", &policies),
            self.service("destination", "linkerd-dst", ("grpc", 8086, 8086)),
            self.service("destination", "linkerd-policy", ("grpc", 8090, 8090)),
        ];
        objects.extend(self.component("destination", "linkerd-dst", &containers, &certificates));
        Ok(objects)
    }

    fn proxy_injector(&self) -> anyhow::Result<Vec<Value>> {
        const NAME: &str = "linkerd-proxy-injector";
        let pair = self_signed(NAME)?;
        let external = self.is_set("/proxyInjector/externalSecret");
        let mut objects = Vec::new();
        if !external {
            objects.push(self.tls_secret("proxy-injector", NAME, &pair));
        }
        let bundle = if external {
            self.text("/proxyInjector/caBundle")
        } else {
            &pair.certificate
        };
        objects.push(self.webhook(bundle));
        objects.push(self.service("proxy-injector", NAME, ("proxy-injector", 443, 8443)));
        let containers = [("proxy-injector", self.controller())];
        objects.extend(self.component("proxy-injector", NAME, &containers, &pair.certificate));
        Ok(objects)
    }

    fn webhook(&self, bundle: &str) -> Value {
        let mut metadata = self.metadata("proxy-injector", "linkerd-proxy-injector-webhook-config");
        remove(&mut metadata, &["namespace"]);
        let [namespaces, objects] = taken(
            self.release.minor,
            &self.values["proxyInjector"]["namespaceSelector"],
        );
        let service =
            json!({ "name": "linkerd-proxy-injector", "namespace": NAMESPACE, "path": "/" });
        let rule = json!({
            "operations": ["CREATE"],
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "resources": ["pods", "services"],
        });
        let webhook = json!({
            "name": "linkerd-proxy-injector.linkerd.io",
            "namespaceSelector": namespaces,
            "objectSelector": objects,
            "clientConfig": { "service": service, "caBundle": encoded(bundle) },
            "failurePolicy": self.values["webhookFailurePolicy"],
            "admissionReviewVersions": ["v1", "v1beta1"],
            "rules": [rule],
            "sideEffects": "None",
            "timeoutSeconds": self.values["proxyInjector"]["timeoutSeconds"],
        });
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": metadata,
            "webhooks": [webhook],
        })
    }
}

/// Returns the selectors of namespaces and of objects of the injector's webhook: 2.11 leaves out no
/// namespace by name and no object.
pub(crate) fn taken(minor: u32, namespaces: &Value) -> [Value; 2] {
    if minor <= 11 {
        let all = namespaces["matchExpressions"]
            .as_array()
            .into_iter()
            .flatten();
        let kept: Vec<&Value> = all
            .filter(|it| it["key"] != "kubernetes.io/metadata.name")
            .collect();
        return [json!({ "matchExpressions": kept }), json!({})];
    }
    let absent = |key: &str| json!({ "key": key, "operator": "DoesNotExist" });
    let unwanted = [
        absent("linkerd.io/control-plane-component"),
        absent("linkerd.io/cni-resource"),
    ];
    [namespaces.clone(), json!({ "matchExpressions": unwanted })]
}

fn self_signed(service: &str) -> anyhow::Result<Pair> {
    Pair::self_signed(&format!("{service}.{NAMESPACE}.svc"))
}

/// Returns the values of helm's flags `-f FILE` and `--set KEY=VALUE`.
pub(crate) fn values_of_flags(flags: &[&str]) -> anyhow::Result<Vec<Value>> {
    let mut values = Vec::new();
    for flag in flags.chunks(2) {
        match *flag {
            ["-f", path] => {
                let text = fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
                values.push(serde_norway::from_str(&text)?);
            }
            ["--set", pair] => {
                let (key, value) = pair.split_once('=').context("--set takes KEY=VALUE")?;
                let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
                let nested = |inner: Value, key: &str| json!({ key: inner });
                values.push(key.split('.').rev().fold(value, nested));
            }
            _ => bail!("{flag:?} is no flag of values"),
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path, process::Command};

    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::Deserialize as _;

    use super::*;
    use crate::{
        assets::{Assets, Requirement},
        charts::Charts,
        pki::MeshIdentity,
    };

    fn helm() -> Option<Assets> {
        match (Requirement::from_env(), Assets::find()) {
            (Requirement::Off, _) | (Requirement::Auto, Err(_)) => None,
            (_, Ok(assets)) => Some(assets),
            (Requirement::Require, Err(missing)) => panic!("{missing}"),
        }
    }

    fn by_helm(assets: &Assets, chart: &Path, args: &[&str]) -> Vec<Value> {
        let mut helm = Command::new(&assets.helm);
        helm.args(["template", "x", "-n", NAMESPACE]).arg(chart);
        let output = helm.args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let text = String::from_utf8(output.stdout).unwrap();
        let documents = serde_norway::Deserializer::from_str(&text);
        let documents = documents.map(|document| Value::deserialize(document).unwrap());
        documents.filter(|document| !document.is_null()).collect()
    }

    /// Maps objects by kind and name, without random values.
    fn known(objects: Vec<Value>) -> BTreeMap<String, Value> {
        let objects = objects.into_iter().map(|mut object| {
            if object["type"] == "kubernetes.io/tls" {
                object["data"] = "random".into();
            }
            for pointer in [
                "/webhooks/0/clientConfig/caBundle",
                "/spec/template/metadata/annotations/checksum~1config",
            ] {
                if let Some(value) = object.pointer_mut(pointer) {
                    *value = "random".into();
                }
            }
            if let Some(value) = object.pointer_mut("/data/values") {
                *value = serde_norway::from_str(value.as_str().unwrap()).unwrap();
            }
            if let Some(value) = object.pointer_mut("/data/linkerd-config-overrides") {
                let text = STANDARD.decode(value.as_str().unwrap()).unwrap();
                *value = serde_norway::from_slice(&text).unwrap();
            }
            let name = object["metadata"]["name"].as_str().unwrap();
            (
                format!("{} {name}", object["kind"].as_str().unwrap()),
                object,
            )
        });
        objects.collect()
    }

    #[test]
    fn the_charts_render_to_the_same_objects_without_helm() {
        let Some(assets) = helm() else { return };
        let dir = tempfile::tempdir().unwrap();
        let identity = MeshIdentity::new().unwrap();
        let versions = [
            "stable-2.12.6",
            "stable-2.13.7",
            "stable-2.14.10",
            "edge-24.2.4",
            "edge-24.8.2",
            "edge-24.11.8",
            "edge-25.4.4",
            "edge-25.10.7",
            "edge-26.6.3",
        ];
        for (number, version) in versions.into_iter().enumerate() {
            let charts =
                Charts::write(&dir.path().join(version), version, Some(&identity)).unwrap();
            let (given, ha) = (
                charts.values.to_str().unwrap(),
                charts.ha_values.to_str().unwrap(),
            );
            let more: [&[&str]; 4] = [
                &[],
                &["-f", ha, "--set", "sim.behaviour.destination=slow"],
                &[
                    "--set",
                    "cliVersion=linkerd/cli x",
                    "--set",
                    "cniEnabled=true",
                ],
                &[
                    "--set",
                    "disableHeartBeat=true",
                    "--set",
                    "proxy.image.version=other",
                    "--set",
                    "identity.externalCA=true",
                ],
            ];
            // Uses every line of the charts at least once with few runs of helm.
            for more in &more[number % 2 * 2..][..2] {
                let flags = [&["-f", given], *more].concat();
                let values = values_of_flags(&flags).unwrap();
                let chart = Chart::control_plane(version, &values).unwrap();
                let mine = known(chart.render_control_plane().unwrap());
                let theirs = known(by_helm(&assets, &charts.control_plane, &flags));
                assert_eq!(mine, theirs, "{version} {more:?}");
            }
            for more in [
                &[][..],
                &["--set", "installGatewayAPI=true"],
                &["--set", "enableHttpRoutes=false"],
            ] {
                let chart = Chart::crds(version, &values_of_flags(more).unwrap()).unwrap();
                let theirs = known(by_helm(&assets, &charts.crds, more));
                assert_eq!(known(chart.render_crds()), theirs, "{version} {more:?}");
            }
        }
    }
}
