//! The server processes of a bed.

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, PoisonError,
        mpsc::{Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Processes that end with the bed, however it ends.
///
/// A parent-death signal comes when the *thread* that started the child ends, so one thread of
/// the bed's own starts them all.
#[derive(Debug)]
pub(crate) struct Children {
    requests: Mutex<Option<Sender<Request>>>,
    pids: Mutex<BTreeMap<String, u32>>,
    logs: PathBuf,
    thread: Option<JoinHandle<()>>,
}

struct Request {
    command: Command,
    answer: Sender<std::io::Result<u32>>,
}

impl Children {
    pub(crate) fn new(logs: &Path) -> Self {
        let (requests, received) = channel::<Request>();
        let thread = std::thread::spawn(move || {
            let mut children = Vec::new();
            while let Ok(Request {
                mut command,
                answer,
            }) = received.recv()
            {
                let started = command.spawn().map(|child| {
                    let pid = child.id();
                    children.push(child);
                    pid
                });
                // The one who asked may have given up meanwhile.
                drop(answer.send(started));
            }
            children.iter_mut().for_each(end);
        });
        Self {
            requests: Mutex::new(Some(requests)),
            pids: Mutex::default(),
            logs: logs.to_path_buf(),
            thread: Some(thread),
        }
    }

    /// Starts `program`, which dies with this process; what it says goes to `NAME.log`.
    pub(crate) fn start(&self, name: &str, program: &Path, args: &[String]) -> anyhow::Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(name))?;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(args);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .current_dir("/");
        // An interrupt typed at the terminal is for the test, not for its servers.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let (answer, started) = channel();
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = requests.as_ref().context("the bed is closing")?;
        sender
            .send(Request { command, answer })
            .context("the thread that starts servers is gone")?;
        let pid = started
            .recv()?
            .with_context(|| format!("starting {name} through setpriv"))?;
        self.pids
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned(), pid);
        Ok(())
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    pub(crate) fn pids(&self) -> BTreeMap<String, u32> {
        self.pids
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn signal(&self, name: &str, signal: Signal) -> anyhow::Result<()> {
        let Some(&pid) = self.pids().get(name) else {
            bail!("no server {name} runs here")
        };
        let pid = i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .context("a pid is positive")?;
        kill_process(pid, signal).with_context(|| format!("signalling {name}"))
    }

    /// Kills a server and waits until it is gone.
    pub(crate) fn end(&self, name: &str) -> anyhow::Result<()> {
        self.signal(name, Signal::KILL)?;
        while !self.has_ended(name) {
            // Killed is soon dead; only its parent could be told when, and that is another thread.
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Whether the process has ended, though nobody reaped it yet.
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
        drop(
            self.requests
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has ended the children already.
            drop(thread.join());
        }
    }
}

fn end(child: &mut Child) {
    // Both fail only for a child that is gone, which is what is wanted.
    drop(child.kill());
    drop(child.wait());
}
