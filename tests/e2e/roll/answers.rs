//! What the API server, or something before it, answers to a restart: it is that workload's trouble.

use http::{Method, StatusCode};
use mesh_testbed::{Bed, FaultProxy, Match};
use mesh_tests::{Run, on_both_beds, run};
use serde_json::{Value, json};

use crate::alone::{outcomes, pairs, stripping};
use crate::scene::{Scene, workload};

on_both_beds! {
    a_404_to_a_restart_is_not_taken_for_the_end_of_the_workload
    a_denial_is_refused_whatever_its_status_and_words
    a_right_to_patch_that_is_gone_for_one_uses_up_no_failure
    a_right_to_make_dry_run_pods_that_is_gone_for_one_uses_up_no_failure
    a_dry_run_finds_that_admission_takes_the_restart_out
}

fn scene(bed: Bed) -> Scene {
    let mut first = workload("Deployment", "a", |_| {});
    first["metadata"]["namespace"] = "bank".into();
    Scene::with(bed, &[first, workload("Deployment", "b", |_| {})])
}

fn answer(proxy: &FaultProxy, requests: Match, code: u16, message: &str) {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
        "reason": "Other", "message": message });
    let code = StatusCode::from_u16(code).unwrap();
    proxy.on(requests).answer_with(code, &status.to_string());
}

fn restarts_of_a() -> Match {
    Match::method(Method::PATCH).path("/deployments/a")
}

fn roll_through(scene: &Scene, proxy: &FaultProxy, args: &[&str]) -> Run {
    let mut command = scene.tools.run("mesh-roll");
    command.env("KUBECONFIG", proxy.kubeconfig());
    command.args(["--yes", "--settle", "0s"]).args(args);
    run(command, &scene.verdict())
}

fn of_a(run: &Run) -> &Value {
    let mut rolled = run.of("rolled").into_iter();
    rolled.find(|it| it["name"] == "a").unwrap()
}

fn a_404_to_a_restart_is_not_taken_for_the_end_of_the_workload(bed: Bed) {
    let scene = scene(bed);
    let proxy = scene.bed.proxy().unwrap();
    answer(&proxy, restarts_of_a().nth(1), 404, "default backend - 404");
    let run = roll_through(&scene, &proxy, &[]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    let expected = [("a", "proven"), ("b", "proven")];
    assert_eq!(outcomes(&run), pairs(&expected), "{}", run.said());
}

fn a_denial_is_refused_whatever_its_status_and_words(bed: Bed) {
    let scene = scene(bed);
    let denied = "admission webhook \"no.shop.test\" denied the request";
    let table = [
        (
            403,
            "deployments.apps \"a\" is forbidden: container \"app\" cannot run as root".to_owned(),
        ),
        (404, format!("{denied}: no such owner")),
        (409, format!("{denied}: not today")),
        (500, format!("{denied}: it is broken")),
    ];
    for (code, words) in table {
        let proxy = scene.bed.proxy().unwrap();
        answer(&proxy, restarts_of_a(), code, &words);
        let run = roll_through(&scene, &proxy, &[]);
        assert_eq!(run.code, Some(1), "{}", run.said());
        let (found, message) = (of_a(&run), of_a(&run)["message"].as_str().unwrap());
        assert_eq!(found["reason"], "refused", "{found}");
        assert!(message.contains(&words), "{message}");
        assert_eq!(proxy.struck(), 1, "{code}: it is not tried again");
    }
    let run = scene.roll(&scene.verdict(), &["--yes"]);
    let expected = [("a", "proven")];
    assert_eq!(
        outcomes(&run),
        pairs(&expected),
        "b was rolled beside the denial"
    );
}

fn gone_for_one(bed: Bed, requests: Match, what: &str, right: &str) {
    let scene = scene(bed);
    let proxy = scene.bed.proxy().unwrap();
    let said =
        format!("{what} is forbidden: User \"roller\" cannot {right} in the namespace \"bank\"");
    answer(&proxy, requests, 403, &said);
    let run = roll_through(&scene, &proxy, &[]);
    assert_eq!(run.code, Some(1), "{}", run.said());
    let expected = [("a", "failed"), ("b", "proven")];
    assert_eq!(outcomes(&run), pairs(&expected), "{}", run.said());
    let failed = of_a(&run);
    assert_eq!(failed["reason"], "forbidden", "{failed}");
    assert!(
        failed["message"].as_str().unwrap().contains(right),
        "{failed}"
    );
}

fn a_right_to_patch_that_is_gone_for_one_uses_up_no_failure(bed: Bed) {
    let right = "patch resource \"deployments\" in API group \"apps\"";
    gone_for_one(bed, restarts_of_a(), "deployments.apps \"a\"", right);
}

fn a_right_to_make_dry_run_pods_that_is_gone_for_one_uses_up_no_failure(bed: Bed) {
    let probes = Match::method(Method::POST).path("/namespaces/bank/pods");
    gone_for_one(
        bed,
        probes,
        "pods",
        "create resource \"pods\" in API group \"\"",
    );
}

fn a_dry_run_finds_that_admission_takes_the_restart_out(bed: Bed) {
    let scene = Scene::with(bed, &[workload("Deployment", "a", |_| {})]);
    let proxy = stripping(&scene);
    let run = roll_through(&scene, &proxy, &["--dry-run=server"]);
    assert_eq!(run.code, Some(1), "{}", run.said());
    let message = of_a(&run)["message"].as_str().unwrap();
    assert!(message.contains("takes the restart out"), "{message}");
}
