//! Rolls workloads of every kind, three at a time.

use std::collections::BTreeMap;

use mesh_testbed::Bed;
use mesh_tests::on_both_beds;

use crate::onlooker::{Onlooker, most_at_once};
use crate::scene::{NEW, Scene, proxy};

on_both_beds! {
    max_in_flight_holds_for_thirty_workloads_each_written_once
}

fn max_in_flight_holds_for_thirty_workloads_each_written_once(bed: Bed) {
    let (scene, shop) = Scene::with_shop(bed);
    let onlooker = Onlooker::new(&scene);
    let args = ["--max-in-flight", "3", "--yes"];
    let output = scene.roll(&scene.verdict(), &args);
    assert_eq!(output.code, Some(0), "{}", output.said());

    let rollouts = onlooker.rollouts();
    let most = most_at_once(&rollouts);
    assert_eq!(most, 3, "{rollouts:#?}");
    assert!(
        rollouts.values().all(|rollout| rollout.ended != u64::MAX),
        "{rollouts:#?}"
    );

    let mut expected: Vec<String> = shop.workloads.iter().map(|it| written(it)).collect();
    expected.sort();
    let mut writes = scene.writes();
    writes.sort();
    assert_eq!(writes, expected);

    let proven = output.of("rolled");
    assert_eq!(proven.len(), 30);
    assert!(
        proven
            .iter()
            .all(|rolled| rolled["outcome"] == "proven" && rolled["to"] == NEW)
    );
    every_pod_is_new(&scene, &shop.namespaces);
    one_watch_a_kind(&scene);

    let again = scene.roll(&scene.verdict(), &["--yes"]);
    assert_eq!(again.code, Some(0), "{}", again.said());
    assert_eq!(
        scene.writes().len(),
        expected.len(),
        "nothing is written twice"
    );
}

fn written(workload: &str) -> String {
    let parts: Vec<&str> = workload.split('/').collect();
    let kind = parts[1].to_lowercase();
    format!("patch {kind}s {}/{} 200", parts[0], parts[2])
}

// Checks all pods except the job's and the bare pod, which a roll does not replace.
fn every_pod_is_new(scene: &Scene, namespaces: &[String]) {
    for namespace in namespaces {
        let pods = scene
            .bed
            .get(&format!("/api/v1/namespaces/{namespace}/pods"))
            .unwrap();
        let pods = pods["items"].as_array().unwrap().iter();
        let rolled = pods.filter(|pod| {
            let owner = pod["metadata"]["ownerReferences"][0]["kind"].as_str();
            owner.is_some_and(|kind| kind != "Job")
        });
        for pod in rolled.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()) {
            let name = &pod["metadata"]["name"];
            assert_eq!(proxy(pod), Some(NEW), "{namespace}/{name}");
        }
    }
}

fn one_watch_a_kind(scene: &Scene) {
    let events = scene.bed.audit_of("mesh-roll/").unwrap();
    let watches = events.iter().filter(|event| event.is_long_running());
    let mut open: BTreeMap<String, usize> = BTreeMap::new();
    for event in watches {
        *open
            .entry(format!("{} {}", event.resource, event.namespace))
            .or_default() += 1;
    }
    assert!(open.contains_key("pods "), "{open:?}");
    assert!(open.values().all(|watches| *watches == 1), "{open:?}");
    // Per workload one list of pods before the write, one dry-run pod, and one list for the proof.
    let number = |verb: &str| {
        let own = events.iter().filter(|event| event.verb == verb);
        own.filter(|event| event.resource == "pods" && !event.namespace.is_empty())
            .count()
    };
    assert_eq!(number("list"), 2 * 30);
    assert_eq!(number("create"), 30);
}
