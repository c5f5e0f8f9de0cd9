//! Signals to a filter.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use mesh_tests::{Signal, full_pipe, signal, toolbox};
use serde_json::Value;

#[test]
fn first_signal_ends_a_filter_with_an_end_record() {
    let tools = toolbox!();
    for name in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut skewcheck = tools.run("mesh-skewcheck");
        skewcheck.args(["--ask", "roll"]);
        skewcheck.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = skewcheck.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        stdout.read_line(&mut text).unwrap();
        signal(child.id(), name);
        stdout.read_to_string(&mut text).unwrap();
        let code = child.wait().unwrap().code();
        assert_eq!(code, Some(3), "{name:?}");
        let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        let said = (&last["type"], &last["outcome"], &last["exit"]);
        assert_eq!(said, (&"end".into(), &"stopped".into(), &3.into()));
    }
}

#[test]
fn signal_ends_a_filter_that_nobody_reads() {
    let tools = toolbox!();
    let (reader, writer) = full_pipe();
    let mut skewcheck = tools.run("mesh-skewcheck");
    skewcheck.args(["--ask", "roll"]).stdin(Stdio::piped());
    let mut child = skewcheck.stdout(writer).spawn().unwrap();
    let caught = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        u64::from_str_radix(caught.unwrap().trim(), 16).unwrap()
    };
    // Bit 14 is signal 15, SIGTERM, the last that it listens for.
    while caught() & (1 << 14) == 0 {
        std::thread::yield_now();
    }
    signal(child.id(), Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(3));
    drop(reader);
}
