//! A run of the tool, to its end or watched as it goes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

/// A run that has ended.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) records: Vec<Value>,
    pub(crate) stderr: String,
}

/// A run that has not.
pub(crate) struct Running {
    pub(crate) child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

pub(crate) fn run(command: Command, judged: &str) -> Run {
    let mut command = assert_cmd::Command::from_std(command);
    let output = command.write_stdin(judged).output().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        records: records(&output.stdout),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub(crate) fn begin(mut command: Command, judged: &str) -> Running {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(judged.as_bytes()).unwrap();
    drop(stdin);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    Running { child, lines }
}

pub(crate) fn records(stdout: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

impl Run {
    pub(crate) fn step(&self, step: &str, state: &str) -> Option<&Value> {
        let mut records = self.records.iter();
        records.find(|record| record["step"] == step && record["state"] == state)
    }

    pub(crate) fn end(&self) -> &Value {
        let last = self.records.last().expect("a run says something");
        assert_eq!(last["type"], "end");
        assert_eq!(last["exit"], self.code);
        last
    }
}

impl Running {
    /// Reads on until a record comes that is meant.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, meant: impl Fn(&Value) -> bool) -> Value {
        for line in self.lines.by_ref() {
            let record: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if meant(&record) {
                return record;
            }
        }
        let mut stderr = String::new();
        if let Some(mut pipe) = self.child.stderr.take() {
            std::io::Read::read_to_string(&mut pipe, &mut stderr).unwrap();
        }
        panic!("it ended before {what}: {stderr}");
    }

    #[track_caller]
    pub(crate) fn until_step(&mut self, step: &str) {
        self.until(step, |record| {
            record["step"] == step && record["state"] == "started"
        });
    }

    /// The processes that it has started and that still run.
    pub(crate) fn children(&self) -> Vec<u32> {
        let tasks = format!("/proc/{}/task", self.child.id());
        let tasks = std::fs::read_dir(tasks).unwrap();
        let lists =
            tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("children")));
        let all: Vec<String> = lists.map(|list| list.unwrap_or_default()).collect();
        all.iter()
            .flat_map(|list| list.split_whitespace())
            .map(|pid| pid.parse().unwrap())
            .collect()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Reads to the end.
    pub(crate) fn finish(mut self) -> Run {
        let lines = self.lines.by_ref().map(|line| line.unwrap());
        let records = lines
            .map(|line| serde_json::from_str(&line).unwrap())
            .collect();
        let output = self.child.wait_with_output().unwrap();
        Run {
            code: output.status.code().unwrap_or(-1),
            records,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
