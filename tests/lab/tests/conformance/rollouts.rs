use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    Server, apps, condition, core, count, is_going, on_both, path, restart, text, version, workload,
};

on_both!(
    a_rolling_update_keeps_between_its_bounds,
    recreating_leaves_no_two_templates_side_by_side,
    a_paused_deployment_does_not_roll,
    a_rollout_that_does_not_get_on_passes_its_deadline,
    what_is_ready_is_not_yet_available,
    pods_belong_to_their_owners_and_go_with_them,
    a_deployment_scales_both_ways,
    going_back_to_a_template_takes_its_replica_set_again,
    a_pod_that_fits_no_node_waits_and_says_so,
    endpoints_are_the_ready_pods,
);

fn settled(replicas: i64) -> impl Fn(&Value) -> bool {
    move |event| {
        let object = &event["object"];
        let status = |field: &str| count(object, &format!("/status/{field}"));
        count(object, "/metadata/generation") == status("observedGeneration")
            && [
                "replicas",
                "updatedReplicas",
                "readyReplicas",
                "availableReplicas",
            ]
            .iter()
            .all(|field| status(field) == replicas)
            && condition(object, "Progressing")["reason"] == "NewReplicaSetAvailable"
    }
}

fn since(server: &Server<'_>, list: &str, from: u64, done: impl Fn(&Value) -> bool) -> Vec<Value> {
    let watch = format!("{list}?watch=true&timeoutSeconds=60&resourceVersion={from}");
    let events = server
        .bed
        .events(&watch, |events| events.iter().any(&done))
        .unwrap();
    assert!(
        events.iter().any(&done),
        "{list}: in vain: {:?}",
        events.last()
    );
    events
}

fn a_rolling_update_keeps_between_its_bounds(server: &Server<'_>) {
    for (name, surge, away) in [("up", 1, 0), ("down", 0, 1), ("both", 2, 1)] {
        let home = format!("bounds-{name}");
        server.home(&home);
        let deployments = apps(&home, "deployments");
        let strategy = json!({ "rollingUpdate": { "maxSurge": surge, "maxUnavailable": away } });
        let spec = json!({ "replicas": 4, "strategy": strategy });
        server.create(&deployments, &workload("web", &spec));
        server.until(&deployments, settled(4));
        let patched = server.patch(&format!("{deployments}/web"), &restart());
        let events = since(server, &deployments, version(&patched), settled(4));
        for event in &events {
            let available = count(event, "/object/status/availableReplicas");
            assert!(available >= 4 - away, "{name}: {event}");
        }
        // A status may be behind; what is asked for never is.
        let mut wanted = BTreeMap::new();
        let sets = apps(&home, "replicasets");
        let last = |event: &Value| {
            count(event, "/object/status/availableReplicas") == 4
                && text(
                    &event["object"]["metadata"]["annotations"],
                    "/deployment.kubernetes.io~1revision",
                ) == "2"
        };
        let mut steps = 0;
        for event in since(server, &sets, version(&patched), last) {
            let set = text(&event, "/object/metadata/name").to_owned();
            wanted.insert(set, count(&event, "/object/spec/replicas"));
            let sum: i64 = wanted.values().sum();
            assert!(sum <= 4 + surge, "{name}: {wanted:?}");
            steps += i64::from(wanted.len() == 2 && wanted.values().all(|wanted| *wanted > 0));
        }
        assert!(steps > 0, "{name}: it takes steps");
    }
}

fn recreating_leaves_no_two_templates_side_by_side(server: &Server<'_>) {
    server.home("recreated");
    let deployments = apps("recreated", "deployments");
    let spec = json!({ "replicas": 2, "strategy": { "type": "Recreate" } });
    server.create(&deployments, &workload("web", &spec));
    server.until(&deployments, settled(2));
    let from = version(&server.get(&core("recreated", "pods")));
    server.patch(&format!("{deployments}/web"), &restart());
    server.until(&deployments, settled(2));
    let mut gone = 0;
    let events = since(server, &core("recreated", "pods"), from, |event| {
        event["object"]["metadata"]["annotations"]["at"] == "now"
    });
    for event in events {
        gone += i64::from(event["type"] == "DELETED");
        let new = event["object"]["metadata"]["annotations"]["at"] == "now";
        assert!(
            !new || gone == 2,
            "a new pod while {gone} of 2 old ones were gone"
        );
    }
}

fn a_paused_deployment_does_not_roll(server: &Server<'_>) {
    server.home("paused");
    let (deployments, web) = (
        apps("paused", "deployments"),
        apps("paused", "deployments/web"),
    );
    server.create(&deployments, &workload("web", &json!({ "replicas": 1 })));
    server.until(&deployments, settled(1));
    server.patch(&web, &json!({ "spec": { "paused": true } }));
    let patched = server.patch(&web, &restart());
    let seen = since(server, &deployments, version(&patched), |event| {
        count(event, "/object/status/observedGeneration") == 3
    });
    assert_eq!(
        count(seen.last().unwrap(), "/object/status/updatedReplicas"),
        0
    );
    assert_eq!(server.names(&apps("paused", "replicasets")).len(), 1);
    server.patch(&web, &json!({ "spec": { "paused": false } }));
    server.until(&deployments, settled(1));
    assert_eq!(server.names(&apps("paused", "replicasets")).len(), 2);
}

fn a_rollout_that_does_not_get_on_passes_its_deadline(server: &Server<'_>) {
    server.home("late");
    let mut web = workload(
        "web",
        &json!({ "replicas": 1, "progressDeadlineSeconds": 2 }),
    );
    web["spec"]["template"]["metadata"]["labels"]["sim.test/behaviour"] = "never-ready".into();
    server.create(&apps("late", "deployments"), &web);
    let late = |event: &Value| {
        let progress = condition(&event["object"], "Progressing");
        progress["reason"] == "ProgressDeadlineExceeded" && progress["status"] == "False"
    };
    let events = server.until(&apps("late", "deployments"), late);
    assert_eq!(
        condition(&events.last().unwrap()["object"], "Available")["status"],
        "False"
    );
    let endless = json!({ "replicas": 1, "progressDeadlineSeconds": i32::MAX });
    server.create(&apps("late", "deployments"), &workload("endless", &endless));
    let done = |event: &Value| {
        text(event, "/object/metadata/name") == "endless"
            && count(event, "/object/status/availableReplicas") == 1
    };
    let events = server.until(&apps("late", "deployments"), done);
    let last = events.iter().find(|event| done(event)).unwrap();
    assert_eq!(condition(&last["object"], "Progressing"), &Value::Null);
}

fn what_is_ready_is_not_yet_available(server: &Server<'_>) {
    server.home("patient");
    server.create(
        &apps("patient", "deployments"),
        &workload("web", &json!({ "replicas": 1, "minReadySeconds": 2 })),
    );
    let events = server.until(&apps("patient", "deployments"), settled(1));
    let waiting = |event: &&Value| {
        count(event, "/object/status/readyReplicas") == 1
            && count(event, "/object/status/availableReplicas") == 0
    };
    assert!(
        events.iter().any(|event| waiting(&event)),
        "ready comes first"
    );
}

fn pods_belong_to_their_owners_and_go_with_them(server: &Server<'_>) {
    server.home("owned");
    let deployments = apps("owned", "deployments");
    let web = server.create(&deployments, &workload("web", &json!({ "replicas": 2 })));
    server.until(&deployments, settled(2));
    let set = server.get(&apps("owned", "replicasets"))["items"][0].clone();
    let pods = server.get(&core("owned", "pods"))["items"]
        .as_array()
        .unwrap()
        .clone();
    let owner = |object: &Value| {
        let owner = &object["metadata"]["ownerReferences"][0];
        assert_eq!(owner["controller"], true);
        (
            text(owner, "/kind").to_owned(),
            text(owner, "/uid").to_owned(),
        )
    };
    assert_eq!(
        owner(&set),
        (
            "Deployment".to_owned(),
            text(&web, "/metadata/uid").to_owned()
        )
    );
    let hash = text(&set, "/metadata/labels/pod-template-hash");
    assert_eq!(text(&set, "/metadata/name"), format!("web-{hash}"));
    for pod in &pods {
        assert_eq!(
            owner(pod),
            (
                "ReplicaSet".to_owned(),
                text(&set, "/metadata/uid").to_owned()
            )
        );
        assert_eq!(text(pod, "/metadata/labels/pod-template-hash"), hash);
        assert!(text(pod, "/metadata/name").starts_with(text(&set, "/metadata/name")));
    }
    let from = version(&server.get(&core("owned", "pods")));
    assert_eq!(
        server
            .delete(
                &format!("{deployments}/web"),
                &json!({ "propagationPolicy": "Background" })
            )
            .0,
        200
    );
    let watch = core(
        "owned",
        &format!("pods?watch=true&timeoutSeconds=60&resourceVersion={from}"),
    );
    let gone = |events: &[Value]| {
        events
            .iter()
            .filter(|event| event["type"] == "DELETED")
            .count()
            == 2
    };
    assert!(gone(&server.bed.events(&watch, gone).unwrap()));
    assert!(server.names(&apps("owned", "replicasets")).is_empty());
}

fn a_deployment_scales_both_ways(server: &Server<'_>) {
    server.home("scaled");
    let (deployments, web) = (
        apps("scaled", "deployments"),
        apps("scaled", "deployments/web"),
    );
    server.create(&deployments, &workload("web", &json!({ "replicas": 1 })));
    for replicas in [3, 1, 0] {
        server.patch(&web, &json!({ "spec": { "replicas": replicas } }));
        server.until(&deployments, settled(replicas));
    }
    assert_eq!(
        server.names(&apps("scaled", "replicasets")).len(),
        1,
        "no template has changed"
    );
}

fn going_back_to_a_template_takes_its_replica_set_again(server: &Server<'_>) {
    server.home("returned");
    let (deployments, web) = (
        apps("returned", "deployments"),
        apps("returned", "deployments/web"),
    );
    server.create(&deployments, &workload("web", &json!({ "replicas": 1 })));
    server.until(&deployments, settled(1));
    let back = json!({ "spec": { "template": { "metadata": { "annotations": { "at": null } } } } });
    for patch in [restart(), back] {
        server.patch(&web, &patch);
        server.until(&deployments, settled(1));
    }
    let sets = server.get(&apps("returned", "replicasets"));
    let mut sets: Vec<_> = sets["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|set| {
            let revision = text(
                &set["metadata"]["annotations"],
                "/deployment.kubernetes.io~1revision",
            )
            .to_owned();
            (revision, count(set, "/spec/replicas"))
        })
        .collect();
    sets.sort();
    assert_eq!(sets, [("2".to_owned(), 0), ("3".to_owned(), 1)]);
}

fn a_pod_that_fits_no_node_waits_and_says_so(server: &Server<'_>) {
    server.home("homeless");
    let mut pod = crate::pod("picky");
    pod["spec"]["nodeSelector"] = json!({ "moon": "yes" });
    server.create(&core("homeless", "pods"), &pod);
    let said = |event: &Value| {
        let scheduled = condition(&event["object"], "PodScheduled");
        scheduled["status"] == "False" && scheduled["reason"] == "Unschedulable"
    };
    server.until(&core("homeless", "pods"), said);
}

fn endpoints_are_the_ready_pods(server: &Server<'_>) {
    server.home("reached");
    let port = json!({ "name": "http", "port": 80, "targetPort": 8080 });
    let spec = json!({ "selector": { "app": "web" }, "ports": [port] });
    server.create(
        &core("reached", "services"),
        &json!({ "metadata": { "name": "web" }, "spec": spec }),
    );
    let hold = server.bed.kubelet().hold("reached", "app=web");
    server.create(&core("reached", "pods"), &crate::pod("web"));
    let slices = path(
        "/apis/discovery.k8s.io/v1",
        "reached",
        "endpointslices?labelSelector=kubernetes.io/service-name%3Dweb",
    );
    let ready = |event: &Value| {
        let endpoints = event["object"]["endpoints"]
            .as_array()
            .into_iter()
            .flatten();
        endpoints
            .filter(|endpoint| endpoint["conditions"]["ready"] == true)
            .count()
    };
    let events = server.until(&slices, |event| {
        event["object"]["endpoints"].is_array() || event["object"]["endpoints"].is_null()
    });
    assert_eq!(ready(events.last().unwrap()), 0);
    hold.release();
    let events = server.until(&slices, |event| ready(event) == 1);
    assert_eq!(
        text(events.last().unwrap(), "/object/endpoints/0/targetRef/name"),
        "web"
    );
    let pod = server.get(&core("reached", "pods/web"));
    assert!(!is_going(&pod));
    server.delete(&core("reached", "pods/web"), &Value::Null);
    server.until(&slices, |event| {
        ready(event) == 0 && version(&event["object"]) > version(&pod)
    });
}
