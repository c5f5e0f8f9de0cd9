//! What a survey sees, against what kubectl shows.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::collections::{BTreeMap, HashMap};
use std::process::Output;
use std::sync::LazyLock;

use mesh_testbed::Bed;
use mesh_tests::{Toolbox, toolbox};
use serde_json::Value;

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
apiVersion: v1
kind: ReplicationController
metadata: {name: old, namespace: shop}
spec: {replicas: 1, selector: {app: old}, template: TEMPLATE-old}
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

const ROLLOUT_DEFINITION: &str = r#"
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

/// Total, ready and meshed pods of a workload.
type Counts = (u64, u64, u64);

static BED: LazyLock<Option<Bed>> = LazyLock::new(|| {
    let bed = Bed::for_test()?;
    fill(&bed);
    Some(bed)
});

fn fill(bed: &Bed) {
    bed.install_linkerd("stable-2.13.7").unwrap();
    bed.namespace("shop", &[("linkerd.io/inject", "enabled")])
        .unwrap();
    bed.namespace("plain", &[]).unwrap();
    bed.namespace("late", &[]).unwrap();
    bed.apply(ROLLOUT_DEFINITION).unwrap();
    bed.kubectl([
        "wait",
        "--for=condition=Established",
        "crd/rollouts.argoproj.io",
    ])
    .unwrap();
    bed.apply(&templated(KINDS)).unwrap();
    bed.apply(&templated(EXTENSIONS)).unwrap();
    bed.apply(ROLLOUT).unwrap();
    let uid = [
        "-n",
        "shop",
        "get",
        "rollout/canary",
        "-o",
        "jsonpath={.metadata.uid}",
    ];
    let uid = bed.kubectl(uid).unwrap();
    bed.apply(&templated(ROLLOUT_SET).replace("UID", &uid))
        .unwrap();
    let run = [
        "-n",
        "shop",
        "create",
        "job",
        "nightly-1",
        "--from=cronjob/nightly",
    ];
    bed.kubectl(run).unwrap();
    for (owner, field, pods) in [
        ("shop deployment/web", "readyReplicas", 3),
        ("shop deployment/single", "readyReplicas", 1),
        ("shop deployment/declines", "readyReplicas", 1),
        ("plain deployment/outside", "readyReplicas", 1),
        ("late deployment/forgotten", "readyReplicas", 2),
        ("shop statefulset/db", "readyReplicas", 2),
        ("shop daemonset/agent", "numberReady", 3),
        ("shop replicaset/bare-set", "readyReplicas", 2),
        ("shop replicaset/canary-1", "readyReplicas", 1),
        ("shop replicationcontroller/old", "readyReplicas", 1),
        ("shop job/once", "ready", 1),
        ("shop job/nightly-1", "ready", 1),
    ] {
        ready(bed, owner, field, pods);
    }
    let bare = ["pod/alone", "pod/on-the-node"];
    bed.kubectl([&["-n", "shop", "wait", "--for=condition=Ready"], &bare[..]].concat())
        .unwrap();
    bed.kubectl(["-n", "plain", "wait", "--for=condition=Ready", "pod/native"])
        .unwrap();
    // Injection that came later, and an injector that was away for a while.
    bed.kubectl(["annotate", "namespace", "late", "linkerd.io/inject=enabled"])
        .unwrap();
    bed.injector().close();
    bed.kubectl(["-n", "shop", "scale", "deployment/web", "--replicas=5"])
        .unwrap();
    ready(bed, "shop deployment/web", "readyReplicas", 5);
    bed.injector().open();
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

/// Waits for a number of ready pods, as the owner's own status counts them.
fn ready(bed: &Bed, owner: &str, field: &str, pods: u32) {
    let (namespace, owner) = owner.split_once(' ').unwrap();
    let condition = format!("--for=jsonpath={{.status.{field}}}={pods}");
    bed.kubectl(["-n", namespace, "wait", owner, &condition, "--timeout=60s"])
        .unwrap();
}

fn survey(tools: &Toolbox, bed: &Bed, args: &[&str]) -> Output {
    tools
        .run("mesh-survey")
        .args(args)
        .env("KUBECONFIG", bed.kubeconfig())
        .output()
        .unwrap()
}

#[track_caller]
fn records(output: &Output) -> Vec<Value> {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn of_type<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    records
        .iter()
        .filter(|record| record["type"] == kind)
        .collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn identity(record: &Value) -> String {
    let Value::Object(_) = record else {
        panic!("{record}")
    };
    format!(
        "{}/{}/{}",
        text(&record["namespace"]),
        text(&record["kind"]),
        text(&record["name"])
    )
}

fn counts(records: &[Value]) -> BTreeMap<String, Counts> {
    let number = |record: &Value, what: &str| record["pods"][what].as_u64().unwrap();
    let workloads = of_type(records, "workload").into_iter();
    workloads
        .map(|it| {
            (
                identity(it),
                (
                    number(it, "total"),
                    number(it, "ready"),
                    number(it, "meshed"),
                ),
            )
        })
        .collect()
}

#[track_caller]
fn workload<'a>(records: &'a [Value], name: &str) -> &'a Value {
    let found = of_type(records, "workload")
        .into_iter()
        .find(|it| identity(it) == name);
    found.unwrap_or_else(|| panic!("no workload {name}"))
}

/// The owners of running pods and their counts, from kubectl alone, walking owner references up.
fn truth(bed: &Bed) -> BTreeMap<String, Counts> {
    let listed = bed
        .kubectl(["get", "pods,replicasets,jobs", "-A", "-o", "json"])
        .unwrap();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let items = listed["items"].as_array().unwrap();
    let owners: HashMap<&str, &Value> = items
        .iter()
        .map(|item| (text(&item["metadata"]["uid"]), item))
        .collect();
    let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
    for pod in items.iter().filter(|item| item["kind"] == "Pod") {
        if text(&pod["metadata"]["namespace"]) == "linkerd" {
            continue;
        }
        let (mut kind, mut top) = ("Pod".to_owned(), pod["metadata"].clone());
        while let Some(owner) = top["ownerReferences"]
            .as_array()
            .and_then(|all| all.first())
        {
            kind = text(&owner["kind"]).to_owned();
            let known = owners.get(text(&owner["uid"]));
            top = known.map_or_else(|| owner.clone(), |object| object["metadata"].clone());
        }
        let name = format!(
            "{}/{kind}/{}",
            text(&pod["metadata"]["namespace"]),
            text(&top["name"])
        );
        let conditions = pod["status"]["conditions"].as_array().unwrap();
        let ready = conditions
            .iter()
            .any(|it| it["type"] == "Ready" && it["status"] == "True");
        let containers = ["initContainers", "containers"].map(|list| pod["spec"][list].as_array());
        let mut containers = containers.into_iter().flatten().flatten();
        let meshed = containers.any(|container| container["name"] == "linkerd-proxy");
        let count = counts.entry(name).or_default();
        *count = (
            count.0 + 1,
            count.1 + u64::from(ready),
            count.2 + u64::from(meshed),
        );
    }
    counts
}

#[test]
fn every_kind_is_found_and_counted_as_kubectl_counts_it() {
    let Some(bed) = BED.as_ref() else { return };
    let records = records(&survey(&toolbox!(), bed, &[]));
    let mut expected = truth(bed);
    // No part of the mesh: the node's network, a pod that declines, a namespace that never asked.
    for stranger in [
        "shop/Pod/on-the-node",
        "shop/Deployment/declines",
        "plain/Deployment/outside",
    ] {
        expected.remove(stranger).unwrap();
    }
    assert_eq!(counts(&records), expected);
    let kinds: Vec<&str> = of_type(&records, "workload")
        .into_iter()
        .map(|it| text(&it["kind"]))
        .collect();
    for kind in [
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "ReplicaSet",
        "ReplicationController",
        "Job",
        "CronJob",
        "Rollout",
        "Pod",
    ] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    let uid = [
        "-n",
        "shop",
        "get",
        "cronjob/nightly",
        "-o",
        "jsonpath={.metadata.uid}",
    ];
    assert_eq!(
        workload(&records, "shop/CronJob/nightly")["uid"],
        bed.kubectl(uid).unwrap()
    );
}

#[test]
fn unmeshed_pods_that_should_be_meshed_are_seen_wholly_and_in_part() {
    let Some(bed) = BED.as_ref() else { return };
    let tools = toolbox!();
    let everything = records(&survey(&tools, bed, &[]));
    let seen = counts(&everything);
    assert_eq!(seen["shop/Deployment/web"], (5, 5, 3));
    assert_eq!(seen["late/Deployment/forgotten"], (2, 2, 0));
    assert_eq!(
        workload(&everything, "late/Deployment/forgotten")["proxies"],
        serde_json::json!([])
    );
    let labelled = records(&survey(&tools, bed, &["--meshed-only"]));
    assert_eq!(
        counts(&labelled)["shop/Deployment/web"],
        (3, 3, 3),
        "what the label hides"
    );
    assert_eq!(
        labelled[0]["scope"]["selector"],
        "linkerd.io/control-plane-ns"
    );
}

#[test]
fn how_a_workload_is_rolled_and_what_that_costs_is_said() {
    let Some(bed) = BED.as_ref() else { return };
    let records = records(&survey(&toolbox!(), bed, &[]));
    let table = [
        ("shop/Deployment/web", "restart", None, "reduced"),
        ("shop/Deployment/single", "restart", None, "outage"),
        ("shop/StatefulSet/db", "evict", Some("on_delete"), "reduced"),
        ("shop/DaemonSet/agent", "restart", None, "reduced"),
        ("shop/ReplicaSet/bare-set", "evict", None, "reduced"),
        ("shop/ReplicationController/old", "evict", None, "outage"),
        ("shop/Job/once", "itself", Some("job"), "none"),
        ("shop/CronJob/nightly", "itself", Some("cron_job"), "none"),
        ("shop/Rollout/canary", "evict", None, "outage"),
        ("shop/Pod/alone", "none", Some("bare_pod"), "outage"),
    ];
    for (name, by, reason, grade) in table {
        let workload = workload(&records, name);
        let found = (
            text(&workload["roll"]["by"]),
            workload["roll"]["reason"].as_str(),
            text(&workload["downtime"]["grade"]),
        );
        assert_eq!(found, (by, reason, grade), "{name}");
    }
}

#[test]
fn a_proxy_says_its_version_its_source_and_where_it_runs() {
    let Some(bed) = BED.as_ref() else { return };
    let records = records(&survey(&toolbox!(), bed, &["--pods"]));
    let proxies = |name| workload(&records, name)["proxies"].clone();
    let plain = serde_json::json!([{"version": "stable-2.13.7", "source": "image", "native": false, "pods": 2}]);
    assert_eq!(proxies("shop/StatefulSet/db"), plain);
    let native = serde_json::json!([{"version": "edge-25.4.4", "source": "image", "native": true, "pods": 1}]);
    assert_eq!(proxies("plain/Pod/native"), native);
    let listed = of_type(&records, "proxy");
    let meshed: u64 = counts(&records).values().map(|(_, _, meshed)| meshed).sum();
    assert_eq!(listed.len() as u64, meshed);
    assert!(
        listed.iter().all(|proxy| proxy["ready"] == true),
        "{listed:?}"
    );
}

#[test]
fn a_control_plane_is_described_with_its_components_identity_and_origin() {
    let Some(bed) = BED.as_ref() else { return };
    let records = records(&survey(&toolbox!(), bed, &[]));
    let [plane] = of_type(&records, "control_plane")[..] else {
        panic!("one control plane")
    };
    let names: Vec<&str> = plane["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| text(&it["name"]))
        .collect();
    assert_eq!(
        names,
        [
            "linkerd-destination",
            "linkerd-identity",
            "linkerd-proxy-injector"
        ]
    );
    for component in plane["components"].as_array().unwrap() {
        assert_eq!(component["version"], "stable-2.13.7");
        assert_eq!(component["proxies"][0]["pods"], 1, "{component}");
    }
    let facts = [
        ("version", "stable-2.13.7"),
        ("injects", "stable-2.13.7"),
        ("state", "settled"),
        ("installed_by", "helm"),
    ];
    for (field, expected) in facts {
        assert_eq!(plane[field], expected, "{field}");
    }
    // The injector stamps the hash of its own bundle, so a fresh pod's is the proof of ours.
    let stamped = r"jsonpath={.items[0].metadata.annotations.linkerd\.io/trust-root-sha256}";
    let stamped = bed
        .kubectl(["-n", "shop", "get", "pods", "-l", "app=db", "-o", stamped])
        .unwrap();
    assert_eq!(plane["trust_anchors_sha256"], stamped);
    assert_eq!(
        workload(&records, "shop/StatefulSet/db")["trust_anchors"],
        "current"
    );
    assert_eq!(plane["webhooks"][0]["ready_endpoints"], 1);
    assert!(
        plane["certificates"]
            .as_array()
            .unwrap()
            .iter()
            .all(|it| it["readable"] == true)
    );
}

#[test]
fn a_part_of_a_cluster_is_said_to_be_one_and_keeps_its_control_plane() {
    let Some(bed) = BED.as_ref() else { return };
    let tools = toolbox!();
    let whole = records(&survey(&tools, bed, &[]));
    let part = records(&survey(&tools, bed, &["-n", "shop"]));
    assert_eq!(part[0]["scope"]["namespaces"], serde_json::json!(["shop"]));
    let mut expected = counts(&whole);
    expected.retain(|name, _| name.starts_with("shop/"));
    assert_eq!(counts(&part), expected);
    let selected = records(&survey(&tools, bed, &["-l", "app=db"]));
    assert_eq!(
        counts(&selected).into_keys().collect::<Vec<_>>(),
        ["shop/StatefulSet/db"]
    );
    for records in [&part, &selected] {
        let plane = |records| of_type(records, "control_plane")[0]["components"].clone();
        assert_eq!(plane(records), plane(&whole));
    }
}

#[test]
fn the_same_cluster_gives_the_same_records_in_a_fixed_order() {
    let Some(bed) = BED.as_ref() else { return };
    let tools = toolbox!();
    let lines = || {
        let output = survey(&tools, bed, &["--pods"]);
        let records = records(&output);
        let order: Vec<String> = records
            .iter()
            .map(|it| text(&it["type"]).to_owned())
            .collect();
        (
            String::from_utf8(output.stdout)
                .unwrap()
                .lines()
                .skip(1)
                .map(str::to_owned)
                .collect::<Vec<_>>(),
            order,
        )
    };
    let (first, order) = lines();
    assert_eq!(lines().0, first);
    let rank = |kind: &String| {
        [
            "stream",
            "control_plane",
            "extension",
            "workload",
            "proxy",
            "anomaly",
            "unseen",
            "end",
        ]
        .iter()
        .position(|known| known == kind)
    };
    assert!(order.is_sorted_by_key(rank), "{order:?}");
}

#[test]
fn a_dump_shows_the_same_workloads_as_its_server_but_is_never_a_server() {
    let Some(bed) = BED.as_ref() else { return };
    let tools = toolbox!();
    let dump = tools.folder().join("dump.json");
    let kinds = "namespaces,pods,deployments,statefulsets,daemonsets,replicasets,jobs,configmaps";
    let text = bed.kubectl(["get", kinds, "-A", "-o", "json"]).unwrap();
    std::fs::write(&dump, text).unwrap();
    let label = ["--cluster-name", "testbed"];
    let taken = ["--taken-at", "2026-03-02T09:15:04Z"];
    let read = ["--from", dump.to_str().unwrap()];
    let dumped = tools
        .run("mesh-survey")
        .args([&label[..], &taken, &read].concat())
        .output()
        .unwrap();
    let dumped = records(&dumped);
    let served = records(&survey(&tools, bed, &label));
    assert_eq!(of_type(&dumped, "workload"), of_type(&served, "workload"));
    assert_eq!(dumped[0]["cluster_uid"], served[0]["cluster_uid"]);
    assert_eq!(dumped[0]["time"], taken[1]);
    assert_eq!(
        (&dumped[0]["source"], &served[0]["source"]),
        (&Value::from("dump"), &Value::from("server"))
    );
}

#[test]
fn extensions_are_found_with_the_version_that_their_objects_state() {
    let Some(bed) = BED.as_ref() else { return };
    let records = records(&survey(&toolbox!(), bed, &[]));
    let found: Vec<[&str; 3]> = of_type(&records, "extension")
        .into_iter()
        .map(|it| ["name", "namespace", "version"].map(|field| text(&it[field])))
        .collect();
    let expected = [
        ["cni", "linkerd-cni", "stable-2.13.7"],
        ["viz", "linkerd-viz", "stable-2.12.6"],
    ];
    assert_eq!(found, expected);
}
