//! A cluster with workloads of every kind, with some, all or no pods in the mesh.

use mesh_testbed::Bed;
use mesh_tests::Shared;
use serde_json::{Value, json};

/// One pod template for every kind.
const TEMPLATE: &str = r#"{metadata: {labels: {app: NAME}}, spec: {containers: [{name: web, image: "registry.test/web:1"}]}}"#;

const KINDS: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {replicas: 3, selector: {matchLabels: {app: web}}, template: TEMPLATE-web}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: single, namespace: shop}
spec: {replicas: 1, strategy: {type: Recreate}, selector: {matchLabels: {app: single}}, template: TEMPLATE-single}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: empty, namespace: shop}
spec: {replicas: 0, selector: {matchLabels: {app: empty}}, template: TEMPLATE-empty}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec: {replicas: 2, serviceName: db, updateStrategy: {type: OnDelete}, selector: {matchLabels: {app: db}}, template: TEMPLATE-db}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: shop}
spec: {selector: {matchLabels: {app: agent}}, template: TEMPLATE-agent}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: bare-set, namespace: shop}
spec: {replicas: 2, selector: {matchLabels: {app: bare-set}}, template: TEMPLATE-bare-set}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: shop}
spec: {schedule: "0 0 31 2 *", jobTemplate: {spec: {template: {metadata: {labels: {app: nightly}}, spec: {restartPolicy: Never, containers: [{name: web, image: "registry.test/web:1"}]}}}}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: once, namespace: shop}
spec: {template: {metadata: {labels: {app: once}}, spec: {restartPolicy: Never, containers: [{name: web, image: "registry.test/web:1"}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: alone, namespace: shop, labels: {app: alone}}
spec: {containers: [{name: web, image: "registry.test/web:1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: on-the-node, namespace: shop, labels: {app: on-the-node}}
spec: {hostNetwork: true, containers: [{name: web, image: "registry.test/web:1"}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: declines, namespace: shop}
spec: {replicas: 1, selector: {matchLabels: {app: declines}}, template: {metadata: {labels: {app: declines}, annotations: {linkerd.io/inject: disabled}}, spec: {containers: [{name: web, image: "registry.test/web:1"}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: outside, namespace: plain}
spec: {replicas: 1, selector: {matchLabels: {app: outside}}, template: TEMPLATE-outside}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: forgotten, namespace: late}
spec: {replicas: 2, selector: {matchLabels: {app: forgotten}}, template: TEMPLATE-forgotten}
---
apiVersion: v1
kind: Pod
metadata:
  name: native
  namespace: plain
  labels: {app: native, linkerd.io/control-plane-ns: linkerd}
  annotations: {linkerd.io/proxy-version: edge-25.4.4}
spec:
  initContainers: [{name: linkerd-proxy, image: "cr.l5d.io/linkerd/proxy:edge-25.4.4", restartPolicy: Always}]
  containers: [{name: web, image: "registry.test/web:1"}]
"#;

const EXTENSIONS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: linkerd-viz, labels: {linkerd.io/extension: viz}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: metrics-api, namespace: linkerd-viz, annotations: {linkerd.io/created-by: linkerd/helm stable-2.12.6}}
spec: {replicas: 0, selector: {matchLabels: {app: metrics-api}}, template: TEMPLATE-metrics-api}
---
apiVersion: v1
kind: Namespace
metadata: {name: linkerd-cni}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: linkerd-cni, namespace: linkerd-cni, labels: {linkerd.io/cni-resource: "true"}, annotations: {linkerd.io/created-by: linkerd/helm stable-2.13.7}}
spec: {selector: {matchLabels: {app: cni}}, template: {metadata: {labels: {app: cni}}, spec: {nodeSelector: {no: such}, containers: [{name: install-cni, image: "cr.l5d.io/linkerd/cni-plugin:v1.1.1"}]}}}
"#;

/// Both let clients connect to a port of their own; only the first leaves out the proxies'.
const POLICIES: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {}}], ports: [{port: 8080}]}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec: {podSelector: {matchExpressions: [{key: app, operator: In, values: [db, agent]}]}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {}}], ports: [{port: 5432}, {port: 4143, protocol: TCP}]}]}
"#;

const JOB: &str = r#"
apiVersion: batch/v1
kind: Job
metadata: {name: nightly-1, namespace: shop, ownerReferences: [{apiVersion: batch/v1, kind: CronJob, name: nightly, uid: UID, controller: true}]}
spec: {template: {metadata: {labels: {app: nightly}}, spec: {restartPolicy: Never, containers: [{name: web, image: "registry.test/web:1"}]}}}
"#;

/// Kinds that the lab does not have.
const FOREIGN: &str = r#"
apiVersion: v1
kind: ReplicationController
metadata: {name: old, namespace: shop}
spec: {replicas: 1, selector: {app: old}, template: TEMPLATE-old}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: rollouts.argoproj.io}
spec:
  group: argoproj.io
  names: {kind: Rollout, plural: rollouts}
  scope: Namespaced
  versions: [{name: v1alpha1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
"#;

const ROLLOUT: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: canary, namespace: shop}
"#;

const ROLLOUT_SET: &str = r#"
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: canary-1, namespace: shop, ownerReferences: [{apiVersion: argoproj.io/v1alpha1, kind: Rollout, name: canary, uid: UID, controller: true}]}
spec: {replicas: 1, selector: {matchLabels: {app: canary}}, template: TEMPLATE-canary}
"#;

pub(crate) static CLUSTER: Shared = Shared::filled(fill);

fn fill(bed: &Bed) {
    bed.install_linkerd("stable-2.13.7").unwrap();
    bed.namespace("shop", &[("linkerd.io/inject", "enabled")])
        .unwrap();
    bed.namespace("plain", &[]).unwrap();
    bed.namespace("late", &[]).unwrap();
    bed.apply(&templated(KINDS)).unwrap();
    bed.apply(&templated(EXTENSIONS)).unwrap();
    bed.apply(POLICIES).unwrap();
    let nightly = bed.get("/apis/batch/v1/namespaces/shop/cronjobs/nightly");
    bed.apply(&owned(JOB, &nightly.unwrap())).unwrap();
    if bed.as_lab().is_none() {
        fill_with_foreign_kinds(bed);
    }
    for (owner, field, pods) in [
        ("apps/v1 shop deployments/web", "readyReplicas", 3),
        ("apps/v1 shop deployments/single", "readyReplicas", 1),
        ("apps/v1 shop deployments/declines", "readyReplicas", 1),
        ("apps/v1 plain deployments/outside", "readyReplicas", 1),
        ("apps/v1 late deployments/forgotten", "readyReplicas", 2),
        ("apps/v1 shop statefulsets/db", "readyReplicas", 2),
        ("apps/v1 shop daemonsets/agent", "numberReady", 3),
        ("apps/v1 shop replicasets/bare-set", "readyReplicas", 2),
        ("batch/v1 shop jobs/once", "ready", 1),
        ("batch/v1 shop jobs/nightly-1", "ready", 1),
    ] {
        ready(bed, owner, field, pods);
    }
    for pod in [
        "shop/pods/alone",
        "shop/pods/on-the-node",
        "plain/pods/native",
    ] {
        let path = format!("/api/v1/namespaces/{pod}");
        bed.await_field(&path, "/status/containerStatuses/0/ready", &true.into())
            .unwrap();
    }
    // Pods from before injection was turned on, and from a time when the injector was down.
    let inject = json!({ "metadata": { "annotations": { "linkerd.io/inject": "enabled" } } });
    bed.merge("/api/v1/namespaces/late", &inject).unwrap();
    bed.injector().close();
    let more = json!({ "spec": { "replicas": 5 } });
    bed.merge("/apis/apps/v1/namespaces/shop/deployments/web", &more)
        .unwrap();
    ready(bed, "apps/v1 shop deployments/web", "readyReplicas", 5);
    bed.injector().open();
}

fn fill_with_foreign_kinds(bed: &Bed) {
    bed.apply(&templated(FOREIGN)).unwrap();
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    bed.await_field(
        &format!("{definitions}/rollouts.argoproj.io"),
        "/status/conditions/1/status",
        &"True".into(),
    )
    .unwrap();
    bed.apply(ROLLOUT).unwrap();
    let canary = bed.get("/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/canary");
    bed.apply(&owned(&templated(ROLLOUT_SET), &canary.unwrap()))
        .unwrap();
    ready(bed, "apps/v1 shop replicasets/canary-1", "readyReplicas", 1);
    let old = "/api/v1/namespaces/shop/replicationcontrollers/old";
    bed.await_field(old, "/status/readyReplicas", &1.into())
        .unwrap();
}

fn owned(manifest: &str, owner: &Value) -> String {
    manifest.replace("UID", owner["metadata"]["uid"].as_str().unwrap())
}

fn templated(manifests: &str) -> String {
    let mut text = manifests.to_owned();
    while let Some(place) = text.find("TEMPLATE-") {
        let rest = &text[place + "TEMPLATE-".len()..];
        let name: String = rest
            .chars()
            .take_while(|it| it.is_alphanumeric() || *it == '-')
            .collect();
        text = text.replacen(
            &format!("TEMPLATE-{name}"),
            &TEMPLATE.replace("NAME", &name),
            1,
        );
    }
    text
}

/// Waits for a number of ready pods in the owner's status.
fn ready(bed: &Bed, owner: &str, field: &str, pods: u32) {
    let [group, namespace, owner] = owner.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{owner}")
    };
    let path = format!("/apis/{group}/namespaces/{namespace}/{owner}");
    bed.await_field(&path, &format!("/status/{field}"), &pods.into())
        .unwrap();
}
