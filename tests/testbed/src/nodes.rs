//! Fake nodes with the status ready and free capacity, and the API server's endpoint.

use jiff::Timestamp;
use k8s_openapi::api::{core::v1::Node, discovery::v1::EndpointSlice};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

pub(crate) const COUNT: u8 = 3;

/// Returns the name of a node, counted from one.
fn name(number: u8) -> String {
    format!("node-{number}")
}

/// Returns the address of a fake node.
pub(crate) fn address(node: &str) -> String {
    format!("10.0.0.{}", node.rsplit('-').next().unwrap_or("0"))
}

pub(crate) async fn create(client: &Client) -> anyhow::Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    for name in (1..=COUNT).map(name) {
        let labels = json!({ "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "kubernetes.io/hostname": name });
        let node =
            serde_json::from_value(json!({ "metadata": { "name": name, "labels": labels } }))?;
        nodes.create(&PostParams::default(), &node).await?;
        nodes
            .patch_status(&name, &PatchParams::default(), &Patch::Merge(status(&name)))
            .await?;
    }
    Ok(())
}

/// Makes the EndpointSlice of the Service `kubernetes`. The API server does not do it here, because
/// an EndpointSlice cannot hold a loopback address; `linkerd install` refuses a cluster without any.
pub(crate) async fn publish_api_server(client: &Client) -> anyhow::Result<()> {
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), "default");
    let slice = serde_json::from_value(json!({
        "metadata": { "name": "kubernetes", "labels": { "kubernetes.io/service-name": "kubernetes" } },
        "addressType": "IPv4",
        "endpoints": [{ "addresses": ["10.0.0.100"], "conditions": { "ready": true } }],
        "ports": [{ "name": "https", "port": 6443, "protocol": "TCP" }],
    }))?;
    slices.create(&PostParams::default(), &slice).await?;
    Ok(())
}

fn status(name: &str) -> Value {
    let room = json!({ "cpu": "1000", "memory": "4000Gi", "pods": "10000", "ephemeral-storage": "4000Gi" });
    let now = Timestamp::UNIX_EPOCH;
    let condition = json!({
        "type": "Ready", "status": "True", "reason": "KubeletReady",
        "lastHeartbeatTime": now, "lastTransitionTime": now,
    });
    let info = json!({
        "architecture": "amd64", "operatingSystem": "linux", "kubeletVersion": "v1.34.2",
        "kernelVersion": "6.1.0", "osImage": "test bed", "containerRuntimeVersion": "containerd://2.1.0",
        "machineID": "", "systemUUID": "", "bootID": "", "kubeProxyVersion": "",
    });
    json!({ "status": {
        "capacity": room,
        "allocatable": room,
        "conditions": [condition],
        "addresses": [{ "type": "InternalIP", "address": address(name) }, { "type": "Hostname", "address": name }],
        "nodeInfo": info,
    } })
}
