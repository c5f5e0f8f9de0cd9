//! Gives a stream that is cut off, doubled, filtered or mixed up to every tool that reads one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod flags;
mod signals;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use mesh_testbed::Bed;
use mesh_tests::{Shared, Toolbox, on_both_beds, run, toolbox};
use serde_json::Value;

const WORKLOAD: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "registry.test/web:1"}]}
"#;

/// The lines of a survey of a small cluster, and of its two judged streams.
struct Streams {
    survey: String,
    upgrade: String,
    roll: String,
}

static CLUSTER: Shared = Shared::filled(fill);

on_both_beds! {
    sharing crate::CLUSTER;
    stream_that_is_cut_is_refused_by_every_reader
    streams_that_are_mixed_up_are_refused_with_a_hint
    thinned_survey_blocks_an_upgrade_and_not_a_roll
}

fn fill(bed: &Bed) {
    bed.install_linkerd("stable-2.13.7").unwrap();
    bed.namespace("shop", &[("linkerd.io/inject", "enabled")])
        .unwrap();
    bed.apply(WORKLOAD).unwrap();
    let web = "/apis/apps/v1/namespaces/shop/deployments/web";
    bed.await_field(web, "/status/readyReplicas", &1.into())
        .unwrap();
}

impl Streams {
    fn of(bed: &Bed, tools: &Toolbox) -> Self {
        let survey = out(tools.run("mesh-survey").env("KUBECONFIG", bed.kubeconfig()));
        let judge = |args: &[&str]| {
            let mut skewcheck = tools.run("mesh-skewcheck");
            let (code, text) = fed(skewcheck.args(args), survey.as_bytes());
            assert_eq!(code, Some(0), "{args:?}: {text}");
            text
        };
        let upgrade = judge(&["--to", "stable-2.14.10"]);
        let roll = judge(&["--ask", "roll"]);
        Self {
            survey,
            upgrade,
            roll,
        }
    }

    fn of_the_actors(&self) -> [(&str, &str); 2] {
        [
            ("mesh-cp-upgrade", &self.upgrade),
            ("mesh-roll", &self.roll),
        ]
    }
}

#[track_caller]
fn out(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command with `input`; returns its exit code and standard output.
fn fed(command: &mut Command, input: &[u8]) -> (Option<i32>, String) {
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    // A tool that refuses early closes its input before it has read all of it.
    drop(child.stdin.take().unwrap().write_all(input));
    let output = child.wait_with_output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

/// A program that reads a stream.
struct Consumer<'a> {
    bed: &'a Bed,
    tools: &'a Toolbox,
    tool: &'a str,
    args: &'a [&'a str],
}

impl<'a> Consumer<'a> {
    fn new(bed: &'a Bed, tools: &'a Toolbox, tool: &'a str, args: &'a [&'a str]) -> Self {
        Self {
            bed,
            tools,
            tool,
            args,
        }
    }

    fn reads(&self, input: &str) -> Option<i32> {
        let mut command = self.tools.run(self.tool);
        command
            .args(self.args)
            .env("KUBECONFIG", self.bed.kubeconfig());
        fed(&mut command, input.as_bytes()).0
    }

    fn refuses(&self, stream: &str, cuts: &[usize]) {
        let (tool, args) = (self.tool, self.args);
        each(cuts.len(), |number| {
            let cut = cuts[number];
            if let Some(input) = stream.get(..cut) {
                let code = self.reads(input);
                assert_eq!(code, Some(2), "{tool} {args:?} cut at byte {cut}");
            }
        });
    }
}

fn in_and_after_lines(stream: &str) -> Vec<usize> {
    let mut end = 0;
    let lines = stream.split_inclusive('\n').flat_map(|line| {
        end += line.len();
        [end - line.len() / 2, end]
    });
    lines.filter(|cut| *cut < stream.len()).collect()
}

/// Runs `check` for every number below `count`, on as many threads as there are processors.
fn each(count: usize, check: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    check(number);
                }
            });
        }
    });
}

fn stream_that_is_cut_is_refused_by_every_reader(bed: &Bed) {
    let tools = toolbox!();
    let streams = Streams::of(bed, &tools);
    let done = ["--ask", "done", "--to", "stable-2.13.7"];
    let judges: [&[&str]; 4] = [
        &[],
        &["--to", "stable-2.14.10"],
        &["--ask", "roll", "--partial"],
        &done,
    ];
    for args in judges {
        let judge = Consumer::new(bed, &tools, "mesh-skewcheck", args);
        judge.refuses(&streams.survey, &in_and_after_lines(&streams.survey));
        let whole = streams.survey.trim_end();
        let code = judge.reads(whole);
        assert_eq!(code, Some(0), "{args:?} without the last newline");
    }
    for (tool, stream) in streams.of_the_actors() {
        let actor = Consumer::new(bed, &tools, tool, &["--dry-run"]);
        actor.refuses(stream, &in_and_after_lines(stream));
    }
}

// Runs only on the lab, because it takes thousands of runs, and real servers would add only other
// records, not other cuts. Only cuts near the end are tried: before the verdict nothing allows an
// action, and the reader's own test covers all cuts.
#[test]
fn a_stream_that_is_cut_at_any_byte_of_its_end_is_refused_by_every_actor() {
    CLUSTER.on_lab(|bed| {
        let tools = toolbox!();
        let streams = Streams::of(bed, &tools);
        for (tool, stream) in streams.of_the_actors() {
            let verdict = stream.find("{\"type\":\"verdict\"").unwrap();
            let cuts: Vec<usize> = (verdict..stream.len() - 1).collect();
            Consumer::new(bed, &tools, tool, &["--dry-run"]).refuses(stream, &cuts);
        }
    });
}

/// Formats a record like `jq .`.
fn pretty(line: &str) -> String {
    let record: Value = serde_json::from_str(line).unwrap();
    serde_json::to_string_pretty(&record).unwrap() + "\n"
}

/// Returns the stream with each workload twice.
fn doubled(stream: &str) -> String {
    let times = |line: &str| 1 + usize::from(line.contains("\"workload\",\"cluster"));
    let lines = stream.split_inclusive('\n');
    lines
        .flat_map(|line| std::iter::repeat_n(line, times(line)))
        .collect()
}

/// Filters the stream like `jq -c 'select(.type == "workload")'`.
fn only_workloads(stream: &str) -> String {
    let lines = stream.split_inclusive('\n');
    lines
        .filter(|line| line.contains("\"type\":\"workload\""))
        .collect()
}

fn streams_that_are_mixed_up_are_refused_with_a_hint(bed: &Bed) {
    let tools = toolbox!();
    let streams = Streams::of(bed, &tools);
    let Streams {
        survey,
        upgrade,
        roll,
    } = &streams;
    let doubled = doubled(survey);
    let pretty: String = survey.lines().map(pretty).collect();
    let table = out(tools
        .run("mesh-survey")
        .args(["-o", "table"])
        .env("KUBECONFIG", bed.kubeconfig()));
    let twice = format!("{survey}{survey}");
    let judge = "mesh-skewcheck";
    let (action, gate) = ("mesh-roll", "mesh-cp-upgrade");
    let within = &roll[..roll.find("\"type\":\"verdict\"").unwrap() + 40];
    let bare = only_workloads(roll);
    let judged_twice = format!("{roll}{roll}");
    let rows: [(&str, &[&str], &str, &str); 17] = [
        (judge, &[], "", "no stream"),
        (judge, &[], &doubled, "workload"),
        (judge, &[], &pretty, "jq -c"),
        (judge, &[], &table, "-o ndjson"),
        (judge, &[], &twice, "`>>` keeps the old ones"),
        (judge, &[], &survey[..40], "in the middle of this line"),
        (action, &["--dry-run"], within, "in the middle of this line"),
        (action, &["--dry-run"], &bare, "jq -c 'select(.type != "),
        (action, &["--dry-run"], &judged_twice, "`>>` keeps what"),
        (judge, &[], roll, "judged already"),
        (
            judge,
            &["--expect", "testbed,elsewhere"],
            survey,
            "elsewhere",
        ),
        (judge, &["--to", "stable-2.14.99"], "", "no stream"),
        (action, &["--dry-run"], survey, "mesh-skewcheck"),
        (action, &["--dry-run"], upgrade, "upgrade"),
        (action, &["--dry-run"], &doubled, "raw mesh-survey output"),
        (gate, &["--dry-run"], survey, "mesh-skewcheck"),
        (gate, &["--dry-run"], roll, "roll"),
    ];
    for (tool, args, input, said) in rows {
        let mut command = tools.run(tool);
        command.args(args).env("KUBECONFIG", bed.kubeconfig());
        let run = run(command, input);
        assert_eq!(run.code, Some(2), "{tool} {args:?}: {}", run.stderr);
        let errors = &run.stderr;
        assert!(errors.contains(said), "{tool} {args:?}: {errors}");
        // One line and a hint.
        assert!(errors.lines().count() <= 2, "{tool} {args:?}: {errors}");
    }
}

fn thinned_survey_blocks_an_upgrade_and_not_a_roll(bed: &Bed) {
    let tools = toolbox!();
    let streams = Streams::of(bed, &tools);
    let thin = |stream: &str| -> String {
        stream
            .split_inclusive('\n')
            .filter(|line| !line.contains("\"type\":\"workload\""))
            .collect()
    };
    let judge = |args: &[&str]| {
        let mut command = tools.run("mesh-skewcheck");
        fed(command.args(args), thin(&streams.survey).as_bytes())
    };
    let (code, refused) = judge(&["--to", "stable-2.14.10"]);
    assert_eq!(code, Some(1));
    assert!(refused.contains("survey-partial"), "{refused}");
    let (code, partial) = judge(&["--to", "stable-2.14.10", "--partial"]);
    assert_eq!(code, Some(0));
    let run = |tool: &str, input: &str| {
        let mut command = tools.run(tool);
        let command = command
            .args(["--dry-run"])
            .env("KUBECONFIG", bed.kubeconfig());
        fed(command, input.as_bytes()).0
    };
    assert_eq!(
        run("mesh-cp-upgrade", &partial),
        Some(2),
        "an upgrade rests on a whole survey"
    );
    assert_eq!(
        run("mesh-roll", &thin(&streams.roll)),
        Some(0),
        "a roll takes what was selected"
    );
}
