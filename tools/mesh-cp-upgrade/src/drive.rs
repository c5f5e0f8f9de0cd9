//! The order of an upgrade.

use std::sync::Arc;

use anyhow::Context as _;
use mesh_cli::{Closing, DryRun, Exit, Output, Readers, argv, host, records_from_stdin, run_id};
use mesh_cluster::{Claim, Cluster, Error, IfLocked, Signals, Taking, User, Why};
use mesh_records::{
    By, EndOutcome, Explained, From as Seen, Record, StepName, Stream, Tool, Verdict, whole_seconds,
};

use crate::agree::agree;
use crate::args::{Args, PIPELINE};
use crate::ending::{Ending, Outcome, refused, stopped};
use crate::gate::{self, Question};
use crate::history::{Standing, standing};
use crate::installer::{self, Installer};
use crate::live::{Live, look};
use crate::session::Session;
use crate::{act, monitor, prepare};

/// What is to be reached, and from where.
#[derive(Debug)]
pub(crate) struct Goal {
    pub(crate) namespace: String,
    pub(crate) target: String,
    /// What the verdict saw; none without a verdict.
    pub(crate) from: Option<Seen>,
    pub(crate) verdict: Option<Verdict>,
}

/// The control plane under the lock, with no helm at work on it.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) live: Live,
    pub(crate) installer: Installer,
}

const AGENT: &str = concat!("mesh-cp-upgrade/", env!("CARGO_PKG_VERSION"));

/// Runs the tool.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let mut output = Output::stdout(&args.output, Readers::Optional);
    match open(&args, &mut output).await {
        Ok((cluster, uid, stream, signals)) => {
            let (began, claim) = (stream.time.unwrap_or_default(), claim(&stream));
            output.emit(&Record::Stream(Box::new(stream)))?;
            let mut session = Session::new(Arc::new(cluster), uid, output, signals, began, claim);
            let ending = match steps(&mut session, &args).await {
                Ok(ending) | Err(ending) => ending,
            };
            session.finish(ending, args.stop_ok).await
        }
        Err(error) => {
            let cluster = args.cluster.label();
            let mut stream = Stream::of(Tool::MeshCpUpgrade, env!("CARGO_PKG_VERSION"));
            stream.cluster.clone_from(&cluster);
            output.emit(&Record::Stream(Box::new(stream)))?;
            output.end(Closing {
                tool: Tool::MeshCpUpgrade,
                cluster,
                outcome: EndOutcome::Failed,
                exit: Exit::Failed,
                blind: Vec::new(),
                reason: Some(format!("{error:#}")),
                next: None,
            })?;
            Err(error)
        }
    }
}

async fn open(
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<(Cluster, String, Stream, Signals)> {
    let signals = Signals::listen().context("cannot listen for signals")?;
    if !args.without_gate {
        drop(records_from_stdin(PIPELINE)?);
    }
    if let Some(path) = &args.record {
        output.record_to(path)?;
    }
    args.check()?;
    let cluster = args.cluster.open(AGENT).await?;
    let uid = cluster.uid().await?;
    let user = whoami(&cluster).await?;
    let time = cluster
        .now()
        .context("the API server's answers bear no date")?;
    let stream = Stream {
        cluster: Some(cluster.label().to_owned()),
        run: Some(run_id()),
        time: Some(whole_seconds(time)),
        cluster_uid: Some(uid.clone()),
        by: user.map(|user| By {
            user: user.username,
            groups: user.groups,
            host: host(),
        }),
        argv: argv(),
        ..Stream::of(Tool::MeshCpUpgrade, env!("CARGO_PKG_VERSION"))
    };
    Ok((cluster, uid, stream, signals))
}

// API servers before 1.28 cannot say who asks.
async fn whoami(cluster: &Cluster) -> Result<Option<User>, Error> {
    match cluster.whoami().await {
        Ok(user) => Ok(Some(user)),
        Err(error) if error.why() == Why::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn claim(stream: &Stream) -> Claim {
    let by = stream.by.as_ref();
    Claim {
        by: by.map_or_else(host, |by| format!("{}@{}", by.user, by.host)),
        run: stream.run.clone().unwrap_or_else(run_id),
        target: String::new(),
    }
}

async fn steps(session: &mut Session, args: &Args) -> Outcome<Ending> {
    let goal = pass_gate(session, args).await?;
    let Some(scene) = under_lock(session, args, &goal).await? else {
        return Ok(Ending::Done {
            next: None,
            reason: Some("somebody else holds the lock".to_owned()),
        });
    };
    let plan = prepare::prepare(session, args, &goal, &scene).await?;
    if !agree(session, args, &goal, &plan).await? {
        return Ok(Ending::Done {
            next: Some("the same without --dry-run".to_owned()),
            reason: Some("a dry run: nothing was written".to_owned()),
        });
    }
    act::upgrade(session, args, &goal, &plan).await?;
    monitor::settle(session, args, &goal, &plan).await?;
    monitor::prove(session, args, &goal, &plan).await?;
    afterwards(session, &scene.installer).await?;
    let next = "mesh-survey | mesh-skewcheck --ask roll | mesh-roll";
    Ok(Ending::Done {
        next: Some(next.to_owned()),
        reason: None,
    })
}

async fn afterwards(session: &mut Session, installer: &Installer) -> Outcome<()> {
    let next = "next come the extensions, with their own charts, and then the data plane";
    let cli = match installer {
        Installer::Helm(_) => {
            let why = "it is not this tool's work";
            return session.skip(StepName::Afterwards, next, why);
        }
        Installer::Cli(cli) => cli,
    };
    session.begin(StepName::Afterwards, "looking for what is left over")?;
    let left = match session.unless_stopped(cli.orphans()).await? {
        Ok(orphans) if orphans.is_empty() => "nothing is left over".to_owned(),
        Ok(orphans) => format!(
            "left over, for `linkerd prune` to show and for you to delete: {}",
            orphans.join(", ")
        ),
        // The upgrade is proven; what it left behind harms nothing.
        Err(error) => format!("what is left over could not be listed: {error:#}"),
    };
    session.done(&format!("{left}; {next}"))
}

async fn pass_gate(session: &mut Session, args: &Args) -> Outcome<Goal> {
    if let (true, Some(reason), Some(to)) = (args.without_gate, &args.reason, &args.to) {
        session.skip(
            StepName::Gate,
            &format!("going to {to} without a verdict"),
            reason,
        )?;
        return Ok(Goal {
            namespace: args
                .linkerd_namespace
                .clone()
                .unwrap_or_else(|| "linkerd".to_owned()),
            target: to.to_string(),
            from: None,
            verdict: None,
        });
    }
    session.begin(StepName::Gate, "reading the verdict")?;
    let reading = tokio::task::spawn_blocking(|| {
        let input = records_from_stdin(PIPELINE).map_err(anyhow::Error::new)?;
        gate::read(input).map_err(anyhow::Error::new)
    });
    let read = session.unless_stopped(reading).await?;
    let judged = read.context("reading the records")??;
    // The pipeline before us may have run for long, and the clock is read anew.
    let cluster_uid = session.cluster.uid().await?;
    let question = Question {
        cluster: session.cluster.label(),
        cluster_uid: &cluster_uid,
        control_plane: args.linkerd_namespace.as_deref(),
        to: args.to.as_ref(),
        now: session.now(),
        max_age: args.max_age,
    };
    let verdict = gate::judge(judged, &question)?;
    let target = verdict
        .target
        .clone()
        .context("a verdict without a target passed")?;
    session.done(&format!(
        "the verdict on going from {} to {target} is yes",
        verdict.from.version
    ))?;
    Ok(Goal {
        namespace: verdict.control_plane.clone(),
        target,
        from: Some(verdict.from.clone()),
        verdict: Some(verdict),
    })
}

// None where somebody else holds the lock and that is fine.
async fn under_lock(session: &mut Session, args: &Args, goal: &Goal) -> Outcome<Option<Scene>> {
    let Goal {
        namespace, target, ..
    } = goal;
    session.begin(
        StepName::Lock,
        &format!("taking the lock of the control plane in {namespace}"),
    )?;
    // A namespace that is not there is no control plane's, and has no lock.
    let cluster = Arc::clone(&session.cluster);
    let live = session.unless_stopped(look(&cluster, namespace)).await??;
    installer::check(session, args, goal, &live).await?;
    let mut took_over = String::new();
    if args.consent.dry_run == DryRun::None {
        let claim = Claim {
            target: target.clone(),
            ..session.claim.clone()
        };
        let taking = cluster.lock(namespace, &claim, args.if_locked.patience());
        match session.unless_stopped(taking).await?? {
            Taking::Taken { lock, expired } => {
                session.lock = Some(lock);
                if let Some(holder) = expired {
                    took_over = format!("; it had been left behind by {holder}");
                }
            }
            Taking::Held(holder) => {
                let what = format!("the lock is held by {holder}");
                if args.if_locked == IfLocked::Skip {
                    session.done(&what)?;
                    return Ok(None);
                }
                let hint = "run it again later, or wait for it: --if-locked wait=5m";
                return Err(Ending::Stopped(Explained::new(what, hint)));
            }
        }
    }
    let (scene, message) = quiet_scene(session, args, goal).await?;
    session.done(&format!("{message}{took_over}"))?;
    Ok(Some(scene))
}

/// The control plane with no helm at work on it, if it is still the one that the verdict is about.
pub(crate) async fn quiet_scene(
    session: &mut Session,
    args: &Args,
    goal: &Goal,
) -> Outcome<(Scene, &'static str)> {
    let scene = installer::quiet(session, args, goal).await?;
    // Locks and helms may have been waited for, for long.
    if let Some(verdict) = &goal.verdict {
        gate::fresh(verdict, session.now(), args.max_age)?;
    }
    let standing = standing(
        goal.from.as_ref(),
        scene.live.state(),
        scene.installer.began(),
        &goal.target,
    );
    match standing {
        Standing::AsSeen => Ok((scene, "the control plane is as it was seen")),
        Standing::Begun => Ok((
            scene,
            "the control plane is at the target or on the way there: carrying on",
        )),
        Standing::Changed => Err(changed(goal, &scene)),
    }
}

fn changed(goal: &Goal, scene: &Scene) -> Ending {
    let saw = goal.from.as_ref().map_or("?", |from| from.version.as_str());
    let is = scene.live.state().version.unwrap_or("not readable");
    let what = if saw == is {
        format!("the configuration of the control plane was changed since the survey ({is})")
    } else {
        format!("the verdict saw the control plane at {saw}, and it is {is}")
    };
    refused(
        what,
        "survey and judge again: mesh-survey | mesh-skewcheck --to VERSION",
    )
}

/// What an upgrade is told when it must not begin.
pub(crate) fn before_writing(session: &Session) -> Outcome<()> {
    session.may_go_on().map_err(|ending| match ending {
        Ending::Stopped(error) => stopped(&format!("{error}; nothing was begun")),
        other @ (Ending::Done { .. } | Ending::No(_) | Ending::Failed(_) | Ending::Left(_)) => {
            other
        }
    })
}
