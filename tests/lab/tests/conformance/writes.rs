use serde_json::{Value, json};

use crate::{Server, apps, core, count, map, ok, on_both, path, pod, text, workload};

on_both!(
    what_is_null_is_not_there,
    a_stale_version_is_a_conflict_however_it_is_written,
    what_exists_is_not_created_again,
    a_generation_counts_changes_of_the_spec_and_of_a_deployments_annotations,
    a_status_is_written_apart,
    a_delete_insists_on_its_uid_and_version,
    a_dry_run_stores_nothing,
    a_lease_goes_to_the_first_of_two,
    requests_are_on_record,
);

fn what_is_null_is_not_there(server: &Server<'_>) {
    server.home("nulls");
    let nulls = json!({ "replicas": 0, "paused": null, "strategy": null });
    let mut web = workload("web", &nulls);
    web["metadata"]["creationTimestamp"] = Value::Null;
    web["metadata"]["labels"] = Value::Null;
    let one = apps("nulls", "deployments/web");
    let made = server.create(&apps("nulls", "deployments"), &web);
    let replaced = ok(server.send("PUT", &one, "application/json", &web), &one);
    for object in [made, replaced] {
        assert_eq!(
            (
                object["spec"].get("paused"),
                object["metadata"].get("labels")
            ),
            (None, None)
        );
        assert_eq!(text(&object, "/spec/strategy/type"), "RollingUpdate");
        assert!(!text(&object, "/metadata/creationTimestamp").is_empty());
    }
}

fn a_stale_version_is_a_conflict_however_it_is_written(server: &Server<'_>) {
    server.home("stale");
    let one = core("stale", "configmaps/one");
    let made = server.create(&core("stale", "configmaps"), &map("one", &json!({})));
    server.patch(&one, &json!({ "data": { "a": "b" } }));
    let stale = json!({ "metadata": { "resourceVersion": made["metadata"]["resourceVersion"] }, "data": { "a": "c" } });
    for answer in [
        server.merge(&one, &stale),
        server.send("PUT", &one, "application/json", &made),
    ] {
        assert_eq!((answer.0, text(&answer.1, "/reason")), (409, "Conflict"));
    }
    let mut fresh = server.get(&one);
    assert_eq!(fresh["data"], json!({ "a": "b" }));
    fresh["data"] = json!({ "z": "z" });
    let replaced = ok(server.send("PUT", &one, "application/json", &fresh), &one);
    assert_eq!(replaced["data"], json!({ "z": "z" }));
}

fn what_exists_is_not_created_again(server: &Server<'_>) {
    server.home("twice");
    let maps = core("twice", "configmaps");
    server.create(&maps, &map("one", &json!({})));
    let (code, body) = server.post(&maps, &map("one", &json!({})));
    assert_eq!((code, text(&body, "/reason")), (409, "AlreadyExists"));
    let (code, body) = server.post(
        &core("no-such-namespace", "configmaps"),
        &map("one", &json!({})),
    );
    assert_eq!((code, text(&body, "/reason")), (404, "NotFound"));
    let many = json!({ "metadata": { "generateName": "many-" } });
    let (a, b) = (server.create(&maps, &many), server.create(&maps, &many));
    assert!(
        text(&a, "/metadata/name").starts_with("many-")
            && a["metadata"]["name"] != b["metadata"]["name"]
    );
}

fn a_generation_counts_changes_of_the_spec_and_of_a_deployments_annotations(server: &Server<'_>) {
    server.home("generations");
    let web = apps("generations", "deployments/web");
    let made = server.create(
        &apps("generations", "deployments"),
        &workload("web", &json!({ "replicas": 0 })),
    );
    assert_eq!(count(&made, "/metadata/generation"), 1);
    let seen = |generation: i64| {
        move |event: &Value| count(event, "/object/status/observedGeneration") == generation
    };
    server.until(&apps("generations", "deployments"), seen(1));
    let label = json!({ "metadata": { "labels": { "a": "b" } } });
    let labelled = server.patch(&web, &label);
    assert_eq!(count(&labelled, "/metadata/generation"), 1);
    let changed = server.patch(&web, &crate::restart());
    assert_eq!(count(&changed, "/metadata/generation"), 2);
    server.until(&apps("generations", "deployments"), seen(2));
    let annotation = json!({ "metadata": { "annotations": { "a": "b" } } });
    let noted = server.patch(&web, &annotation);
    assert_eq!(
        count(&noted, "/metadata/generation"),
        3,
        "a Deployment's annotations count"
    );
    let sets = apps("generations", "replicasets");
    server.create(&sets, &workload("set", &json!({ "replicas": 0 })));
    let noted = server.patch(&format!("{sets}/set"), &annotation);
    assert_eq!(
        count(&noted, "/metadata/generation"),
        1,
        "those of other kinds do not"
    );
    let map = server.create(&core("generations", "configmaps"), &map("one", &json!({})));
    assert_eq!(map["metadata"].get("generation"), None);
}

fn a_status_is_written_apart(server: &Server<'_>) {
    server.home("statuses");
    let held = json!({ "minAvailable": 1, "selector": { "matchLabels": { "app": "none" } } });
    let budgets = path("/apis/policy/v1", "statuses", "poddisruptionbudgets");
    let mut budget =
        json!({ "metadata": { "name": "one" }, "spec": held, "status": { "currentHealthy": 77 } });
    let made = server.create(&budgets, &budget);
    assert_ne!(
        made["status"]["currentHealthy"], 77,
        "nobody creates a status"
    );
    budget = json!({ "status": { "currentHealthy": 78 } });
    let patched = server.patch(&format!("{budgets}/one"), &budget);
    assert_ne!(
        patched["status"]["currentHealthy"], 78,
        "nor patches it with the rest"
    );
    let node = "/api/v1/nodes/node-1";
    let before = server.get(node);
    let body = json!({ "metadata": { "labels": { "x": "y" } }, "spec": { "unschedulable": true }, "status": { "volumesInUse": ["v"] } });
    let after = server.patch(&format!("{node}/status"), &body);
    assert_eq!(after["status"]["volumesInUse"], json!(["v"]));
    assert_eq!(
        after["spec"], before["spec"],
        "a status is written without the rest"
    );
    server.patch(
        &format!("{node}/status"),
        &json!({ "status": { "volumesInUse": null } }),
    );
}

fn a_delete_insists_on_its_uid_and_version(server: &Server<'_>) {
    server.home("deleted");
    let (maps, one) = (
        core("deleted", "configmaps"),
        core("deleted", "configmaps/one"),
    );
    let made = server.create(&maps, &map("one", &json!({})));
    let at = |uid: &str, version: &str| json!({ "preconditions": { "uid": uid, "resourceVersion": version } });
    let (uid, now) = (
        text(&made, "/metadata/uid"),
        text(&made, "/metadata/resourceVersion"),
    );
    for wrong in [
        at("11111111-1111-4111-8111-111111111111", now),
        at(uid, "1"),
    ] {
        let (code, body) = server.delete(&one, &wrong);
        assert_eq!((code, text(&body, "/reason")), (409, "Conflict"));
    }
    let (code, body) = server.delete(&one, &at(uid, now));
    assert_eq!((code, text(&body, "/status")), (200, "Success"));
    assert_eq!(server.delete(&one, &Value::Null).0, 404);
}

fn a_dry_run_stores_nothing(server: &Server<'_>) {
    server.home("dry");
    let (maps, one) = (core("dry", "configmaps"), core("dry", "configmaps/one"));
    let (code, tried) = server.post(&format!("{maps}?dryRun=All"), &map("one", &json!({})));
    assert_eq!((code, text(&tried, "/metadata/name")), (201, "one"));
    assert!(!text(&tried, "/metadata/uid").is_empty());
    assert_eq!(server.ask(&one).0, 404);
    let made = server.create(&maps, &map("one", &json!({})));
    let tried = server.patch(
        &format!("{one}?dryRun=All"),
        &json!({ "data": { "a": "b" } }),
    );
    assert_eq!(tried["data"]["a"], "b");
    assert_eq!(
        server.delete(&format!("{one}?dryRun=All"), &Value::Null).0,
        200
    );
    assert_eq!(
        server.get(&one)["metadata"]["resourceVersion"],
        made["metadata"]["resourceVersion"]
    );
    let applied = format!(
        "{}?dryRun=All&fieldManager=me&force=true",
        core("dry", "configmaps/two")
    );
    let two = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "two" } });
    ok(
        server.send("PATCH", &applied, "application/apply-patch+yaml", &two),
        &applied,
    );
    assert_eq!(server.ask(&core("dry", "configmaps/two")).0, 404);
    // Watches must not see the dry run either.
    let events = server.until(&maps, |event| text(event, "/object/metadata/name") == "one");
    assert!(
        events
            .iter()
            .all(|event| text(event, "/object/metadata/name") != "two")
    );
}

fn a_lease_goes_to_the_first_of_two(server: &Server<'_>) {
    server.home("leased");
    let leases = path(
        "/apis/coordination.k8s.io/v1",
        "leases".replace("leases", "leased").as_str(),
        "leases",
    );
    let spec = json!({ "holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z" });
    let lease = json!({ "metadata": { "name": "lock" }, "spec": spec });
    let made = server.create(&leases, &lease);
    assert_eq!(server.post(&leases, &lease).0, 409);
    let take = |holder: &str| {
        let body = json!({ "metadata": { "resourceVersion": made["metadata"]["resourceVersion"] }, "spec": { "holderIdentity": holder } });
        server.merge(&format!("{leases}/lock"), &body)
    };
    assert_eq!((take("b").0, take("c").0), (200, 409));
    let held = server.get(&format!("{leases}/lock"));
    assert_eq!(held["spec"]["holderIdentity"], "b");
    assert_eq!(held["spec"]["renewTime"], "2026-01-01T00:00:00.000000Z");
}

fn requests_are_on_record(server: &Server<'_>) {
    server.home("recorded");
    server.create(
        &apps("recorded", "deployments"),
        &workload("web", &json!({ "replicas": 0 })),
    );
    server.patch(
        &apps("recorded", "deployments/web?dryRun=All"),
        &crate::restart(),
    );
    server.ask(&core("recorded", "pods/none"));
    server
        .bed
        .events(
            &core("recorded", "pods?watch=true&timeoutSeconds=1"),
            |_| false,
        )
        .unwrap();
    server.post(&core("recorded", "pods?dryRun=All"), &pod("tried"));
    let mut events = server.bed.audit().unwrap();
    events.retain(|event| event.namespace == "recorded" && event.user == "testbed-admin");
    let lines = events.iter().map(|event| {
        let code = event.code.unwrap_or_default();
        (
            event.verb.as_str(),
            event.resource.as_str(),
            event.name.as_str(),
            code,
            event.writes(),
        )
    });
    let lines: Vec<_> = lines.filter(|line| line.1 != "serviceaccounts").collect();
    let wanted = [
        ("patch", "namespaces", "recorded", 201, true),
        ("create", "deployments", "web", 201, true),
        ("patch", "deployments", "web", 200, false),
        ("get", "pods", "none", 404, false),
        ("watch", "pods", "", 200, false),
        ("create", "pods", "tried", 201, false),
    ];
    assert_eq!(lines, wanted);
    let patch = events
        .iter()
        .find(|event| event.verb == "patch" && event.resource == "deployments")
        .unwrap();
    assert_eq!(patch.body, Some(crate::restart()));
    assert!(
        events
            .iter()
            .all(|event| event.completed >= Some(event.received))
    );
}
