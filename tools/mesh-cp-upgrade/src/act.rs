//! Upgrades the definitions, then the control plane.

use mesh_actor::{AGAIN, Ending, Outcome};
use mesh_records::{Explained, StepName};

use crate::apply::apply;
use crate::args::Args;
use crate::child::quote;
use crate::gate::Goal;
use crate::plan::{Helming, Part, Plan, Write};
use crate::scene::quiet_scene;
use crate::session::Session;

/// The result of one `helm upgrade`.
enum Came {
    Through,
    /// Another helm wrote a revision of the release first.
    TooLate(Ending),
}

/// Upgrades the parts that need it, the definitions first.
pub(crate) async fn upgrade(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
    plan: &Plan,
) -> Outcome<()> {
    let control_plane = &plan.control_plane;
    run(session, args, goal, StepName::Crds, &plan.crds).await?;
    run(session, args, goal, StepName::ControlPlane, control_plane).await
}

async fn run(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
    step: StepName,
    part: &Part,
) -> Outcome<()> {
    let Part { name, rendered, .. } = part;
    let is = format!("{name} is at {}", rendered.chart);
    if !part.is_needed {
        return session.skip(step, &is, "it is already at the target");
    }
    let message = format!("upgrading {name} to {}", rendered.chart);
    session.begin_write(step, &message, part.command.clone())?;
    match &part.write {
        Write::Helm(helming) => run_helm(session, args, goal, part, helming).await?,
        Write::Apply => apply(session, &goal.namespace, part).await?,
    }
    session.done(&is)
}

// A helm process of an earlier, killed run may write its first revision only after this run has
// checked. Then wait for that helm, compare again, and try a second time.
async fn run_helm(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
    part: &Part,
    helming: &Helming,
) -> Outcome<()> {
    if let Came::Through = run_once(session, args, part, helming).await? {
        return Ok(());
    }
    let (scene, _) = quiet_scene(session, args, goal).await?;
    let parts = scene.installer.parts(session, args, goal, &scene.live);
    let parts = parts.await?;
    let mut now = [parts.crds, parts.control_plane].into_iter();
    if now.any(|it| it.name == part.name && !it.is_needed) {
        return Ok(());
    }
    session.run.may_write()?;
    match run_once(session, args, part, helming).await? {
        Came::Through => Ok(()),
        Came::TooLate(ending) => Err(ending),
    }
}

async fn run_once(
    session: &mut Session<'_>,
    args: &Args,
    part: &Part,
    helming: &Helming,
) -> Outcome<Came> {
    let Helming { helm, upgrade, .. } = helming;
    let mut writer = helm.upgrade(upgrade)?;
    let finished = tokio::time::timeout(args.timeout, writer.finished());
    let Ok(status) = session.see_out(finished).await? else {
        let what = format!("helm has not finished after {:?}", args.timeout);
        let hint = format!("helm goes on by itself; {AGAIN} and waits for helm");
        return Err(Ending::Stopped(Explained::new(what, hint)));
    };
    let status = status?;
    if status.success() {
        return Ok(Came::Through);
    }
    let what = format!(
        "helm could not upgrade {} ({status}): {}",
        part.name,
        quote(&writer.said()?)
    );
    let hint = part.or_back(&format!("fix the error that helm reports, then {AGAIN}"));
    let ending = Ending::No(Explained::new(what, hint));
    match was_overtaken(session, helming).await? {
        true => Ok(Came::TooLate(ending)),
        false => Err(ending),
    }
}

// Unreadable history: assume that nobody overtook us.
async fn was_overtaken(session: &mut Session<'_>, helming: &Helming) -> Outcome<bool> {
    let Helming {
        helm,
        upgrade,
        over,
    } = helming;
    let history = session.see_out(helm.history(&upgrade.release)).await?;
    Ok(history.is_ok_and(|history| history.overtook(*over)))
}
