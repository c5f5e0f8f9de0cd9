//! The injector goes away while its pods stay ready and its webhook lets pods through.

use mesh_testbed::Bed;
use mesh_tests::on_both_beds;
use serde_json::Value;

use crate::scene::{NEW, Scene, of, proxy, records, said, slow, workload};

on_both_beds! {
    an_injector_that_is_away_before_the_first_start_stops_everything_before_it
    an_injector_that_goes_away_under_way_costs_no_more_than_what_was_in_flight
}

fn six() -> Vec<Value> {
    let names = ["a", "b", "c", "d", "e", "f"];
    names.map(|name| workload("Deployment", name, slow)).into()
}

fn an_injector_that_is_away_before_the_first_start_stops_everything_before_it(bed: Bed) {
    let scene = Scene::with(bed, &six());
    let verdict = scene.verdict();
    scene.bed.injector().close();
    let (judged, code) = scene.judge(&scene.survey());
    assert_eq!(code, Some(1), "{judged}");
    let no = scene.roll(&judged, &["--yes"]);
    assert_eq!(no.status.code(), Some(1), "{}", said(&no));
    let late = scene.roll(&verdict, &["--yes"]);
    assert_eq!(late.status.code(), Some(2), "{}", said(&late));
    assert!(said(&late).contains("gives no proxy"), "{}", said(&late));
    assert_eq!(scene.writes(), Vec::<String>::new());
    scene.bed.injector().open();
    scene.bed.injector().await_open().unwrap();
    let well = scene.roll(&verdict, &["--yes", "--max-in-flight", "3"]);
    assert_eq!(well.status.code(), Some(0), "{}", said(&well));
}

fn an_injector_that_goes_away_under_way_costs_no_more_than_what_was_in_flight(bed: Bed) {
    let scene = Scene::with(bed, &six());
    let mut run = scene.start(&scene.verdict(), &["--yes", "--max-in-flight", "2"]);
    run.until(|record| record["outcome"] == "proven");
    scene.bed.injector().close();
    let (records, code) = run.finish();
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
        assert_eq!(records[*place]["reason"], "not_injected");
    }
    let mut named: Vec<String> = failed
        .iter()
        .map(|place| format!("Deployment/{}", records[*place]["name"].as_str().unwrap()))
        .collect();
    named.sort();
    assert_eq!(named, scene.owners_of_pods(|pod| proxy(pod).is_none()));

    let starts = records.iter().filter(|record| started(record)).count();
    let ends = of(&records, "rolled").len();
    assert_eq!(starts, ends, "what was in flight is reported: {records:#?}");
    assert_eq!(scene.writes().len(), starts);
    assert!(starts < 6, "{records:#?}");

    scene.bed.injector().open();
    scene.bed.injector().await_open().unwrap();
    mended_by_the_next_run(&scene);
}

fn mended_by_the_next_run(scene: &Scene) {
    let output = scene.roll(&scene.verdict(), &["--yes", "--max-in-flight", "3"]);
    let attention: Vec<Value> = records(&output)
        .into_iter()
        .filter(|record| record["class"] == "attention")
        .collect();
    // What lost every proxy is not for a roll to mend, and is said.
    let bare = scene.owners_of_pods(|pod| proxy(pod).is_none());
    assert_eq!(attention.len(), bare.len(), "{}", said(&output));
    assert!(
        scene
            .owners_of_pods(|pod| proxy(pod).is_some_and(|tag| tag != NEW))
            .is_empty()
    );
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}
