//! Fills a cluster with meshed pods of the size that real ones have, for measurements.
//!
//! No pod runs: nothing binds or owns these pods while the controllers are paused.

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::{Namespace, Pod, ServiceAccount},
};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::{bed::Bed, servers::Server};

/// The pods of a workload.
const REPLICAS: usize = 10;
/// The workloads of a namespace.
const WORKLOADS: usize = 100;
/// How many requests are under way.
pub(crate) const AT_ONCE: usize = 16;
/// The variables of a proxy's environment.
const VARIABLES: usize = 58;
/// Part of every name, so that a copy of the answers can have other names of the same length.
pub(crate) const ROUND: &str = "round-00";

/// The servers that would bind, create and delete pods.
pub(crate) const CONTROLLERS: [Server; 2] = [Server::ControllerManager, Server::Scheduler];

impl Bed {
    /// Creates meshed pods and their owners. The controllers are paused from then on.
    pub fn load(&self, pods: usize) -> anyhow::Result<()> {
        for server in CONTROLLERS {
            self.pause(server)?;
        }
        self.block_on(load(self.client(), pods))
    }
}

/// Creates meshed pods and their owners, while the controllers are paused.
pub(crate) async fn load(client: Client, pods: usize) -> anyhow::Result<()> {
    let workloads = pods.div_ceil(REPLICAS);
    for number in 0..workloads.div_ceil(WORKLOADS) {
        let object: Namespace = of(json!({ "metadata": {
            "name": format!("{ROUND}-{number:03}"),
            "labels": { "config.linkerd.io/admission-webhooks": "disabled" },
            "annotations": { "linkerd.io/inject": "enabled" },
        } }))?;
        create(&Api::all(client.clone()), &object).await?;
        // A paused controller makes none, and without it no pod can be created.
        let account: ServiceAccount = of(json!({ "metadata": { "name": "default" } }))?;
        create(
            &Api::namespaced(client.clone(), &object.name_any()),
            &account,
        )
        .await?;
    }
    let filled = stream::iter(0..workloads).map(|number| {
        let count = REPLICAS.min(pods - number * REPLICAS);
        workload(client.clone(), number, count)
    });
    filled.buffer_unordered(AT_ONCE).try_collect().await
}

async fn workload(client: Client, number: usize, pods: usize) -> anyhow::Result<()> {
    let namespace = format!("{ROUND}-{:03}", number / WORKLOADS);
    let name = format!("{ROUND}-{number:06}");
    let labels = json!({ "app": name });
    let selector = json!({ "matchLabels": labels });
    let template = json!({ "metadata": { "labels": labels }, "spec": spec() });
    let spec = json!({ "replicas": pods, "selector": selector, "template": template });
    let deployment: Deployment = of(json!({ "metadata": { "name": name }, "spec": spec }))?;
    let deployment = create(&Api::namespaced(client.clone(), &namespace), &deployment).await?;
    let hash = format!("{:010x}", 0x00ab_cdef_0000_u64 + number as u64);
    let labels = json!({ "app": name, "pod-template-hash": hash });
    let set: ReplicaSet = of(json!({
        "metadata": {
            "name": format!("{name}-{hash}"), "labels": labels,
            "ownerReferences": [deployment.controller_owner_ref(&())],
        },
        "spec": spec,
    }))?;
    let set = create(&Api::namespaced(client.clone(), &namespace), &set).await?;
    let owners = client.clone();
    let api = Api::namespaced(client, &namespace);
    for pod in 0..pods {
        let pod: Pod = of(json!({
            "metadata": meta(&format!("{name}-{hash}-{pod:05}"), &namespace, &labels, &set),
            "spec": spec_of_pod(),
        }))?;
        create(&api, &pod).await?;
    }
    // A paused controller counts no pods, and an owner that lacks pods is kept with its template.
    let counts = [
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
    ];
    let counted: Map<String, Value> = counts
        .map(|it| (it.to_owned(), pods.into()))
        .into_iter()
        .collect();
    let status = json!({ "status": counted });
    let api: Api<Deployment> = Api::namespaced(owners, &namespace);
    api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
        .await
        .with_context(|| format!("counting the pods of {name}"))?;
    Ok(())
}

fn meta(name: &str, namespace: &str, labels: &Value, set: &ReplicaSet) -> Value {
    let mut labels = labels.clone();
    labels["linkerd.io/control-plane-ns"] = "linkerd".into();
    labels["linkerd.io/workload-ns"] = namespace.into();
    json!({
        "name": name, "labels": labels, "ownerReferences": [set.controller_owner_ref(&())],
        "annotations": {
            "linkerd.io/created-by": "linkerd/proxy-injector stable-2.14.10",
            "linkerd.io/inject": "enabled", "linkerd.io/proxy-version": "stable-2.14.10",
            "linkerd.io/trust-root-sha256": "e".repeat(64), "viz.linkerd.io/tap-enabled": "true",
        },
    })
}

fn spec() -> Value {
    let probe = json!({ "httpGet": { "path": "/healthz", "port": 8080 }, "periodSeconds": 10 });
    json!({ "containers": [{
        "name": "app", "image": "registry.example.com/team/app:2024.11.3", "args": ["serve", "--port=8080"],
        "env": variables("APP_SETTING", 12), "livenessProbe": probe, "readinessProbe": probe,
        "resources": { "requests": { "cpu": "100m", "memory": "128Mi" }, "limits": { "memory": "256Mi" } },
    }] })
}

fn spec_of_pod() -> Value {
    let mut spec = spec();
    let proxy = json!({
        "name": "linkerd-proxy", "image": "cr.l5d.io/linkerd/proxy:stable-2.14.10",
        "env": variables("LINKERD2_PROXY_SETTING", VARIABLES),
        "ports": [{ "containerPort": 4143 }, { "containerPort": 4191 }],
    });
    let init = json!({
        "name": "linkerd-init", "image": "cr.l5d.io/linkerd/proxy-init:v2.2.3",
        "args": ["--incoming-proxy-port", "4143", "--outgoing-proxy-port", "4140"],
    });
    if let Some(containers) = spec["containers"].as_array_mut() {
        containers.push(proxy);
    }
    spec["initContainers"] = json!([init]);
    spec
}

fn variables(prefix: &str, number: usize) -> Value {
    let variable = |at| {
        let value = format!(
            "linkerd-destination-headless.linkerd.svc.cluster.local.:{:05}",
            8000 + at
        );
        json!({ "name": format!("{prefix}_{at:02}"), "value": value })
    };
    (0..number).map(variable).collect()
}

pub(crate) fn of<T: DeserializeOwned>(object: Value) -> anyhow::Result<T> {
    serde_json::from_value(object).context("an object of the load has another form")
}

// What exists is left as it is.
pub(crate) async fn create<K>(api: &Api<K>, object: &K) -> anyhow::Result<K>
where
    K: Resource + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    match api.create(&PostParams::default(), object).await {
        Err(kube::Error::Api(status)) if status.code == 409 => {
            Ok(api.get(&object.name_any()).await?)
        }
        created => created.with_context(|| format!("creating {}", object.name_any())),
    }
}
