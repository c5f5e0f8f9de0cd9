//! `--deadline`.

use mesh_testbed::{Bed, READY_DELAY};
use mesh_tests::on_both_beds;

use crate::scene::{NEW, Scene, proxy, workload};

on_both_beds! {
    deadline_starts_nothing_more_and_waits_for_what_is_in_flight
}

fn deadline_starts_nothing_more_and_waits_for_what_is_in_flight(bed: Bed) {
    // Restarting one of them takes longer than the deadline; the first starts well before it.
    let workloads = ["a", "b"].map(|name| {
        workload("Deployment", name, |spec| {
            spec["replicas"] = 1.into();
            spec["template"]["metadata"]["annotations"][READY_DELAY] = "9s".into();
        })
    });
    let scene = Scene::with(bed, &workloads);
    let run = scene.roll(&scene.verdict(), &["--yes", "--deadline", "8s"]);
    assert_eq!(run.code, Some(3), "{}", run.said());
    let [rolled] = run.of("rolled")[..] else {
        panic!("one workload was started: {}", run.said());
    };
    assert_eq!(rolled["outcome"], "proven");
    assert_eq!(run.end()["outcome"], "stopped");
    let reason = run.end()["reason"].as_str().unwrap();
    assert!(reason.contains("deadline"), "{reason}");
    assert_eq!(scene.writes(), ["patch deployments shop/a 200"]);
    assert_eq!(
        scene.owners_of_pods(|pod| proxy(pod) != Some(NEW)),
        ["Deployment/b"]
    );
}
