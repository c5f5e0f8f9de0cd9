//! The tool is killed in each step, alone or together with its helm, and run again.

use std::process::Stdio;

use http::Method;
use mesh_testbed::{Bed, FaultProxy, Held, Match, Victim, When};
use mesh_tests::{Running, Signal, begin, on_both_beds, signal};

use crate::stage::{AGENT, FROM, STEPS, Stage, TO};

on_both_beds! {
    killed_in_each_step_the_same_pipeline_ends_done
    killed_at_any_write_the_same_pipeline_carries_on_and_ends_done
    [Helm]
    helm_that_outlives_its_run_is_waited_for
    helm_that_outlives_its_run_and_writes_first_is_taken_over
    killed_together_with_its_helm_it_is_refused_with_the_way_out_which_works
    rollback_goes_back_from_what_a_killed_helm_left_pending
}

// A write in the middle of each of the two helm upgrades.
const MIDDLE: [(&str, &str); 2] = [
    (
        "crds",
        "customresourcedefinitions/serviceprofiles.linkerd.io",
    ),
    ("control-plane", "configmaps/linkerd-config"),
];

fn write(path: &str) -> Match {
    Match::writes().agent("Helm/").path(path)
}

// The first write of helm: the Secret of a new revision.
fn revision() -> Match {
    Match::method(Method::POST)
        .agent("Helm/")
        .path("/namespaces/linkerd/secrets")
}

// Starts a run whose helm is held in the middle of a step.
fn held_in(
    stage: &Stage,
    proxy: &FaultProxy,
    judged: &str,
    step: &str,
    request: Match,
) -> (Running, Held) {
    let held = proxy.on(request).hold(When::BeforeForward);
    let mut command = stage.command(&[]);
    command.env("KUBECONFIG", proxy.kubeconfig());
    let mut running = begin(command, judged);
    running.until_step(step);
    held.arrived();
    (running, held)
}

fn killed_in_each_step_the_same_pipeline_ends_done(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    for step in STEPS {
        let mut running = stage.begin(&judged, &["--if-locked", "wait=1m"]);
        running.until_step(step);
        running.kill();
        stage.forget_lock();
    }
    let run = stage.run(&judged, &["--if-locked", "wait=1m"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(stage.configured(), TO);
    assert!(run.step("prove", "done").is_some());
    if stage.is_by_helm() {
        assert_eq!(stage.revision("linkerd-control-plane").1, "deployed");
    }
}

fn helm_that_outlives_its_run_is_waited_for(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let proxy = stage.bed.proxy().unwrap();
    for (step, path) in MIDDLE {
        let (running, held) = held_in(&stage, &proxy, &judged, step, write(path));
        running.kill();
        let mut next = stage.begin(&judged, &["--if-locked", "wait=1m"]);
        next.until(|record| {
            record["message"]
                .as_str()
                .is_some_and(|it| it.starts_with("waiting for the helm that is working"))
        });
        held.release();
        proxy.clear();
        if step == "crds" {
            next.until_step("preflight");
            next.kill();
            stage.forget_lock();
            continue;
        }
        let run = next.finish();
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    }
    assert_eq!(stage.configured(), TO);
}

fn helm_that_outlives_its_run_and_writes_first_is_taken_over(bed: Bed) {
    // The first helm may be finished when the second starts, or may still be at work.
    let revisions = [
        ("crds", 1, "name=linkerd-crds,version=2,status=deployed"),
        ("control-plane", 2, "name=linkerd-control-plane,version=2"),
    ];
    let beds = [bed.another().unwrap(), bed];
    for (bed, (step, nth, labels)) in beds.into_iter().zip(revisions) {
        let stage = Stage::new(bed);
        let judged = stage.judged();
        let (first, second) = (stage.bed.proxy().unwrap(), stage.bed.proxy().unwrap());
        let (running, earlier) = held_in(&stage, &first, &judged, step, revision().nth(nth));
        running.kill();
        stage.forget_lock();
        let (next, later) = held_in(&stage, &second, &judged, step, revision().nth(1));
        earlier.release();
        stage.await_secret(labels);
        later.release();
        let run = next.finish();
        assert_eq!(run.code, Some(0), "{step}: {}", run.stderr);
        assert_eq!(stage.configured(), TO, "{step}");
        let (number, status) = stage.revision("linkerd-control-plane");
        assert_eq!((number, status.as_str()), (2, "deployed"), "{step}");
    }
}

fn rollback_goes_back_from_what_a_killed_helm_left_pending(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let proxy = stage.bed.proxy().unwrap();
    let (step, path) = MIDDLE[1];
    let (running, held) = held_in(&stage, &proxy, &judged, step, write(path));
    for helm in running.children() {
        signal(helm, Signal::KILL);
    }
    running.kill();
    held.release();
    proxy.clear();
    stage.forget_lock();
    let pending = (2, "pending-upgrade".to_owned());
    assert_eq!(stage.revision("linkerd-control-plane"), pending);

    let run = stage.roll_back(&["--pending-timeout", "3s"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert!(run.step("prove", "done").is_some(), "{}", run.said());
    let back = (3, "deployed".to_owned());
    assert_eq!(stage.revision("linkerd-control-plane"), back);
    assert_eq!(stage.configured(), FROM);
}

fn killed_together_with_its_helm_it_is_refused_with_the_way_out_which_works(bed: Bed) {
    let beds = [bed.another().unwrap(), bed];
    for (bed, (step, path)) in beds.into_iter().zip(MIDDLE) {
        let stage = Stage::new(bed);
        let judged = stage.judged();
        let proxy = stage.bed.proxy().unwrap();
        let (running, held) = held_in(&stage, &proxy, &judged, step, write(path));
        for helm in running.children() {
            signal(helm, Signal::KILL);
        }
        running.kill();
        held.release();
        proxy.clear();
        stage.forget_lock();

        let asked = stage.run(&judged, &["--preflight"]);
        assert_eq!(asked.code, Some(1), "{step}: {}", asked.stderr);
        let said = "a helm is at work on linkerd-";
        assert!(asked.stderr.contains(said), "{step}: {}", asked.stderr);

        let again = ["--if-locked", "wait=1m", "--pending-timeout", "3s"];
        let run = stage.run(&judged, &again);
        assert_eq!(run.code, Some(2), "{step}: {}", run.stderr);
        assert!(
            run.stderr.contains("pending-upgrade"),
            "{step}: {}",
            run.stderr
        );
        let next = run.end()["next"].as_str().unwrap().to_owned();
        let (program, args) = next.split_once(' ').unwrap();
        if program == "mesh-cp-upgrade" {
            let mut back = stage.env(stage.tools.run(program));
            back.args(args.split(' '));
            back.args(["--yes", "--pending-timeout", "3s"]);
            let back = mesh_tests::run(back, "");
            assert_eq!(back.code, Some(0), "{}", back.said());
        } else {
            stage.bed.kubectl(args.split(' ')).unwrap();
        }

        stage.bed.await_linkerd(FROM).unwrap();
        let run = stage.run(&stage.judged(), &again);
        assert_eq!(run.code, Some(0), "{step}: {}", run.stderr);
        assert_eq!(stage.configured(), TO, "{step}");
    }
}

fn killed_at_any_write_the_same_pipeline_carries_on_and_ends_done(bed: Bed) {
    let write = |path: &str| Match::writes().agent(AGENT).path(path);
    let places = [
        (write("customresourcedefinitions"), When::AfterForward),
        (
            write("customresourcedefinitions/httproutes.gateway.networking.k8s.io"),
            When::AfterForward,
        ),
        (write("mutatingwebhookconfigurations"), When::BeforeForward),
        (write("deployments/linkerd-identity"), When::AfterForward),
        (write("configmaps/linkerd-config"), When::AfterForward),
    ];
    let stage = Stage::by_cli_without_definitions(bed);
    let judged = stage.judged();
    for (place, when) in places {
        let proxy = stage.bed.proxy().unwrap();
        let victim = Victim::default();
        proxy.on(place.clone().nth(1)).kill(&victim, when);
        let mut command = stage.command(&["--if-locked", "wait=1m"]);
        command.env("KUBECONFIG", proxy.kubeconfig());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        victim.set(child.id());
        let mut stdin = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, judged.as_bytes()).unwrap();
        drop(stdin);
        let status = child.wait().unwrap();
        assert_eq!(status.code(), None, "{place:?}: it was killed");
        stage.forget_lock();
    }
    let run = stage.run(&judged, &["--if-locked", "wait=1m"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.step("prove", "done").is_some());
    assert_eq!(stage.configured(), TO);
    let deployments = "/apis/apps/v1/namespaces/linkerd/deployments";
    let components = format!("{deployments}?labelSelector=linkerd.io%2Fcontrol-plane-component");
    let images = stage.bed.get(&components).unwrap()["items"].to_string();
    assert!(images.contains(&format!("/proxy:{TO}")), "{images}");
    assert!(!images.contains(&format!(":{FROM}")), "{images}");
}
