//! Tests what a roll does without a right, and when a right vanishes.

use std::path::PathBuf;

use http::StatusCode;
use mesh_testbed::{Bed, Match, When};
use mesh_tests::{Run, begin, of_type, on_both_beds, run};
use serde_json::json;

use crate::scene::{NEW, Scene, proxy, workload};

on_both_beds! {
    access_reviews_that_the_server_refuses_stop_nobody
    [Rbac]
    namespace_without_the_right_to_patch_is_skipped_with_the_rule
    right_that_vanishes_in_mid_run_is_named
    the_shipped_permissions_are_enough_and_each_rule_is_needed_for_what_it_says
}

/// What a roll needs everywhere, without the right to patch.
const READ: &str = r#"
apiVersion: v1
kind: ServiceAccount
metadata: {name: roller, namespace: linkerd}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: roller}
rules:
- {apiGroups: ["", apps, policy, discovery.k8s.io], resources: [namespaces, pods, nodes, configmaps, deployments, statefulsets, daemonsets, replicasets, poddisruptionbudgets, endpointslices], verbs: [get, list, watch]}
- {apiGroups: [""], resources: [pods], verbs: [create]}
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, list, watch, create, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: roller}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: roller}
subjects: [{kind: ServiceAccount, name: roller, namespace: linkerd}]
"#;

fn patcher(namespace: &str) -> String {
    format!(
        r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: patcher, namespace: {namespace}}}
rules:
- {{apiGroups: [apps], resources: [deployments], verbs: [patch]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: patcher, namespace: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: patcher}}
subjects: [{{kind: ServiceAccount, name: roller, namespace: linkerd}}]
"#
    )
}

fn roller(scene: &Scene) -> PathBuf {
    scene.bed.apply(READ).unwrap();
    scene.bed.apply(&patcher("shop")).unwrap();
    let token = ["-n", "linkerd", "create", "token", "roller"];
    let token = scene.bed.kubectl(token).unwrap();
    scene
        .bed
        .kubeconfig_with_token("roller", token.trim())
        .unwrap()
}

// One Deployment in `shop`, and one in a namespace where the account may only read.
fn two(bed: Bed) -> Scene {
    let mut foreign = workload("Deployment", "ledger", |_| {});
    foreign["metadata"]["namespace"] = "bank".into();
    foreign["metadata"]["labels"] = json!({ "team": "bank" });
    Scene::with(bed, &[workload("Deployment", "web", |_| {}), foreign])
}

fn as_roller(scene: &Scene, kubeconfig: &PathBuf, args: &[&str], verdict: &str) -> Run {
    let mut command = scene.tools.run("mesh-roll");
    command.env("KUBECONFIG", kubeconfig).args(args);
    run(command, verdict)
}

const RULE: &str =
    r#"apiGroups: ["apps"], resources: ["deployments"], verbs: [patch] in namespace bank"#;

fn namespace_without_the_right_to_patch_is_skipped_with_the_rule(bed: Bed) {
    let scene = two(bed);
    let (kubeconfig, verdict) = (roller(&scene), scene.verdict());
    for more in [&[][..], &["-l", "team=bank"]] {
        let strict = [&["--yes", "--fail-on", "attention"], more].concat();
        let refused = as_roller(&scene, &kubeconfig, &strict, &verdict);
        assert_eq!(refused.code, Some(2), "{more:?}: {}", refused.said());
        assert!(refused.stderr.contains(RULE), "{}", refused.said());
        assert!(scene.writes().is_empty(), "{:?}", scene.writes());
    }
    for args in [["--dry-run"], ["--yes"]] {
        let output = as_roller(&scene, &kubeconfig, &args, &verdict);
        assert_eq!(output.code, Some(0), "{}", output.said());
        let skipped = output.of("skipped");
        let [skipped] = skipped[..] else {
            panic!("{}", output.said());
        };
        let (reason, class) = (&skipped["reason"], &skipped["class"]);
        assert_eq!((reason, class), (&"forbidden".into(), &"attention".into()));
        assert!(
            skipped["message"].as_str().unwrap().contains(RULE),
            "{skipped}"
        );
    }
    assert_eq!(scene.writes(), ["patch deployments shop/web 200"]);
}

fn right_that_vanishes_in_mid_run_is_named(bed: Bed) {
    let workloads = ["a", "b"].map(|name| workload("Deployment", name, |_| {}));
    let scene = Scene::with(bed, &workloads);
    let (kubeconfig, verdict) = (roller(&scene), scene.verdict());
    let hold = scene.bed.kubelet().hold("shop", "");
    let mut command = scene.tools.run("mesh-roll");
    command.env("KUBECONFIG", &kubeconfig).arg("--yes");
    let mut run = begin(command, &verdict);
    run.until(|record| record["pods"]["updated"] == 1);
    let role = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings/patcher";
    scene.bed.delete(role).unwrap();
    drop(hold);
    let Run { records, code, .. } = run.finish();
    assert_eq!(code, Some(1), "{records:#?}");
    let rolled = of_type(&records, "rolled");
    assert_eq!(rolled.len(), 2, "{records:#?}");
    assert_eq!(rolled[0]["outcome"], "proven");
    assert_eq!(rolled[1]["reason"], "forbidden", "{}", rolled[1]);
    let message = rolled[1]["message"].as_str().unwrap();
    assert!(
        message.contains("verbs: [patch] in namespace shop"),
        "{message}"
    );
}

const SHIPPED: &str = include_str!("../../../tools/mesh-roll/rbac.yaml");

fn the_shipped_permissions_are_enough_and_each_rule_is_needed_for_what_it_says(bed: Bed) {
    let on_delete = workload("StatefulSet", "db", |spec| {
        spec["updateStrategy"] = json!({ "type": "OnDelete" });
    });
    let bare = workload("ReplicaSet", "bare", |_| {});
    let scene = Scene::with(bed, &[on_delete, bare]);
    scene.bed.apply(SHIPPED).unwrap();
    let token = ["-n", "linkerd", "create", "token", "mesh-roll"];
    let token = scene.bed.kubectl(token).unwrap();
    let bed = &scene.bed;
    let kubeconfig = bed
        .kubeconfig_with_token("mesh-roll", token.trim())
        .unwrap();
    let verdict = scene.verdict();
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/mesh-roll-evict";
    let rules = scene.bed.get(path).unwrap()["rules"].clone();
    let without = json!({ "rules": [rules[1], rules[2]] });
    scene.bed.merge(path, &without).unwrap();
    let less = as_roller(&scene, &kubeconfig, &["--dry-run"], &verdict);
    assert_eq!(less.code, Some(0), "{}", less.said());
    let skipped = less.of("skipped");
    assert_eq!(skipped.len(), 2, "{}", less.said());
    for skipped in skipped {
        assert_eq!(skipped["reason"], "forbidden");
        let rule = r#"resources: ["pods/eviction"], verbs: [create]"#;
        let message = skipped["message"].as_str().unwrap();
        assert!(message.contains(rule), "{message}");
    }
    scene.bed.merge(path, &json!({ "rules": rules })).unwrap();
    let args = ["--yes", "--settle", "0s"];
    let all = as_roller(&scene, &kubeconfig, &args, &verdict);
    assert_eq!(all.code, Some(0), "{}", all.said());
    let rolled = all.of("rolled").into_iter();
    let proven = rolled.filter(|record| record["outcome"] == "proven");
    assert_eq!(proven.count(), 2, "{}", all.said());
}

fn access_reviews_that_the_server_refuses_stop_nobody(bed: Bed) {
    let scene = Scene::with(bed, &[workload("Deployment", "web", |_| {})]);
    let proxy = scene.bed.proxy().unwrap();
    let reviews = Match::any().path("selfsubjectaccessreviews");
    proxy
        .on(reviews)
        .answer_once(StatusCode::FORBIDDEN, When::BeforeForward);
    let mut command = scene.tools.run("mesh-roll");
    command.env("KUBECONFIG", proxy.kubeconfig()).arg("--yes");
    let output = run(command, &scene.verdict());
    assert_eq!(output.code, Some(0), "{}", output.said());
    assert!(proxy.struck() > 0, "{}", json!(output.records));
    let old = scene.owners_of_pods(|pod| self::proxy(pod) != Some(NEW));
    assert!(old.is_empty(), "{old:?}");
}
