//! A tool on a terminal that goes away.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::{Signal, Toolbox, records, signal, terminal};

/// A tool whose output goes to a terminal.
#[derive(Debug)]
pub struct OnTerminal {
    child: Child,
    screen: BufReader<File>,
}

/// Starts a command with `input` as its standard input and a terminal for its output.
#[must_use]
pub fn on_terminal(mut command: Command, input: &str) -> OnTerminal {
    let (somebody, terminal) = terminal();
    let errors = terminal.try_clone().expect("a terminal can be shared");
    command
        .stdin(Stdio::piped())
        .stdout(terminal)
        .stderr(errors);
    let mut child = command.spawn().expect("it starts");
    // The command keeps the program's end open until it is dropped.
    drop(command);
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_owned();
    std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let screen = BufReader::new(File::from(somebody));
    OnTerminal { child, screen }
}

// Starts a command as `on_terminal`, with the terminal as its controlling terminal, so that it can
// ask there and hears the hang-up. `input` is the path of the file on its standard input.
fn in_session(tools: &Toolbox, command: &Command, input: &str) -> OnTerminal {
    let (somebody, terminal) = terminal();
    let (output, errors) = (terminal.try_clone(), terminal.try_clone());
    let mut session = tools.command("setsid");
    session.args([
        "--ctty",
        "/bin/sh",
        "-c",
        "input=$1; shift; exec \"$@\" <\"$input\"",
        "sh",
    ]);
    session
        .arg(input)
        .arg(command.get_program())
        .args(command.get_args());
    session.envs(
        command
            .get_envs()
            .filter_map(|(key, value)| Some((key, value?))),
    );
    session.stdin(terminal);
    session.stdout(output.expect("a terminal can be shared"));
    session.stderr(errors.expect("a terminal can be shared"));
    let child = session.spawn().expect("it starts");
    drop(session);
    let screen = BufReader::new(File::from(somebody));
    OnTerminal { child, screen }
}

/// Runs an action up to its question and takes its terminal away. It must end as stopped, also in
/// what `--record` keeps. `input` is the path of the file on its standard input.
#[track_caller]
pub fn hang_up_at_the_question(tools: &Toolbox, command: &mut Command, input: &str) {
    let record = tools.folder().join("hung-up");
    command.arg("--record").arg(&record);
    let mut run = in_session(tools, command, input);
    run.until("Go on?");
    let ended = run.hang_up().wait().expect("it ends");
    assert_eq!(ended.code(), Some(3));
    let records = records(&std::fs::read_to_string(record).expect("it is written"));
    let end = records.last().expect("it has records");
    assert_eq!(
        (&end["outcome"], &end["exit"]),
        (&"stopped".into(), &3.into())
    );
}

/// Runs an action up to its question, does something else, and answers yes. Returns the exit code
/// and the records. `input` is the path of the file on its standard input.
#[track_caller]
pub fn yes_at_the_question(
    tools: &Toolbox,
    command: &mut Command,
    input: &str,
    meanwhile: impl FnOnce(),
) -> (Option<i32>, Vec<Value>) {
    yes_at("Go on?", tools, command, input, meanwhile)
}

/// As [`yes_at_the_question`], at another question.
#[track_caller]
pub fn yes_at(
    question: &str,
    tools: &Toolbox,
    command: &mut Command,
    input: &str,
    meanwhile: impl FnOnce(),
) -> (Option<i32>, Vec<Value>) {
    let record = recorded(tools, command);
    let mut run = in_session(tools, command, input);
    run.until(question);
    meanwhile();
    run.types("y\n");
    run.ended(&record)
}

/// Runs an action on a terminal where yes was typed before the question, and answers no. Returns the
/// exit code and the records. `input` is the path of the file on its standard input.
#[track_caller]
pub fn yes_before_the_question(
    tools: &Toolbox,
    command: &mut Command,
    input: &str,
) -> (Option<i32>, Vec<Value>) {
    let record = recorded(tools, command);
    let mut run = in_session(tools, command, input);
    run.types("y\n");
    run.until("Go on?");
    run.types("n\n");
    run.ended(&record)
}

fn recorded(tools: &Toolbox, command: &mut Command) -> PathBuf {
    let record = tools.folder().join("answered");
    command.arg("--record").arg(&record);
    record
}

impl OnTerminal {
    /// Reads on until the screen shows `text`.
    #[track_caller]
    pub fn until(&mut self, text: &str) {
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(text) {
            let read = self.screen.fill_buf().expect("the screen can be read");
            assert!(!read.is_empty(), "it ended before {text}");
            let length = read.len();
            seen.extend_from_slice(read);
            self.screen.consume(length);
        }
    }

    fn types(&self, text: &str) {
        let mut keyboard = self.screen.get_ref();
        keyboard
            .write_all(text.as_bytes())
            .expect("it can be typed");
    }

    fn ended(mut self, record: &Path) -> (Option<i32>, Vec<Value>) {
        // The terminal is gone with its last program; then reading fails.
        while let Ok(shown @ [_, ..]) = self.screen.fill_buf() {
            let length = shown.len();
            self.screen.consume(length);
        }
        let ended = self.child.wait().expect("it ends");
        let written = std::fs::read_to_string(record).expect("it is written");
        (ended.code(), records(&written))
    }

    /// Sends it a signal.
    pub fn signal(&self, what: Signal) {
        signal(self.child.id(), what);
    }

    /// Closes the terminal.
    #[must_use]
    pub fn hang_up(self) -> Child {
        self.child
    }
}
