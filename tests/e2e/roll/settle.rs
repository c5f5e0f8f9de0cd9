//! A proven workload is watched until the run ends, and the last ones for `--settle`.

use std::collections::BTreeMap;

use mesh_testbed::Bed;
use mesh_tests::{Signal, begin, make_ready, make_unready, make_wait, on_both_beds, run};
use serde_json::Value;

use crate::alone::{outcomes, pairs, stripping};
use crate::scene::{NEW, Scene, behaves, is_ready, new_pod, slow, workload};

on_both_beds! {
    pods_that_crash_after_their_proof_stop_the_run
    a_proven_pod_that_is_not_ready_for_a_moment_ends_nothing
    a_workload_that_fails_after_its_proof_is_named_and_nothing_more_is_started
    the_last_workload_is_watched_for_the_time_of_settle
    what_is_proven_is_watched_although_another_workload_was_refused
    a_proven_pod_that_somebody_deletes_is_no_failure_but_its_replacement_is_waited_for
}

// Six workloads whose new pods are ready for two seconds and then crash: at most the first ones are
// taken down, and never with an exit code of 0.
fn pods_that_crash_after_their_proof_stop_the_run(bed: Bed) {
    let names = ["a", "b", "c", "d", "e", "f"];
    let crashing = names.map(|name| {
        let mut workload = behaves(name, "ready-then-crash");
        let template = &mut workload["spec"]["template"];
        template["metadata"]["annotations"][mesh_testbed::READY_DELAY] = "2s".into();
        workload
    });
    let scene = Scene::with(bed, &crashing);
    let run = scene.roll(&scene.verdict(), &["--yes", "--settle", "1h"]);
    assert_eq!(run.code, Some(1), "{}", run.said());
    let lost = run.of("rolled").into_iter();
    let lost: Vec<&Value> = lost.filter(|it| it["reason"] == "readiness-lost").collect();
    assert_eq!(lost[0]["name"], "a", "{}", run.said());
    assert_eq!(lost[0]["outcome"], "failed");
    assert_eq!(lost[0]["pod"], new_pod(&scene, "a"));
    assert!(scene.writes().len() < names.len(), "{}", run.said());
    let reason = run.end()["reason"].as_str().unwrap();
    assert!(reason.contains("did not stay ready"), "{reason}");
    not_done(&scene);
}

// `--ask done` must not say yes while a workload has no ready pod.
fn not_done(scene: &Scene) {
    let mut command = scene.tool("mesh-skewcheck");
    command.args(["--ask", "done", "--to", NEW]);
    let judged = run(command, &scene.survey(&[]));
    assert_eq!(judged.code, Some(1), "{}", judged.said());
    let unready = judged.of("finding").into_iter();
    let mut unready = unready.filter(|it| it["id"] == "workload-unhealthy");
    assert!(
        unready.any(|it| it["severity"] == "error" && it["workloads"][0]["name"] == "a"),
        "{}",
        judged.said()
    );
}

fn a_proven_pod_that_is_not_ready_for_a_moment_ends_nothing(bed: Bed) {
    let all = ["a", "b", "c"].map(|name| workload("Deployment", name, slow));
    let scene = Scene::with(bed, &all);
    let mut run = scene.start(&scene.verdict(), &["--yes", "--timeout", "2m"]);
    run.until(|record| record["message"] == "restarting shop/Deployment/b");
    let pod = new_pod(&scene, "a");
    make_unready(&scene.bed, "shop", &pod);
    run.until(|record| record["name"] == "b" && record["outcome"] == "proven");
    make_ready(&scene.bed, "shop", &pod);
    let run = run.finish();
    assert_eq!(run.code, Some(0), "{}", run.said());
    let expected = [("a", "proven"), ("b", "proven"), ("c", "proven")];
    assert_eq!(outcomes(&run), pairs(&expected), "{}", run.said());
}

fn a_workload_that_fails_after_its_proof_is_named_and_nothing_more_is_started(bed: Bed) {
    let workloads = [
        behaves("a", "ok"),
        behaves("b", "image-pull"),
        behaves("c", "ok"),
    ];
    let scene = Scene::with(bed, &workloads);
    let mut run = scene.start(&scene.verdict(), &["--yes", "--timeout", "2m"]);
    run.until(|record| said(record).contains("ImagePullBackOff"));
    let pod = new_pod(&scene, "a");
    make_wait(&scene.bed, "shop", &pod, "CrashLoopBackOff", 1);
    let lost = run.until(|record| record["reason"] == "readiness-lost");
    assert_eq!(
        (&lost["type"], &lost["outcome"], &lost["name"]),
        (&"rolled".into(), &"failed".into(), &"a".into())
    );
    assert_eq!(
        (&lost["pod"], &lost["container"]),
        (&pod.clone().into(), &"a".into())
    );
    let message = lost["message"].as_str().unwrap();
    let command = format!("kubectl --context testbed -n shop logs {pod} -c a --previous");
    assert!(
        message.contains("CrashLoopBackOff") && message.contains(&command),
        "{message}"
    );

    make_ready(&scene.bed, "shop", &new_pod(&scene, "b"));
    let run = run.finish();
    assert_eq!(run.code, Some(1), "{}", run.said());
    let writes = [
        "patch deployments shop/a 200",
        "patch deployments shop/b 200",
    ];
    assert_eq!(scene.writes(), writes, "c is not started");
    let reason = run.end()["reason"].as_str().unwrap();
    assert!(
        reason.contains("1 done, 1 failed, 0 unfinished, 1 not started"),
        "{reason}"
    );
}

fn the_last_workload_is_watched_for_the_time_of_settle(bed: Bed) {
    let scene = Scene::with(bed, &[behaves("a", "ok")]);
    let mut run = scene.start(&scene.verdict(), &["--yes", "--settle", "1h"]);
    run.until(|record| record["outcome"] == "proven");
    run.until(|record| record["type"] == "progress" && said(record).contains("--settle"));
    make_wait(
        &scene.bed,
        "shop",
        &new_pod(&scene, "a"),
        "CrashLoopBackOff",
        1,
    );
    let run = run.finish();
    assert_eq!(run.code, Some(1), "{}", run.said());
    let rolled = run.of("rolled");
    let outcomes: Vec<_> = rolled.iter().map(|it| it["outcome"].as_str()).collect();
    assert_eq!(outcomes, [Some("proven"), Some("failed")]);
}

fn what_is_proven_is_watched_although_another_workload_was_refused(bed: Bed) {
    let scene = Scene::with(bed, &[behaves("a", "ok"), behaves("b", "ok")]);
    let proxy = stripping(&scene);
    let mut command = scene.tools.run("mesh-roll");
    command.env("KUBECONFIG", proxy.kubeconfig());
    command.args(["--yes", "--settle", "1h"]);
    let mut run = begin(command, &scene.verdict());
    run.until(|record| record["type"] == "progress" && said(record).contains("--settle"));
    let pod = new_pod(&scene, "b");
    make_wait(&scene.bed, "shop", &pod, "CrashLoopBackOff", 1);
    let run = run.finish();
    assert_eq!(run.code, Some(1), "{}", run.said());
    let rolled = run.of("rolled").into_iter();
    let reasons: Vec<_> = rolled
        .map(|it| (it["name"].as_str(), it["reason"].as_str()))
        .collect();
    let expected = [
        ("a", Some("refused")),
        ("b", None),
        ("b", Some("readiness-lost")),
    ];
    let expected = expected.map(|(name, reason)| (Some(name), reason));
    assert_eq!(reasons, expected, "{}", run.said());
}

fn a_proven_pod_that_somebody_deletes_is_no_failure_but_its_replacement_is_waited_for(bed: Bed) {
    let workloads = ["a", "b"].map(|name| workload("Deployment", name, |_| {}));
    let scene = Scene::with(bed, &workloads);
    let mut run = scene.start(&scene.verdict(), &["--yes", "--settle", "1h"]);
    run.until(|record| record["outcome"] == "proven" && record["name"] == "b");
    let pods = "/api/v1/namespaces/shop/pods";
    let deleted = new_pod(&scene, "a");
    scene.bed.delete(&format!("{pods}/{deleted}")).unwrap();
    let replaced = |events: &[Value]| {
        let pods = events
            .iter()
            .map(|event| (event["type"].as_str(), &event["object"]));
        let newest: BTreeMap<&str, _> = pods
            .map(|(what, pod)| (pod["metadata"]["name"].as_str().unwrap(), (what, pod)))
            .collect();
        let here = newest
            .iter()
            .filter(|(_, (what, _))| *what != Some("DELETED"));
        let ready = here.filter(|(name, (_, pod))| is_ready(pod) && **name != deleted);
        ready.count() == 2
    };
    let watch = format!("{pods}?watch=1&labelSelector=app%3Da");
    scene.bed.events(&watch, replaced).unwrap();
    run.signal(Signal::TERM);
    let run = run.finish();
    assert_eq!(run.code, Some(3), "{}", run.said());
    assert!(run.of("rolled").iter().all(|it| it["outcome"] == "proven"));
    assert_eq!(scene.writes().len(), 2);
}

fn said(record: &Value) -> &str {
    record["message"].as_str().unwrap_or_default()
}
