//! The warehouse: workloads with the obstacles that a roll meets in practice, for demos.

use std::collections::BTreeMap;

use anyhow::Context as _;
use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentCondition},
    core::v1::Pod,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
    runtime::watcher,
};
use serde_json::{Value, json};

use crate::{
    bed::Bed,
    kubelet::faltered,
    nodes,
    shop::{Kind, is_meshed, is_ready, list, namespace, workload},
    wait,
};

const WAREHOUSE: &str = "warehouse";
/// A workload whose proxy version is pinned.
const PINNED: &str = "legacy-erp";
const PIN: &str = "config.linkerd.io/proxy-version";
/// A workload whose pod is no longer ready.
const UNHEALTHY: &str = "forecast";
/// A workload that stops its only pod before it starts the next.
const ALONE: &str = "label-printer";
/// A workload with zero replicas.
const ASLEEP: &str = "christmas";

/// The workloads with their numbers of pods; a DaemonSet has one pod per node.
const WORKLOADS: [(Kind, &str, u8); 8] = [
    (Kind::Deployment, "picking", 2),
    (Kind::Deployment, "returns", 2),
    (Kind::StatefulSet, "stock", 2),
    (Kind::DaemonSet, "conveyor", nodes::COUNT),
    (Kind::Deployment, PINNED, 1),
    (Kind::Deployment, UNHEALTHY, 1),
    (Kind::Deployment, ALONE, 1),
    (Kind::Deployment, ASLEEP, 0),
];

impl Bed {
    /// Creates eight workloads and waits until they have the intended states. Among them are one
    /// pinned to the proxy of `version`, one that is not healthy, one that a restart takes down,
    /// and one without pods.
    pub fn warehouse(&self, version: &str) -> anyhow::Result<()> {
        self.apply(&list(&[namespace(WAREHOUSE)]))?;
        self.await_service_account(WAREHOUSE)?;
        let manifests = WORKLOADS.map(|(kind, name, pods)| manifest(kind, name, pods, version));
        self.apply(&list(&manifests))?;
        let wanted: usize = WORKLOADS.iter().map(|(.., pods)| usize::from(*pods)).sum();
        let is_open = |seen: &BTreeMap<String, Pod>| {
            let is_well = |pod: &Pod| is_ready(pod) && is_meshed(pod);
            seen.len() == wanted && seen.values().all(is_well)
        };
        self.block_on(async {
            await_pods(self.client(), is_open).await?;
            sicken(self.client()).await
        })
        .context("opening the warehouse")
    }
}

// Makes the workload unhealthy after it was rolled out well.
async fn sicken(client: Client) -> anyhow::Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), WAREHOUSE);
    let config = watcher::Config::default().fields(&format!("metadata.name={UNHEALTHY}"));
    let is_rolled_out = |seen: &BTreeMap<_, Deployment>| seen.values().any(is_complete);
    wait::until(deployments, config, "its rollout", is_rolled_out).await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), WAREHOUSE);
    let its_own = ListParams::default().labels(&format!("app={UNHEALTHY}"));
    for pod in pods.list(&its_own).await? {
        let mut faltered = faltered(&pod);
        // It fell ill long ago, so nobody waits for it.
        let conditions = faltered["status"]["conditions"].as_array_mut();
        for condition in conditions.into_iter().flatten() {
            condition["lastTransitionTime"] = "2026-01-01T00:00:00Z".into();
        }
        let patch = Patch::Merge(faltered);
        let params = PatchParams::default();
        pods.patch_status(&pod.name_any(), &params, &patch).await?;
    }
    let is_ill = |seen: &BTreeMap<String, Pod>| {
        let mut its_own = seen.values().filter(|pod| is_of(pod, UNHEALTHY));
        its_own.all(|pod| !is_ready(pod))
    };
    await_pods(client, is_ill).await
}

// The controller sets this reason once and keeps it when pods become unready.
fn is_complete(deployment: &Deployment) -> bool {
    let conditions = deployment
        .status
        .iter()
        .flat_map(|status| &status.conditions);
    let reason = |condition: &DeploymentCondition| {
        condition.reason.as_deref() == Some("NewReplicaSetAvailable")
    };
    conditions.flatten().any(reason)
}

/// Does what the workloads' owners must do: removes the pin, and gives the unhealthy workload a
/// release that works. Both get new pods that way.
pub(crate) async fn mend(client: Client) -> anyhow::Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), WAREHOUSE);
    let works = json!({ "name": UNHEALTHY, "image": format!("registry.test/{UNHEALTHY}:1.0.1") });
    let changes = [
        (
            PINNED,
            json!({ "metadata": { "annotations": { PIN: null } } }),
        ),
        (UNHEALTHY, json!({ "spec": { "containers": [works] } })),
    ];
    for (name, template) in changes {
        let patch = Patch::Merge(json!({ "spec": { "template": template } }));
        deployments
            .patch(name, &PatchParams::default(), &patch)
            .await
            .with_context(|| format!("mending {WAREHOUSE}/{name}"))?;
    }
    let is_mended = |seen: &BTreeMap<String, Pod>, name: &str| {
        let mut of_it = seen.values().filter(|pod| is_of(pod, name));
        let is_new = |pod: &Pod| is_ready(pod) && !pod.annotations().contains_key(PIN);
        of_it.next().is_some_and(is_new) && of_it.next().is_none()
    };
    await_pods(client, |seen| {
        is_mended(seen, PINNED) && is_mended(seen, UNHEALTHY)
    })
    .await
}

async fn await_pods(
    client: Client,
    done: impl FnMut(&BTreeMap<String, Pod>) -> bool,
) -> anyhow::Result<()> {
    let all: Api<Pod> = Api::namespaced(client, WAREHOUSE);
    let config = watcher::Config::default();
    wait::until(all, config, "the pods of the warehouse", done)
        .await
        .map(drop)
}

fn is_of(pod: &Pod, workload: &str) -> bool {
    pod.labels().get("app").is_some_and(|app| app == workload)
}

fn manifest(kind: Kind, name: &str, pods: u8, version: &str) -> Value {
    let mut manifest = workload(kind, WAREHOUSE, name);
    let spec = &mut manifest["spec"];
    if kind != Kind::DaemonSet {
        spec["replicas"] = pods.into();
    }
    match name {
        PINNED => spec["template"]["metadata"]["annotations"] = json!({ PIN: version }),
        ALONE => spec["strategy"] = json!({ "type": "Recreate" }),
        _ => {}
    }
    manifest
}
