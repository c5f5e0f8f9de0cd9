//! The order of an upgrade.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use mesh_actor::gate::fresh;
use mesh_actor::{Actor, Ending, Gate, Judged, Outcome, Taken, refused};
use mesh_records::{Ask, From as Seen, StepName, Tool, Verdict};

use crate::agree::agree;
use crate::args::{Args, PIPELINE};
use crate::gate::same_target;
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

/// Runs the tool.
pub(crate) fn run(args: &Args) -> ExitCode {
    let actor = Actor {
        tool: Tool::MeshCpUpgrade,
        pipeline: PIPELINE,
        question: args.question(),
    };
    actor.run(&args.actor, async |run| {
        args.check()?;
        let mut session = Session::new(run);
        let (Ok(ending) | Err(ending)) = steps(&mut session, args).await;
        match session.fail_step(&ending) {
            Err(Ending::Failed(error)) => {
                let why = ending.reason().unwrap_or_default();
                Err(Ending::Failed(error.context(why)))
            }
            Ok(()) | Err(_) => Ok(ending),
        }
    })
}

async fn steps(session: &mut Session<'_>, args: &Args) -> Outcome<Ending> {
    let goal = pass_gate(session, args).await?;
    let scene = under_lock(session, args, &goal).await?;
    let plan = prepare::prepare(session, args, &goal, &scene).await?;
    if !agree(session, args, &goal, &plan).await? {
        return Ok(Ending::Done {
            next: Some(session.run.for_real()),
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

async fn afterwards(session: &mut Session<'_>, installer: &Installer) -> Outcome<()> {
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

async fn pass_gate(session: &mut Session<'_>, args: &Args) -> Outcome<Goal> {
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
    let reading = session
        .run
        .read(|input| Judged::read(input, |_| Ok(())))
        .await;
    let gate = Gate {
        ask: Ask::Upgrade,
        control_plane: args.linkerd_namespace.as_deref(),
        takes_partial: false,
    };
    let verdict = gate.pass(reading?, session.run.here(), |verdict| {
        same_target(verdict, args.to.as_ref())
    })?;
    let target = verdict
        .target
        .clone()
        .context("a verdict without a target passed")?;
    session.run.set_question(format!("--to {target}"));
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

async fn under_lock(session: &mut Session<'_>, args: &Args, goal: &Goal) -> Outcome<Scene> {
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
    if !session.run.is_dry() {
        let taking = session.run.take_lock(namespace, target);
        let Taken { lock, expired } = session.unless_stopped(taking).await??;
        session.run.hold(lock);
        if let Some(holder) = expired {
            took_over = format!("; it had been left behind by {holder}");
        }
    }
    let (scene, message) = quiet_scene(session, args, goal).await?;
    session.done(&format!("{message}{took_over}"))?;
    Ok(scene)
}

/// The control plane with no helm at work on it, if it is still the one that the verdict is about.
pub(crate) async fn quiet_scene(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
) -> Outcome<(Scene, &'static str)> {
    let scene = installer::quiet(session, args, goal).await?;
    // Locks and helms may have been waited for, for long.
    if let Some(verdict) = &goal.verdict {
        fresh(verdict, session.run.here())?;
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
