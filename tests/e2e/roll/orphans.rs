//! Sets of pods that their Deployment left behind (`kubectl delete --cascade=orphan`).

use mesh_testbed::Bed;
use mesh_tests::{Run, on_both_beds, run};
use serde_json::{Value, json};

use crate::scene::{NEW, Scene, slow, workload};

on_both_beds! {
    a_set_that_its_deployment_left_behind_is_evicted
    a_set_and_the_deployment_that_has_its_name_anew_are_rolled_each_by_itself
}

const HASH: &str = "6c5f7d9b8c";

/// A ReplicaSet that looks like one of the Deployment `web`, with pods of this app.
fn left_behind(app: &str) -> Value {
    let mut set = workload("ReplicaSet", &format!("web-{HASH}"), slow);
    let labels = json!({ "app": app, "pod-template-hash": HASH });
    set["spec"]["selector"]["matchLabels"] = labels.clone();
    set["spec"]["template"]["metadata"]["labels"] = labels;
    set
}

fn proven(run: &Run) -> Vec<(String, String)> {
    let rolled = run.of("rolled").into_iter();
    let rolled = rolled.filter(|record| record["outcome"] == "proven");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let key = |record: &Value| format!("{}/{}", text(&record["kind"]), text(&record["name"]));
    let mut proven: Vec<_> = rolled.map(|it| (key(it), text(&it["strategy"]))).collect();
    proven.sort();
    proven
}

fn is_done(scene: &Scene) {
    let mut command = scene.tool("mesh-skewcheck");
    command.args(["--ask", "done", "--to", NEW]);
    let done = run(command, &scene.survey(&[]));
    assert_eq!(done.code, Some(0), "{}", done.said());
}

fn a_set_that_its_deployment_left_behind_is_evicted(bed: Bed) {
    let scene = Scene::with(bed, &[left_behind("web")]);
    let run = scene.roll(&scene.verdict(), &["--yes"]);
    let set = (format!("ReplicaSet/web-{HASH}"), "evict".to_owned());
    assert_eq!(proven(&run), [set], "{}", run.said());
    is_done(&scene);
}

// The Deployment does not select the pods of the set, and so does not adopt it.
fn a_set_and_the_deployment_that_has_its_name_anew_are_rolled_each_by_itself(bed: Bed) {
    let anew = workload("Deployment", "web", slow);
    let scene = Scene::with(bed, &[left_behind("old-web"), anew]);
    let run = scene.roll(&scene.verdict(), &["--yes", "--timeout", "1m"]);
    let expected = [
        ("Deployment/web".to_owned(), "restart".to_owned()),
        (format!("ReplicaSet/web-{HASH}"), "evict".to_owned()),
    ];
    assert_eq!(proven(&run), expected, "{}", run.said());
    is_done(&scene);
}
