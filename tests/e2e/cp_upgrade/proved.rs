//! Which proxy new pods get is asked for where the mesh's workloads are, before the write and after.

use http::{Method, StatusCode};
use mesh_testbed::{Bed, Match};
use mesh_tests::{Run, make_wait, on_both_beds, yes_at_the_question};
use serde_json::json;

use crate::shop::web;
use crate::stage::{AGENT, FROM, Stage, TO};
use crate::watched::held_at_the_configuration;

on_both_beds! {
    new_pods_are_asked_for_with_a_workloads_template_before_the_write_and_after_it
    a_template_that_is_not_injected_is_a_warning
    a_workload_that_loses_its_proxy_meanwhile_is_a_failed_upgrade
    pods_that_lose_their_readiness_meanwhile_are_named
    what_cannot_be_read_after_the_proof_is_said_and_takes_nothing_back
    [Admission]
    a_full_quota_is_a_warning_and_no_failed_upgrade
}

fn stage(bed: Bed, namespaces: &[&str]) -> Stage {
    let stage = Stage::new(bed);
    for namespace in namespaces {
        web(&stage.bed, namespace, 2);
    }
    stage
}

fn warnings(run: &Run) -> Vec<&str> {
    let progress = run.of("progress").into_iter();
    let messages = progress.filter_map(|record| record["message"].as_str());
    messages
        .filter(|message| message.starts_with("warning: "))
        .collect()
}

fn done<'a>(run: &'a Run, step: &str) -> &'a str {
    let done = run.step(step, "done");
    let done = done.unwrap_or_else(|| panic!("{}", run.said()));
    done["message"].as_str().unwrap()
}

fn new_pods_are_asked_for_with_a_workloads_template_before_the_write_and_after_it(bed: Bed) {
    let stage = stage(bed, &["bank", "shop"]);
    let run = stage.run(&stage.judged(), &[]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    let before = done(&run, "preflight");
    let all = "2 of 2 dry-run pods get today's proxy";
    assert!(before.contains(all), "{before}");
    let after = done(&run, "prove");
    assert!(after.contains("a new pod of"), "{after}");
    assert!(after.contains(TO) && !after.contains(FROM), "{after}");
    let all = "2 dry-run pods get the target's proxy";
    assert!(after.contains(all), "{after}");
    assert_eq!(warnings(&run), Vec::<&str>::new());
    let events = stage.bed.audit_of(AGENT).unwrap();
    let pods = events
        .iter()
        .filter(|event| event.resource == "pods" && event.verb == "create");
    let places: Vec<&str> = pods.map(|event| event.namespace.as_str()).collect();
    // Of each component once, before the write.
    for (namespace, count) in [("bank", 2), ("shop", 2), ("linkerd", 3)] {
        let asked = places.iter().filter(|place| **place == namespace);
        assert_eq!(asked.count(), count, "{places:?}");
    }
    assert_eq!(places.len(), 7, "{places:?}");
}

fn a_template_that_is_not_injected_is_a_warning(bed: Bed) {
    let stage = stage(bed, &["bank", "shop"]);
    let path = "/apis/apps/v1/namespaces/shop/deployments/web";
    let judged = stage.judged();
    let off = json!({ "metadata": { "annotations": { "linkerd.io/inject": "disabled" } } });
    let off = json!({ "spec": { "template": off } });
    stage.bed.merge(path, &off).unwrap();
    let run = stage.run(&judged, &[]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    let warnings = warnings(&run);
    let words = "a new pod of shop/Deployment/web gets no proxy, but a plain pod";
    assert_eq!(warnings.len(), 2, "before and after: {}", run.said());
    for warning in warnings {
        assert!(warning.contains(words), "{warning}");
    }
    let after = done(&run, "prove");
    assert!(
        after.contains("a new pod of bank/Deployment/web gets"),
        "{after}"
    );
    assert!(after.contains("not shown in 1 other place"), "{after}");
}

fn a_workload_that_loses_its_proxy_meanwhile_is_a_failed_upgrade(bed: Bed) {
    let stage = stage(bed, &["bank", "shop"]);
    let judged = stage.file("judged", &stage.judged());
    let mut command = stage.tool();
    command.args(stage.source());
    let (code, records) = yes_at_the_question(&stage.tools, &mut command, &judged, || {
        let off = json!({ "metadata": { "annotations": { "linkerd.io/inject": "disabled" } } });
        let off = json!({ "spec": { "template": off } });
        let path = "/apis/apps/v1/namespaces/shop/deployments/web";
        stage.bed.merge(path, &off).unwrap();
    });
    assert_eq!(code, Some(1), "{:#?}", records.last());
    let reason = records.last().unwrap()["reason"].to_string();
    let words = "a new pod of shop/Deployment/web gets no proxy, but a plain pod";
    assert!(reason.contains(words), "{reason}");
    assert!(reason.contains("before, it got one"), "{reason}");
}

fn pods_that_lose_their_readiness_meanwhile_are_named(bed: Bed) {
    let stage = stage(bed, &["shop"]);
    let proxy = stage.bed.proxy().unwrap();
    let (running, held) = held_at_the_configuration(&stage, &proxy, &[]);
    let pods = stage.bed.get("/api/v1/namespaces/shop/pods").unwrap();
    let pod = pods["items"][0]["metadata"]["name"].as_str().unwrap();
    make_wait(&stage.bed, "shop", pod, "CrashLoopBackOff", 3);
    held.release();
    let run = running.finish();
    assert_eq!(run.code, Some(0), "{}", run.said());
    let words = format!("were ready before the upgrade and are not now: shop/{pod}");
    let reason = run.end()["reason"].as_str().unwrap();
    assert!(reason.ends_with(&words), "{reason}");
    assert_eq!(warnings(&run).len(), 1, "{}", run.said());
}

fn what_cannot_be_read_after_the_proof_is_said_and_takes_nothing_back(bed: Bed) {
    let stage = stage(bed, &["shop"]);
    let proxy = stage.bed.proxy().unwrap();
    // The linkerd CLI knows no way back.
    let flags = ["--rollback-on-failure"];
    let flags = &flags[..usize::from(stage.is_by_helm())];
    let (running, held) = held_at_the_configuration(&stage, &proxy, flags);
    let pods = Match::method(Method::GET).path("/api/v1/pods");
    proxy.on(pods).answer(StatusCode::SERVICE_UNAVAILABLE);
    held.release();
    let run = running.finish();
    assert_eq!(run.code, Some(0), "{}", run.said());
    let reason = run.end()["reason"].as_str().unwrap();
    let words = "whether pods of the mesh stayed ready was not seen: ";
    assert!(reason.contains(words), "{reason}");
    assert_eq!(stage.configured(), TO);
}

fn a_full_quota_is_a_warning_and_no_failed_upgrade(bed: Bed) {
    let stage = stage(bed, &["shop"]);
    let quota = json!({ "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": { "name": "full" }, "spec": { "hard": { "pods": "2" } } });
    for namespace in ["shop", "default"] {
        let mut quota = quota.clone();
        quota["metadata"]["namespace"] = namespace.into();
        if namespace == "default" {
            quota["spec"]["hard"]["pods"] = "0".into();
        }
        stage.bed.apply(&quota.to_string()).unwrap();
        let path = format!("/api/v1/namespaces/{namespace}/resourcequotas/full");
        let hard = &quota["spec"]["hard"]["pods"];
        stage
            .bed
            .await_field(&path, "/status/hard/pods", hard)
            .unwrap();
    }
    let run = stage.run(&stage.judged(), &[]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert_eq!(stage.configured(), TO);
    let warnings = warnings(&run);
    let quota = "is refused by the API server: exceeded quota: full";
    assert_eq!(warnings.len(), 3, "{}", run.said());
    for warning in &warnings {
        assert!(warning.contains(quota), "{warning}");
    }
    assert!(warnings[2].contains("a new pod in default"), "{warnings:?}");
    let unproven = "no dry-run pod could show that new pods get the proxy of";
    assert!(done(&run, "prove").contains(unproven), "{}", run.said());
    assert_eq!(run.end()["outcome"], "complete");
    let reason = run.end()["reason"].as_str().unwrap_or_default();
    assert!(reason.contains(unproven), "{}", run.said());
    assert!(!run.stderr.contains("go back"), "{}", run.stderr);
}
