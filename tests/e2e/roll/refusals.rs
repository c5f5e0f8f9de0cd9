//! An eviction that the API server refuses, for other reasons than a budget.

use http::{Method, StatusCode};
use mesh_testbed::{Bed, Match};
use mesh_tests::{Run, on_both_beds, run};
use serde_json::{Value, json};

use crate::evictions::{on_delete, said_so};
use crate::scene::Scene;

on_both_beds! {
    a_busy_api_server_is_not_taken_for_a_silent_one
    a_namespace_that_ends_takes_its_workload_with_it
}

// Rolls through a proxy that answers evictions with a refusal.
fn roll_refused(scene: &Scene, status: StatusCode, mut refusal: Value) -> (Run, usize) {
    refusal["kind"] = "Status".into();
    refusal["apiVersion"] = "v1".into();
    refusal["status"] = "Failure".into();
    refusal["code"] = status.as_u16().into();
    let proxy = scene.bed.proxy().unwrap();
    let evictions = Match::method(Method::POST).path("/eviction");
    proxy
        .on(evictions)
        .answer_with(status, &refusal.to_string());
    let mut command = scene.tools.run("mesh-roll");
    command.env("KUBECONFIG", proxy.kubeconfig());
    command.args(["--yes", "--timeout", "7s"]);
    let run = run(command, &scene.verdict());
    (run, proxy.struck())
}

fn a_busy_api_server_is_not_taken_for_a_silent_one(bed: Bed) {
    let scene = Scene::with(bed, &[on_delete("StatefulSet", "db")]);
    let said = "too many requests, please try again later";
    let refusal = json!({ "reason": "TooManyRequests", "message": said });
    let (run, struck) = roll_refused(&scene, StatusCode::TOO_MANY_REQUESTS, refusal);
    assert_eq!(struck, 2, "once more after five seconds: {}", run.said());
    let busy = said_so(&run, "the API server is busy and did not take the eviction");
    assert_eq!(busy.len(), 2, "{}", run.said());
    assert_eq!(said_so(&run, "no answer"), [""; 0]);
    assert_eq!(said_so(&run, "evicting").len(), 1, "said once");
}

fn a_namespace_that_ends_takes_its_workload_with_it(bed: Bed) {
    let scene = Scene::with(bed, &[on_delete("StatefulSet", "db")]);
    let cause = json!({ "reason": "NamespaceTerminating", "message": "namespace shop is being terminated", "field": "metadata.namespace" });
    let refusal = json!({ "reason": "Forbidden", "message": "unable to create new content in namespace shop because it is being terminated",
        "details": { "causes": [cause] } });
    let (run, _) = roll_refused(&scene, StatusCode::FORBIDDEN, refusal);
    assert_eq!(run.of("rolled")[0]["outcome"], "gone", "{}", run.said());
}
