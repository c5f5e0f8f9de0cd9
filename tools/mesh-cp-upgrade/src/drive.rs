//! Runs the steps of an upgrade in order.

use std::process::ExitCode;
use std::sync::Arc;

use mesh_actor::{Actor, Ending, Outcome, Taken};
use mesh_records::{StepName, Tool};

use crate::agree::agree;
use crate::args::Args;
use crate::gate::{Goal, pass_gate};
use crate::inputs::Inputs;
use crate::installer::{self, Installer};
use crate::live::look;
use crate::plan::{Plan, Staged};
use crate::prove::Proof;
use crate::scene::{Scene, quiet_scene};
use crate::session::Session;
use crate::{act, monitor, prepare, prove};

/// Runs the tool.
pub(crate) fn run(args: &Args) -> ExitCode {
    let actor = Actor {
        tool: Tool::MeshCpUpgrade,
        question: args.question(),
    };
    actor.run(&args.actor, async |run| {
        args.check()?;
        let cluster = Arc::clone(&run.cluster);
        let inputs = run.unless_stopped(Inputs::read(args, &cluster)).await??;
        let mut session = Session::new(run, inputs);
        let (Ok(ending) | Err(ending)) = steps(&mut session, args).await;
        let ending = session.told(ending);
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
    let mut proof = prove::places(args, &goal);
    let prepared = prepare::prepare(session, args, &goal, &scene, &mut proof).await?;
    if !agree(session, args, &goal, &prepared).await? {
        return Ok(Ending::Done {
            next: Some(session.run.for_real()),
            reason: Some(not_written(&prepared)),
        });
    }
    let plan = upgrade(session, args, &goal, &scene, prepared, &mut proof).await?;
    let reason = see_through(session, args, &goal, &scene, &plan, proof).await?;
    let next = session
        .run
        .paste()
        .pipeline(&["--ask", "roll"], "mesh-roll");
    Ok(Ending::Done {
        next: Some(next),
        reason,
    })
}

fn not_written(prepared: &Staged<Plan>) -> String {
    let what = "dry run: nothing was written";
    match prepared {
        Staged::Whole(_) => what.to_owned(),
        Staged::Definitions(_) => format!(
            "{what}, and of the control plane nothing was looked at: the linkerd CLI renders it only \
             when the CRDs are written"
        ),
    }
}

async fn upgrade(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
    shown: &Scene,
    prepared: Staged<Plan>,
    proof: &mut Proof,
) -> Outcome<Plan> {
    let plan = match prepared {
        Staged::Whole(plan) => {
            act::definitions(session, args, goal, shown, &plan.crds).await?;
            plan
        }
        Staged::Definitions(first) => {
            act::definitions(session, args, goal, shown, &first.part).await?;
            prepare::rest(session, args, goal, shown, proof).await?
        }
    };
    act::control_plane(session, args, goal, shown, &plan).await?;
    Ok(plan)
}

// Watches and proves the upgrade. Returns why it is not proven, if it is not.
async fn see_through(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
    shown: &Scene,
    plan: &Plan,
    proof: Proof,
) -> Outcome<Option<String>> {
    monitor::settle(session, args, goal, plan).await?;
    let reason = prove::prove(session, goal, plan, proof).await?;
    afterwards(session, &shown.installer).await?;
    Ok(reason)
}

async fn afterwards(session: &mut Session<'_>, installer: &Installer) -> Outcome<()> {
    let next = "next: upgrade the extensions, then restart the workloads with mesh-roll";
    let cli = match installer {
        Installer::Helm(_) => {
            let why = "mesh-cp-upgrade does not do this";
            return session.skip(StepName::Afterwards, next, why);
        }
        Installer::Cli(cli) => cli,
    };
    session.begin(
        StepName::Afterwards,
        "looking for objects of earlier versions",
    )?;
    let left = match session.unless_stopped(cli.orphans()).await? {
        Ok(orphans) if orphans.is_empty() => "no objects of earlier versions are left".to_owned(),
        Ok(orphans) => format!(
            "left over from earlier versions (see `{}`; delete them yourself): {}",
            cli.pasted(&["prune"]),
            orphans.join(", ")
        ),
        // The upgrade is done, and leftover objects do no harm, so this is not a failure.
        Err(error) => format!("cannot list objects of earlier versions: {error:#}"),
    };
    session.done(&format!("{left}; {next}"))
}

async fn under_lock(session: &mut Session<'_>, args: &Args, goal: &Goal) -> Outcome<Scene> {
    let Goal {
        namespace, target, ..
    } = goal;
    let take = match session.run.is_dry() {
        true => "would take",
        false => "taking",
    };
    let message = format!("{take} the lock of the control plane in {namespace}");
    session.begin(StepName::Lock, &message)?;
    // A missing namespace has no control plane and no lock, so look before taking the lock.
    let cluster = Arc::clone(&session.cluster);
    let looking = look(&cluster, namespace);
    let live = session.unless_stopped(looking).await??;
    installer::check(session, args, goal, &live).await?;
    let mut took_over = String::new();
    if session.run.is_dry() {
        session.run.may_lock(namespace).await?;
    } else {
        let taking = session.run.take_lock(namespace, target, args.timeout);
        let Taken { lock, expired } = session.unless_stopped(taking).await??;
        session.run.hold(lock);
        if let Some(holder) = expired {
            took_over = format!("; took over an expired lock, left behind by {holder}");
        }
    }
    let (scene, message) = quiet_scene(session, args, goal).await?;
    session.done(&format!("{message}{took_over}"))?;
    Ok(scene)
}
