//! Makes the objects of a cluster of one line, with every odd pod.

use serde_json::{Value, json};

use super::table::{Case, Line, served, stored};
use crate::cases::merge;

/// The second control plane.
const CANARY: &str = "linkerd-canary";
const HASH: &str = "6c5f7d9b8c";
const MADE: &str = "2024-02-20T08:00:00Z";

/// All objects: two control planes, the definitions, and those of the cases.
pub(super) fn cluster(line: &Line, cases: &[Case]) -> Vec<Value> {
    let mut objects = mesh_testbed::rendered(&line.release, &[]).unwrap();
    objects.iter_mut().for_each(of_helm);
    let injector = Injector::of(line, &objects);
    objects.extend(canary(&objects));
    objects.extend(validators());
    objects.extend(line.all_definitions.iter().map(definition));
    objects.push(named(
        "Node",
        "",
        "one",
        &json!({"kubernetes.io/arch": "arm64"}),
    ));
    objects.push(named(
        "Node",
        "",
        "two",
        &json!({"kubernetes.io/arch": "arm"}),
    ));
    objects.push(named("Namespace", "", "shop", &json!({})));
    objects.extend(cases.iter().flat_map(|case| case.objects.clone()));
    let pods = cases.iter().filter_map(|case| injector.pod_of(case));
    let mut all: Vec<Value> = pods.collect();
    for object in objects {
        all.extend(injector.made_of(&object));
        all.push(settled(object));
    }
    all.into_iter().map(complete).collect()
}

fn named(kind: &str, namespace: &str, name: &str, labels: &Value) -> Value {
    let mut meta = json!({"name": name, "labels": labels});
    if !namespace.is_empty() {
        meta["namespace"] = namespace.into();
    }
    json!({"apiVersion": "v1", "kind": kind, "metadata": meta})
}

/// What every API server writes into an object.
fn complete(mut object: Value) -> Value {
    let meta = &object["metadata"];
    let parts = [&object["kind"], &meta["namespace"], &meta["name"]];
    let parts: Vec<&str> = parts.into_iter().filter_map(Value::as_str).collect();
    object["metadata"]["uid"] = parts.join("/").into();
    object["metadata"]["creationTimestamp"] = MADE.into();
    if object["kind"] == "Namespace" {
        let name = object["metadata"]["name"].clone();
        object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
    }
    object
}

/// What Helm writes on the objects that it installs.
fn of_helm(object: &mut Value) {
    let release = json!({"meta.helm.sh/release-name": "linkerd-control-plane", "meta.helm.sh/release-namespace": "linkerd"});
    let labels = json!({"app.kubernetes.io/managed-by": "Helm"});
    if object["kind"] != "Namespace" {
        merge(
            &mut object["metadata"],
            &json!({"annotations": release, "labels": labels}),
        );
    }
}

/// The main objects of a second control plane, which has no webhook of its own.
fn canary(objects: &[Value]) -> Vec<Value> {
    let is_main = |it: &&Value| {
        let kinds = ["Namespace", "ConfigMap", "Deployment"];
        kinds.iter().any(|kind| it["kind"] == *kind)
    };
    let moved = objects.iter().filter(is_main).map(|object| {
        let mut object = object.clone();
        let place = if object["kind"] == "Namespace" {
            "name"
        } else {
            "namespace"
        };
        object["metadata"][place] = CANARY.into();
        let template = "/spec/template/metadata/labels";
        for labels in ["/metadata/labels", template] {
            if let Some(labels) = object.pointer_mut(labels) {
                labels["linkerd.io/control-plane-ns"] = CANARY.into();
            }
        }
        object
    });
    moved.collect()
}

/// The validators' webhooks, which the charts of every line have.
fn validators() -> Vec<Value> {
    let of = |name: &str| {
        let service = format!("linkerd-{name}-validator");
        let labels = json!({"linkerd.io/control-plane-component": "destination", "linkerd.io/control-plane-ns": "linkerd"});
        let metadata = json!({"name": format!("{service}-webhook-config"), "labels": labels});
        let called = json!({"name": service, "namespace": "linkerd", "path": "/"});
        let hook = json!({"name": format!("{service}.linkerd.io"), "failurePolicy": "Ignore", "sideEffects": "None",
            "clientConfig": {"service": called}, "namespaceSelector": {}});
        let hooks = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": metadata, "webhooks": [hook]});
        [hooks, service_of(&service)]
    };
    ["sp", "policy"].into_iter().flat_map(of).collect()
}

fn service_of(name: &str) -> Value {
    let mut service = named("Service", "linkerd", name, &json!({}));
    service["spec"] = json!({"selector": {"linkerd.io/control-plane-component": "destination"}});
    service
}

fn definition((name, versions): (&String, &String)) -> Value {
    let (plural, group) = name.split_once('.').unwrap();
    let stored = stored(versions);
    let versions = served(versions)
        .into_iter()
        .map(|version| json!({"name": version, "served": true, "storage": version == stored}));
    let versions: Vec<Value> = versions.collect();
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": name},
        "spec": {"group": group, "names": {"plural": plural}, "scope": "Namespaced", "versions": versions},
        "status": {"storedVersions": [stored]}})
}

/// An object as its controllers leave it: everything that it asks for is there.
fn settled(mut object: Value) -> Value {
    let wanted = object["spec"]["replicas"].clone();
    if object["kind"] == "Deployment" || object["kind"] == "StatefulSet" {
        object["metadata"]["generation"] = 1.into();
        object["status"] = json!({"observedGeneration": 1, "replicas": wanted, "readyReplicas": wanted,
            "updatedReplicas": wanted, "availableReplicas": wanted, "currentRevision": HASH, "updateRevision": HASH});
    }
    object
}

/// What the injector of the line does to a pod.
struct Injector<'a> {
    line: &'a Line,
    /// The two containers of a control plane's pod that are the mesh's.
    init: Value,
    proxy: Value,
    /// The digest of the trust bundle.
    bundle: Value,
}

impl<'a> Injector<'a> {
    fn of(line: &'a Line, objects: &[Value]) -> Self {
        let is_it = |it: &&Value| {
            it["metadata"]["name"] == "linkerd-destination" && it["kind"] == "Deployment"
        };
        let template = &objects.iter().find(is_it).unwrap()["spec"]["template"];
        let lists =
            ["initContainers", "containers"].map(|list| template["spec"][list].as_array().unwrap());
        let named = |name: &str| {
            let mut all = lists.into_iter().flatten();
            all.find(|it| it["name"] == name).unwrap().clone()
        };
        Self {
            line,
            init: named("linkerd-init"),
            proxy: named("linkerd-proxy"),
            bundle: template["metadata"]["annotations"]["linkerd.io/trust-root-sha256"].clone(),
        }
    }

    fn pod_of(&self, case: &Case) -> Option<Value> {
        let labels = json!({"app": case.pod.as_ref()?});
        let mut pod = named("Pod", "shop", case.pod.as_ref()?, &labels);
        pod["metadata"]["annotations"] = json!({"linkerd.io/inject": "enabled"});
        pod["spec"] = json!({"containers": [{"name": "app", "image": "registry.test/app:1"}]});
        self.inject(&mut pod);
        for (name, image) in [("linkerd-proxy", &case.image), ("linkerd-init", &case.init)] {
            let Some(image) = image else { continue };
            for list in ["initContainers", "containers"] {
                let containers = pod["spec"][list].as_array_mut().unwrap();
                let mut own = containers.iter_mut().filter(|it| it["name"] == name);
                own.by_ref()
                    .for_each(|it| it["image"] = image.as_str().into());
            }
        }
        if case.with.is_object() {
            merge(&mut pod, &case.with);
        }
        Some(running(pod, &case.with["status"]))
    }

    /// The pods that an owner asks for, and what is between them and it.
    fn made_of(&self, owner: &Value) -> Vec<Value> {
        let (kind, meta) = (owner["kind"].as_str().unwrap(), &owner["metadata"]);
        let name = meta["name"].as_str().unwrap();
        let namespace = meta["namespace"].as_str().unwrap_or_default();
        let count = owner["spec"]["replicas"].as_u64().unwrap_or_default();
        match kind {
            "Deployment" => {
                let set = format!("{name}-{HASH}");
                let labels = json!({"pod-template-hash": HASH});
                let mut object = named("ReplicaSet", namespace, &set, &labels);
                object["apiVersion"] = "apps/v1".into();
                object["metadata"]["ownerReferences"] = owned_by(kind, namespace, name);
                object["spec"] = json!({"replicas": count});
                object["status"] = json!({"replicas": count});
                let references = owned_by("ReplicaSet", namespace, &set);
                let pods = (0..count).map(|number| {
                    let name = format!("{set}-{number:05}");
                    self.pod(owner, &name, &references, &labels)
                });
                let pods: Vec<Value> = pods.collect();
                [vec![object], pods].concat()
            }
            "StatefulSet" => {
                let references = owned_by(kind, namespace, name);
                let labels = json!({"controller-revision-hash": HASH});
                let pods = (0..count).map(|number| {
                    self.pod(owner, &format!("{name}-{number}"), &references, &labels)
                });
                pods.collect()
            }
            "Service" => vec![slice(namespace, name)],
            _ => Vec::new(),
        }
    }

    fn pod(&self, owner: &Value, name: &str, references: &Value, labels: &Value) -> Value {
        let (meta, template) = (&owner["metadata"], &owner["spec"]["template"]);
        let mut pod = named("Pod", meta["namespace"].as_str().unwrap(), name, labels);
        merge(&mut pod, template);
        pod["metadata"]["ownerReferences"] = references.clone();
        if template["metadata"]["annotations"]["linkerd.io/inject"] == "enabled" {
            self.inject(&mut pod);
        }
        running(pod, &Value::Null)
    }

    fn inject(&self, pod: &mut Value) {
        let Line {
            release,
            native,
            stamps,
            ..
        } = self.line;
        let namespace = pod["metadata"]["namespace"].clone();
        merge(
            &mut pod["metadata"],
            &json!({
                "labels": {"linkerd.io/control-plane-ns": "linkerd", "linkerd.io/workload-ns": namespace},
                "annotations": {
                    "linkerd.io/created-by": format!("linkerd/proxy-injector {release}"),
                    "linkerd.io/proxy-version": release,
                    "linkerd.io/trust-root-sha256": if *stamps { self.bundle.clone() } else { Value::Null },
                },
            }),
        );
        let mut init = vec![self.init.clone()];
        let place = if *native {
            &mut init
        } else {
            pod["spec"]["containers"].as_array_mut().unwrap()
        };
        place.push(self.proxy.clone());
        pod["spec"]["initContainers"] = init.into();
    }
}

fn owned_by(kind: &str, namespace: &str, name: &str) -> Value {
    let uid = format!("{kind}/{namespace}/{name}");
    json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true}])
}

/// A pod as its kubelet would leave it, on a node.
fn running(mut pod: Value, own: &Value) -> Value {
    let statuses = |list: &str, state: Value| {
        let containers = pod["spec"][list].as_array().into_iter().flatten();
        let statuses =
            containers.map(|it| json!({"name": it["name"], "ready": true, "state": state}));
        Value::from(statuses.collect::<Vec<_>>())
    };
    let up = json!({"running": {"startedAt": MADE}});
    let mut status = json!({
        "phase": "Running", "startTime": MADE,
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": statuses("containers", up.clone()),
        "initContainerStatuses": statuses("initContainers", up),
    });
    if own.is_object() {
        merge(&mut status, own);
    }
    pod["status"] = status;
    pod["spec"]["nodeName"] = "one".into();
    pod
}

/// The one ready endpoint of a Service.
fn slice(namespace: &str, service: &str) -> Value {
    let labels = json!({"kubernetes.io/service-name": service});
    let mut slice = named(
        "EndpointSlice",
        namespace,
        &format!("{service}-x7k2p"),
        &labels,
    );
    slice["apiVersion"] = "discovery.k8s.io/v1".into();
    slice["addressType"] = "IPv4".into();
    slice["endpoints"] = json!([{"addresses": ["10.244.0.7"], "conditions": {"ready": true}}]);
    slice
}
