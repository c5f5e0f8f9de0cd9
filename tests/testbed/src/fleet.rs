//! Many small Deployments of one pod each, to measure a roll of all of them.

use std::collections::BTreeMap;

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Pod},
};
use kube::{Api, Client, runtime::watcher};
use serde_json::{Value, json};

use crate::{
    READY_DELAY,
    load::{AT_ONCE, create, of},
    shop::{is_meshed, is_ready, namespace},
    wait,
};

/// The workloads of a namespace.
const WORKLOADS: usize = 100;
/// How many are made at a time: a wait for the pods of all would give up too early.
const PART: usize = 200;
const FLEET: &str = "fleet";

/// Creates so many Deployments, and waits until all their pods are ready and meshed.
pub(crate) async fn create_all(client: Client, workloads: usize) -> anyhow::Result<()> {
    for number in 0..workloads.div_ceil(WORKLOADS) {
        let home: Namespace = of(namespace(&home(number)))?;
        create(&Api::all(client.clone()), &home).await?;
    }
    let numbers: Vec<usize> = (0..workloads).collect();
    for part in numbers.chunks(PART) {
        let made = stream::iter(part.iter().copied()).map(|number| {
            let api: Api<Deployment> = Api::namespaced(client.clone(), &home(number / WORKLOADS));
            async move { create(&api, &of(deployment(number))?).await.map(drop) }
        });
        made.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        let made = part.last().map_or(0, |last| last.saturating_add(1));
        let are_ready = |seen: &BTreeMap<String, Pod>| {
            seen.len() == made && seen.values().all(|pod| is_ready(pod) && is_meshed(pod))
        };
        let config = watcher::Config::default().labels(&format!("app={FLEET}"));
        wait::until(
            Api::all(client.clone()),
            config,
            "the fleet's pods",
            are_ready,
        )
        .await
        .context("making the fleet")?;
    }
    Ok(())
}

fn home(number: usize) -> String {
    format!("{FLEET}-{number:03}")
}

fn deployment(number: usize) -> Value {
    let labels = json!({ "app": FLEET, "ship": format!("ship-{number:05}") });
    let container = json!({ "name": "ship", "image": "registry.test/ship:1.0.0" });
    json!({
        "metadata": { "name": format!("ship-{number:05}") },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels, "annotations": { READY_DELAY: "2s" } },
                "spec": { "containers": [container] },
            },
        },
    })
}
