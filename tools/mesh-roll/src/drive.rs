//! The order of a run, and its loop: waits for events and performs the actions of the core. It
//! decides nothing itself.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::stream::{FuturesUnordered, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use mesh_actor::{Actor, Ending, Interruption, Outcome, Run};
use mesh_cli::{DryRun, Exit};
use mesh_cluster::clock::later;
use mesh_cluster::{Asked, Why};
use mesh_records::{Explained, Tool, after};
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::Instant;

use crate::args::Args;
use crate::perform::{self, Happened, Work, words};
use crate::prepare::{Prepared, prepare, settings};
use crate::roll::{Action, Event, Finish, Roll};
use crate::watches::{self, Told, Watches};

/// Runs the tool and returns its exit.
pub(crate) fn run(args: &Args) -> ExitCode {
    let actor = Actor {
        tool: Tool::MeshRoll,
        question: Some("--ask roll".to_owned()),
    };
    actor.run(&args.actor, async |run| {
        run.waits_at_most(args.timeout);
        let prepared = prepare(args, run).await?;
        let mut shell = Shell::new(args, run, prepared);
        match AssertUnwindSafe(shell.turn()).catch_unwind().await {
            Ok(ended) => ended,
            Err(panic) => {
                shell.abandon()?;
                resume_unwind(panic)
            }
        }
    })
}

/// Performs the core's actions and passes events to it.
struct Shell<'a> {
    run: &'a mut Run,
    control_plane: String,
    /// The time limit for one workload.
    timeout: Duration,
    /// What a person does after a run that did all that it could.
    next: String,
    core: Roll,
    told: Receiver<Told>,
    watches: Watches,
    work: FuturesUnordered<Work>,
    queue: VecDeque<Event>,
    wake: Option<Instant>,
    now: Timestamp,
    anchor: (Timestamp, Instant),
}

/// The capacity of the queue of watch events; when it is full, the watches wait.
const BACKLOG: usize = 1024;
const CLOCK_ERROR: SignedDuration = SignedDuration::from_secs(2);

impl<'a> Shell<'a> {
    fn new(args: &Args, run: &'a mut Run, prepared: Prepared) -> Self {
        let settings = settings(args, run, &prepared);
        let order = prepared.order;
        let next = match settings.dry_run {
            DryRun::None => {
                let question = ["--ask", "done", "--to", &order.expected.version];
                settings.paste.judged(&question)
            }
            DryRun::Client | DryRun::Server => run.for_real(),
        };
        let control_plane = order.expected.namespace;
        let (tell, told) = mpsc::channel(BACKLOG);
        let watches = watches::open(&run.cluster, &control_plane, &settings.kinds, &tell);
        let now = run.now();
        Self {
            core: Roll::new(settings, order.tasks, now),
            run,
            control_plane,
            timeout: args.timeout,
            next,
            told,
            watches,
            work: FuturesUnordered::new(),
            queue: VecDeque::new(),
            wake: None,
            now,
            anchor: (now, Instant::now()),
        }
    }

    async fn turn(&mut self) -> Outcome<Ending> {
        loop {
            while let Some(event) = self.queue.pop_front() {
                let now = self.time();
                for action in self.core.on(event, now) {
                    self.perform(action)?;
                }
            }
            self.wait().await?;
        }
    }

    // The rollouts go on in the cluster, so each is named before a bug ends the run.
    fn abandon(&mut self) -> Outcome<()> {
        let actions = self.core.abandoned();
        for action in actions {
            self.perform(action)?;
        }
        Ok(())
    }

    // The server's time, carried on by the monotonic clock so that durations are right. The server's
    // answers have whole seconds; only a larger difference counts, such as after a night's sleep.
    fn time(&mut self) -> Timestamp {
        let (anchor, at) = self.anchor;
        let elapsed = SignedDuration::try_from(at.elapsed()).unwrap_or_default();
        let mut now = after(anchor, elapsed);
        if let Some(server) = self.run.cluster.now()
            && server.duration_since(now) > CLOCK_ERROR
        {
            now = server;
            self.anchor = (now, Instant::now());
        }
        self.now = self.now.max(now);
        self.now
    }

    async fn wait(&mut self) -> Outcome<()> {
        tokio::select! {
            biased;
            interruption = self.run.interrupted() => self.queue.push_back(event(interruption)),
            Some(happened) = self.work.next() => self.happened(happened)?,
            Some(told) = self.told.recv() => self.heard(told),
            Some(()) = self.watches.next() => {}
            () = sleep(self.wake) => {
                self.wake = None;
                self.queue.push_back(Event::Tick);
            }
        }
        Ok(())
    }

    fn heard(&mut self, told: Told) {
        self.queue.push_back(match told {
            Ok(watched) => Event::Watched(watched),
            Err(error) => Event::Blind(words(&error)),
        });
    }

    fn happened(&mut self, happened: Happened) -> Outcome<()> {
        let event = match happened {
            Happened::Event(event) => event,
            Happened::Locked(lock, version) => {
                self.run.hold(lock);
                Event::Locked(version)
            }
            Happened::Nodes(Ok(nodes)) => Event::Nodes(Some(nodes)),
            Happened::Nodes(Err(error)) => {
                if error.why() == Why::Forbidden {
                    self.run.blind("nodes");
                }
                Event::Nodes(None)
            }
            Happened::Ended(ending) => return Err(ending),
        };
        self.queue.push_back(event);
        Ok(())
    }

    fn perform(&mut self, action: Action) -> Outcome<()> {
        let cluster = || Arc::clone(&self.run.cluster);
        let work = match action {
            Action::Emit(record) => {
                self.run.emit(&record)?;
                self.hear();
                return Ok(());
            }
            Action::Announce(key, record) => {
                let held = held(self.run.announce(&record)?);
                self.queue.push_back(Event::Announced(key, held));
                self.hear();
                return Ok(());
            }
            Action::Confirm(key) => {
                let held = held(self.run.may_write());
                self.queue.push_back(Event::Announced(key, held));
                self.hear();
                return Ok(());
            }
            Action::WakeAt(at) => {
                let left = at.duration_since(self.now);
                let left = Duration::try_from(left).unwrap_or(Duration::ZERO);
                self.wake = Some(later(left));
                return Ok(());
            }
            Action::Finish(finish) => return Err(ending(finish, &self.next)),
            Action::Ask(intent, summary) => perform::ask(self.run.consent(*intent, &summary)),
            Action::Lock => {
                let taking = self
                    .run
                    .take_lock(&self.control_plane, "roll", self.timeout);
                perform::lock(taking, cluster(), self.control_plane.clone())
            }
            Action::Patch(restart) => perform::restart(cluster(), restart),
            Action::Evict(eviction) => perform::evict(cluster(), eviction),
            Action::Look(key) => perform::look(cluster(), key),
            Action::Prepare(key, selector) => perform::prepare(cluster(), key, selector),
            Action::ListLast(key, selector) => {
                perform::list(cluster(), key, selector, Event::ListedLast)
            }
            Action::ListProof(key, selector) => {
                perform::list(cluster(), key, selector, Event::ListedProof)
            }
            Action::ListProven(keys) => perform::list_proven(cluster(), keys),
            Action::Probe(key) => perform::probe(cluster(), key),
            Action::Compare(key, sample) => perform::compare(cluster(), key, sample),
            Action::Gate(gate, records) => {
                perform::gate(gate, self.run.lines(records)?, self.timeout)
            }
            Action::Nodes => perform::nodes(cluster()),
        };
        self.work.push(work);
        Ok(())
    }

    // Puts an interruption before all queued events, so that nothing is written after it.
    fn hear(&mut self) {
        while let Some(interruption) = self.run.interrupted().now_or_never() {
            self.queue.push_front(event(interruption));
        }
    }
}

// Other reasons against a write than the lock arrive earlier, as events of their own.
fn held(may_write: Result<(), Interruption>) -> Result<(), String> {
    match may_write {
        Err(Interruption::LockLost(how)) => Err(how),
        Ok(())
        | Err(Interruption::Signal(_) | Interruption::SecondSignal(_) | Interruption::ReaderGone) => {
            Ok(())
        }
    }
}

fn event(interruption: Interruption) -> Event {
    match interruption {
        Interruption::Signal(number) => Event::Asked(Asked::Once(number)),
        Interruption::SecondSignal(number) => Event::Asked(Asked::Again(number)),
        Interruption::ReaderGone => Event::ReaderGone,
        Interruption::LockLost(how) => Event::LockLost(how),
    }
}

fn ending(finish: Finish, next: &str) -> Ending {
    let Finish { exit, reason, hint } = finish;
    let why = reason.clone().unwrap_or_default();
    match exit {
        Exit::Yes => Ending::Done {
            next: Some(next.to_owned()),
            reason,
        },
        Exit::No => Ending::No(Explained::new(why, hint)),
        Exit::Failed => Ending::Failed(Explained::new(why, hint).into()),
        Exit::Stopped | Exit::BrokenPipe => Ending::Stopped(Explained::new(why, hint)),
        Exit::Signal(signal) => Ending::Left {
            signal,
            reason: why,
        },
    }
}

async fn sleep(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}
