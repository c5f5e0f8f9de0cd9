//! Tests of stops during a run, and of rollouts and locks of others.

use mesh_testbed::{Bed, Match};
use mesh_tests::{
    Run, Signal, full_pipe, hang_up_at_the_question, of_type, on_both_beds, on_terminal, records,
    run, signal,
};
use serde_json::{Value, json};

use crate::scene::{NEW, Scene, proxy, slow, workload};

on_both_beds! {
    second_signal_leaves_at_once_and_says_what_it_leaves
    signal_ends_a_run_whose_records_nobody_reads
    control_plane_that_changes_stops_the_run_after_what_is_in_flight
    if_locked_respects_another_lock_and_another_rollout_is_proven
    dates_that_differ_never_let_two_runs_work_at_once
    terminal_that_goes_away_stops_the_run_like_a_lost_reader
    terminal_that_goes_away_is_no_answer_to_the_question
}

fn three() -> Vec<Value> {
    ["a", "b", "c"]
        .map(|name| workload("Deployment", name, slow))
        .into()
}

fn is_start(record: &Value) -> bool {
    let message = record["message"].as_str();
    message.is_some_and(|message| message.starts_with("restarting"))
}

fn second_signal_leaves_at_once_and_says_what_it_leaves(bed: Bed) {
    let scene = Scene::with(bed, &three());
    let hold = scene.bed.kubelet().hold("shop", "");
    let mut run = scene.start(&scene.verdict(), &["--yes", "--max-in-flight", "2"]);
    run.until(|record| record["pods"]["updated"] == 1);
    run.signal(Signal::TERM);
    run.signal(Signal::INT);
    let Run { records, code, .. } = run.finish();
    drop(hold);
    // Two signals at once may arrive in either order, so either may give the exit code.
    let code = code.unwrap();
    assert!([130, 143].contains(&code), "{code}: {records:#?}");
    let rolled = of_type(&records, "rolled");
    assert!(!rolled.is_empty(), "{records:#?}");
    for rolled in rolled {
        assert_eq!(
            (&rolled["outcome"], &rolled["reason"]),
            (&"interrupted".into(), &"stopped".into())
        );
    }
    let end = records.last().unwrap();
    assert_eq!((&end["type"], &end["exit"]), (&"end".into(), &code.into()));

    let args = ["--yes", "--if-locked", "wait=30s"];
    let output = scene.roll(&scene.verdict(), &args);
    assert_eq!(output.code, Some(0), "{}", output.said());
    assert_eq!(scene.writes().len(), 3, "nothing is restarted twice");
    assert!(
        scene
            .owners_of_pods(|pod| proxy(pod) != Some(NEW))
            .is_empty()
    );
}

fn signal_ends_a_run_whose_records_nobody_reads(bed: Bed) {
    let scene = Scene::with(bed, &three());
    let judged = scene.tools.folder().join("judged");
    std::fs::write(&judged, scene.verdict()).unwrap();
    let record = scene.tools.folder().join("record");
    let (reader, writer) = full_pipe();
    let mut roll = scene.tool("mesh-roll");
    roll.arg("--yes").arg("--record").arg(&record);
    roll.stdin(std::fs::File::open(&judged).unwrap());
    let mut child = roll.stdout(writer).spawn().unwrap();
    // Each record goes to the file first, and then nobody reads it.
    let kept = || records(&std::fs::read_to_string(&record).unwrap_or_default());
    while kept().is_empty() {
        assert_eq!(child.try_wait().unwrap(), None);
        std::thread::yield_now();
    }
    signal(child.id(), Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(3));
    let kept = kept();
    let end = kept.last().unwrap();
    assert_eq!(
        (&end["type"], &end["outcome"], &end["exit"]),
        (&"end".into(), &"stopped".into(), &3.into())
    );
    assert!(scene.writes().is_empty());
    drop(reader);
}

fn control_plane_that_changes_stops_the_run_after_what_is_in_flight(bed: Bed) {
    let scene = Scene::with(bed, &three());
    let mut run = scene.start(&scene.verdict(), &["--yes"]);
    run.until(is_start);
    scene.touch_the_control_plane();
    let Run { records, code, .. } = run.finish();
    assert_eq!(code, Some(3), "{records:#?}");
    let rolled = of_type(&records, "rolled");
    assert_eq!(rolled.len(), 1, "{records:#?}");
    assert_eq!(rolled[0]["outcome"], "proven");
    let reason = records.last().unwrap()["reason"].as_str().unwrap();
    assert!(reason.contains("changed since the verdict"), "{reason}");
    assert_eq!(scene.writes().len(), 1);
}

fn if_locked_respects_another_lock_and_another_rollout_is_proven(bed: Bed) {
    let scene = Scene::with(bed, &three());
    let verdict = scene.verdict();
    let lease = r#"{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "mesh-tools", "namespace": "linkerd"},
        "spec": {"holderIdentity": "ann@desk/1", "leaseDurationSeconds": 15, "renewTime": "2999-01-01T00:00:00.000000Z"}}"#;
    scene.bed.apply(lease).unwrap();
    for (how, code) in [("fail", 3), ("skip", 0), ("wait=1s", 3)] {
        let output = scene.roll(&verdict, &["--yes", "--if-locked", how]);
        assert_eq!(output.code, Some(code), "{how}: {}", output.said());
        assert!(
            output.said().contains("ann@desk"),
            "{how}: {}",
            output.said()
        );
        let end = output.records.last().unwrap();
        assert_eq!(end["outcome"], "stopped", "{how}: {end}");
        let reason = end["reason"].as_str().unwrap();
        assert!(reason.contains("ann@desk"), "{how}: {reason}");
    }
    scene
        .bed
        .delete("/apis/coordination.k8s.io/v1/namespaces/linkerd/leases/mesh-tools")
        .unwrap();

    let hold = scene.bed.kubelet().hold("shop", "app=b");
    let restart = json!({ "kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z" });
    let template = json!({ "spec": { "template": { "metadata": { "annotations": restart } } } });
    scene
        .bed
        .merge("/apis/apps/v1/namespaces/shop/deployments/b", &template)
        .unwrap();
    let mut run = scene.start(&verdict, &["--yes", "--max-in-flight", "3"]);
    run.until(|record| record["name"] == "b" && record["pods"]["updated"] == 1);
    hold.release();
    let Run { records, code, .. } = run.finish();
    assert_eq!(code, Some(0), "{records:#?}");
    assert!(
        of_type(&records, "rolled")
            .iter()
            .all(|rolled| rolled["outcome"] == "proven")
    );
    assert_eq!(of_type(&records, "rolled").len(), 3);
    let mut writes = scene.writes();
    writes.sort();
    let expected = [
        "patch deployments shop/a 200",
        "patch deployments shop/c 200",
    ];
    assert_eq!(writes, expected);
    let again = scene.roll(&scene.verdict(), &["--yes"]);
    assert!(
        of_type(&again.records, "skipped")
            .iter()
            .all(|it| it["reason"] == "current")
    );
}

// Behind one address stand API servers whose dates differ by 20 s, more than a lock lasts.
fn dates_that_differ_never_let_two_runs_work_at_once(bed: Bed) {
    let scene = Scene::with(bed, &three());
    let proxy = scene.bed.proxy().unwrap();
    proxy.on(Match::any()).misdate(20);
    let verdict = scene.verdict();
    let hold = scene.bed.kubelet().hold("shop", "");
    let mut first = scene.start(&verdict, &["--yes"]);
    first.until(|record| record["pods"]["updated"] == 1);
    let mut second = scene.tools.run("mesh-roll");
    second.env("KUBECONFIG", proxy.kubeconfig()).arg("--yes");
    let second = run(second, &verdict);
    drop(hold);
    assert_eq!(second.code, Some(3), "{}", second.said());
    assert!(second.said().contains("is held by"), "{}", second.said());
    let Run { records, code, .. } = first.finish();
    assert_eq!(code, Some(0), "{records:#?}");
    assert_eq!(scene.writes().len(), 3, "{:?}", scene.writes());
}

// A hang-up comes as one signal or more, and every later write to the terminal fails.
fn terminal_that_goes_away_stops_the_run_like_a_lost_reader(bed: Bed) {
    let scene = Scene::with(bed, &three());
    for (hang_ups, proven) in [(0, 1), (2, 2)] {
        let record = scene.tools.folder().join(format!("records-{hang_ups}"));
        let hold = scene.bed.kubelet().hold("shop", "");
        let mut command = scene.tool("mesh-roll");
        command.args(["-o", "ndjson", "--yes", "--record"]);
        command.arg(&record);
        let mut run = on_terminal(command, &scene.verdict());
        // The announcement comes before the write; only after it is the workload in flight.
        run.until("\"updated\":1");
        for _ in 0..hang_ups {
            run.signal(Signal::HUP);
        }
        let mut child = run.hang_up();
        drop(hold);
        assert_eq!(child.wait().unwrap().code(), Some(3));
        let records = records(&std::fs::read_to_string(record).unwrap());
        let rolled = of_type(&records, "rolled");
        assert_eq!(rolled.len(), 1, "{records:#?}");
        assert_eq!(rolled[0]["outcome"], "proven");
        let end = records.last().unwrap();
        assert_eq!(
            (&end["outcome"], &end["exit"]),
            (&"stopped".into(), &3.into())
        );
        assert_eq!(scene.writes().len(), proven, "{:?}", scene.writes());
    }
}

fn terminal_that_goes_away_is_no_answer_to_the_question(bed: Bed) {
    let scene = Scene::with(bed, &three());
    let input = scene.tools.folder().join("judged");
    std::fs::write(&input, scene.verdict()).unwrap();
    let mut command = scene.tool("mesh-roll");
    hang_up_at_the_question(&scene.tools, &mut command, input.to_str().unwrap());
    assert!(scene.writes().is_empty(), "{:?}", scene.writes());
}
