//! The custom resource definitions of a Linkerd version.

use serde_json::{Value, json};

use super::chart::Chart;
use crate::injector::NAMESPACE;

const LINKERD: &str = "linkerd.io";
const POLICY: &str = "policy.linkerd.io";
const WORKLOAD: &str = "workload.linkerd.io";
const GATEWAY: &str = "gateway.networking.k8s.io";

/// A kind with its group, its plural and its versions; the last version is the stored one.
type Kind = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

impl Chart {
    /// Renders the CRDs' chart.
    pub(crate) fn render_crds(&self) -> Vec<Value> {
        let kinds = self.kinds();
        kinds
            .into_iter()
            .map(|kind| self.definition(kind))
            .collect()
    }

    fn kinds(&self) -> Vec<Kind> {
        let minor = self.release.minor;
        let servers: &'static [&'static str] = match minor {
            0..=14 => &["v1alpha1", "v1beta1"],
            15 => &["v1alpha1", "v1beta1", "v1beta2"],
            16.. => &["v1alpha1", "v1beta1", "v1beta2", "v1beta3"],
        };
        let routes: &'static [&'static str] = match minor {
            0..=12 => &["v1alpha1", "v1beta1"],
            13 => &["v1alpha1", "v1beta1", "v1beta2"],
            14.. => &["v1alpha1", "v1beta1", "v1beta2", "v1beta3"],
        };
        let mut kinds = kinds_of_every_line(servers, routes);
        if minor >= 15 {
            kinds.push((
                WORKLOAD,
                "ExternalWorkload",
                "externalworkloads",
                &["v1alpha1", "v1beta1"],
            ));
        }
        if minor >= 17 {
            kinds.push((POLICY, "EgressNetwork", "egressnetworks", &["v1alpha1"]));
            kinds.push((
                POLICY,
                "HTTPLocalRateLimitPolicy",
                "httplocalratelimitpolicies",
                &["v1alpha1"],
            ));
        }
        if self.brings_gateway_api() {
            kinds.extend(gateway_kinds(minor));
        }
        kinds
    }

    fn brings_gateway_api(&self) -> bool {
        let asked = self.values["installGatewayAPI"].as_bool();
        match self.release.minor {
            0..=13 => false,
            14..=17 => self.is_set("/enableHttpRoutes"),
            18 => asked.unwrap_or(true),
            19.. => asked.unwrap_or(false),
        }
    }

    fn definition(&self, (group, kind, plural, versions): Kind) -> Value {
        let (_, chart) = self.release.charts();
        let chart = chart.replace('+', "_");
        let by = match self.text("/cliVersion") {
            "" => format!("linkerd/helm {}", self.release.version),
            cli => cli.to_owned(),
        };
        let mut annotations = json!({ "linkerd.io/created-by": by });
        if group == GATEWAY {
            let approved = "https://github.com/kubernetes-sigs/gateway-api/pull/1923";
            let bundle = if self.release.minor >= 18 {
                "v1.2.1"
            } else {
                "v0.7.1"
            };
            annotations["api-approved.kubernetes.io"] = approved.into();
            annotations["gateway.networking.k8s.io/bundle-version"] = bundle.into();
            annotations["gateway.networking.k8s.io/channel"] = "experimental".into();
            if self.release.minor >= 18 {
                annotations["helm.sh/resource-policy"] = "keep".into();
            }
        }
        let schema = json!({ "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } });
        let stored = versions.last();
        let versions = versions.iter().map(|version| {
            json!({ "name": version, "served": true, "storage": Some(version) == stored, "schema": schema })
        });
        let versions: Vec<Value> = versions.collect();
        let labels = json!({ "helm.sh/chart": format!("linkerd-crds-{chart}"), "linkerd.io/control-plane-ns": NAMESPACE });
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": { "name": format!("{plural}.{group}"), "labels": labels, "annotations": annotations },
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": { "kind": kind, "plural": plural, "singular": kind.to_lowercase() },
                "versions": versions,
            },
        })
    }
}

fn kinds_of_every_line(
    servers: &'static [&'static str],
    routes: &'static [&'static str],
) -> Vec<Kind> {
    vec![
        (
            LINKERD,
            "ServiceProfile",
            "serviceprofiles",
            &["v1alpha1", "v1alpha2"],
        ),
        (POLICY, "Server", "servers", servers),
        (
            POLICY,
            "ServerAuthorization",
            "serverauthorizations",
            &["v1alpha1", "v1beta1"],
        ),
        (POLICY, "HTTPRoute", "httproutes", routes),
        (
            POLICY,
            "AuthorizationPolicy",
            "authorizationpolicies",
            &["v1alpha1"],
        ),
        (
            POLICY,
            "MeshTLSAuthentication",
            "meshtlsauthentications",
            &["v1alpha1"],
        ),
        (
            POLICY,
            "NetworkAuthentication",
            "networkauthentications",
            &["v1alpha1"],
        ),
    ]
}

fn gateway_kinds(minor: u32) -> Vec<Kind> {
    let modern = minor >= 18;
    let http: &[&str] = if modern {
        &["v1beta1", "v1"]
    } else {
        &["v1alpha2", "v1beta1"]
    };
    let grpc: &[&str] = if modern {
        &["v1alpha2", "v1"]
    } else {
        &["v1alpha2"]
    };
    let mut kinds: Vec<Kind> = vec![(GATEWAY, "HTTPRoute", "httproutes", http)];
    if minor >= 16 {
        kinds.push((GATEWAY, "GRPCRoute", "grpcroutes", grpc));
    }
    if minor >= 17 {
        kinds.push((GATEWAY, "TLSRoute", "tlsroutes", &["v1alpha2"]));
        kinds.push((GATEWAY, "TCPRoute", "tcproutes", &["v1alpha2"]));
    }
    kinds
}
