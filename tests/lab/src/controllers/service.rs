//! EndpointSlices: which pods a Service leads to.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Plan, Write, reference};
use crate::{
    object::{is_going, is_over, is_ready, name, namespace, text, uid},
    resource::{ENDPOINT_SLICES, Key, PODS},
    selector::Selector,
    store::Store,
};

pub(super) fn plan(store: &Store, service: &Value) -> Plan {
    let selector = Selector::equal(&service["spec"]["selector"]);
    if selector.is_empty() {
        return Plan::default();
    }
    let home = namespace(service);
    let pods = store.all(&PODS, home).map(|(_, pod)| pod);
    let reached = pods.filter(|pod| {
        selector.matches(pod) && !is_over(pod) && !text(pod, "/status/podIP").is_empty()
    });
    let endpoints: Vec<Value> = reached.map(endpoint).collect();
    let slice = Key::new(&ENDPOINT_SLICES, home, &format!("{}-slice", name(service)));
    if store.get(&slice).is_some() {
        return Plan::of(Write::Merge(slice, json!({ "endpoints": endpoints })));
    }
    let labels = json!({
        "kubernetes.io/service-name": name(service),
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    });
    let metadata = json!({ "name": slice.name(), "namespace": home, "labels": labels, "ownerReferences": reference(service) });
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let ports: Vec<Value> = ports
        .map(|port| json!({ "name": port["name"], "port": port["targetPort"], "protocol": "TCP" }))
        .collect();
    let fresh = json!({ "metadata": metadata, "addressType": "IPv4", "endpoints": endpoints, "ports": ports });
    Plan::of(Write::Create(&ENDPOINT_SLICES, fresh))
}

fn endpoint(pod: &Arc<Value>) -> Value {
    let (ready, going) = (is_ready(pod), is_going(pod));
    json!({
        "addresses": [text(pod, "/status/podIP")],
        "conditions": { "ready": ready && !going, "serving": ready, "terminating": going },
        "nodeName": text(pod, "/spec/nodeName"),
        "targetRef": { "kind": "Pod", "name": name(pod), "namespace": namespace(pod), "uid": uid(pod) },
    })
}
