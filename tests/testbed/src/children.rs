//! Starts and ends the server processes of a bed.

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

use crate::lock::lock;

/// Processes that end with the bed, even if it crashes.
///
/// The kernel sends a parent-death signal when the *thread* that started the child ends, so one
/// long-lived thread starts all children.
#[derive(Debug)]
pub(crate) struct Children {
    requests: Mutex<Option<Sender<Request>>>,
    pids: Mutex<BTreeMap<String, u32>>,
    logs: PathBuf,
    thread: Option<JoinHandle<()>>,
}

enum Request {
    Start(Command, Sender<std::io::Result<u32>>),
    End(u32, Sender<()>),
}

impl Children {
    pub(crate) fn new(logs: &Path) -> Self {
        let (requests, received) = channel();
        let thread = std::thread::spawn(move || keep(&received));
        Self {
            requests: Mutex::new(Some(requests)),
            pids: Mutex::default(),
            logs: logs.to_path_buf(),
            thread: Some(thread),
        }
    }

    /// Starts `program`, which ends with this process. Its output goes to `NAME.log`.
    pub(crate) fn start(&self, name: &str, program: &Path, args: &[String]) -> anyhow::Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(name))?;
        let mut command = Command::new("setpriv");
        // The servers live briefly and spend half their time on garbage collection, so this
        // collects less often and uses more memory.
        command.env("GOGC", "400");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(args);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .current_dir("/");
        // Ctrl-C on the terminal must reach only the test, not its servers.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let (answer, started) = channel();
        self.ask(Request::Start(command, answer))?;
        let pid = started
            .recv()?
            .with_context(|| format!("starting {name} through setpriv"))?;
        lock(&self.pids).insert(name.to_owned(), pid);
        Ok(())
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    pub(crate) fn pids(&self) -> BTreeMap<String, u32> {
        lock(&self.pids).clone()
    }

    pub(crate) fn signal(&self, name: &str, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid(name)?)
            .ok()
            .and_then(Pid::from_raw)
            .context("a pid is positive")?;
        kill_process(pid, signal).with_context(|| format!("signalling {name}"))
    }

    /// Kills a server and waits until it has ended.
    pub(crate) fn end(&self, name: &str) -> anyhow::Result<()> {
        let (answer, ended) = channel();
        self.ask(Request::End(self.pid(name)?, answer))?;
        ended.recv().with_context(|| format!("ending {name}"))
    }

    fn ask(&self, request: Request) -> anyhow::Result<()> {
        let requests = lock(&self.requests);
        let sender = requests.as_ref().context("the bed is closing")?;
        sender
            .send(request)
            .ok()
            .context("the thread that keeps the servers is gone")
    }

    fn pid(&self, name: &str) -> anyhow::Result<u32> {
        self.pids()
            .get(name)
            .copied()
            .with_context(|| format!("no server {name} runs here"))
    }

    /// Returns true if the process has ended, even if it was not waited for.
    pub(crate) fn has_ended(&self, name: &str) -> bool {
        let Some(&pid) = self.pids().get(name) else {
            return true;
        };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')')
            .next()
            .is_none_or(|rest| rest.trim_start().is_empty() || rest.trim_start().starts_with('Z'))
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        drop(lock(&self.requests).take());
        if let Some(thread) = self.thread.take() {
            // If that thread panicked, the children have already ended.
            drop(thread.join());
        }
    }
}

/// Starts and ends children on request, and ends all when the sender is gone.
fn keep(requests: &Receiver<Request>) {
    let mut children: Vec<Child> = Vec::new();
    while let Ok(request) = requests.recv() {
        // The sender of the request may be gone, so a failed answer is ignored.
        match request {
            Request::Start(mut command, answer) => {
                let started = command.spawn().map(|child| {
                    let pid = child.id();
                    children.push(child);
                    pid
                });
                drop(answer.send(started));
            }
            Request::End(pid, answer) => {
                children
                    .extract_if(.., |child| child.id() == pid)
                    .for_each(|mut child| end(&mut child));
                let _ = answer.send(());
            }
        }
    }
    children.iter_mut().for_each(end);
}

fn end(child: &mut Child) {
    // Both calls fail only if the child has already ended.
    drop(child.kill());
    drop(child.wait());
}
