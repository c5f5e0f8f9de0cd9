//! Writes the definitions and the control plane.

use mesh_actor::{AGAIN, Ending, Outcome, hinted, refused};
use mesh_records::{Explained, StepName};

use crate::anew::Content;
use crate::apply::apply;
use crate::args::Args;
use crate::child::quote;
use crate::claims;
use crate::gate::Goal;
use crate::installer::history::{Author, Revision};
use crate::plan::{Doing, Helming, Part, Plan, Staged, Write};
use crate::scene::{Scene, overtaken_scene, still_shown};
use crate::session::Session;
use crate::shown::{Facts, Written, fact};

/// The result of one `helm upgrade`.
enum Came {
    Through,
    /// Another helm wrote a revision of the release first.
    TooLate(Ending),
}

/// Writes the definitions, if that is needed.
pub(crate) async fn definitions(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
    shown: &Scene,
    part: &Part,
) -> Outcome<()> {
    if part.is_needed {
        still_shown(session, args, goal, shown).await?;
    }
    let left = run(session, args, goal, shown, StepName::Crds, part).await?;
    if part.is_needed {
        session.since = Written::Definitions(left);
    }
    Ok(())
}

/// Upgrades the control plane, if that is needed.
pub(crate) async fn control_plane(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
    shown: &Scene,
    plan: &Plan,
) -> Outcome<()> {
    let part = &plan.control_plane;
    if part.is_needed {
        still_shown(session, args, goal, shown).await?;
    }
    run(session, args, goal, shown, StepName::ControlPlane, part).await?;
    if part.is_needed {
        claims::control_plane(session, goal, plan).await?;
        session.done(&part.written())?;
    }
    Ok(())
}

/// Rolls the control plane back after a failure of this run's own, which needs no further look.
pub(crate) async fn roll_back(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
    shown: &Scene,
    plan: &Plan,
) -> Outcome<()> {
    let part = &plan.control_plane;
    run(session, args, goal, shown, StepName::ControlPlane, part).await?;
    claims::control_plane(session, goal, plan).await?;
    session.done(&part.written())
}

// The step of the control plane is done only after its claims were checked. Returns what helm left.
async fn run(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
    shown: &Scene,
    step: StepName,
    part: &Part,
) -> Outcome<Facts> {
    let Part { name, rendered, .. } = part;
    let is = part.written();
    if !part.is_needed {
        session.skip(step, &is, "it is already at the target")?;
        return Ok(Facts::new());
    }
    let doing = match &part.write {
        Write::Helm(helming) => helming.words().0,
        Write::Apply => "upgrading",
    };
    let message = format!("{doing} {name} to {}", rendered.chart);
    session.begin_write(step, &message, part.command.clone())?;
    let left = match &part.write {
        Write::Helm(helming) => {
            let left = run_helm(session, args, goal, shown, step, part, helming).await?;
            Facts::from([fact((&helming.release().name, &left))])
        }
        Write::Apply => {
            touched(session, part);
            apply(session, &goal.namespace, part).await?;
            session.wrote(step, &part.name);
            Facts::new()
        }
    };
    if step != StepName::ControlPlane {
        session.done(&is)?;
    }
    Ok(left)
}

// A helm process of an earlier, killed run may write its first revision only after this run has
// checked. Then wait for that helm, compare again, and try a second time.
async fn run_helm(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
    shown: &Scene,
    step: StepName,
    part: &Part,
    helming: &Helming,
) -> Outcome<Revision> {
    let came = run_once(session, args, part, helming).await?;
    match (came, &helming.deed) {
        (Came::Through, _) => {
            let left = claims::release(session, part, helming).await?;
            session.wrote(step, &part.name);
            return Ok(left);
        }
        (Came::TooLate(ending), Doing::Rollback(_)) => return Err(ending),
        (Came::TooLate(_), Doing::Upgrade(_)) => {}
    }
    session.begun(None);
    let scene = overtaken_scene(session, args, goal, shown).await?;
    let rendering = scene.installer.render(session, args, goal, &scene.live);
    let Staged::Whole(parts) = rendering.await? else {
        return Err(anyhow::anyhow!("{} is not a helm release any more", part.name).into());
    };
    let mut now = [parts.crds, parts.control_plane].into_iter();
    let now = now.find(|it| it.name == part.name);
    let Some((now, Write::Helm(helming))) = now.as_ref().map(|now| (now, &now.write)) else {
        return Err(anyhow::anyhow!("{} is not a helm release any more", part.name).into());
    };
    if now.is_needed {
        if let Came::TooLate(ending) = run_once(session, args, part, helming).await? {
            return Err(ending);
        }
        let left = claims::release(session, part, helming).await?;
        session.wrote(step, &part.name);
        return Ok(left);
    }
    // The other helm has done it, of what was agreed to.
    let over = helming.over.saturating_sub(1);
    let by_other = Helming {
        over,
        ..Helming::clone(helming)
    };
    claims::release(session, part, &by_other).await
}

async fn run_once(
    session: &mut Session<'_>,
    args: &Args,
    part: &Part,
    helming: &Helming,
) -> Outcome<Came> {
    if let Err(ending) = still_agreed(session, part, helming).await? {
        return match was_overtaken(session, helming).await? {
            true => Ok(Came::TooLate(ending)),
            false => Err(ending),
        };
    }
    session.run.may_write()?;
    let mut writer = helming.start()?;
    session.begun(Some(format!("perhaps a part of {}", part.name)));
    let finished = tokio::time::timeout(args.timeout, writer.finished());
    let Ok(status) = session.see_out(finished).await? else {
        touched(session, part);
        let what = format!("helm has not finished after {:?}", args.timeout);
        let hint = format!("helm goes on by itself; {AGAIN} and waits for helm");
        return Err(Ending::Stopped(Explained::new(what, hint)));
    };
    let status = status?;
    if status.success() {
        touched(session, part);
        return Ok(Came::Through);
    }
    let said = writer.said()?;
    let what = format!(
        "helm {} {} ({status}): {}",
        helming.words().1,
        part.name,
        quote(&said)
    );
    let hint = format!("fix the error that helm reports, then {AGAIN}");
    let ending = Ending::No(Explained::new(what, hint));
    let reading = helming.helm.history(helming.release());
    match session.see_out(reading).await? {
        Ok(history) => match history.author(helming.over, Some(&said)) {
            Some(Author::Another) => return Ok(Came::TooLate(ending)),
            Some(Author::Ours) => {
                touched(session, part);
                // Our helm is over, so that nobody works on what it left unfinished.
                session.abandoned = Some(history.latest().clone());
            }
            None => session.begun(None),
        },
        // Nobody knows what helm wrote.
        Err(_) => touched(session, part),
    }
    Err(ending)
}

// Notes the way back from what was perhaps written. A rollback has none.
fn touched(session: &mut Session<'_>, part: &Part) {
    if part.way_back.is_some() {
        session.way_back.clone_from(&part.way_back);
    }
}

// Renders once more, because a chart may look things up in the cluster, and helm keeps values of
// the definitions' release there. The inner error says why helm may not write.
async fn still_agreed(
    session: &mut Session<'_>,
    agreed: &Part,
    helming: &Helming,
) -> Outcome<Result<(), Ending>> {
    let rendered = match session
        .unless_stopped(helming.render(&agreed.rendered))
        .await?
    {
        Ok(rendered) => rendered,
        Err(error) => return Ok(Err(hinted(error, AGAIN))),
    };
    let differing = Content::rendered(&agreed.rendered).differing(&Content::rendered(&rendered));
    if differing.is_empty() {
        return Ok(Ok(()));
    }
    let what = format!(
        "what helm would write now is not what was agreed to: {}",
        differing.join(", ")
    );
    Ok(Err(refused(
        what,
        "see what changed in the cluster, then run the pipeline again",
    )))
}

// Whether another helm wrote the release before ours was started. Unreadable history: assume that
// nobody did.
async fn was_overtaken(session: &mut Session<'_>, helming: &Helming) -> Outcome<bool> {
    let reading = helming.helm.history(helming.release());
    let history = session.see_out(reading).await?;
    let author = history.map(|history| history.author(helming.over, None));
    Ok(matches!(author, Ok(Some(Author::Another))))
}
