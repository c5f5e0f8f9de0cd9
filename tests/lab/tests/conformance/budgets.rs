use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    Server, apps, core, count, is_going, is_ready, names, on_both, path, pod, text, workload,
};

on_both!(
    an_eviction_keeps_to_the_budget,
    a_budget_counts_what_may_go,
    an_eviction_insists_on_its_uid,
    a_deleted_pod_goes_in_its_own_time,
);

/// Waits until `number` pods are ready, and returns them.
fn ready(server: &Server<'_>, home: &str, number: usize) -> Vec<Value> {
    let mut pods = BTreeMap::new();
    let watch = core(home, "pods?watch=true&timeoutSeconds=60");
    let mut read = 0;
    let done = |events: &[Value]| {
        for event in &events[read..] {
            let pod = event["object"].clone();
            pods.insert(text(&pod, "/metadata/name").to_owned(), pod);
        }
        read = events.len();
        pods.values()
            .filter(|pod| is_ready(pod) && !is_going(pod))
            .count()
            == number
    };
    server.bed.events(&watch, done).unwrap();
    assert_eq!(pods.len(), number, "{pods:?}");
    pods.into_values().collect()
}

fn protect(server: &Server<'_>, home: &str, name: &str, spec: &Value) {
    let mut spec = spec.clone();
    spec["selector"] = json!({ "matchLabels": { "app": "web" } });
    let budgets = path("/apis/policy/v1", home, "poddisruptionbudgets");
    server.create(
        &budgets,
        &json!({ "metadata": { "name": name }, "spec": spec }),
    );
    let settled = |event: &Value| {
        text(event, "/object/metadata/name") == name
            && count(event, "/object/status/observedGeneration") > 0
    };
    server.until(&budgets, settled);
}

fn evict(server: &Server<'_>, home: &str, name: &str, options: &Value) -> (u16, Value) {
    let body = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": { "name": name, "namespace": home }, "deleteOptions": options,
    });
    server.post(&core(home, &format!("pods/{name}/eviction")), &body)
}

fn an_eviction_keeps_to_the_budget(server: &Server<'_>) {
    server.home("evicted");
    server.create(
        &apps("evicted", "deployments"),
        &workload("web", &json!({ "replicas": 2 })),
    );
    let pods = ready(server, "evicted", 2);
    protect(server, "evicted", "all", &json!({ "maxUnavailable": 1 }));
    let budgets = path("/apis/policy/v1", "evicted", "poddisruptionbudgets");
    server.until(&budgets, |event| {
        count(event, "/object/status/disruptionsAllowed") == 1
    });
    let hold = server.bed.kubelet().hold("evicted", "app=web");
    let (one, two) = (
        text(&pods[0], "/metadata/name"),
        text(&pods[1], "/metadata/name"),
    );
    assert_eq!(
        evict(server, "evicted", one, &json!({ "dryRun": ["All"] })).0,
        201
    );
    assert!(!is_going(
        &server.get(&core("evicted", &format!("pods/{one}")))
    ));
    assert_eq!(evict(server, "evicted", one, &Value::Null).0, 201);
    let (code, body) = evict(server, "evicted", two, &Value::Null);
    assert_eq!(
        (code, text(&body, "/reason")),
        (429, "TooManyRequests"),
        "{body}"
    );
    assert_eq!(text(&body, "/details/causes/0/reason"), "DisruptionBudget");
    drop(hold);
}

fn a_budget_counts_what_may_go(server: &Server<'_>) {
    server.home("counted");
    server.create(
        &apps("counted", "deployments"),
        &workload("web", &json!({ "replicas": 4 })),
    );
    ready(server, "counted", 4);
    let budgets = path("/apis/policy/v1", "counted", "poddisruptionbudgets");
    for (name, spec, desired, allowed) in [
        ("a", json!({ "minAvailable": 3 }), 3, 1),
        ("b", json!({ "minAvailable": "50%" }), 2, 2),
        ("c", json!({ "maxUnavailable": "30%" }), 2, 2),
        ("d", json!({ "minAvailable": 9 }), 9, 0),
    ] {
        protect(server, "counted", name, &spec);
        let wanted = (4, 4, desired, allowed);
        server.until(
            &format!("{budgets}?fieldSelector=metadata.name%3D{name}"),
            |event| {
                let status = |field: &str| count(event, &format!("/object/status/{field}"));
                (
                    status("expectedPods"),
                    status("currentHealthy"),
                    status("desiredHealthy"),
                    status("disruptionsAllowed"),
                ) == wanted
            },
        );
    }
    let pods = server.get(&core("counted", "pods"));
    let (code, body) = evict(server, "counted", &names(&pods)[0], &Value::Null);
    assert_eq!(code, 500);
    let said = text(&body, "/message");
    assert!(said.contains("more than one PodDisruptionBudget"), "{said}");
}

fn an_eviction_insists_on_its_uid(server: &Server<'_>) {
    server.home("insisted");
    let made = server.create(&core("insisted", "pods"), &pod("web"));
    ready(server, "insisted", 1);
    let uid = |uid: &str| json!({ "preconditions": { "uid": uid } });
    assert_eq!(
        evict(
            server,
            "insisted",
            "web",
            &uid("11111111-1111-4111-8111-111111111111")
        )
        .0,
        409
    );
    assert_eq!(
        evict(
            server,
            "insisted",
            "web",
            &uid(text(&made, "/metadata/uid"))
        )
        .0,
        201
    );
    assert_eq!(evict(server, "insisted", "none", &Value::Null).0, 404);
}

fn a_deleted_pod_goes_in_its_own_time(server: &Server<'_>) {
    server.home("going-down");
    let pods = core("going-down", "pods");
    server.create(&pods, &pod("web"));
    ready(server, "going-down", 1);
    let list = server.get(&pods);
    assert_eq!(names(&list), ["web"]);
    let from = text(&list, "/metadata/resourceVersion");
    server.delete(&format!("{pods}/web"), &Value::Null);
    let watch = format!("{pods}?watch=true&timeoutSeconds=30&resourceVersion={from}");
    let gone = |events: &[Value]| events.iter().any(|event| event["type"] == "DELETED");
    let events = server.bed.events(&watch, gone).unwrap();
    assert_eq!(events[0]["type"], "MODIFIED");
    assert!(is_going(&events[0]["object"]), "first it is marked");
}
