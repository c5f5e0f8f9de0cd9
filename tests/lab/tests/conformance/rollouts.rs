use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    Server, apps, condition, core, count, is_going, on_both, path, restart, text, version, workload,
};

on_both!(
    a_rolling_update_keeps_between_its_bounds,
    recreating_leaves_no_two_templates_side_by_side,
    pods_belong_to_their_owners_and_go_with_them,
    a_deployment_and_its_newest_set_have_one_revision,
    a_deployment_scales_both_ways,
    a_paused_deployment_scales_and_rolls_out_when_it_is_resumed,
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
        // The status may be behind, but the spec never is.
        let mut wanted = BTreeMap::new();
        let sets = apps(&home, "replicasets");
        let last = |event: &Value| {
            let restarted = &event["object"]["spec"]["template"]["metadata"]["annotations"]["at"];
            restarted == "now" && count(event, "/object/status/availableReplicas") == 4
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
    let is_owned_by = |object: &Value, kind: &str, owner: &Value| {
        let reference = &object["metadata"]["ownerReferences"][0];
        assert_eq!(reference["controller"], true);
        assert_eq!(text(reference, "/kind"), kind);
        assert_eq!(reference["uid"], owner["metadata"]["uid"]);
    };
    is_owned_by(&set, "Deployment", &web);
    let hash = text(&set, "/metadata/labels/pod-template-hash");
    assert_eq!(text(&set, "/metadata/name"), format!("web-{hash}"));
    for pod in &pods {
        is_owned_by(pod, "ReplicaSet", &set);
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

fn a_deployment_and_its_newest_set_have_one_revision(server: &Server<'_>) {
    server.home("revised");
    let (deployments, sets) = (
        apps("revised", "deployments"),
        apps("revised", "replicasets"),
    );
    let web = format!("{deployments}/web");
    server.create(&deployments, &workload("web", &json!({ "replicas": 1 })));
    server.until(&deployments, settled(1));
    let revision = "/metadata/annotations/deployment.kubernetes.io~1revision";
    let at = "/spec/template/metadata/annotations/at";
    // The last template equals an earlier one, so its ReplicaSet is used again.
    for (number, (time, all)) in (2..).zip([("now", 2), ("then", 3), ("now", 3)]) {
        let mut patch = restart();
        *patch.pointer_mut(at).unwrap() = time.into();
        server.patch(&web, &patch);
        server.until(&deployments, settled(1));
        let deployment = server.get(&web);
        assert_eq!(text(&deployment, revision), number.to_string());
        assert_eq!(count(&deployment, "/metadata/generation"), number);
        let sets = server.get(&sets)["items"].take();
        let sets = sets.as_array().unwrap();
        assert_eq!(sets.len(), all);
        let mut newest = sets
            .iter()
            .filter(|set| text(set, revision) == number.to_string());
        assert_eq!(text(newest.next().unwrap(), at), time);
        assert_eq!(newest.next(), None);
    }
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

fn a_paused_deployment_scales_and_rolls_out_when_it_is_resumed(server: &Server<'_>) {
    server.home("paused");
    let (deployments, web) = (
        apps("paused", "deployments"),
        apps("paused", "deployments/web"),
    );
    let sets = || server.names(&apps("paused", "replicasets")).len();
    server.create(&deployments, &workload("web", &json!({ "replicas": 1 })));
    server.until(&deployments, settled(1));
    let mut paused = restart();
    paused["spec"]["paused"] = true.into();
    paused["spec"]["replicas"] = 2.into();
    server.patch(&web, &paused);
    server.until(&deployments, |event| {
        let object = &event["object"];
        let status = |field: &str| count(object, &format!("/status/{field}"));
        condition(object, "Progressing")["reason"] == "DeploymentPaused"
            && count(object, "/metadata/generation") == status("observedGeneration")
            && (status("readyReplicas"), status("updatedReplicas")) == (2, 0)
    });
    assert_eq!(sets(), 1);
    server.patch(&web, &json!({ "spec": { "paused": false } }));
    server.until(&deployments, settled(2));
    assert_eq!(sets(), 2);
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
