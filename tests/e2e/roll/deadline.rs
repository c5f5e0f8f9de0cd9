//! `--deadline` and `--window`.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use mesh_testbed::{Bed, READY_DELAY};
use mesh_tests::{on_both_beds, records};

use crate::scene::{NEW, Scene, proxy, workload};

on_both_beds! {
    deadline_starts_nothing_more_and_waits_for_what_is_in_flight
    nothing_is_started_outside_of_the_window_and_a_plan_may_be_made_there
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

fn nothing_is_started_outside_of_the_window_and_a_plan_may_be_made_there(bed: Bed) {
    let scene = Scene::with(bed, &[workload("Deployment", "a", |_| {})]);
    let verdict = scene.verdict();
    // The day after tomorrow, wherever one is.
    let surveyed = records(&verdict).into_iter();
    let mut surveyed = surveyed.filter_map(|it| it["surveyed"].as_str()?.parse().ok());
    let now: Timestamp = surveyed.next().unwrap();
    let later = now
        .checked_add(jiff::SignedDuration::from_hours(48))
        .unwrap();
    let closed = later.to_zoned(TimeZone::UTC).strftime("%a").to_string();
    let window = format!("{closed} 00:00-24:00 Europe/Berlin");

    let run = scene.roll(&verdict, &["--yes", "--window", &window]);
    assert_eq!(run.code, Some(3), "{}", run.said());
    let reason = run.end()["reason"].as_str().unwrap();
    let opens = format!("outside of --window: it opens on {closed} ");
    assert!(reason.starts_with(&opens), "{reason}");
    assert!(reason.ends_with(" 00:00 Europe/Berlin"), "{reason}");
    assert_eq!(run.of("intent").len(), 0, "{}", run.said());
    let run = scene.roll(&verdict, &["--yes", "--stop-ok", "--window", &window]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    let plan = scene.roll(&verdict, &["--plan-only", "--window", &window]);
    assert_eq!(plan.code, Some(0), "{}", plan.said());
    assert_eq!(scene.writes(), [""; 0]);

    let wrong = scene.roll(&verdict, &["--window", "22:00-04:00 Berlin"]);
    assert_eq!(wrong.code, Some(2), "{}", wrong.said());
    let windows = ["--yes", "--window", &window, "--window", "00:00-24:00"];
    let run = scene.roll(&verdict, &windows);
    assert_eq!(run.code, Some(0), "{}", run.said());
}
