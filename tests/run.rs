//! A run of a tool: its input, its records as they come, and how it ended.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::{Signal, signal};

/// A run that has ended.
#[derive(Debug)]
pub struct Run {
    /// None where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    /// Each whole line of `stdout`.
    pub records: Vec<Value>,
    pub stderr: String,
}

/// A run that has not ended.
#[derive(Debug)]
pub struct Running {
    pub child: Child,
    stdout: BufReader<ChildStdout>,
    read: String,
    writer: JoinHandle<()>,
    stderr: JoinHandle<String>,
}

/// Runs a command to its end with `input` as its standard input.
#[must_use]
pub fn run(command: Command, input: &str) -> Run {
    begin(command, input).finish()
}

/// Starts a command with `input` as its standard input.
#[must_use]
pub fn begin(mut command: Command, input: &str) -> Running {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
    let (mut stdin, mut stderr) = (
        child.stdin.take().expect("it is piped"),
        child.stderr.take().expect("it is piped"),
    );
    let input = input.to_owned();
    // A tool may end before it has read everything; its exit code says so.
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let stderr = std::thread::spawn(move || {
        let mut said = Vec::new();
        stderr.read_to_end(&mut said).expect("a pipe can be read");
        String::from_utf8_lossy(&said).into_owned()
    });
    let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    Running {
        child,
        stdout,
        read: String::new(),
        writer,
        stderr,
    }
}

/// The records of a stream. Its last line may be torn, where the writer was killed.
#[must_use]
#[track_caller]
pub fn records(stream: &str) -> Vec<Value> {
    let whole = stream.rfind('\n').map_or("", |end| &stream[..end]);
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    whole.lines().map(parse).collect()
}

/// The records of a type.
#[must_use]
pub fn of_type<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let records = records.iter();
    records.filter(|record| record["type"] == kind).collect()
}

// === impl Run ===

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let stdout = text(&output.stdout);
        Self {
            code: output.status.code(),
            records: records(&stdout),
            stdout,
            stderr: text(&output.stderr),
        }
    }
}

impl Run {
    /// All that it said, to be shown where a test fails.
    #[must_use]
    pub fn said(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }

    /// Its records of a type.
    #[must_use]
    pub fn of(&self, kind: &str) -> Vec<&Value> {
        of_type(&self.records, kind)
    }

    /// Its record of a step in a state.
    #[must_use]
    pub fn step(&self, step: &str, state: &str) -> Option<&Value> {
        let mut records = self.records.iter();
        records.find(|record| record["step"] == step && record["state"] == state)
    }

    /// The states of a step, in their order.
    #[must_use]
    pub fn states(&self, step: &str) -> Vec<&str> {
        let steps = self.records.iter().filter(|record| record["step"] == step);
        let states = steps.map(|record| record["state"].as_str());
        states.map(Option::unwrap_or_default).collect()
    }

    /// Its last record, which must be an `end` that says the exit code.
    #[must_use]
    #[track_caller]
    pub fn end(&self) -> &Value {
        let last = self.records.last();
        let last = last.unwrap_or_else(|| panic!("it wrote no record: {}", self.stderr));
        assert_eq!(last["type"], "end", "{}", self.said());
        assert_eq!(last["exit"].as_i64(), self.code.map(i64::from), "{last}");
        last
    }
}

// === impl Running ===

impl Running {
    /// Reads the next record; None at the end, also where the last line is torn.
    ///
    /// # Panics
    /// If a line is no record.
    #[track_caller]
    pub fn next_record(&mut self) -> Option<Value> {
        let start = self.read.len();
        let read = self.stdout.read_line(&mut self.read);
        read.expect("a pipe can be read");
        records(&self.read[start..]).pop()
    }

    /// Reads on to the first record that is `meant`.
    #[track_caller]
    pub fn until(&mut self, meant: impl Fn(&Value) -> bool) -> Value {
        while let Some(record) = self.next_record() {
            if meant(&record) {
                return record;
            }
        }
        panic!("it ended before: {}", self.read);
    }

    /// Reads on to the beginning of a step.
    #[track_caller]
    pub fn until_step(&mut self, step: &str) {
        self.until(|record| record["step"] == step && record["state"] == "started");
    }

    /// Sends it a signal.
    pub fn signal(&self, what: Signal) {
        signal(self.child.id(), what);
    }

    /// Returns the child processes that still run.
    #[must_use]
    pub fn children(&self) -> Vec<u32> {
        let tasks = format!("/proc/{}/task", self.child.id());
        let tasks = std::fs::read_dir(tasks).expect("it runs");
        let lists = tasks.map(|task| {
            let task = task.expect("it runs").path();
            // A thread may end meanwhile.
            std::fs::read_to_string(task.join("children")).unwrap_or_default()
        });
        let all: Vec<String> = lists.collect();
        let pids = all.iter().flat_map(|list| list.split_whitespace());
        pids.map(|pid| pid.parse().expect("a process id")).collect()
    }

    /// Kills it.
    pub fn kill(mut self) {
        self.child.kill().expect("it has not been waited for");
        self.child.wait().expect("it is our child");
    }

    /// Closes the pipe that it writes to, and waits for its exit code.
    #[must_use]
    pub fn abandon(mut self) -> Option<i32> {
        drop(self.stdout);
        self.child.wait().expect("it is our child").code()
    }

    /// Reads to the end.
    #[must_use]
    #[track_caller]
    pub fn finish(mut self) -> Run {
        let read = self.stdout.read_to_string(&mut self.read);
        read.expect("a pipe can be read");
        let status = self.child.wait().expect("it is our child");
        self.writer.join().expect("the writer does not panic");
        Run {
            code: status.code(),
            records: records(&self.read),
            stdout: self.read,
            stderr: self.stderr.join().expect("the reader does not panic"),
        }
    }
}
