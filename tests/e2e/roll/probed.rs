//! The dry-run pod of a workload's own template: what refuses it is that workload's obstacle.

use mesh_testbed::{Ask, Bed};
use mesh_tests::{Run, on_both_beds};
use serde_json::{Value, json};

use crate::scene::{OLD, Scene, proxy, workload};

on_both_beds! {
    a_template_that_the_injector_declines_is_skipped
    a_namespace_that_the_webhook_leaves_out_is_skipped
    [Admission]
    a_full_quota_holds_up_only_who_needs_one_more_pod
    a_full_quota_is_named_for_a_stateful_set_whose_pod_is_missing
    a_policy_and_a_limit_range_skip_whom_they_refuse_in_their_own_words
    pod_security_skips_whom_it_refuses_and_the_others_are_rolled
    match_conditions_of_the_injectors_webhook_are_asked_for_with_a_dry_run
}

const WEBHOOK: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/linkerd-proxy-injector-webhook-config";
const QUOTA: &str = "/api/v1/namespaces/shop/resourcequotas/full";

fn deployments(names: &[&str]) -> Vec<Value> {
    let workloads = names.iter();
    workloads
        .map(|name| workload("Deployment", name, |_| {}))
        .collect()
}

/// A Deployment that creates a new pod before it takes an old one away.
fn surging(name: &str) -> Value {
    workload("Deployment", name, |spec| {
        spec["strategy"] = json!({ "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } });
    })
}

/// Changes a field of the injector's webhook.
pub(crate) fn change_webhook(scene: &Scene, field: &str, value: &Value) {
    let webhook = scene.bed.get(WEBHOOK).unwrap();
    let mut hooks = webhook["webhooks"].clone();
    hooks[0][field] = value.clone();
    scene
        .bed
        .merge(WEBHOOK, &json!({ "webhooks": hooks }))
        .unwrap();
}

/// Asks for a pod of the app as a dry run; returns nothing if it is refused.
fn tried(scene: &Scene, namespace: &str, app: &str) -> Option<Value> {
    let container = json!({ "name": app, "image": "registry.test/app" });
    let metadata = json!({ "name": "try", "namespace": namespace, "labels": { "app": app } });
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": { "containers": [container] } });
    let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
    let ask = Ask {
        method: "POST",
        path: &path,
        form: "application/json",
        body: &pod,
    };
    let (code, pod) = scene.bed.ask(ask).unwrap();
    (code == 201).then_some(pod)
}

/// Waits until new pods of the app get no proxy: a change of a webhook is in effect a little later.
pub(crate) fn await_no_proxy(scene: &Scene, namespace: &str, app: &str) {
    while tried(scene, namespace, app).is_some_and(|pod| proxy(&pod).is_some()) {}
}

fn quota(scene: &Scene, pods: &str) {
    let quota = json!({ "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": { "name": "full", "namespace": "shop" }, "spec": { "hard": { "pods": pods } } });
    scene.bed.apply(&quota.to_string()).unwrap();
    let hard = Value::from(pods);
    scene
        .bed
        .await_field(QUOTA, "/status/hard/pods", &hard)
        .unwrap();
}

fn rolled<'a>(run: &'a Run, name: &str) -> &'a Value {
    let rolled = run.of("rolled").into_iter();
    let mut rolled = rolled.filter(|record| record["name"] == name);
    rolled.next().unwrap_or_else(|| panic!("{}", run.said()))
}

fn skipped<'a>(run: &'a Run, name: &str) -> &'a Value {
    let skipped = run.of("skipped").into_iter();
    let mut skipped = skipped.filter(|record| record["name"] == name);
    skipped.next().unwrap_or_else(|| panic!("{}", run.said()))
}

fn assert_skipped(run: &Run, name: &str, reason: &str, words: &str) {
    let skipped = skipped(run, name);
    assert_eq!(skipped["class"], "attention", "{}", run.said());
    assert_eq!(skipped["reason"], reason, "{}", run.said());
    let message = skipped["message"].as_str().unwrap();
    assert!(message.contains(words), "{message}");
}

fn a_template_that_the_injector_declines_is_skipped(bed: Bed) {
    let scene = Scene::with(bed, &deployments(&["a", "declined", "z"]));
    let expressions = json!([{ "key": "app", "operator": "NotIn", "values": ["declined"] }]);
    let selector = json!({ "matchExpressions": expressions });
    change_webhook(&scene, "objectSelector", &selector);
    await_no_proxy(&scene, "shop", "declined");
    let run = scene.roll(&scene.verdict(), &["--yes"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    let words = "the injector gives another pod of its namespace a proxy";
    assert_skipped(&run, "declined", "would-lose-proxy", words);
    for name in ["a", "z"] {
        assert_eq!(rolled(&run, name)["outcome"], "proven", "{}", run.said());
    }
}

fn a_namespace_that_the_webhook_leaves_out_is_skipped(bed: Bed) {
    let scene = Scene::with(bed, &deployments(&["a"]));
    let mut other = workload("Deployment", "other", |_| {});
    other["metadata"]["namespace"] = "bank".into();
    // Its pods got the old proxy, and nothing pins it any more.
    let pin = "config.linkerd.io/proxy-version";
    let annotations = [("linkerd.io/inject", "enabled"), (pin, OLD)];
    scene.bed.namespace("bank", &annotations).unwrap();
    scene.bed.apply(&other.to_string()).unwrap();
    let deployment = "/apis/apps/v1/namespaces/bank/deployments/other";
    let ready = Value::from(2);
    scene
        .bed
        .await_field(deployment, "/status/readyReplicas", &ready)
        .unwrap();
    let unpinned = json!({ "metadata": { "annotations": { pin: null } } });
    scene
        .bed
        .merge("/api/v1/namespaces/bank", &unpinned)
        .unwrap();
    let name = "kubernetes.io/metadata.name";
    let expressions = json!([{ "key": name, "operator": "NotIn", "values": ["bank"] }]);
    let selector = json!({ "matchExpressions": expressions });
    change_webhook(&scene, "namespaceSelector", &selector);
    await_no_proxy(&scene, "bank", "other");
    let run = scene.roll(&scene.verdict(), &["--yes"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    let words = "the injector gives a new pod of shop/Deployment/a a proxy";
    assert_skipped(&run, "other", "would-lose-proxy", words);
    assert_eq!(rolled(&run, "a")["outcome"], "proven", "{}", run.said());

    // Nobody else is left to be rolled, and still it is not the injector's fault.
    let run = scene.roll(&scene.verdict(), &["--yes"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert_skipped(&run, "other", "would-lose-proxy", words);
}

fn match_conditions_of_the_injectors_webhook_are_asked_for_with_a_dry_run(bed: Bed) {
    let scene = Scene::with(bed, &deployments(&["a", "declined"]));
    let expression =
        "!('app' in object.metadata.labels) || object.metadata.labels.app != 'declined'";
    let conditions = json!([{ "name": "not-declined", "expression": expression }]);
    change_webhook(&scene, "matchConditions", &conditions);
    await_no_proxy(&scene, "shop", "declined");
    let run = scene.roll(&scene.verdict(), &["--yes"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    let words = "the injector gives a new pod of shop/Deployment/a a proxy";
    assert_skipped(&run, "declined", "would-lose-proxy", words);
    assert_eq!(rolled(&run, "a")["outcome"], "proven", "{}", run.said());
}

fn a_full_quota_holds_up_only_who_needs_one_more_pod(bed: Bed) {
    let workloads = [surging("a"), workload("StatefulSet", "db", |_| {})];
    let scene = Scene::with(bed, &workloads);
    quota(&scene, "4");
    let verdict = scene.verdict();
    let run = scene.roll(
        &verdict,
        &["--yes", "--kind", "Deployment", "--timeout", "1s"],
    );
    assert_eq!(run.code, Some(3), "{}", run.said());
    let blocked = rolled(&run, "a");
    let (outcome, reason) = (&blocked["outcome"], &blocked["reason"]);
    assert_eq!(
        (outcome, reason),
        (&"blocked".into(), &"pod-refused".into())
    );
    let message = blocked["message"].as_str().unwrap();
    assert!(message.contains("exceeded quota: full"), "{message}");
    assert_eq!(scene.writes(), Vec::<String>::new());

    let mut run = scene.start(&verdict, &["--yes", "--timeout", "2m"]);
    run.until(|record| {
        let message = record["message"].as_str().unwrap_or_default();
        record["name"] == "a" && message.contains("waits to be restarted: exceeded quota: full")
    });
    run.until(|record| record["name"] == "db" && record["outcome"] == "proven");
    quota(&scene, "5");
    let run = run.finish();
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert_eq!(rolled(&run, "a")["outcome"], "proven", "{}", run.said());
}

fn a_full_quota_is_named_for_a_stateful_set_whose_pod_is_missing(bed: Bed) {
    let scene = Scene::with(bed, &[workload("StatefulSet", "db", |_| {})]);
    quota(&scene, "1");
    let mut run = scene.start(&scene.verdict(), &["--yes", "--timeout", "5m"]);
    run.until(|record| {
        let message = record["message"].as_str().unwrap_or_default();
        message.contains("held up: exceeded quota: full")
    });
    quota(&scene, "2");
    let run = run.finish();
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert_eq!(rolled(&run, "db")["outcome"], "proven", "{}", run.said());
}

fn a_policy_and_a_limit_range_skip_whom_they_refuse_in_their_own_words(bed: Bed) {
    let mut workloads = deployments(&["a", "vetoed", "z"]);
    workloads.push(workload("Deployment", "tiny", |spec| {
        let container = &mut spec["template"]["spec"]["containers"][0];
        container["resources"] = json!({ "requests": { "cpu": "50m" } });
    }));
    let scene = Scene::with(bed, &workloads);
    let limits = json!([{ "type": "Container", "min": { "cpu": "100m" } }]);
    let range = json!({ "apiVersion": "v1", "kind": "LimitRange",
        "metadata": { "name": "least", "namespace": "shop" }, "spec": { "limits": limits } });
    let rule = json!({ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"] });
    let validation = json!({ "expression": "object.metadata.labels.app != 'vetoed'", "message": "no such pods here" });
    let policy = json!({ "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": "veto" }, "spec": {
            "failurePolicy": "Fail", "matchConstraints": { "resourceRules": [rule] }, "validations": [validation] } });
    let shop = json!({ "matchLabels": { "kubernetes.io/metadata.name": "shop" } });
    let binding = json!({ "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": "veto" }, "spec": {
            "policyName": "veto", "validationActions": ["Deny"], "matchResources": { "namespaceSelector": shop } } });
    for object in [range, policy, binding] {
        scene.bed.apply(&object.to_string()).unwrap();
    }
    while tried(&scene, "shop", "vetoed").is_some() {}
    let run = scene.roll(&scene.verdict(), &["--yes"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert_skipped(&run, "vetoed", "pod-refused", "no such pods here");
    assert_skipped(
        &run,
        "tiny",
        "pod-refused",
        "minimum cpu usage per Container is 100m",
    );
    for name in ["a", "z"] {
        assert_eq!(rolled(&run, name)["outcome"], "proven", "{}", run.said());
    }
    let run = scene.roll(&scene.verdict(), &["--yes", "--fail-on", "attention"]);
    assert_eq!(run.code, Some(1), "{}", run.said());
}

fn pod_security_skips_whom_it_refuses_and_the_others_are_rolled(bed: Bed) {
    let mut workloads = deployments(&["a", "z"]);
    workloads.push(workload("Deployment", "logs", |spec| {
        let volume = json!({ "name": "log", "hostPath": { "path": "/var/log" } });
        spec["template"]["spec"]["volumes"] = json!([volume]);
    }));
    let scene = Scene::with(bed, &workloads);
    let enforce = |level: &str| {
        let labels = json!({ "pod-security.kubernetes.io/enforce": level });
        let labels = json!({ "metadata": { "labels": labels } });
        let shop = "/api/v1/namespaces/shop";
        scene.bed.merge(shop, &labels).unwrap();
    };
    // Linkerd's own init container does not conform, so every pod is refused.
    enforce("restricted");
    let verdict = scene.verdict();
    let run = scene.roll(&verdict, &["--yes"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    for name in ["a", "logs", "z"] {
        let words = "violates PodSecurity \"restricted:latest\"";
        assert_skipped(&run, name, "pod-refused", words);
    }
    assert_eq!(scene.writes(), Vec::<String>::new());
    enforce("baseline");
    let run = scene.roll(&verdict, &["--yes"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert_skipped(&run, "logs", "pod-refused", "hostPath volumes");
    for name in ["a", "z"] {
        assert_eq!(rolled(&run, name)["outcome"], "proven", "{}", run.said());
    }
}
