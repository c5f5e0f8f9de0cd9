//! The injector stops answering while its pods stay ready and its webhook lets pods pass.

use mesh_testbed::Bed;
use mesh_tests::{Run, of_type, on_both_beds};
use serde_json::{Value, json};

use crate::scene::{NEW, Scene, proxy, slow, workload};

on_both_beds! {
    injector_that_is_away_at_first_stops_everything
    injector_that_goes_away_costs_no_more_than_max_in_flight
    injector_without_a_ready_pod_is_waited_for_and_said
    services_without_which_no_proxy_gets_ready_are_waited_for_and_said
}

fn six() -> Vec<Value> {
    let names = ["a", "b", "c", "d", "e", "f"];
    names.map(|name| workload("Deployment", name, slow)).into()
}

fn injector_that_is_away_at_first_stops_everything(bed: Bed) {
    let scene = Scene::with(bed, &six());
    let verdict = scene.verdict();
    scene.bed.injector().close();
    // Its pods are ready; only a dry run shows that it does not answer.
    let judged = scene.judge(&scene.survey(&["--probe"]));
    assert_eq!(judged.code, Some(1), "{}", judged.said());
    let no = scene.roll(&judged.stdout, &["--yes"]);
    assert_eq!(no.code, Some(1), "{}", no.said());
    let late = scene.roll(&verdict, &["--yes"]);
    assert_eq!(late.code, Some(2), "{}", late.said());
    assert!(late.said().contains("gives no proxy"), "{}", late.said());
    assert_eq!(scene.writes(), Vec::<String>::new());
    scene.bed.injector().open();
    scene.bed.injector().await_open().unwrap();
    let well = scene.roll(&verdict, &["--yes", "--max-in-flight", "3"]);
    assert_eq!(well.code, Some(0), "{}", well.said());
}

fn injector_that_goes_away_costs_no_more_than_max_in_flight(bed: Bed) {
    let scene = Scene::with(bed, &six());
    let mut run = scene.start(&scene.verdict(), &["--yes", "--max-in-flight", "2"]);
    // Its dry run was answered, and its second pod is still to come.
    run.until(|record| record["type"] == "progress" && record["pods"]["updated"] == 1);
    scene.bed.injector().close();
    let Run { records, code, .. } = run.finish();
    assert_eq!(code, Some(1), "{records:#?}");

    let failed: Vec<usize> = (0..records.len())
        .filter(|place| {
            records[*place]["outcome"] == "failed" && records[*place]["type"] == "rolled"
        })
        .collect();
    let started = |record: &Value| {
        let message = record["message"].as_str();
        message.is_some_and(|message| message.starts_with("restarting"))
    };
    let last_start = records.iter().rposition(started).unwrap();
    assert!(
        last_start < failed[0],
        "nothing starts after a failure: {records:#?}"
    );
    for place in &failed {
        assert_eq!(records[*place]["reason"], "not-injected");
    }
    let mut named: Vec<String> = failed
        .iter()
        .map(|place| format!("Deployment/{}", records[*place]["name"].as_str().unwrap()))
        .collect();
    named.sort();
    assert_eq!(named, scene.owners_of_pods(|pod| proxy(pod).is_none()));

    let starts = records.iter().filter(|record| started(record)).count();
    let ends = of_type(&records, "rolled").len();
    assert_eq!(starts, ends, "what was in flight is reported: {records:#?}");
    assert_eq!(scene.writes().len(), starts);
    assert!(starts < 6, "{records:#?}");

    scene.bed.injector().open();
    scene.bed.injector().await_open().unwrap();
    mended_by_the_next_run(&scene);
}

fn injector_without_a_ready_pod_is_waited_for_and_said(bed: Bed) {
    without_a_ready_pod(bed, "linkerd-proxy-injector", "linkerd-proxy-injector");
}

fn services_without_which_no_proxy_gets_ready_are_waited_for_and_said(bed: Bed) {
    without_a_ready_pod(bed, "linkerd-destination", "linkerd-dst");
}

fn without_a_ready_pod(bed: Bed, deployment: &str, service: &str) {
    let scene = Scene::with(bed, &[workload("Deployment", "a", slow)]);
    let verdict = scene.verdict();
    let scale = |replicas: u32| {
        let path = format!("/apis/apps/v1/namespaces/linkerd/deployments/{deployment}");
        let replicas = json!({ "spec": { "replicas": replicas } });
        scene.bed.merge(&path, &replicas).unwrap();
    };
    scale(0);
    let slices = format!(
        "/apis/discovery.k8s.io/v1/namespaces/linkerd/endpointslices?watch=1\
         &labelSelector=kubernetes.io%2Fservice-name%3D{service}"
    );
    let is_empty = |event: &Value| {
        let endpoints = event["object"]["endpoints"].as_array();
        endpoints.is_none_or(|all| all.iter().all(|it| it["conditions"]["ready"] == false))
    };
    let none = |events: &[Value]| events.last().is_some_and(is_empty);
    scene.bed.events(&slices, none).unwrap();
    let mut run = scene.start(&verdict, &["--yes"]);
    let said = format!("the control plane's Service {service} has no ready endpoint");
    run.until(|record| {
        let message = record["message"].as_str();
        message.is_some_and(|it| it.contains(&said))
    });
    assert_eq!(scene.writes(), Vec::<String>::new());
    scale(1);
    let run = run.finish();
    assert_eq!(run.code, Some(0), "{}", run.said());
}

fn mended_by_the_next_run(scene: &Scene) {
    let output = scene.roll(&scene.verdict(), &["--yes", "--max-in-flight", "3"]);
    let attention: Vec<&Value> = output
        .records
        .iter()
        .filter(|record| record["class"] == "attention")
        .collect();
    // A roll cannot fix workloads without any proxy, and must report them.
    let bare = scene.owners_of_pods(|pod| proxy(pod).is_none());
    assert_eq!(attention.len(), bare.len(), "{}", output.said());
    assert!(
        scene
            .owners_of_pods(|pod| proxy(pod).is_some_and(|tag| tag != NEW))
            .is_empty()
    );
    assert_eq!(output.code, Some(0), "{}", output.said());
}
