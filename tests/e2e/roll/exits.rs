//! Tests of the exit codes.

use mesh_testbed::Bed;
use mesh_tests::{Run, Signal, of_type, on_both_beds, records};
use serde_json::{Value, json};

use crate::scene::{NEW, Scene, proxy, slow, workload};

on_both_beds! {
    first_signal_waits_for_what_is_in_flight_and_the_next_run_goes_on
    flags_and_verdicts_that_are_refused_write_nothing
    a_selection_that_leaves_nothing_is_refused
    crash_loop_stops_the_run_before_its_timeout
    times_without_end_in_flags_and_objects_are_times_like_others
}

fn times_without_end_in_flags_and_objects_are_times_like_others(bed: Bed) {
    // The last time that a Timestamp holds, and one that it does not.
    let restarted = ["9999-12-30T22:00:00Z", "9999-12-31T23:59:59Z"];
    let workloads = restarted.map(|at| {
        workload("Deployment", &format!("w{}", &at[8..10]), |spec| {
            let annotations = &mut spec["template"]["metadata"]["annotations"];
            annotations["kubectl.kubernetes.io/restartedAt"] = at.into();
        })
    });
    let scene = Scene::with(bed, &workloads);
    let forever = ["--timeout", "--deadline", "--max-age", "--request-timeout"];
    let mut args = vec!["--yes"];
    args.extend(forever.iter().flat_map(|flag| [*flag, "999999999h"]));
    let run = scene.roll(&scene.verdict(), &args);
    assert_eq!(run.code, Some(0), "{}", run.said());
    let rolled = run.of("rolled");
    assert_eq!(rolled.len(), 2, "{}", run.said());
    let proven = rolled.iter().all(|it| it["outcome"] == "proven");
    assert!(proven, "{}", run.said());
}

fn first_signal_waits_for_what_is_in_flight_and_the_next_run_goes_on(bed: Bed) {
    let names = ["a", "b", "c"];
    let workloads = names.map(|name| workload("Deployment", name, slow));
    let scene = Scene::with(bed, &workloads);
    let mut run = scene.start(&scene.verdict(), &["--yes"]);
    // The record before the write comes too early: a signal then keeps the write back.
    run.until(|record| record["pods"]["updated"] == 1);
    run.signal(Signal::TERM);
    let stopped = run.finish();
    assert_eq!(stopped.code, Some(3), "{}", stopped.said());
    let rolled = stopped.of("rolled");
    assert_eq!(rolled.len(), 1, "{}", stopped.said());
    assert_eq!(rolled[0]["outcome"], "proven", "{}", stopped.said());
    assert_eq!(stopped.end()["outcome"], "stopped");
    assert!(
        stopped.end()["next"]
            .as_str()
            .unwrap()
            .contains("mesh-roll --yes")
    );

    // A reader that goes away stops the run too; the file of `--record` still gets all records.
    let evidence = scene.tools.folder().join("evidence.ndjson");
    let args = ["--yes", "--record", evidence.to_str().unwrap()];
    let mut run = scene.start(&scene.verdict(), &args);
    run.until(|record| {
        record["message"]
            .as_str()
            .is_some_and(|it| it.starts_with("restarting"))
    });
    let code = run.abandon();
    assert_eq!(code, Some(3));
    let evidence = std::fs::read_to_string(evidence).unwrap();
    let evidence = records(&evidence);
    assert_eq!(of_type(&evidence, "rolled").len(), 1);
    assert_eq!(evidence.last().unwrap()["exit"], 3);

    let output = scene.roll(&scene.verdict(), &["--yes"]);
    assert_eq!(output.code, Some(0), "{}", output.said());
    assert_eq!(scene.writes().len(), 3);
    let next = output.end()["next"].as_str().unwrap().to_owned();
    assert!(next.contains("mesh-skewcheck --ask done --to "), "{next}");
    let dry = scene.roll(&scene.verdict(), &["--dry-run=server"]);
    let next = dry.end()["next"].as_str().unwrap().to_owned();
    assert!(
        next.contains("| mesh-skewcheck --ask roll | mesh-roll"),
        "{next}"
    );
    assert!(!next.contains("--dry-run"), "{next}");
}

fn flags_and_verdicts_that_are_refused_write_nothing(bed: Bed) {
    let outage = workload("Deployment", "lonely", |spec| {
        spec["replicas"] = 1.into();
        spec["strategy"] = json!({ "type": "Recreate" });
    });
    let scene = Scene::with(bed, &[workload("Deployment", "web", |_| {}), outage]);
    let verdict = scene.verdict();
    let drift = verdict.replace("\"ask\":\"roll\"", "\"ask\":\"drift\"");
    let dump = verdict.replace("\"source\":\"server\"", "\"source\":\"dump\"");
    let table: [(&str, &[&str], i32, &str); 8] = [
        ("", &["--yes"], 2, "no stream"),
        (&drift, &["--yes"], 2, "--ask roll"),
        (&dump, &["--yes"], 2, "dump"),
        (&verdict, &["--yes", "--max-age", "0s"], 2, "too old"),
        (&verdict, &["--yes=0123456789abcdef"], 2, "digest"),
        (
            &verdict,
            &["--yes", "--record", "/dev/full"],
            2,
            "record file `/dev/full`",
        ),
        (&verdict, &["--dry-run=server"], 0, "accepts it"),
        (
            &verdict,
            &["--dry-run", "--fail-on", "attention"],
            1,
            "attention",
        ),
    ];
    for (input, args, code, part) in table {
        let output = scene.roll(input, args);
        assert_eq!(output.code, Some(code), "{args:?}: {}", output.said());
        assert!(output.said().contains(part), "{args:?}: {}", output.said());
        assert_eq!(output.end()["exit"], code, "{args:?}");
    }
    assert_eq!(scene.writes(), Vec::<String>::new());
    a_control_plane_that_changed_is_another(&scene, &verdict);
    let digest = digest(&scene.roll(&scene.verdict(), &["--dry-run"]));
    let output = scene.roll(&scene.verdict(), &[&format!("--yes={digest}")]);
    assert_eq!(output.code, Some(0), "{}", output.said());
    let skipped = output.of("skipped");
    assert_eq!(
        (&skipped[0]["name"], &skipped[0]["reason"]),
        (&"lonely".into(), &"downtime-outage".into())
    );
    assert_eq!(scene.writes(), ["patch deployments shop/web 200"]);
}

fn a_selection_that_leaves_nothing_is_refused(bed: Bed) {
    let scene = Scene::with(bed, &[workload("Deployment", "web", |_| {})]);
    let verdict = scene.verdict();
    let table = [
        (["-n", "shpo"], "-n shpo matches no workload"),
        (["--kind", "ds"], "--kind DaemonSet matches no workload"),
        (["--exclude", "shop/wbe"], "--exclude shop/wbe matches no"),
        (
            ["--allow-outage", "shop/lonly"],
            "--allow-outage shop/lonly",
        ),
        (
            ["--allow-budget", "shop/lonly"],
            "--allow-budget shop/lonly",
        ),
        (["--exclude", "shop"], "left none of them"),
        (["-L", "mesh"], "not the one in `mesh`"),
    ];
    for (flags, part) in table {
        for consent in ["--yes", "--dry-run"] {
            let run = scene.roll(&verdict, &[consent, flags[0], flags[1]]);
            assert_eq!(run.code, Some(2), "{flags:?}: {}", run.said());
            assert!(run.said().contains(part), "{flags:?}: {}", run.said());
        }
    }
    let filtered = verdict
        .lines()
        .filter(|line| !line.contains(r#""type":"workload""#));
    let filtered: String = filtered.flat_map(|line| [line, "\n"]).collect();
    let run = scene.roll(&filtered, &["--yes"]);
    assert_eq!(run.code, Some(2), "{}", run.said());
    assert_eq!(scene.writes(), Vec::<String>::new());

    // A rerun with nothing to do is no error.
    for _ in 0..2 {
        let run = scene.roll(&scene.verdict(), &["--yes", "-n", "shop"]);
        assert_eq!(run.code, Some(0), "{}", run.said());
    }
    assert_eq!(scene.writes(), ["patch deployments shop/web 200"]);
}

fn a_control_plane_that_changed_is_another(scene: &Scene, verdict: &str) {
    scene.touch_the_control_plane();
    let output = scene.roll(verdict, &["--yes"]);
    assert_eq!(output.code, Some(2), "{}", output.said());
    assert!(
        output.said().contains("changed since the verdict"),
        "{}",
        output.said()
    );
    assert_eq!(scene.writes(), Vec::<String>::new());
}

fn digest(dry: &Run) -> String {
    dry.of("intent")[0]["digest"].as_str().unwrap().to_owned()
}

fn crash_loop_stops_the_run_before_its_timeout(bed: Bed) {
    let crashing = workload("Deployment", "b", |spec| {
        let annotations = &mut spec["template"]["metadata"]["annotations"];
        annotations[mesh_testbed::WITH_PROXY] = format!("{NEW}=crash-loop").into();
    });
    let workloads = [
        workload("Deployment", "a", |_| {}),
        crashing,
        workload("Deployment", "c", |_| {}),
    ];
    let scene = Scene::with(bed, &workloads);
    let output = scene.roll(&scene.verdict(), &["--yes", "--timeout", "1h"]);
    assert_eq!(output.code, Some(1), "{}", output.said());
    let rolled: Vec<(&Value, &Value, &Value)> = output
        .of("rolled")
        .into_iter()
        .map(|it| (&it["name"], &it["outcome"], &it["reason"]))
        .collect();
    let (null, crash) = (Value::Null, Value::from("crash-loop"));
    let expected = [
        (&"a".into(), &"proven".into(), &null),
        (&"b".into(), &"failed".into(), &crash),
    ];
    assert_eq!(rolled, expected);
    assert_eq!(
        scene.owners_of_pods(|pod| proxy(pod) != Some(NEW)),
        ["Deployment/b", "Deployment/c"]
    );
}
