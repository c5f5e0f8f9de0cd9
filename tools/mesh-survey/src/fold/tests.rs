mod conservation;
mod left_behind;

use mesh_records::{
    DowntimeGrade, Obstacle, PinPlace, PodCounts, RollBy, TrustAnchors, VersionSource, Workload,
};
use serde_json::{Value, json};

use super::*;
use crate::ground::Namespaces;
use crate::plane::PlaneInjector;
use mesh_cluster::control_plane::Trust;
use mesh_cluster::object::{DaemonSet, Deployment, Namespace, StatefulSet};
use mesh_cluster::workload::injection::Injector;

const ROOTS: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
/// The SHA-256 of these bytes.
const BUNDLE: &str = "7cc358aa45100f42d57b76e9b235253bfc6fc830b3e45858d2bc473657aae3f7";
const PROXY: &str = "cr.l5d.io/linkerd/proxy:stable-2.13.7";

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn trust(roots: &str) -> Option<Trust> {
    Trust::of(&read(json!({"data": {"ca-bundle.crt": roots}})))
}

fn injector(registered: Option<Injector>) -> PlaneInjector {
    PlaneInjector {
        control_plane: "linkerd".to_owned(),
        charted: Injector::default(),
        registered,
    }
}

fn ground() -> Ground {
    let metas = [
        json!({"name": "shop", "annotations": {"linkerd.io/inject": "enabled"}}),
        json!({"name": "pinned", "annotations": {"linkerd.io/inject": "enabled", "config.linkerd.io/proxy-version": "stable-2.13.5"}}),
        json!({"name": "plain", "labels": {"team": "payments"}}),
        json!({"name": "kube-system", "annotations": {"linkerd.io/inject": "enabled"}}),
    ];
    let keys = ["team".to_owned()];
    let mut namespaces = Namespaces::default();
    for meta in metas {
        let namespace: Namespace = read(json!({"metadata": meta}));
        namespaces.add(&namespace.meta, &keys);
    }
    let web = json!({"metadata": {"name": "web", "namespace": "shop", "uid": "u-web", "labels": {"team": "web", "app": "web"}}, "spec": {"replicas": 2}, "status": {"readyReplicas": 2}});
    let manual = json!({
        "metadata": {"name": "manual", "namespace": "plain", "uid": "u-manual"},
        "spec": {"template": {
            "metadata": {"annotations": {"linkerd.io/created-by": "linkerd/cli stable-2.13.7"}},
            "spec": {"containers": [{"name": "linkerd-proxy", "image": PROXY}]},
        }},
        "status": {"readyReplicas": 1},
    });
    let on_delete = json!({
        "metadata": {"name": "db", "namespace": "shop", "uid": "u-db"},
        "spec": {"replicas": 2, "updateStrategy": {"type": "OnDelete"}},
        "status": {"readyReplicas": 2},
    });
    let agent = json!({"metadata": {"name": "agent", "namespace": "shop", "uid": "u-agent"}, "status": {"desiredNumberScheduled": 3, "numberReady": 3}});
    let mut owners = Owners::default();
    owners.add(&read::<Deployment>(web), &keys);
    owners.add(&read::<Deployment>(manual), &keys);
    owners.add(&read::<StatefulSet>(on_delete), &keys);
    owners.add(&read::<DaemonSet>(agent), &keys);
    Ground {
        namespaces,
        owners,
        bundles: BTreeMap::from([("linkerd".to_owned(), trust(ROOTS))]),
        components: BTreeSet::from([("linkerd".to_owned(), "linkerd-identity".to_owned())]),
        injectors: vec![injector(Some(Injector::default()))],
        policies: None,
        fallback: "linkerd".to_owned(),
        label_keys: keys.into(),
        list_proxies: false,
        is_thinned: false,
        is_scoped: false,
        lacking: BTreeSet::new(),
    }
}

fn owner(kind: &str, name: &str) -> Value {
    let version = match kind {
        "Job" => "batch/v1",
        "ReplicationController" | "Node" => "v1",
        "Kafka" => "kafka.strimzi.io/v1beta2",
        _ => "apps/v1",
    };
    json!([{"apiVersion": version, "kind": kind, "name": name, "uid": format!("u-{name}"), "controller": true}])
}

// Makes a ready pod with an injected proxy of stable-2.13.7; `changes` is a merge patch.
fn pod(namespace: &str, name: &str, owners: &Value, changes: Value) -> Pod {
    let mut pod = json!({
        "metadata": {
            "name": name, "namespace": namespace, "uid": format!("u-{name}"),
            "labels": {"linkerd.io/control-plane-ns": "linkerd", "pod-template-hash": "6c5f7d9b8c"},
            "annotations": {
                "linkerd.io/created-by": "linkerd/proxy-injector stable-2.13.7",
                "linkerd.io/proxy-version": "stable-2.13.7",
                "linkerd.io/trust-root-sha256": BUNDLE,
            },
            "ownerReferences": owners,
        },
        "spec": {"containers": [{"name": "linkerd-proxy", "image": PROXY}, {"name": "web", "image": "web:1"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    });
    merge(&mut pod, changes);
    read(pod)
}

fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    target.remove(&key);
                } else {
                    merge(target.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (target, patch) => *target = patch,
    }
}

fn unmeshed() -> Value {
    json!({
        "metadata": {"labels": {"linkerd.io/control-plane-ns": null}, "annotations": null},
        "spec": {"containers": [{"name": "web", "image": "web:1"}]},
    })
}

fn folded(pods: &[Pod], ground: &Ground) -> Folded {
    let mut fold = Fold::default();
    for pod in pods {
        fold.add(pod, OwnPods::Count, ground);
    }
    fold.finish(ground)
}

fn workloads(folded: &Folded, ground: &Ground) -> Vec<Workload> {
    let workloads = folded
        .groups
        .iter()
        .filter(|(_, _, group)| group.is_workload());
    workloads
        .map(|(identity, uid, group)| group.workload("c", identity, uid, ground))
        .collect()
}

fn anomalies(folded: &Folded) -> Vec<String> {
    let anomalies = folded
        .groups
        .iter()
        .flat_map(|(identity, _, group)| group.anomalies("c", identity));
    anomalies
        .map(|anomaly| format!("{} {}", anomaly.id, anomaly.identity.name))
        .collect()
}

fn alone(pod: Pod) -> (Vec<Workload>, Vec<String>) {
    let ground = ground();
    let folded = folded(&[pod], &ground);
    (workloads(&folded, &ground), anomalies(&folded))
}

#[test]
fn label_gives_the_owners_value_else_its_namespaces_and_no_other_label() {
    for (namespace, replica_set, team) in [
        ("shop", "web-6c5f7d9b8c", Some("web")),
        ("plain", "manual-6c5f7d9b8c", Some("payments")),
        ("shop", "db-6c5f7d9b8c", None),
    ] {
        let owners = owner("ReplicaSet", replica_set);
        let (workloads, _) = alone(pod(namespace, "x", &owners, json!({})));
        let expected = team.map(|team| ("team".to_owned(), team.to_owned()));
        assert_eq!(
            workloads[0].labels,
            expected.into_iter().collect(),
            "{replica_set}"
        );
    }
}

#[test]
fn a_proxys_version_source_and_native_flag_are_read_from_any_pod() {
    use VersionSource::{Annotation, Image, None as Nothing};
    let image =
        |image: &str| json!({"spec": {"containers": [{"name": "linkerd-proxy", "image": image}]}});
    let annotated = |image: &str, version: &str| {
        json!({
            "metadata": {"annotations": {"linkerd.io/proxy-version": version, "linkerd.io/created-by": null}},
            "spec": {"containers": [{"name": "linkerd-proxy", "image": image}]},
        })
    };
    let line = |version: &str| match version {
        "stable-2.13.7" => Some("2.13"),
        "stable-2.12.6" | "stable-2.12.0-rc2" => Some("2.12"),
        "enterprise-2.17.0-1" => Some("2.17"),
        "preview-25.10.7" => Some("2.19"),
        "edge-26.6.3" => Some("2.20"),
        _ => None,
    };
    let native = json!({"spec": {
        "initContainers": [
            {"name": "linkerd-init", "image": "cr.l5d.io/linkerd/proxy:edge-26.6.3"},
            {"name": "linkerd-proxy", "image": "cr.l5d.io/linkerd/proxy:edge-26.6.3", "restartPolicy": "Always"},
        ],
        "containers": [{"name": "web", "image": "web:1"}],
    }, "metadata": {"annotations": {"linkerd.io/proxy-version": "edge-26.6.3"}}});
    // changes, version, tag, source, native, anomalies
    let table = [
        (json!({}), "stable-2.13.7", "", Image, false, ""),
        (
            image("p@sha256:0123"),
            "stable-2.13.7",
            "",
            Annotation,
            false,
            "",
        ),
        (
            image("p:stable-2.13.7@sha256:0123"),
            "stable-2.13.7",
            "",
            Image,
            false,
            "",
        ),
        (
            image("registry:5000/linkerd/proxy"),
            "stable-2.13.7",
            "",
            Annotation,
            false,
            "",
        ),
        (
            image("mirror.example/mesh/l5d:stable-2.13.7"),
            "stable-2.13.7",
            "",
            Image,
            false,
            "",
        ),
        (
            image("p:stable-2.12.6"),
            "stable-2.12.6",
            "",
            Image,
            false,
            "image-contradicts-annotation",
        ),
        (native, "edge-26.6.3", "", Image, true, ""),
        (
            annotated("p:enterprise-2.17.0-1", "enterprise-2.17.0-1"),
            "enterprise-2.17.0-1",
            "",
            Image,
            false,
            "",
        ),
        (
            annotated("p:preview-25.10.7", "preview-25.10.7"),
            "preview-25.10.7",
            "",
            Image,
            false,
            "",
        ),
        (
            annotated("p:stable-2.12.0-rc2", "stable-2.12.0-rc2"),
            "stable-2.12.0-rc2",
            "",
            Image,
            false,
            "",
        ),
        (
            annotated("p:dev-undefined", "dev-undefined"),
            "",
            "dev-undefined",
            Nothing,
            false,
            "",
        ),
    ];
    for (changes, version, tag, source, native, odd) in table {
        let name = changes.to_string();
        let owners = owner("ReplicaSet", "web-6c5f7d9b8c");
        let (workloads, anomalies) = alone(pod("shop", "web-6c5f7d9b8c-x", &owners, changes));
        let [workload] = workloads.as_slice() else {
            panic!("{name}: {workloads:?}")
        };
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let expected = ProxyCount {
            version: some(version),
            line: line(version).map(str::to_owned),
            tag: some(tag),
            source,
            native,
            count: 1,
        };
        assert_eq!(workload.proxies, [expected], "{name}");
        let odd: Vec<String> = some(odd)
            .into_iter()
            .map(|odd| format!("{odd} web"))
            .collect();
        assert_eq!(anomalies, odd, "{name}");
    }
}

#[test]
fn pods_that_are_no_part_of_the_mesh_make_no_workload() {
    let with = |changes: Value| {
        let mut all = unmeshed();
        merge(&mut all, changes);
        all
    };
    let table = [
        ("plain", with(json!({})), "nobody asks for a proxy"),
        (
            "shop",
            with(json!({"metadata": {"annotations": {"linkerd.io/inject": "disabled"}}})),
            "declined",
        ),
        (
            "shop",
            with(json!({"spec": {"hostNetwork": true}})),
            "the node's network",
        ),
        (
            "shop",
            with(json!({"spec": {"containers": [{"name": "istio-proxy"}]}})),
            "another mesh",
        ),
        (
            "shop",
            with(json!({"status": {"phase": "Succeeded"}})),
            "finished",
        ),
        (
            "shop",
            json!({"status": {"phase": "Succeeded"}}),
            "a finished Job's pod keeps its old proxy",
        ),
        ("shop", json!({"status": {"phase": "Failed"}}), "evicted"),
        ("kube-system", with(json!({})), "left out by the webhook"),
    ];
    for (namespace, changes, name) in table {
        let (workloads, anomalies) = alone(pod(namespace, "p", &owner("Job", "p"), changes));
        assert!(workloads.is_empty(), "{name}: {workloads:?}");
        assert!(anomalies.is_empty(), "{name}: {anomalies:?}");
    }
}

#[test]
fn a_proxy_without_the_label_or_a_label_without_a_proxy_is_an_anomaly() {
    let no_proxy = json!({"spec": {"containers": [{"name": "web", "image": "web:1"}]}});
    let no_label = json!({"metadata": {"labels": {"linkerd.io/control-plane-ns": null}}});
    let canary = json!({"metadata": {"labels": {"linkerd.io/control-plane-ns": "linkerd-canary"}}});
    // changes, meshed, anomaly, control plane
    let table = [
        (no_proxy, 0, "label-without-proxy p", "linkerd"),
        (no_label, 1, "proxy-without-label p", "linkerd"),
        // Its successor belongs to the control plane that is there.
        (canary, 1, "unknown-control-plane p", "linkerd"),
    ];
    for (changes, meshed, odd, control_plane) in table {
        let (workloads, anomalies) = alone(pod("shop", "p", &json!([]), changes));
        let found: Vec<_> = workloads
            .iter()
            .map(|it| (it.pods.meshed, it.control_plane.as_str()))
            .collect();
        assert_eq!(found, [(meshed, control_plane)], "{odd}");
        assert_eq!(anomalies, [odd]);
    }
}

#[test]
fn each_kind_of_owner_is_found_with_its_roll_by() {
    use RollBy::{Evict, Itself, None as NoWay, Restart};
    let table = [
        (
            "shop",
            owner("ReplicaSet", "web-6c5f7d9b8c"),
            "Deployment/web",
            Restart,
        ),
        ("shop", owner("StatefulSet", "db"), "StatefulSet/db", Evict),
        (
            "shop",
            owner("DaemonSet", "agent"),
            "DaemonSet/agent",
            Restart,
        ),
        (
            "shop",
            owner("ReplicaSet", "bare"),
            "ReplicaSet/bare",
            Evict,
        ),
        (
            "shop",
            owner("ReplicationController", "old"),
            "ReplicationController/old",
            Evict,
        ),
        ("shop", owner("Job", "once"), "Job/once", Itself),
        ("shop", owner("Kafka", "broker"), "Kafka/broker", NoWay),
        ("shop", json!([]), "Pod/p", NoWay),
        (
            "shop",
            owner("DaemonSet", "deleted"),
            "DaemonSet/deleted",
            NoWay,
        ),
    ];
    for (namespace, owners, expected, by) in table {
        let (workloads, _) = alone(pod(namespace, "p", &owners, json!({})));
        let found: Vec<_> = workloads
            .iter()
            .map(|it| {
                (
                    format!("{}/{}", it.identity.kind, it.identity.name),
                    it.roll.by,
                )
            })
            .collect();
        assert_eq!(found, [(expected.to_owned(), by)]);
    }
}

#[test]
fn pods_are_counted_for_the_owner_of_their_owner() {
    let ground = ground();
    let mut fold = Fold::default();
    for (name, owners) in [
        ("a", owner("ReplicaSet", "canary-1")),
        ("b", owner("ReplicaSet", "canary-2")),
        ("c", owner("ReplicaSet", "bare")),
        ("d", owner("ReplicaSet", "vanished")),
        ("e", owner("Job", "nightly-1")),
    ] {
        let pod = pod("shop", name, &owners, json!({}));
        fold.add(&pod, OwnPods::Count, &ground);
    }
    assert_eq!(
        fold.open(&WorkloadKind::ReplicaSet),
        BTreeSet::from(["shop".to_owned()])
    );
    let parent = |version: &str, kind: &str, name: &str| {
        let value = json!({"apiVersion": version, "kind": kind, "name": name, "uid": format!("u-{name}"), "controller": true});
        Some(read::<OwnerReference>(value))
    };
    let rollout = || parent("argoproj.io/v1alpha1", "Rollout", "canary");
    let sets = [
        ("u-canary-1", rollout()),
        ("u-canary-2", rollout()),
        ("u-bare", None),
    ];
    fold.adopt(
        &WorkloadKind::ReplicaSet,
        &sets.map(|(uid, parent)| (uid.to_owned(), parent)).into(),
        &ground,
    );
    let jobs = Parents::from([(
        "u-nightly-1".to_owned(),
        parent("batch/v1", "CronJob", "nightly"),
    )]);
    fold.adopt(&WorkloadKind::Job, &jobs, &ground);
    let folded = fold.finish(&ground);
    let found: Vec<_> = workloads(&folded, &ground)
        .iter()
        .map(|it| {
            (
                format!("{}/{}", it.identity.kind, it.identity.name),
                it.uid.clone(),
                it.pods.meshed,
            )
        })
        .collect();
    let expected = [
        ("ReplicaSet/bare", "u-bare", 1),
        ("ReplicaSet/vanished", "u-vanished", 1),
        ("CronJob/nightly", "u-nightly", 1),
        ("Rollout/canary", "u-canary", 2),
    ];
    assert_eq!(
        found,
        expected.map(|(name, uid, pods)| (name.to_owned(), uid.to_owned(), pods))
    );
    assert_eq!(anomalies(&folded), ["owner-gone vanished"]);
}

#[test]
fn the_order_of_pods_does_not_matter() {
    let ground = Ground {
        list_proxies: true,
        ..ground()
    };
    let owners = owner("ReplicaSet", "web-6c5f7d9b8c");
    let older = json!({
        "metadata": {"annotations": {"linkerd.io/proxy-version": "stable-2.12.6", "linkerd.io/trust-root-sha256": "00"}},
        "spec": {"containers": [{"name": "linkerd-proxy", "image": "p:stable-2.12.6"}]},
    });
    let mut pods = vec![
        pod("shop", "web-1", &owners, json!({})),
        pod("shop", "web-2", &owners, older),
        pod("shop", "web-3", &owners, unmeshed()),
        pod(
            "shop",
            "web-4",
            &owners,
            json!({"metadata": {"labels": {"linkerd.io/control-plane-ns": "other"}}}),
        ),
        pod(
            "shop",
            "web-5",
            &owners,
            json!({"spec": {"containers": [{"name": "web"}]}}),
        ),
        pod("plain", "bare", &json!([]), json!({})),
    ];
    let first = folded(&pods, &ground);
    for _ in 0..pods.len() {
        pods.rotate_left(1);
        assert_eq!(folded(&pods, &ground), first);
        pods.swap(0, 3);
        assert_eq!(folded(&pods, &ground), first);
    }
    let [_, web] = &workloads(&first, &ground)[..] else {
        panic!("a pod and a Deployment")
    };
    assert_eq!(
        web.pods,
        PodCounts {
            wanted: Some(2),
            total: 5,
            ready: 5,
            meshed: 3,
            terminating: 0,
            held_by_proxy: 0,
            refused: false,
        }
    );
    assert_eq!(web.trust_anchors, TrustAnchors::Stale);
    assert_eq!(web.downtime.grade, DowntimeGrade::None);
}

#[test]
fn a_workload_without_any_proxy_is_reported_when_injection_is_on() {
    let (workloads, anomalies) = alone(pod(
        "shop",
        "web-1",
        &owner("ReplicaSet", "web-6c5f7d9b8c"),
        unmeshed(),
    ));
    let [web] = workloads.as_slice() else {
        panic!("{workloads:?}")
    };
    assert_eq!(
        web.pods,
        PodCounts {
            wanted: Some(2),
            total: 1,
            ready: 1,
            meshed: 0,
            terminating: 0,
            held_by_proxy: 0,
            refused: false,
        }
    );
    assert_eq!(
        (web.control_plane.as_str(), web.proxies.len()),
        ("linkerd", 0)
    );
    assert!(anomalies.is_empty(), "{anomalies:?}");
}

#[test]
fn pins_are_found_on_templates_namespaces_and_in_baked_in_proxies() {
    let asked = |version: &str| json!({"metadata": {"annotations": {"config.linkerd.io/proxy-version": version}}});
    let by_hand = json!({"metadata": {"annotations": {"linkerd.io/created-by": "linkerd/cli stable-2.13.7"}}});
    let table = [
        (
            "shop",
            owner("ReplicaSet", "web-6c5f7d9b8c"),
            json!({}),
            vec![],
        ),
        (
            "shop",
            owner("ReplicaSet", "bare"),
            asked("stable-2.13.5"),
            vec![PinPlace::Template],
        ),
        // The injector copies a namespace's annotations to its pods.
        (
            "pinned",
            owner("ReplicaSet", "bare"),
            asked("stable-2.13.5"),
            vec![PinPlace::Namespace],
        ),
        (
            "plain",
            owner("ReplicaSet", "bare"),
            by_hand,
            vec![PinPlace::BakedIn],
        ),
        (
            "plain",
            owner("ReplicaSet", "manual-6c5f7d9b8c"),
            json!({}),
            vec![PinPlace::BakedIn],
        ),
    ];
    for (namespace, owners, changes, places) in table {
        let (workloads, _) = alone(pod(namespace, "p", &owners, changes));
        let found: Vec<_> = workloads[0].pins.iter().map(|pin| pin.place).collect();
        assert_eq!(found, places, "{namespace} {owners}");
    }
}

#[test]
fn a_control_planes_own_pods_are_counted_by_component_and_are_no_workloads() {
    let ground = ground();
    let own = json!({"metadata": {"labels": {"linkerd.io/control-plane-component": "identity"}}});
    let stranger = pod(
        "shop",
        "x",
        &owner("ReplicaSet", "x-6c5f7d9b8c"),
        own.clone(),
    );
    let identity = pod(
        "linkerd",
        "i",
        &owner("ReplicaSet", "linkerd-identity-6c5f7d9b8c"),
        own,
    );
    let folded = folded(&[identity, stranger], &ground);
    let components: Vec<_> = folded
        .components
        .keys()
        .map(|(_, name)| name.as_str())
        .collect();
    assert_eq!(components, ["linkerd-identity"]);
    let names: Vec<_> = workloads(&folded, &ground)
        .into_iter()
        .map(|it| it.identity.namespace)
        .collect();
    assert_eq!(names, ["shop"], "the label alone makes no control plane");
}

#[test]
fn a_use_of_the_shutdown_endpoint_is_recorded() {
    let container = |words: Value| json!({"spec": {"containers": [{"name": "linkerd-proxy", "image": PROXY}, {"name": "job", "args": words}]}});
    let table = [
        (json!(["linkerd-await", "--shutdown", "--", "backup"]), true),
        (json!(["/bin/sh", "-c", "linkerd-await -S -- backup"]), true),
        (
            json!([
                "sh",
                "-c",
                "backup; curl -X POST http://localhost:4191/shutdown"
            ]),
            true,
        ),
        (json!(["linkerd-await", "--", "backup"]), false),
        (json!(["backup", "--shutdown"]), false),
    ];
    for (words, expected) in table {
        let ground = ground();
        let folded = folded(
            &[pod(
                "shop",
                "p",
                &owner("Job", "p"),
                container(words.clone()),
            )],
            &ground,
        );
        let found = folded
            .uses("linkerd", &ground)
            .contains_key(&Use::ShutdownEndpoint);
        assert_eq!(found, expected, "{words}");
    }
}

#[test]
fn whoever_asks_for_a_proxy_in_vain_is_named_and_is_no_workload_of_the_mesh() {
    let annotated = |word: &str| json!({"metadata": {"annotations": {"linkerd.io/inject": word}}});
    let on_node = json!({"spec": {"hostNetwork": true}});
    // namespace, pod, what it has, whether it asks in vain
    let table = [
        ("shop", "agent", on_node.clone(), true),
        ("plain", "agent", on_node, false),
        ("plain", "typo", annotated("true"), true),
        ("plain", "declines", annotated("disabled"), false),
        ("kube-system", "proxy", json!({}), true),
        (
            "plain",
            "label",
            json!({"metadata": {"labels": {"linkerd.io/inject": "enabled"}}}),
            true,
        ),
        ("plain", "nobody", json!({}), false),
    ];
    let ground = ground();
    for (namespace, name, more, expected) in table {
        let mut changes = json!({
            "metadata": {"labels": {"linkerd.io/control-plane-ns": null}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        });
        merge(&mut changes, more);
        let one = pod(namespace, name, &owner("DaemonSet", name), changes);
        let folded = folded(&[one], &ground);
        let uses = folded.uses("linkerd", &ground);
        let named = uses.get(&Use::AsksButSkipped).map(|all| all[0].to_string());
        let said = expected.then(|| format!("{namespace}/DaemonSet/{name}"));
        assert_eq!(named, said, "{namespace}/{name}");
        assert!(workloads(&folded, &ground).is_empty(), "{namespace}/{name}");
    }
}

#[test]
fn with_a_lacking_kind_its_owners_are_not_gone_and_have_no_roll_by() {
    let lacking = ["ConfigMap", "Deployment", "ReplicaSet", "StatefulSet"];
    let ground = Ground {
        owners: Owners::default(),
        bundles: BTreeMap::new(),
        lacking: lacking.map(str::to_owned).into(),
        ..ground()
    };
    let mut fold = Fold::default();
    for (name, owners) in [
        ("a", owner("ReplicaSet", "web-6c5f7d9b8c")),
        ("b", owner("StatefulSet", "db")),
    ] {
        let pod = pod("shop", name, &owners, json!({}));
        fold.add(&pod, OwnPods::Count, &ground);
    }
    fold.adopt(&WorkloadKind::ReplicaSet, &Parents::new(), &ground);
    let folded = fold.finish(&ground);
    assert!(anomalies(&folded).is_empty(), "{:?}", anomalies(&folded));
    for workload in workloads(&folded, &ground) {
        assert_eq!(
            (workload.roll.by, workload.roll.reason),
            (RollBy::None, None)
        );
        assert_eq!(
            workload.downtime.grade,
            DowntimeGrade::Outage,
            "the cautious answer"
        );
    }
}

#[test]
fn an_owner_whose_pods_were_never_created_is_a_workload() {
    let refused = |replicas: u32, annotation: &str| {
        json!({
            "metadata": {"name": "orders", "namespace": "shop", "uid": "u-orders"},
            "spec": {"replicas": replicas, "template": {"metadata": {"annotations": {"linkerd.io/inject": annotation}}}},
            "status": {"conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}]},
        })
    };
    let table = [
        ("wanted", refused(3, "enabled"), Some(3)),
        ("not to be meshed", refused(3, "disabled"), None),
        ("scaled to zero", refused(0, "enabled"), None),
    ];
    for (what, owner, missing) in table {
        let mut ground = ground();
        ground.owners.add(&read::<Deployment>(owner), &[]);
        let folded = folded(&[], &ground);
        let wanted: Vec<_> = workloads(&folded, &ground)
            .iter()
            .map(|workload| (workload.identity.name.clone(), workload.pods))
            .collect();
        let pods = PodCounts {
            wanted: missing,
            refused: missing.is_some(),
            ..PodCounts::default()
        };
        let expected: Vec<_> = missing
            .map(|_| ("orders".to_owned(), pods))
            .into_iter()
            .collect();
        assert_eq!(wanted, expected, "{what}");
        let anomalies = folded.groups.iter();
        let mut anomalies = anomalies.flat_map(|(it, _, group)| group.anomalies("c", it));
        let said = anomalies.next().map(|anomaly| anomaly.message);
        let expected = missing.map(
            |_| "shop/Deployment/orders: 3 of its pods do not exist: FailedCreate: exceeded quota",
        );
        assert_eq!(said.as_deref(), expected, "{what}");
    }
}

#[test]
fn pods_that_a_selector_left_out_are_not_missing() {
    let mut ground = ground();
    ground.is_thinned = true;
    let owner = json!({"metadata": {"name": "web", "namespace": "shop", "uid": "u-web"}, "spec": {"replicas": 2}});
    ground.owners.add(&read::<Deployment>(owner), &[]);
    assert!(folded(&[], &ground).groups.is_empty());
}

#[test]
fn a_custom_resource_whose_pods_end_by_themselves_is_rolled_like_a_job() {
    let table = [
        ("Never", RollBy::Itself),
        ("OnFailure", RollBy::Itself),
        ("Always", RollBy::None),
    ];
    for (policy, by) in table {
        let ground = ground();
        let owners = owner("Kafka", "encode");
        let pod = pod(
            "shop",
            "encode-1",
            &owners,
            json!({"spec": {"restartPolicy": policy}}),
        );
        let folded = folded(&[pod], &ground);
        assert_eq!(workloads(&folded, &ground)[0].roll.by, by, "{policy}");
    }
}

#[test]
fn a_webhook_that_takes_no_pod_of_the_mesh_is_bypassed() {
    let selecting = |labels: Value| {
        let selector = |labels: Value| read(json!({"matchLabels": labels}));
        Injector::default().with_selectors(selector(labels), selector(json!({})))
    };
    let web = owner("Deployment", "web");
    let meshed = || pod("shop", "meshed", &web, json!({}));
    let without = || pod("shop", "without", &web, unmeshed());
    let outside = || pod("plain", "outside", &web, unmeshed());
    let of_shop = selecting(json!({"kubernetes.io/metadata.name": "shop"}));
    let of_none = selecting(json!({"mesh": "on"}));
    // registered, pods, whether one of them would be sent to the injector
    let table = [
        (Some(Injector::default()), vec![meshed()], Some(true)),
        (Some(of_shop), vec![meshed(), without()], Some(true)),
        (Some(of_none.clone()), vec![meshed()], Some(false)),
        (Some(of_none.clone()), vec![without()], Some(false)),
        (Some(of_none), vec![outside()], None),
        (None, vec![meshed(), outside()], Some(false)),
    ];
    for (number, (registered, pods, expected)) in table.into_iter().enumerate() {
        let ground = Ground {
            injectors: vec![injector(registered)],
            ..ground()
        };
        let reach = folded(&pods, &ground).reach;
        assert_eq!(reach.get("linkerd").copied(), expected, "row {number}");
    }
}

#[test]
fn a_meshed_workload_whose_new_pods_would_get_no_proxy_is_not_restarted() {
    let selecting = |namespaces: Value, objects: Value| {
        Injector::default().with_selectors(read(namespaces), read(objects))
    };
    let all = || json!({});
    let not = |key: &str, value: &str| json!({"matchExpressions": [{"key": key, "operator": "NotIn", "values": [value]}]});
    let name = "kubernetes.io/metadata.name";
    let asks = |value: &str| json!({"metadata": {"annotations": {"linkerd.io/inject": value}}});
    let by_hand = json!({
        "metadata": {"annotations": {"linkerd.io/created-by": "linkerd/cli stable-2.13.7"}},
        "spec": {"containers": [{"name": "linkerd-proxy", "image": PROXY}]},
    });
    // the webhook, the namespace, the pod template, whether a new pod would lose the proxy
    let table = [
        (Some(Injector::default()), "shop", json!({}), false),
        (
            Some(selecting(not(name, "shop"), all())),
            "shop",
            json!({}),
            true,
        ),
        (
            Some(selecting(not(name, "bank"), all())),
            "shop",
            json!({}),
            false,
        ),
        (
            Some(selecting(all(), not("app", "web"))),
            "shop",
            json!({}),
            true,
        ),
        (
            Some(selecting(not(name, "shop"), all())),
            "shop",
            by_hand,
            false,
        ),
        (None, "shop", json!({}), false),
        (Some(Injector::default()), "shop", asks("disabled"), true),
        (Some(Injector::default()), "shop", asks("maybe"), true),
        (Some(Injector::default()), "plain", json!({}), true),
        (Some(Injector::default()), "plain", asks("enabled"), false),
        (Some(Injector::default()), "not-read", json!({}), false),
    ];
    for (number, (registered, namespace, template, loses)) in table.into_iter().enumerate() {
        let mut ground = Ground {
            injectors: vec![injector(registered)],
            ..ground()
        };
        let meta = json!({"name": "lone", "namespace": namespace, "uid": "u-lone"});
        let lone = json!({"metadata": meta, "spec": {"replicas": 1, "template": template}});
        ground.owners.add(&read::<Deployment>(lone), &[]);
        let labels = json!({"metadata": {"labels": {"app": "web"}}});
        let pod = pod(namespace, "lone-1", &owner("Deployment", "lone"), labels);
        let workloads = workloads(&folded(&[pod], &ground), &ground);
        let roll = &workloads[0].roll;
        let (by, reason) = match loses {
            true => (RollBy::None, Some(Obstacle::WouldLoseProxy)),
            false => (RollBy::Restart, None),
        };
        assert_eq!((roll.by, roll.reason), (by, reason), "row {number}");
    }
}

#[test]
fn pods_on_their_way_out_are_counted_apart_with_their_proxies() {
    let ground = ground();
    let web = owner("ReplicaSet", "web-6c5f7d9b8c");
    let leaving = || json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    let old = |mut changes: Value| {
        let proxy = json!({"spec": {"containers": [{"name": "linkerd-proxy", "image": "p:stable-2.12.6"}]}});
        merge(&mut changes, proxy);
        changes
    };
    // pods, then total, meshed, terminating, proxies on their way out, anomalies
    let table = [
        (vec![json!({}), leaving()], Some((1, 1, 1, 1)), ""),
        (
            vec![json!({}), old(leaving()), leaving()],
            Some((1, 1, 2, 2)),
            "",
        ),
        (vec![unmeshed(), old(leaving())], Some((1, 0, 1, 1)), ""),
        (vec![leaving()], None, "only-terminating web"),
    ];
    for (number, (changes, expected, odd)) in table.into_iter().enumerate() {
        let pods = changes.into_iter().enumerate();
        let pods: Vec<Pod> = pods
            .map(|(at, changes)| pod("shop", &format!("web-{at}"), &web, changes))
            .collect();
        let folded = folded(&pods, &ground);
        let found = workloads(&folded, &ground);
        let found = found.first().map(|it| {
            let PodCounts {
                total,
                meshed,
                terminating,
                ..
            } = it.pods;
            (total, meshed, terminating, it.terminating_proxies.len())
        });
        assert_eq!(found, expected, "row {number}");
        assert_eq!(anomalies(&folded).join(" "), odd, "row {number}");
    }
}

#[test]
fn a_control_plane_is_gone_only_where_all_of_them_were_looked_for() {
    let canary = json!({"metadata": {"labels": {"linkerd.io/control-plane-ns": "linkerd-canary"}}});
    let scoped = Ground {
        is_scoped: true,
        ..ground()
    };
    let lacking = Ground {
        lacking: BTreeSet::from(["Deployment".to_owned()]),
        ..ground()
    };
    let table = [
        (ground(), "linkerd", 1),
        (scoped, "linkerd-canary", 0),
        (lacking, "linkerd-canary", 0),
    ];
    for (ground, control_plane, odd) in table {
        let folded = folded(&[pod("shop", "p", &json!([]), canary.clone())], &ground);
        let found = workloads(&folded, &ground);
        assert_eq!(
            (found[0].control_plane.as_str(), anomalies(&folded).len()),
            (control_plane, odd)
        );
    }
}

#[test]
fn the_certificates_that_a_proxy_was_given_decide_before_the_hash() {
    use TrustAnchors::{Current, Stale, Unknown};
    let given = |bundle: &str, hash: Value| {
        let env = json!([
            {"name": "LINKERD2_PROXY_LOG", "value": "warn"},
            {"name": "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS", "value": bundle},
            {"name": "_pod_name", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ]);
        json!({
            "metadata": {"annotations": {"linkerd.io/trust-root-sha256": hash}},
            "spec": {"containers": [{"name": "linkerd-proxy", "image": PROXY, "env": env}]},
        })
    };
    let stamped =
        |hash: Value| json!({"metadata": {"annotations": {"linkerd.io/trust-root-sha256": hash}}});
    let by_config_map = json!({"spec": {"containers": [{
        "name": "linkerd-proxy", "image": PROXY,
        "env": [{"name": "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS", "valueFrom": {"configMapKeyRef": {"name": "linkerd-identity-trust-roots", "key": "ca-bundle.crt"}}}],
    }]}});
    let other = ROOTS.replace("AAAA", "BBBB");
    let table = [
        (
            given(&format!("\n# renewed\n{ROOTS}\n"), json!("00")),
            Current,
        ),
        (given(ROOTS, Value::Null), Current),
        (given(&other, json!(BUNDLE)), Stale),
        (given(&format!("{ROOTS}{other}"), Value::Null), Stale),
        (given("", json!(BUNDLE)), Current),
        (given("garbled", Value::Null), Unknown),
        (by_config_map, Current),
        (stamped(json!("00")), Stale),
        (stamped(Value::Null), Unknown),
    ];
    for (number, (changes, expected)) in table.into_iter().enumerate() {
        let (workloads, _) = alone(pod("shop", "p", &json!([]), changes));
        assert_eq!(workloads[0].trust_anchors, expected, "row {number}");
    }
}

#[test]
fn an_owner_of_any_kind_is_named_and_whether_its_pods_end_by_themselves() {
    let parent = |version: &str, kind: &str| {
        Some(OwnerReference {
            api_version: version.to_owned(),
            kind: kind.to_owned(),
            name: "top".to_owned(),
            uid: "u-top".to_owned(),
            controller: true,
        })
    };
    let ending = || json!({"spec": {"restartPolicy": "Never"}});
    // the pod's owner, that one's owner, the pod; the workload, and how it is rolled
    let table = [
        (
            "ReplicationController",
            parent("apps.openshift.io/v1", "DeploymentConfig"),
            json!({}),
            "ReplicationController",
            RollBy::Evict,
        ),
        (
            "ReplicationController",
            None,
            json!({}),
            "ReplicationController",
            RollBy::Evict,
        ),
        (
            "ReplicaSet",
            parent("argoproj.io/v1alpha1", "Rollout"),
            json!({}),
            "Rollout",
            RollBy::RestartAt,
        ),
        (
            "Job",
            parent("keda.sh/v1alpha1", "ScaledJob"),
            ending(),
            "ScaledJob",
            RollBy::Itself,
        ),
        (
            "Job",
            parent("jobset.x-k8s.io/v1alpha2", "JobSet"),
            ending(),
            "JobSet",
            RollBy::Itself,
        ),
        (
            "Job",
            parent("batch/v1", "CronJob"),
            ending(),
            "CronJob",
            RollBy::Itself,
        ),
        ("Workflow", None, ending(), "Workflow", RollBy::Itself),
        (
            "StrimziPodSet",
            None,
            json!({}),
            "StrimziPodSet",
            RollBy::None,
        ),
    ];
    for (kind, parent, changes, expected, by) in table {
        let ground = ground();
        let mut fold = Fold::default();
        fold.add(
            &pod("shop", "p", &owner(kind, "under"), changes),
            OwnPods::Count,
            &ground,
        );
        let parents = Parents::from([("u-under".to_owned(), parent)]);
        for open in &OPEN {
            fold.adopt(open, &parents, &ground);
        }
        let found = workloads(&fold.finish(&ground), &ground);
        assert_eq!(found[0].identity.kind.as_str(), expected, "{kind}");
        assert_eq!(found[0].roll.by, by, "{expected}");
    }
    let (bare, _) = alone(pod("shop", "p", &json!([]), ending()));
    assert_eq!(bare[0].roll.by, RollBy::Itself);
}
