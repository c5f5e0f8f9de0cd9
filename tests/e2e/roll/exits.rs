//! The ways out.

use mesh_testbed::Bed;
use mesh_tests::{Signal, on_both_beds};
use serde_json::{Value, json};

use crate::scene::{NEW, Scene, of, proxy, records, said, slow, workload};

on_both_beds! {
    a_signal_sees_out_what_is_in_flight_and_the_next_run_goes_on
    what_cannot_be_done_is_said_and_nothing_is_written
    a_program_that_fails_with_the_new_proxy_stops_the_run_long_before_its_time_is_over
}

fn end(records: &[Value]) -> &Value {
    let last = records.last().unwrap();
    assert_eq!(last["type"], "end");
    last
}

fn a_signal_sees_out_what_is_in_flight_and_the_next_run_goes_on(bed: Bed) {
    let names = ["a", "b", "c"];
    let workloads = names.map(|name| workload("Deployment", name, slow));
    let scene = Scene::with(bed, &workloads);
    let mut run = scene.start(&scene.verdict(), &["--yes"]);
    run.until(|record| record["type"] == "progress");
    run.signal(Signal::TERM);
    let (records, code) = run.finish();
    assert_eq!(code, Some(3), "{records:#?}");
    let rolled = of(&records, "rolled");
    assert_eq!(rolled.len(), 1, "{records:#?}");
    assert_eq!(rolled[0]["outcome"], "proven");
    assert_eq!(end(&records)["outcome"], "stopped");
    assert!(
        end(&records)["next"]
            .as_str()
            .unwrap()
            .contains("mesh-roll --yes")
    );

    // A reader that leaves is a stop, too; the evidence goes on.
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
    let evidence: Vec<Value> = evidence
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(of(&evidence, "rolled").len(), 1);
    assert_eq!(end(&evidence)["exit"], 3);

    let output = scene.roll(&scene.verdict(), &["--yes"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(scene.writes().len(), 3);
}

fn what_cannot_be_done_is_said_and_nothing_is_written(bed: Bed) {
    let outage = workload("Deployment", "lonely", |spec| {
        spec["replicas"] = 1.into();
        spec["strategy"] = json!({ "type": "Recreate" });
    });
    let scene = Scene::with(bed, &[workload("Deployment", "web", |_| {}), outage]);
    let verdict = scene.verdict();
    let drift = verdict.replace("\"ask\":\"roll\"", "\"ask\":\"drift\"");
    let dump = verdict.replace("\"source\":\"server\"", "\"source\":\"dump\"");
    let table: [(&str, &[&str], i32, &str); 10] = [
        ("", &["--yes"], 2, "no stream"),
        (&drift, &["--yes"], 2, "--ask roll"),
        (&dump, &["--yes"], 2, "dump"),
        (&verdict, &["--yes", "--max-age", "0s"], 2, "too old"),
        (&verdict, &["--yes=0123456789abcdef"], 2, "digest"),
        (&verdict, &["--yes", "-n", "shpo"], 2, "namespace `shpo`"),
        (
            &verdict,
            &["--yes", "--record", "/dev/full"],
            2,
            "record file `/dev/full`",
        ),
        (
            &verdict,
            &["--dry-run", "--exclude", "shop/wbe"],
            0,
            "--exclude shop/wbe: no workload",
        ),
        (&verdict, &["--dry-run=server"], 0, "takes it"),
        (
            &verdict,
            &["--dry-run", "--fail-on", "attention"],
            1,
            "attention",
        ),
    ];
    for (input, args, code, part) in table {
        let output = scene.roll(input, args);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}: {}",
            said(&output)
        );
        assert!(said(&output).contains(part), "{args:?}: {}", said(&output));
        let records = records(&output);
        assert_eq!(end(&records)["exit"], code, "{args:?}");
    }
    assert_eq!(scene.writes(), Vec::<String>::new());
    a_control_plane_that_changed_is_another(&scene, &verdict);
    let digest = digest(&scene.roll(&scene.verdict(), &["--dry-run"]));
    let output = scene.roll(&scene.verdict(), &[&format!("--yes={digest}")]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let records = records(&output);
    let skipped = of(&records, "skipped");
    assert_eq!(
        (&skipped[0]["name"], &skipped[0]["reason"]),
        (&"lonely".into(), &"outage".into())
    );
    assert_eq!(scene.writes(), ["patch deployments shop/web 200"]);
}

fn a_control_plane_that_changed_is_another(scene: &Scene, verdict: &str) {
    scene.touch_the_control_plane();
    let output = scene.roll(verdict, &["--yes"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(
        said(&output).contains("changed since the verdict"),
        "{}",
        said(&output)
    );
    assert_eq!(scene.writes(), Vec::<String>::new());
}

fn digest(output: &std::process::Output) -> String {
    let records = records(output);
    of(&records, "intent")[0]["digest"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn a_program_that_fails_with_the_new_proxy_stops_the_run_long_before_its_time_is_over(bed: Bed) {
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
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let records = records(&output);
    let rolled: Vec<(&Value, &Value, &Value)> = of(&records, "rolled")
        .into_iter()
        .map(|it| (&it["name"], &it["outcome"], &it["reason"]))
        .collect();
    let (null, crash) = (Value::Null, Value::from("crash_loop"));
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
