//! The shop: meshed workloads of every kind, for demos and for tests of many workloads.

use std::collections::BTreeMap;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, runtime::watcher};
use serde_json::{Value, json};

use crate::{bed::Bed, nodes, wait};

/// The label of everything in the shop.
const PART_OF: &str = "app.kubernetes.io/part-of";
const SHOP: &str = "shop";
const NATIVE: &str = "config.alpha.linkerd.io/proxy-enable-native-sidecar";

/// Namespaces with their workloads. The fourth workload of each is a StatefulSet, the fifth a
/// DaemonSet.
const DEPARTMENTS: [(&str, [&str; 5]); 6] = [
    (
        "storefront",
        ["web", "api", "images", "sessions", "edge-cache"],
    ),
    (
        "catalog",
        ["products", "prices", "reviews", "index", "crawler"],
    ),
    ("checkout", ["cart", "payment", "fraud", "ledger", "audit"]),
    (
        "delivery",
        ["orders", "labels", "tracking", "depot", "scanner"],
    ),
    (
        "accounts",
        ["login", "profile", "mail", "directory", "sync"],
    ),
    (
        "search",
        ["query", "suggest", "ranking", "shards", "collector"],
    ),
];
/// The namespace whose proxies are native sidecars, if the version supports them.
const NATIVE_DEPARTMENT: &str = "search";
const REPLICAS: usize = 2;

/// A kind of workload that can be restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Deployment,
    StatefulSet,
    DaemonSet,
}

/// The workloads of the shop.
#[derive(Clone, Debug)]
pub struct Shop {
    /// `namespace/kind/name` of the workloads that can be rolled.
    pub workloads: Vec<String>,
    pub namespaces: Vec<String>,
    /// The number of all pods, with the job's and the bare pod.
    pub pods: usize,
}

impl Bed {
    /// Creates thirty workloads that can be rolled, a running job and a bare pod in six namespaces,
    /// and waits until all are ready and meshed.
    pub fn shop(&self) -> anyhow::Result<Shop> {
        let namespaces: Vec<Value> = DEPARTMENTS
            .iter()
            .map(|(name, _)| namespace(name))
            .collect();
        self.apply(&list(&namespaces))?;
        for (name, _) in DEPARTMENTS {
            self.await_service_account(name)?;
        }
        let mut shop = Shop {
            workloads: Vec::new(),
            namespaces: Vec::new(),
            pods: 2,
        };
        let mut manifests = vec![job(), bare_pod()];
        for (department, names) in DEPARTMENTS {
            shop.namespaces.push(department.to_owned());
            for (number, name) in names.into_iter().enumerate() {
                let kind = Kind::of(number);
                manifests.push(workload(kind, department, name));
                shop.workloads.push(format!("{department}/{kind:?}/{name}"));
                shop.pods += kind.pods();
            }
        }
        self.apply(&list(&manifests))?;
        self.await_shop(shop.pods)?;
        Ok(shop)
    }

    fn await_shop(&self, pods: usize) -> anyhow::Result<()> {
        let config = watcher::Config::default().labels(&format!("{PART_OF}={SHOP}"));
        let done = |seen: &BTreeMap<String, Pod>| {
            seen.len() == pods && seen.values().all(|pod| is_ready(pod) && is_meshed(pod))
        };
        let all: Api<Pod> = Api::all(self.client());
        self.block_on(wait::until(all, config, "the shop's pods", done))
            .context("opening the shop")
            .map(drop)
    }
}

impl Kind {
    fn of(number: usize) -> Self {
        match number {
            3 => Self::StatefulSet,
            4 => Self::DaemonSet,
            _ => Self::Deployment,
        }
    }

    fn pods(self) -> usize {
        match self {
            Self::Deployment | Self::StatefulSet => REPLICAS,
            Self::DaemonSet => usize::from(nodes::COUNT),
        }
    }
}

pub(crate) fn list(items: &[Value]) -> String {
    json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string()
}

pub(crate) fn namespace(name: &str) -> Value {
    let mut annotations = json!({ "linkerd.io/inject": "enabled" });
    if name == NATIVE_DEPARTMENT {
        annotations[NATIVE] = "true".into();
    }
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "annotations": annotations } })
}

pub(crate) fn workload(kind: Kind, namespace: &str, name: &str) -> Value {
    let mut spec = json!({
        "selector": { "matchLabels": { "app": name } },
        "template": pod_template(name),
    });
    match kind {
        Kind::Deployment => spec["replicas"] = REPLICAS.into(),
        Kind::StatefulSet => {
            spec["replicas"] = REPLICAS.into();
            spec["serviceName"] = name.into();
        }
        Kind::DaemonSet => {}
    }
    json!({
        "apiVersion": "apps/v1",
        "kind": format!("{kind:?}"),
        "metadata": { "name": name, "namespace": namespace, "labels": labels(name) },
        "spec": spec,
    })
}

fn labels(name: &str) -> Value {
    json!({ "app": name, PART_OF: SHOP })
}

fn pod_template(name: &str) -> Value {
    let container = json!({ "name": name, "image": format!("registry.test/{name}:1.0.0") });
    json!({ "metadata": { "labels": labels(name) }, "spec": { "containers": [container] } })
}

fn job() -> Value {
    let mut template = pod_template("nightly-report");
    template["spec"]["restartPolicy"] = "Never".into();
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": { "name": "nightly-report", "namespace": "checkout", "labels": labels("nightly-report") },
        "spec": { "template": template },
    })
}

fn bare_pod() -> Value {
    let mut pod = pod_template("debug-shell");
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"]["name"] = "debug-shell".into();
    pod["metadata"]["namespace"] = "storefront".into();
    pod
}

/// Returns true if a pod has a proxy.
pub(crate) fn is_meshed(pod: &Pod) -> bool {
    let spec = pod.spec.iter();
    let mut containers = spec.flat_map(|spec| {
        spec.containers
            .iter()
            .chain(spec.init_containers.iter().flatten())
    });
    containers.any(|container| container.name == "linkerd-proxy")
}

/// Returns true if a pod's Ready condition is true.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
