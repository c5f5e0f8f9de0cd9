//! Runs the steps of an upgrade in order.

use std::process::ExitCode;
use std::sync::Arc;

use mesh_actor::{Actor, Ending, Outcome};
use mesh_records::Tool;

use crate::agree::agree;
use crate::args::Args;
use crate::gate::{Goal, pass_gate};
use crate::inputs::Inputs;
use crate::plan::{Plan, Staged};
use crate::prepare::AT_TARGET;
use crate::prove::Proof;
use crate::scene::{Scene, under_lock};
use crate::session::{Findings, Session};
use crate::way_back::offered;
use crate::{
    act, backup, leftovers, mesh, monitor, prepare, prove, readiness, rollback, watch_only,
};

/// What a dry run does not say where the linkerd CLI renders the definitions alone.
const UNSEEN: &str = "the control plane was not checked: the linkerd CLI renders it only when the CRDs \
                      are written";

/// Runs the tool.
pub(crate) fn run(args: &Args) -> ExitCode {
    let actor = Actor {
        tool: Tool::MeshCpUpgrade,
        question: args.question(),
    };
    actor.run(&args.actor, async |run| {
        args.check()?;
        if args.watch_only {
            return watch_only::run(run, args).await;
        }
        let cluster = Arc::clone(&run.cluster);
        let inputs = run.unless_stopped(Inputs::read(args, &cluster)).await??;
        let findings = Findings {
            is_question: args.preflight,
            ..Findings::default()
        };
        let mut session = Session::new(run, inputs, findings);
        let (Ok(ending) | Err(ending)) = match args.rollback {
            true => rollback::run(&mut session, args).await,
            false => steps(&mut session, args).await,
        };
        let ending = match args.rollback_on_failure {
            true => rollback::after(&mut session, args, ending).await,
            false => offered(&mut session, ending).await,
        };
        let ending = session.told(ending);
        match session.fail_step(&ending) {
            Err(Ending::Failed(error)) => {
                let why = ending.reason().unwrap_or_default();
                Err(Ending::Failed(error.context(why)))
            }
            Ok(()) | Err(_) => Ok(session.with_findings(ending)),
        }
    })
}

async fn steps(session: &mut Session<'_>, args: &Args) -> Outcome<Ending> {
    let goal = pass_gate(session, args).await?;
    let scene = under_lock(session, args, &goal).await?;
    let mut proof = places(session, args, &goal).await?;
    let prepared = prepare::prepare(session, args, &goal, &scene, &mut proof).await?;
    let asked_only = args.preflight && prepared.is_done();
    if asked_only || !agree(session, args, &goal, &prepared).await? {
        return Ok(Ending::Done {
            next: Some(session.run.for_real()),
            reason: Some(not_written(args, &prepared)),
        });
    }
    let there = prepared.is_done().then(|| AT_TARGET.to_owned());
    backup::save(session, args, &goal, &scene, &prepared).await?;
    let ready = readiness::before(session, &goal.namespace).await?;
    let plan = upgrade(session, args, &goal, &scene, prepared, &mut proof).await?;
    monitor::settle(session, args, &goal, &plan).await?;
    let unproven = prove::prove(session, &goal.target, &plan.injects, proof).await?;
    let unready = readiness::after(session, &goal.namespace, ready).await?;
    leftovers::list(session, &goal, &scene.installer, &plan).await?;
    Ok(session.proven(there.into_iter().chain(unproven).chain(unready)))
}

// Without a verdict nobody has said where the mesh's workloads are.
async fn places(session: &mut Session<'_>, args: &Args, goal: &Goal) -> Outcome<Proof> {
    if goal.verdict.is_some() || args.prove_in.is_some() {
        return Ok(prove::places(args, &goal.places));
    }
    let cluster = Arc::clone(&session.cluster);
    let pods = session.unless_stopped(mesh::pods(&cluster, &goal.namespace));
    let places = match pods.await? {
        Ok(pods) => mesh::places(&pods),
        // The proof is in the default namespace then.
        Err(error) if error.rule().is_some() => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    Ok(prove::places(args, &places))
}

fn not_written(args: &Args, prepared: &Staged<Plan>) -> String {
    match (prepared, args.preflight) {
        (Staged::Whole(plan), true) if plan.is_done() => {
            format!("{AT_TARGET}; nothing was written")
        }
        (Staged::Whole(_), true) => "nothing stands in the way; nothing was written".to_owned(),
        (Staged::Whole(_), false) => "dry run: nothing was written".to_owned(),
        (Staged::Definitions(_), true) => {
            format!("nothing stands in the way of the CRDs; nothing was written, and {UNSEEN}")
        }
        (Staged::Definitions(_), false) => format!("dry run: nothing was written, and {UNSEEN}"),
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
            prepare::rest(session, args, goal, shown, &first, proof).await?
        }
    };
    act::control_plane(session, args, goal, shown, &plan).await?;
    Ok(plan)
}
