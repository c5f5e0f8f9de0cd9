//! The writes: the definitions, then the control plane.

use mesh_records::{Explained, StepName};

use crate::apply::apply;
use crate::args::Args;
use crate::drive::{Goal, before_writing};
use crate::ending::{AGAIN, Ending, Outcome};
use crate::helm::{Helm, Upgrade, quote};
use crate::prepare::{Part, Plan, Write};
use crate::session::Session;

/// Upgrades what needs it: the definitions first.
pub(crate) async fn upgrade(
    session: &mut Session,
    args: &Args,
    goal: &Goal,
    plan: &Plan,
) -> Outcome<()> {
    run(session, args, goal, StepName::Crds, &plan.crds).await?;
    run(
        session,
        args,
        goal,
        StepName::ControlPlane,
        &plan.control_plane,
    )
    .await
}

async fn run(
    session: &mut Session,
    args: &Args,
    goal: &Goal,
    step: StepName,
    part: &Part,
) -> Outcome<()> {
    let Part { name, rendered, .. } = part;
    let is = format!("{name} is {}", rendered.chart);
    if !part.is_needed {
        return session.skip(step, &is, "it is at the target already");
    }
    before_writing(session)?;
    let message = format!("upgrading {name} to {}", rendered.chart);
    session.begin_command(step, &message, part.command.clone())?;
    // The record may have been the one that nobody heard.
    before_writing(session)?;
    match &part.write {
        Write::Helm(helm, upgrade) => run_helm(session, args, part, helm, upgrade).await?,
        Write::Apply => apply(session, &goal.namespace, part).await?,
    }
    session.done(&is)
}

async fn run_helm(
    session: &mut Session,
    args: &Args,
    part: &Part,
    helm: &Helm,
    upgrade: &Upgrade,
) -> Outcome<()> {
    let mut writer = helm.upgrade(upgrade)?;
    let finished = tokio::time::timeout(args.timeout, writer.finished());
    let Ok(status) = session.see_out(finished).await? else {
        let what = format!("helm is still at work after {:?}", args.timeout);
        let hint = format!("it is left at work; {AGAIN}, and waits for it");
        return Err(Ending::Stopped(Explained::new(what, hint)));
    };
    let status = status?;
    if status.success() {
        return Ok(());
    }
    let what = format!(
        "helm could not upgrade {} ({status}): {}",
        part.name,
        quote(&writer.said()?)
    );
    let hint = part.or_back(&format!("mend what it says and {AGAIN}"));
    Err(Ending::No(Explained::new(what, hint)))
}
