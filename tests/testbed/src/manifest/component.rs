//! The objects that every component of the control plane has.

use serde_json::{Value, json};

use super::chart::{Chart, encoded, labels, sha256};
use crate::{injector::NAMESPACE, pki::Pair};

const RBAC: &str = "rbac.authorization.k8s.io";

impl Chart {
    pub(super) fn tls_secret(&self, component: &str, name: &str, pair: &Pair) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": self.metadata(component, &format!("{name}-k8s-tls")),
            "data": {
                "tls.crt": encoded(&pair.certificate),
                "tls.key": encoded(&pair.key),
            },
        })
    }

    pub(super) fn service(&self, component: &str, name: &str, port: (&str, u16, u16)) -> Value {
        let (port_name, port, target) = port;
        let port = json!({ "name": port_name, "port": port, "targetPort": target });
        let spec = json!({
            "type": "ClusterIP",
            "selector": { "linkerd.io/control-plane-component": component },
            "ports": [port],
        });
        let metadata = self.metadata(component, name);
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec })
    }

    /// Renders a component's service account, its Deployment with a proxy in the template, and its
    /// PodDisruptionBudget. A change of `certificates` restarts it.
    pub(super) fn component(
        &self,
        component: &str,
        budget: &str,
        containers: &[(&str, String)],
        certificates: &str,
    ) -> Vec<Value> {
        let account = json!({
            "name": format!("linkerd-{component}"),
            "namespace": NAMESPACE,
            "labels": labels(component),
        });
        let mut objects =
            vec![json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": account })];
        objects.extend(role(component));
        objects.push(self.deployment(component, containers, certificates));
        if self.is_set("/enablePodDisruptionBudget") {
            let selector =
                json!({ "matchLabels": { "linkerd.io/control-plane-component": component } });
            objects.push(json!({
                "apiVersion": "policy/v1",
                "kind": "PodDisruptionBudget",
                "metadata": self.metadata(component, budget),
                "spec": { "maxUnavailable": 1, "selector": selector },
            }));
        }
        objects
    }

    fn deployment(
        &self,
        component: &str,
        containers: &[(&str, String)],
        certificates: &str,
    ) -> Value {
        let mut metadata = self.metadata(component, &format!("linkerd-{component}"));
        metadata["labels"]["app.kubernetes.io/name"] = component.into();
        metadata["labels"]["app.kubernetes.io/part-of"] = "Linkerd".into();
        metadata["labels"]["app.kubernetes.io/version"] = self.version().into();
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": self.values["controllerReplicas"],
                "revisionHistoryLimit": 10,
                "selector": { "matchLabels": selector(component) },
                "strategy": self.values["deploymentStrategy"],
                "template": {
                    "metadata": self.template_metadata(component, certificates),
                    "spec": self.pod_spec(component, containers),
                },
            },
        })
    }

    fn template_metadata(&self, component: &str, certificates: &str) -> Value {
        let mut annotations = self.created_by();
        annotations["linkerd.io/proxy-version"] = self.proxy_version().into();
        annotations["linkerd.io/trust-root-sha256"] =
            sha256(self.text("/identityTrustAnchorsPEM")).into();
        if !certificates.is_empty() && self.release.restarts_on_new_certificates() {
            annotations["checksum/config"] = sha256(certificates).into();
        }
        let mut labels = labels(component);
        labels["linkerd.io/workload-ns"] = NAMESPACE.into();
        labels["linkerd.io/proxy-deployment"] = format!("linkerd-{component}").into();
        let behaviour = &self.values["sim"]["behaviour"][component];
        if behaviour.is_string() {
            labels["sim.test/behaviour"] = behaviour.clone();
        }
        json!({ "annotations": annotations, "labels": labels })
    }

    fn pod_spec(&self, component: &str, containers: &[(&str, String)]) -> Value {
        let native = self.is_set("/proxy/nativeSidecar") && component != "identity";
        let (mut init, mut own) = (vec![self.init_container()], Vec::new());
        let proxy = self.proxy_container(native);
        let named = containers.iter();
        let named = named.map(|(name, image)| json!({ "name": name, "image": image }));
        match (native, component) {
            (true, _) => {
                init.push(proxy);
                own.extend(named);
            }
            (false, "identity") => {
                own.extend(named);
                own.push(proxy);
            }
            (false, _) => {
                own.push(proxy);
                own.extend(named);
            }
        }
        let mut spec = json!({
            "nodeSelector": { "kubernetes.io/os": "linux" },
            "serviceAccountName": format!("linkerd-{component}"),
            "initContainers": init,
            "containers": own,
        });
        if self.is_set("/enablePodAntiAffinity") {
            spec["affinity"] = apart(component);
        }
        spec
    }

    /// Makes the init container. Since 2.20 the proxy image contains the program that prepares the
    /// pod's network.
    fn init_container(&self) -> Value {
        let image = format!(
            "{}:{}",
            self.text("/proxy/image/name"),
            self.proxy_version()
        );
        if self.is_set("/cniEnabled") {
            let command = ["/usr/lib/linkerd/linkerd-network-validator"];
            return json!({ "name": "linkerd-network-validator", "image": image, "command": command });
        }
        if self.release.minor >= 20 {
            let command = ["/usr/lib/linkerd/linkerd2-proxy-init"];
            return json!({ "name": "linkerd-init", "image": image, "command": command });
        }
        let of = |field: &str| self.text(&format!("/proxyInit/image/{field}"));
        json!({ "name": "linkerd-init", "image": format!("{}:{}", of("name"), of("version")) })
    }

    fn proxy_container(&self, native: bool) -> Value {
        let roots = json!({ "name": "linkerd-identity-trust-roots", "key": "ca-bundle.crt" });
        let mut container = json!({
            "name": "linkerd-proxy",
            "image": format!("{}:{}", self.text("/proxy/image/name"), self.proxy_version()),
            "env": [{
                "name": "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS",
                "valueFrom": { "configMapKeyRef": roots },
            }],
            "ports": [
                { "containerPort": 4143, "name": "linkerd-proxy" },
                { "containerPort": 4191, "name": "linkerd-admin" },
            ],
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "runAsNonRoot": true,
                "runAsUser": 2102,
            },
        });
        if native {
            container["restartPolicy"] = "Always".into();
        }
        container
    }

    pub(super) fn heartbeat(&self) -> Vec<Value> {
        const NAME: &str = "linkerd-heartbeat";
        if self.is_set("/disableHeartBeat") {
            return Vec::new();
        }
        let account =
            json!({ "name": NAME, "namespace": NAMESPACE, "labels": labels("heartbeat") });
        let mut metadata = self.metadata("heartbeat", NAME);
        metadata["labels"]["app.kubernetes.io/name"] = "heartbeat".into();
        metadata["labels"]["app.kubernetes.io/part-of"] = "Linkerd".into();
        metadata["labels"]["app.kubernetes.io/version"] = self.version().into();
        let pod_labels = json!({
            "linkerd.io/control-plane-component": "heartbeat",
            "linkerd.io/workload-ns": NAMESPACE,
            "sim.test/behaviour": "job-done",
        });
        let pod_spec = json!({
            "nodeSelector": { "kubernetes.io/os": "linux" },
            "serviceAccountName": NAME,
            "restartPolicy": "Never",
            "containers": [{ "name": "heartbeat", "image": self.controller() }],
        });
        let template = json!({ "metadata": { "labels": pod_labels, "annotations": self.created_by() }, "spec": pod_spec });
        let spec = json!({
            "concurrencyPolicy": "Replace",
            "schedule": self.values["heartbeatSchedule"],
            "successfulJobsHistoryLimit": 0,
            "jobTemplate": { "spec": { "template": template } },
        });
        vec![
            json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": account }),
            json!({ "apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec }),
        ]
    }
}

fn selector(component: &str) -> Value {
    let mut selector = json!({ "linkerd.io/control-plane-component": component });
    if component != "proxy-injector" {
        selector["linkerd.io/control-plane-ns"] = NAMESPACE.into();
        selector["linkerd.io/proxy-deployment"] = format!("linkerd-{component}").into();
    }
    selector
}

fn apart(component: &str) -> Value {
    let expression = json!({ "key": "linkerd.io/control-plane-component", "operator": "In", "values": [component] });
    let term = json!({ "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchExpressions": [expression] } });
    json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [term] } })
}

fn role(component: &str) -> [Value; 2] {
    let name = format!("linkerd-{NAMESPACE}-{component}");
    let metadata = json!({ "name": name, "labels": labels(component) });
    let rule = json!({
        "apiGroups": [""],
        "resources": ["namespaces", "pods", "services"],
        "verbs": ["get", "list", "watch"],
    });
    let subject = json!({ "kind": "ServiceAccount", "name": format!("linkerd-{component}"), "namespace": NAMESPACE });
    let version = format!("{RBAC}/v1");
    [
        json!({ "apiVersion": version, "kind": "ClusterRole", "metadata": metadata, "rules": [rule] }),
        json!({
            "apiVersion": version,
            "kind": "ClusterRoleBinding",
            "metadata": metadata,
            "roleRef": { "apiGroup": RBAC, "kind": "ClusterRole", "name": name },
            "subjects": [subject],
        }),
    ]
}
