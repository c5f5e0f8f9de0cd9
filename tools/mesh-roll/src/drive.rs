//! The order of a run, and the one loop that waits and performs. It decides nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::stream::{FuturesUnordered, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use mesh_cli::Exit;
use mesh_cluster::{Asked, Claim, Cluster, Grip, IfLocked, Lock, Signals, Why};
use mesh_records::{EndOutcome, Explained};
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::Instant;

use crate::args::Args;
use crate::mesh::Plane;
use crate::perform::{self, Happened, Work, words};
use crate::prepare::{Session, prepare, settings};
use crate::roll::{Action, Event, Finish, Roll};
use crate::voice::{Ending, Voice};
use crate::watches::{self, Told, Watches};

/// Runs the tool to its end, whatever that is.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let mut voice = Voice::new(&args.output, args.cluster.label());
    let ending = match start(&args, &mut voice).await {
        Ok(ending) => ending,
        Err(error) => Ending::failed(error),
    };
    voice.close(ending)
}

async fn start(args: &Args, voice: &mut Voice) -> anyhow::Result<Ending> {
    voice.record_to(args)?;
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let prepared = tokio::select! {
        prepared = prepare(args, voice) => prepared?,
        asked = signals.next() => return Ok(told_to_stop(asked, args.stop_ok)),
    };
    let session = match prepared {
        Ok(session) => session,
        Err(ending) => return Ok(ending),
    };
    Shell::new(args, session, voice, signals).run().await
}

fn told_to_stop(asked: Asked, stop_ok: bool) -> Ending {
    let (Asked::Once(number) | Asked::Again(number)) = asked;
    let why = format!("told to stop by signal {number}; nothing was done");
    Ending::stopped(&why, "", stop_ok)
}

/// Waits, performs, and hands what happens to the core.
struct Shell<'a> {
    args: &'a Args,
    voice: &'a mut Voice,
    signals: Signals,
    cluster: Arc<Cluster>,
    claim: Claim,
    control_plane: String,
    core: Roll,
    plane: Plane,
    told: Receiver<Told>,
    watches: Watches,
    work: FuturesUnordered<Work>,
    queue: VecDeque<Event>,
    lock: Option<Lock>,
    wake: Option<Instant>,
    now: Timestamp,
    anchor: (Timestamp, Instant),
    heard_gone: bool,
}

/// Events that wait while one is acted on; the watches wait when they are more.
const BACKLOG: usize = 1024;
const CLOCK_ERROR: SignedDuration = SignedDuration::from_secs(2);

impl<'a> Shell<'a> {
    fn new(args: &'a Args, session: Session, voice: &'a mut Voice, signals: Signals) -> Self {
        let settings = settings(args, &session);
        let Session {
            cluster,
            cluster_uid: _,
            order,
            claim,
            now,
        } = session;
        let control_plane = order.expected.namespace;
        let (tell, told) = mpsc::channel(BACKLOG);
        let watches = watches::open(&cluster, &control_plane, &tell);
        Self {
            core: Roll::new(settings, order.tasks, now),
            args,
            voice,
            signals,
            cluster,
            claim,
            control_plane,
            plane: Plane::default(),
            told,
            watches,
            work: FuturesUnordered::new(),
            queue: VecDeque::new(),
            lock: None,
            wake: None,
            now,
            anchor: (now, Instant::now()),
            heard_gone: false,
        }
    }

    async fn run(mut self) -> anyhow::Result<Ending> {
        let ended = self.turn().await;
        // Asked to leave at once: the lock expires by itself.
        let at_once = matches!(
            &ended,
            Ok(Ending {
                exit: Exit::Signal(_),
                ..
            })
        );
        if let (Some(lock), false) = (self.lock.take(), at_once)
            && let Err(error) = lock.release().await
        {
            let error = anyhow::Error::new(error).context("the lock is left to expire by itself");
            mesh_cli::warn("mesh-roll", &error);
        }
        ended
    }

    async fn turn(&mut self) -> anyhow::Result<Ending> {
        loop {
            while let Some(event) = self.queue.pop_front() {
                let now = self.time();
                for action in self.core.on(event, now) {
                    if let Some(ending) = self.perform(action)? {
                        return Ok(ending);
                    }
                }
            }
            if let Some(ending) = self.wait().await? {
                return Ok(ending);
            }
        }
    }

    // The server's time, carried on by the monotonic clock so that durations are right. Its answers
    // bear whole seconds; only what is more than that is news, such as a night's sleep.
    fn time(&mut self) -> Timestamp {
        let (anchor, at) = self.anchor;
        let elapsed = SignedDuration::try_from(at.elapsed()).unwrap_or_default();
        let mut now = anchor + elapsed;
        if let Some(server) = self.cluster.now()
            && server.duration_since(now) > CLOCK_ERROR
        {
            now = server;
            self.anchor = (now, Instant::now());
        }
        self.now = self.now.max(now);
        self.now
    }

    async fn wait(&mut self) -> anyhow::Result<Option<Ending>> {
        let mut grip = self.lock.as_ref().map(Lock::grip);
        tokio::select! {
            biased;
            asked = self.signals.next() => self.queue.push_back(Event::Asked(asked)),
            lost = lost(&mut grip) => {
                self.lock = None;
                self.queue.push_back(Event::LockLost(lost));
            }
            Some(happened) = self.work.next() => return self.happened(happened),
            Some(told) = self.told.recv() => self.heard(told),
            Some(()) = self.watches.next() => {}
            () = sleep(self.wake) => {
                self.wake = None;
                self.queue.push_back(Event::Tick);
            }
        }
        Ok(None)
    }

    fn heard(&mut self, told: Told) {
        let sights = match told {
            Told::Sight(sight) => vec![sight],
            Told::Config(change) => self.plane.take_config(change),
            Told::Slice(change) => self.plane.take_slice(change),
            Told::Blind(error) => {
                self.queue.push_back(Event::Blind(words(&error)));
                return;
            }
        };
        self.queue.extend(sights.into_iter().map(Event::Sight));
    }

    fn happened(&mut self, happened: Happened) -> anyhow::Result<Option<Ending>> {
        let event = match happened {
            Happened::Event(event) => event,
            Happened::Locked(lock, version) => {
                self.lock = Some(lock);
                Event::Locked(version)
            }
            Happened::Held(holder) => return Ok(Some(self.held(&holder))),
            Happened::Nodes(key, Ok(nodes)) => Event::Nodes(key, nodes),
            Happened::Nodes(key, Err(error)) => {
                if error.why() == Why::Forbidden {
                    self.voice.blind("nodes");
                }
                Event::Nodes(key, Vec::new())
            }
            Happened::Broken(error) => return Err(error),
        };
        self.queue.push_back(event);
        Ok(None)
    }

    fn held(&self, holder: &str) -> Ending {
        let why = format!("the lock is held by {holder}");
        match self.args.if_locked {
            IfLocked::Skip => Ending {
                exit: Exit::Yes,
                outcome: EndOutcome::Stopped,
                because: Some(Explained::new(why, "").into()),
            },
            IfLocked::Fail | IfLocked::Wait(_) => {
                let hint = "run it again later, or wait for it with --if-locked wait=5m";
                Ending::stopped(&why, hint, self.args.stop_ok)
            }
        }
    }

    fn perform(&mut self, action: Action) -> anyhow::Result<Option<Ending>> {
        let cluster = || Arc::clone(&self.cluster);
        let work = match action {
            Action::Emit(record) => {
                self.voice.emit(&record)?;
                self.hear_the_reader();
                return Ok(None);
            }
            Action::Announce(key, record) => {
                self.voice.emit(&record)?;
                let held = self.lock.as_ref().map(|lock| lock.grip().check());
                let held = match held {
                    Some(Ok(())) => Ok(()),
                    Some(Err(lost)) => Err(lost.to_string()),
                    None => Err("it is not held".to_owned()),
                };
                self.queue.push_back(Event::Announced(key, held));
                self.hear_the_reader();
                return Ok(None);
            }
            Action::WakeAt(at) => {
                let left = at.duration_since(self.now);
                let left = Duration::try_from(left).unwrap_or(Duration::ZERO);
                self.wake = Some(Instant::now() + left);
                return Ok(None);
            }
            Action::Finish(finish) => return Ok(Some(ending(finish))),
            Action::Ask(intent, summary) => {
                let (label, server) = (self.cluster.label(), self.cluster.server());
                let summary = format!("cluster {label} at {server}\n{summary}");
                perform::ask(self.args.consent.clone(), *intent, summary)
            }
            Action::Lock => {
                let namespace = self.control_plane.clone();
                perform::lock(
                    cluster(),
                    namespace,
                    self.claim.clone(),
                    self.args.if_locked,
                )
            }
            Action::Patch(restart) => perform::restart(cluster(), restart),
            Action::Look(key) => perform::look(cluster(), key),
            Action::Verify(key, selector) => perform::verify(cluster(), key, selector),
            Action::Probe(namespace) => perform::probe(cluster(), namespace),
            Action::Nodes(key) => perform::nodes(cluster(), key),
        };
        self.work.push(work);
        Ok(None)
    }

    // It comes before everything that waits: nothing is written that nobody would read of.
    fn hear_the_reader(&mut self) {
        if self.voice.reader_is_gone() && !std::mem::replace(&mut self.heard_gone, true) {
            self.queue.push_front(Event::ReaderGone);
        }
    }
}

fn ending(finish: Finish) -> Ending {
    let Finish {
        exit,
        outcome,
        reason,
        hint,
    } = finish;
    Ending {
        exit,
        outcome,
        because: reason.map(|reason| Explained::new(reason, hint).into()),
    }
}

async fn lost(grip: &mut Option<Grip>) -> String {
    match grip {
        Some(grip) => grip.lost().await.to_string(),
        None => std::future::pending().await,
    }
}

async fn sleep(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}
