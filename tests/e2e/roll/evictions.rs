//! Workloads that a restart does not roll are evicted, pod by pod, and each replacement is proven.

use http::{Method, StatusCode};
use mesh_testbed::{Bed, Match};
use mesh_tests::{Run, Signal, on_both_beds, run};
use serde_json::{Value, json};

use crate::scene::{NEW, Scene, slow, workload};

on_both_beds! {
    a_stateful_set_on_delete_is_evicted_from_its_last_pod_down_until_all_is_done
    a_daemon_set_on_delete_and_a_bare_replica_set_are_evicted_until_all_is_done
    a_set_of_an_operator_is_evicted_and_its_template_left_alone
    a_template_that_on_delete_holds_back_is_rolled_out_only_if_asked_for
    a_budget_that_forbids_an_eviction_blocks_by_its_name_and_nothing_is_deleted
    an_eviction_that_the_api_server_disallows_is_asked_again_and_blocked_in_its_words
    a_pod_of_two_budgets_cannot_be_evicted_and_blocks_at_once
    scaled_in_to_one_pod_between_evictions_is_blocked_for_want_of_consent
    the_strategy_is_the_users_where_it_works
    a_signal_after_the_first_eviction_leaves_the_other_pods
    [Kinds]
    a_partitioned_stateful_set_is_evicted_below_its_partition_too
    a_replication_controller_is_evicted_until_all_is_done
}

pub(crate) fn on_delete(kind: &str, name: &str) -> Value {
    workload(kind, name, |spec| {
        slow(spec);
        spec["updateStrategy"] = json!({ "type": "OnDelete" });
    })
}

fn is_done(scene: &Scene) {
    let mut command = scene.tool("mesh-skewcheck");
    command.args(["--ask", "done", "--to", NEW]);
    let done = run(command, &scene.survey(&[]));
    assert_eq!(done.code, Some(0), "{}", done.said());
}

/// Checks that the workload was proven, and returns its record.
fn proven<'a>(run: &'a Run, name: &str) -> &'a Value {
    assert_eq!(run.code, Some(0), "{}", run.said());
    let rolled = run.of("rolled").into_iter();
    let mut rolled = rolled.filter(|record| record["name"] == name);
    let record = rolled.next().unwrap();
    assert_eq!(record["outcome"], "proven", "{record}");
    record
}

pub(crate) fn said_so(run: &Run, start: &str) -> Vec<String> {
    let records = run.records.iter();
    let messages = records.filter_map(|record| record["message"].as_str());
    let messages = messages.filter(|message| message.starts_with(start));
    messages.map(str::to_owned).collect()
}

fn a_stateful_set_on_delete_is_evicted_from_its_last_pod_down_until_all_is_done(bed: Bed) {
    let scene = Scene::with(bed, &[on_delete("StatefulSet", "db")]);
    let before = scene.uids_of_pods();
    let run = scene.roll(&scene.verdict(), &["--yes"]);
    let record = proven(&run, "db");
    assert_eq!(scene.evicted(), before, "each by its uid");
    assert_eq!(record["strategy"], "evict");
    assert_eq!(record["strategy_reason"], "on-delete");
    assert_eq!(
        record["pods"],
        json!({ "wanted": 2, "new": 2, "proven": 2 })
    );
    let expected = ["db-1", "db-0"].map(|pod| format!("evicting pod {pod} of shop/StatefulSet/db"));
    assert_eq!(said_so(&run, "evicting"), expected);
    let expected = ["create pods shop/db-0 201", "create pods shop/db-1 201"];
    assert_eq!(sorted(&scene), expected, "evictions, and no other write");
    is_done(&scene);
    let again = scene.roll(&scene.verdict(), &["--yes"]);
    assert_eq!(again.of("rolled").len(), 0, "{}", again.said());
    assert_eq!(sorted(&scene), expected, "nothing is evicted twice");
}

fn sorted(scene: &Scene) -> Vec<String> {
    let mut writes = scene.writes();
    writes.sort();
    writes
}

fn a_daemon_set_on_delete_and_a_bare_replica_set_are_evicted_until_all_is_done(bed: Bed) {
    let bare = workload("ReplicaSet", "bare", slow);
    let scene = Scene::with(bed, &[on_delete("DaemonSet", "agent"), bare]);
    let run = scene.roll(&scene.verdict(), &["--yes", "--max-in-flight", "2"]);
    assert_eq!(proven(&run, "agent")["strategy"], "evict");
    assert_eq!(proven(&run, "bare")["strategy"], "evict");
    let writes = scene.writes();
    let only = writes.iter().all(|write| write.starts_with("create pods"));
    assert!(only, "{writes:?}");
    is_done(&scene);
}

fn a_set_of_an_operator_is_evicted_and_its_template_left_alone(bed: Bed) {
    let scene = Scene::with(bed, &[workload("StatefulSet", "db", slow)]);
    let operator = json!({ "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "operator", "namespace": "shop" } });
    scene.bed.apply(&operator.to_string()).unwrap();
    let path = "/api/v1/namespaces/shop/configmaps/operator";
    let uid = scene.bed.get(path).unwrap()["metadata"]["uid"].clone();
    let owner = json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": "operator", "uid": uid, "controller": true });
    let set = "/apis/apps/v1/namespaces/shop/statefulsets/db";
    let owned = json!({ "metadata": { "ownerReferences": [owner] } });
    scene.bed.merge(set, &owned).unwrap();
    let template = scene.bed.get(set).unwrap()["spec"].clone();
    let run = scene.roll(&scene.verdict(), &["--yes"]);
    let record = proven(&run, "db");
    assert_eq!(record["strategy"], "evict");
    assert_eq!(record["strategy_reason"], "foreign-owner");
    assert_eq!(scene.bed.get(set).unwrap()["spec"], template);
    is_done(&scene);
}

fn a_template_that_on_delete_holds_back_is_rolled_out_only_if_asked_for(bed: Bed) {
    let scene = Scene::with(bed, &[on_delete("StatefulSet", "db")]);
    let set = "/apis/apps/v1/namespaces/shop/statefulsets/db";
    let held = json!({ "metadata": { "annotations": { "held": "back" } } });
    scene
        .bed
        .merge(set, &json!({ "spec": { "template": held } }))
        .unwrap();
    let seen = json!(scene.bed.get(set).unwrap()["metadata"]["generation"]);
    scene
        .bed
        .await_field(set, "/status/observedGeneration", &seen)
        .unwrap();
    let verdict = scene.verdict();
    let run = scene.roll(&verdict, &["--yes"]);
    let skipped = run.of("skipped")[0];
    assert_eq!(skipped["reason"], "on-delete", "{}", run.said());
    let message = skipped["message"].as_str().unwrap();
    assert!(message.contains("--strategy evict"), "{message}");
    assert_eq!(scene.writes(), [""; 0]);
    let run = scene.roll(&verdict, &["--yes", "--strategy", "evict"]);
    proven(&run, "db");
}

fn a_budget_that_forbids_an_eviction_blocks_by_its_name_and_nothing_is_deleted(bed: Bed) {
    let scene = Scene::with(bed, &[on_delete("StatefulSet", "db")]);
    let budget = json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": { "name": "tight", "namespace": "shop" },
        "spec": { "minAvailable": 2, "selector": { "matchLabels": { "tight": "yes" } } } });
    scene.bed.apply(&budget.to_string()).unwrap();
    let verdict = scene.verdict();
    let mut run = scene.start(&verdict, &["--yes", "--timeout", "8s"]);
    run.until(|record| record["message"] == "evicting pod db-1 of shop/StatefulSet/db");
    // From now on the last pod is counted by a budget that its watch may not have shown yet.
    let pod = "/api/v1/namespaces/shop/pods/db-0";
    let label = json!({ "metadata": { "labels": { "tight": "yes" } } });
    scene.bed.merge(pod, &label).unwrap();
    let run = run.finish();
    assert_eq!(run.code, Some(3), "{}", run.said());
    let rolled = run.of("rolled")[0];
    let (outcome, reason) = (&rolled["outcome"], &rolled["reason"]);
    assert_eq!((outcome, reason), (&json!("blocked"), &json!("budget")));
    let message = rolled["message"].as_str().unwrap();
    assert!(message.contains("PodDisruptionBudget tight"), "{message}");
    let uid = &scene.bed.get(pod).unwrap()["metadata"];
    assert!(uid["deletionTimestamp"].is_null(), "{uid}");
}

fn a_pod_of_two_budgets_cannot_be_evicted_and_blocks_at_once(bed: Bed) {
    let scene = Scene::with(bed, &[on_delete("StatefulSet", "db")]);
    for name in ["one", "other"] {
        let budget = json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": { "name": name, "namespace": "shop" },
            "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "db" } } } });
        scene.bed.apply(&budget.to_string()).unwrap();
        let path = format!("/apis/policy/v1/namespaces/shop/poddisruptionbudgets/{name}");
        scene
            .bed
            .await_field(&path, "/status/disruptionsAllowed", &json!(1))
            .unwrap();
    }
    let run = scene.roll(&scene.verdict(), &["--yes", "--timeout", "1m"]);
    assert_eq!(run.code, Some(3), "{}", run.said());
    let rolled = run.of("rolled")[0];
    let found = [&rolled["outcome"], &rolled["reason"]];
    assert_eq!(found, ["blocked", "budget"], "{rolled}");
    let message = rolled["message"].as_str().unwrap();
    assert!(
        message.contains("more than one PodDisruptionBudget"),
        "{message}"
    );
}

fn an_eviction_that_the_api_server_disallows_is_asked_again_and_blocked_in_its_words(bed: Bed) {
    let scene = Scene::with(bed, &[on_delete("StatefulSet", "db")]);
    let said = "The disruption budget tight needs 2 healthy pods and has 2 currently";
    let cause = json!({ "reason": "DisruptionBudget", "message": said });
    let answer = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 429,
        "reason": "TooManyRequests", "message": "Cannot evict pod", "details": { "causes": [cause] } });
    let proxy = scene.bed.proxy().unwrap();
    let status = StatusCode::TOO_MANY_REQUESTS;
    let evictions = Match::method(Method::POST).path("/eviction");
    proxy.on(evictions).answer_with(status, &answer.to_string());
    let mut command = scene.tools.run("mesh-roll");
    command.env("KUBECONFIG", proxy.kubeconfig());
    command.args(["--yes", "--timeout", "7s"]);
    let run = run(command, &scene.verdict());
    assert_eq!(run.code, Some(3), "{}", run.said());
    let rolled = run.of("rolled")[0];
    let (outcome, reason) = (&rolled["outcome"], &rolled["reason"]);
    assert_eq!((outcome, reason), (&json!("blocked"), &json!("budget")));
    let message = rolled["message"].as_str().unwrap();
    assert!(message.contains(said), "{message}");
    assert_eq!(proxy.struck(), 2, "once more after five seconds");
    assert_eq!(said_so(&run, "evicting").len(), 1, "said once");
}

fn scaled_in_to_one_pod_between_evictions_is_blocked_for_want_of_consent(bed: Bed) {
    let scene = Scene::with(bed, &[workload("ReplicaSet", "bare", slow)]);
    let mut run = scene.start(&scene.verdict(), &["--yes"]);
    run.until(|record| record["reason"] == "all its pods to be available");
    // The set deletes its youngest pod first, which is the new one.
    let set = "/apis/apps/v1/namespaces/shop/replicasets/bare";
    let one = json!({ "spec": { "replicas": 1 } });
    scene.bed.merge(set, &one).unwrap();
    let run = run.finish();
    assert_eq!(run.code, Some(3), "{}", run.said());
    let rolled = run.of("rolled")[0];
    let (outcome, reason) = (&rolled["outcome"], &rolled["reason"]);
    let expected = (&json!("blocked"), &json!("downtime-outage"));
    assert_eq!((outcome, reason), expected, "{}", run.said());
    let message = rolled["message"].as_str().unwrap();
    let way_out = "--allow-outage shop/ReplicaSet/bare";
    assert!(message.contains(way_out), "{message}");
    assert_eq!(scene.writes().len(), 1, "its last pod is left alone");
    let run = scene.roll(&scene.verdict(), &["--yes", "--allow-outage", "shop"]);
    proven(&run, "bare");
}

fn the_strategy_is_the_users_where_it_works(bed: Bed) {
    let workloads = [
        on_delete("StatefulSet", "db"),
        workload("Deployment", "web", slow),
    ];
    let scene = Scene::with(bed, &workloads);
    let verdict = scene.verdict();
    let restart = ["--dry-run", "--strategy", "restart"];
    let run = scene.roll(&verdict, &restart);
    let skipped = run.of("skipped")[0];
    let found = (&skipped["name"], &skipped["reason"], &skipped["class"]);
    let expected = (&json!("db"), &json!("on-delete"), &json!("attention"));
    assert_eq!(found, expected, "{}", run.said());
    let run = scene.roll(&verdict, &["--yes", "--strategy", "evict"]);
    assert_eq!(proven(&run, "web")["strategy"], "evict");
    let writes = scene.writes();
    assert_eq!(writes.len(), 4, "{writes:?}");
    assert!(
        writes.iter().all(|it| it.starts_with("create pods")),
        "{writes:?}"
    );
}

fn a_signal_after_the_first_eviction_leaves_the_other_pods(bed: Bed) {
    let scene = Scene::with(bed, &[on_delete("StatefulSet", "db")]);
    let mut run = scene.start(&scene.verdict(), &["--yes"]);
    run.until(|record| record["reason"] == "all its pods to be available");
    run.signal(Signal::TERM);
    let run = run.finish();
    assert_eq!(run.code, Some(3), "{}", run.said());
    let rolled = run.of("rolled")[0];
    assert_eq!(rolled["outcome"], "interrupted", "{rolled}");
    assert_eq!(
        rolled["pods"]["new"], 1,
        "its replacement is seen out: {rolled}"
    );
    assert_eq!(scene.writes(), ["create pods shop/db-1 201"]);
    let run = scene.roll(&scene.verdict(), &["--yes"]);
    proven(&run, "db");
    is_done(&scene);
}

fn a_partitioned_stateful_set_is_evicted_below_its_partition_too(bed: Bed) {
    let set = workload("StatefulSet", "db", |spec| {
        slow(spec);
        spec["replicas"] = 3.into();
        spec["updateStrategy"] = json!({ "rollingUpdate": { "partition": 2 } });
    });
    let scene = Scene::with(bed, &[set]);
    let run = scene.roll(&scene.verdict(), &["--yes"]);
    let record = proven(&run, "db");
    assert_eq!(record["strategy_reason"], "partition");
    assert_eq!(record["pods"]["proven"], 3);
    is_done(&scene);
}

fn a_replication_controller_is_evicted_until_all_is_done(bed: Bed) {
    let mut old = workload("ReplicationController", "old", |spec| {
        slow(spec);
        spec["selector"] = json!({ "app": "old" });
    });
    old["apiVersion"] = "v1".into();
    let mut deployed = workload("ReplicationController", "shop-1", |spec| {
        slow(spec);
        spec["selector"] = json!({ "app": "shop-1" });
    });
    deployed["apiVersion"] = "v1".into();
    // So does OpenShift's DeploymentConfig own its controllers.
    deployed["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "apps.openshift.io/v1", "kind": "DeploymentConfig", "name": "shop",
        "uid": "6f1c3f7e-3a0b-4a55-9d1c-0c8b7d1f2e3a", "controller": true, "blockOwnerDeletion": true,
    }]);
    let scene = Scene::with(bed, &[old, deployed]);
    let run = scene.roll(&scene.verdict(), &["--yes"]);
    assert_eq!(proven(&run, "old")["strategy"], "evict");
    assert_eq!(proven(&run, "shop-1")["strategy"], "evict");
    is_done(&scene);
}
