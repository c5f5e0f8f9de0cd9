//! Signals, and a reader that goes away.

use std::io::Read as _;
use std::process::{Child, Stdio};

use mesh_testbed::{Bed, FaultProxy, Match, When};
use mesh_tests::{
    Run, Signal, Toolbox, full_pipe, on_both_beds, on_terminal, run, signal, toolbox,
};
use serde_json::{Value, json};

use crate::{brackets, command, ghost};

on_both_beds! {
    sharing crate::CLUSTER;
    first_signal_in_the_middle_of_a_list_ends_in_good_order
    killed_survey_is_cut_and_gets_no_verdict
    second_signal_is_heard_while_the_reader_stalls
    signal_ends_a_survey_that_nobody_reads
    reader_that_went_away_is_exit_code_141_and_silence
    terminal_that_went_away_is_exit_code_141
}

fn start(tools: &Toolbox, proxy: &FaultProxy) -> Child {
    let mut command = command(tools, proxy.kubeconfig(), &[]);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn first_signal_in_the_middle_of_a_list_ends_in_good_order(bed: &Bed) {
    let tools = toolbox!();
    for name in [Signal::INT, Signal::TERM, Signal::HUP] {
        let proxy = bed.proxy().unwrap();
        let held = proxy
            .on(Match::any().path("/api/v1/pods"))
            .hold(When::AfterForward);
        let child = start(&tools, &proxy);
        held.arrived();
        signal(child.id(), name);
        let (_, end, errors) = brackets(&child.wait_with_output().unwrap().into(), 3);
        assert_eq!(
            (end["outcome"].as_str(), errors.as_str()),
            (Some("stopped"), ""),
            "{name:?}"
        );
        held.release();
    }
}

fn killed_survey_is_cut_and_gets_no_verdict(bed: &Bed) {
    let tools = toolbox!();
    let proxy = bed.proxy().unwrap();
    let held = proxy
        .on(Match::any().path("/api/v1/pods"))
        .hold(When::BeforeForward);
    let child = start(&tools, &proxy);
    held.arrived();
    signal(child.id(), Signal::KILL);
    let cut = Run::from(child.wait_with_output().unwrap());
    assert_eq!(cut.records.len(), 1, "only the stream: {}", cut.stdout);
    let judged = run(tools.run("mesh-skewcheck"), &cut.stdout);
    assert_eq!(judged.code, Some(2), "{}", judged.said());
    assert!(judged.of("verdict").is_empty(), "{}", judged.said());
    held.release();
}

fn second_signal_is_heard_while_the_reader_stalls(bed: &Bed) {
    let tools = toolbox!();
    // More than a pipe and a buffer hold, so that writing blocks.
    let pods: Vec<Value> = (0..2000).map(ghost).collect();
    let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods});
    let proxy = bed.proxy().unwrap();
    proxy
        .on(Match::any().path("/api/v1/pods"))
        .answer_with(http::StatusCode::OK, &list.to_string());
    let mut child = start(&tools, &proxy);
    let mut some = [0; 1024];
    let stdout = child.stdout.as_mut().unwrap();
    stdout.read_exact(&mut some).unwrap();
    while !String::from_utf8_lossy(&some).contains("workload") {
        stdout.read_exact(&mut some).unwrap();
    }
    signal(child.id(), Signal::TERM);
    signal(child.id(), Signal::INT);
    let status = child.wait().unwrap();
    assert!(matches!(status.code(), Some(130 | 143)), "{status:?}");
}

fn signal_ends_a_survey_that_nobody_reads(bed: &Bed) {
    let tools = toolbox!();
    let proxy = bed.proxy().unwrap();
    let held = proxy
        .on(Match::any().path("/api/v1/namespaces/kube-system"))
        .hold(When::BeforeForward);
    let (reader, writer) = full_pipe();
    let mut survey = command(&tools, proxy.kubeconfig(), &[]);
    let mut child = survey.stdout(writer).spawn().unwrap();
    held.arrived();
    held.release();
    signal(child.id(), Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(3));
    drop(reader);
}

fn reader_that_went_away_is_exit_code_141_and_silence(bed: &Bed) {
    let tools = toolbox!();
    let mut survey = command(&tools, bed.kubeconfig(), &[]);
    let mut child = survey
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let heard = (output.status.code(), output.stderr.as_slice());
    assert_eq!(heard, (Some(141), &b""[..]));
}

fn terminal_that_went_away_is_exit_code_141(bed: &Bed) {
    let tools = toolbox!();
    let proxy = bed.proxy().unwrap();
    let held = proxy
        .on(Match::any().path("/api/v1/pods"))
        .hold(When::AfterForward);
    let run = on_terminal(command(&tools, proxy.kubeconfig(), &[]), "");
    held.arrived();
    let mut child = run.hang_up();
    held.release();
    assert_eq!(child.wait().unwrap().code(), Some(141));
}
