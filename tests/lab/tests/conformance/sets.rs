use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    Server, apps, condition, core, count, is_going, is_ready, on_both, path, restart, template,
    text, version, workload,
};

on_both!(
    a_stateful_set_comes_up_in_order_and_rolls_backwards,
    on_delete_nothing_rolls_until_a_pod_is_deleted,
    a_daemon_set_has_a_pod_on_each_node_and_loses_one_at_a_time,
    a_job_is_done_when_its_pod_is,
    a_bare_replica_set_keeps_its_number,
);

fn stateful(name: &str, more: &Value) -> Value {
    let mut set = workload(name, more);
    set["spec"]["serviceName"] = name.into();
    set
}

fn settled(replicas: i64) -> impl Fn(&Value) -> bool {
    move |event| {
        let object = &event["object"];
        let status = |field: &str| count(object, &format!("/status/{field}"));
        count(object, "/metadata/generation") == status("observedGeneration")
            && ["replicas", "readyReplicas", "availableReplicas"]
                .iter()
                .all(|field| status(field) == replicas)
    }
}

fn rolled(replicas: i64) -> impl Fn(&Value) -> bool {
    move |event| {
        let status = &event["object"]["status"];
        settled(replicas)(event)
            && count(status, "/updatedReplicas") == replicas
            && status["currentRevision"] == status["updateRevision"]
    }
}

/// Returns the order in which pods first became ready.
fn ready_order(events: &[Value]) -> Vec<String> {
    let mut order: Vec<(String, String)> = Vec::new();
    for pod in events
        .iter()
        .map(|event| &event["object"])
        .filter(|pod| is_ready(pod) && !is_going(pod))
    {
        let one = (
            text(pod, "/metadata/name").to_owned(),
            text(pod, "/metadata/uid").to_owned(),
        );
        if !order.contains(&one) {
            order.push(one);
        }
    }
    order.into_iter().map(|(name, _)| name).collect()
}

fn a_stateful_set_comes_up_in_order_and_rolls_backwards(server: &Server<'_>) {
    server.home("ordered");
    let (sets, pods) = (apps("ordered", "statefulsets"), core("ordered", "pods"));
    let from = version(&server.get(&pods));
    let watch = |from: u64, number: usize| {
        let path = format!("{pods}?watch=true&timeoutSeconds=60&resourceVersion={from}");
        server
            .bed
            .events(&path, |events| ready_order(events).len() == number)
            .unwrap()
    };
    server.create(&sets, &stateful("db", &json!({ "replicas": 3 })));
    assert_eq!(ready_order(&watch(from, 3)), ["db-0", "db-1", "db-2"]);
    server.until(&sets, rolled(3));
    let from = version(&server.get(&pods));
    let patched = server.patch(&format!("{sets}/db"), &restart());
    assert_eq!(ready_order(&watch(from, 3)), ["db-2", "db-1", "db-0"]);
    let events = server.until(&sets, rolled(3));
    let status = &events.last().unwrap()["object"]["status"];
    assert_ne!(
        status["currentRevision"],
        patched["status"]["currentRevision"]
    );
    let one = server.get(&format!("{pods}/db-1"));
    let labels = &one["metadata"]["labels"];
    assert_eq!(labels["controller-revision-hash"], status["updateRevision"]);
    assert_eq!(
        text(&one, "/metadata/ownerReferences/0/kind"),
        "StatefulSet"
    );
}

fn on_delete_nothing_rolls_until_a_pod_is_deleted(server: &Server<'_>) {
    server.home("manual");
    let (sets, pods) = (apps("manual", "statefulsets"), core("manual", "pods"));
    server.create(
        &sets,
        &stateful(
            "db",
            &json!({ "replicas": 2, "updateStrategy": { "type": "OnDelete" } }),
        ),
    );
    server.until(&sets, settled(2));
    server.patch(&format!("{sets}/db"), &restart());
    server.until(&sets, |event| {
        settled(2)(event) && count(event, "/object/metadata/generation") == 2
    });
    let template_of = |name: &str| {
        server.get(&format!("{pods}/{name}"))["metadata"]["annotations"]["at"] == "now"
    };
    assert!(!template_of("db-0") && !template_of("db-1"));
    server.delete(&format!("{pods}/db-1"), &Value::Null);
    server.until(&pods, |event| {
        let pod = &event["object"];
        text(pod, "/metadata/name") == "db-1"
            && pod["metadata"]["annotations"]["at"] == "now"
            && is_ready(pod)
    });
    assert!(!template_of("db-0"));
    server.delete(&format!("{pods}/db-0"), &Value::Null);
    server.until(&sets, |event| {
        settled(2)(event) && count(event, "/object/status/updatedReplicas") == 2
    });
}

fn daemons(updated: i64) -> impl Fn(&Value) -> bool {
    move |event| {
        let status = |field: &str| count(&event["object"], &format!("/status/{field}"));
        let all = [
            "desiredNumberScheduled",
            "currentNumberScheduled",
            "updatedNumberScheduled",
            "numberReady",
            "numberAvailable",
        ];
        all.iter().all(|field| status(field) == 3) && status("observedGeneration") == updated
    }
}

fn a_daemon_set_has_a_pod_on_each_node_and_loses_one_at_a_time(server: &Server<'_>) {
    server.home("daemons");
    let sets = apps("daemons", "daemonsets");
    server.create(&sets, &workload("agent", &json!({})));
    server.until(&sets, daemons(1));
    let pods = server.get(&core("daemons", "pods"));
    let nodes: BTreeMap<_, _> = pods["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pod| (text(pod, "/spec/nodeName"), ()))
        .collect();
    assert_eq!(nodes.len(), 3);
    let patched = server.patch(&format!("{sets}/agent"), &restart());
    let watch = format!(
        "{sets}?watch=true&timeoutSeconds=60&resourceVersion={}",
        version(&patched)
    );
    let events = server
        .bed
        .events(&watch, |events| events.iter().any(daemons(2)))
        .unwrap();
    for event in &events {
        assert!(
            count(event, "/object/status/numberAvailable") >= 2,
            "{event}"
        );
    }
    assert!(events.iter().any(daemons(2)));
    assert!(
        events
            .iter()
            .any(|event| count(event, "/object/status/numberUnavailable") == 1)
    );
}

fn a_job_is_done_when_its_pod_is(server: &Server<'_>) {
    server.home("jobs");
    let mut template = template("report");
    template["metadata"]["labels"]["sim.test/behaviour"] = "job-done".into();
    template["spec"]["restartPolicy"] = "Never".into();
    let jobs = path("/apis/batch/v1", "jobs", "jobs");
    server.create(
        &jobs,
        &json!({ "metadata": { "name": "report" }, "spec": { "template": template } }),
    );
    let done = |event: &Value| condition(&event["object"], "Complete")["status"] == "True";
    let events = server.until(&jobs, done);
    let job = &events.last().unwrap()["object"];
    assert_eq!(
        (
            count(job, "/status/succeeded"),
            count(job, "/status/active")
        ),
        (1, 0)
    );
    let pods = server.get(&core("jobs", "pods"));
    let pod = &pods["items"][0];
    assert_eq!(
        (
            text(pod, "/status/phase"),
            text(pod, "/metadata/ownerReferences/0/kind")
        ),
        ("Succeeded", "Job")
    );
}

fn a_bare_replica_set_keeps_its_number(server: &Server<'_>) {
    server.home("bare");
    let (sets, pods) = (apps("bare", "replicasets"), core("bare", "pods"));
    server.create(&sets, &workload("web", &json!({ "replicas": 2 })));
    server.until(&sets, settled(2));
    let one = server.names(&pods)[0].clone();
    server.delete(&format!("{pods}/{one}"), &Value::Null);
    let from = version(&server.get(&sets));
    let watch = format!("{sets}?watch=true&timeoutSeconds=60&resourceVersion={from}");
    server
        .bed
        .events(&watch, |events| events.iter().any(settled(2)))
        .unwrap();
    let left: Vec<_> = server
        .names(&pods)
        .into_iter()
        .filter(|name| *name != one)
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
}
