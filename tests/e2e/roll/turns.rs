//! What is unsettled for a moment at the turn of a workload, by an autoscaler or a drain, is waited for.

use mesh_testbed::Bed;
use mesh_tests::on_both_beds;
use serde_json::json;

use crate::alone::{deployments, outcomes, pairs};
use crate::scene::{Scene, slow};

on_both_beds! {
    scaled_out_before_its_turn_is_waited_for_and_rolled
    a_pod_that_moves_before_the_turn_of_its_workload_is_waited_for
}

// Changes `b` while `a` rolls, so that a pod of it is not ready before its turn.
fn while_b_changes(bed: Bed, change: impl FnOnce(&Scene)) -> Scene {
    let scene = Scene::with(bed, &deployments(&["a", "b", "c"], slow));
    let args = ["--yes", "--timeout", "2m"];
    let mut run = scene.start(&scene.verdict(), &args);
    run.until(|record| record["message"] == "restarting shop/Deployment/a");
    let hold = scene.bed.kubelet().hold("shop", "app=b");
    change(&scene);
    run.until(|record| record["type"] == "progress" && record["name"] == "b");
    hold.release();
    let run = run.finish();
    assert_eq!(run.code, Some(0), "{}", run.said());
    let all = [("a", "proven"), ("b", "proven"), ("c", "proven")];
    assert_eq!(outcomes(&run), pairs(&all), "{}", run.said());
    scene
}

fn scaled_out_before_its_turn_is_waited_for_and_rolled(bed: Bed) {
    let scene = while_b_changes(bed, |scene| {
        let path = "/apis/apps/v1/namespaces/shop/deployments/b";
        let more = json!({ "spec": { "replicas": 4 } });
        scene.bed.merge(path, &more).unwrap();
    });
    let writes = scene.writes();
    let of_b = writes.iter().filter(|write| write.contains("shop/b"));
    assert_eq!(of_b.count(), 1, "{writes:?}");
}

fn a_pod_that_moves_before_the_turn_of_its_workload_is_waited_for(bed: Bed) {
    while_b_changes(bed, |scene| {
        let pods = "/api/v1/namespaces/shop/pods";
        let found = scene.bed.get(&format!("{pods}?labelSelector=app%3Db"));
        let pod = found.unwrap()["items"][0]["metadata"]["name"].clone();
        let pod = format!("{pods}/{}", pod.as_str().unwrap());
        scene.bed.delete(&pod).unwrap();
    });
}
