//! The steps before the first write: renders the charts and compares them with the cluster.

use std::sync::Arc;

use mesh_actor::{Ending, Outcome, refused};
use mesh_cli::DryRun;
use mesh_records::{Explained, StepName, command};

use crate::args::Args;
use crate::by_hand::ByHand;
use crate::certificates::{certificates, standing};
use crate::diff::lines;
use crate::foreseen::{foreseen, untold};
use crate::gate::Goal;
use crate::identity::{Change, Identity, Key, changes};
use crate::live::Live;
use crate::of_target;
use crate::plan::{Definitions, Part, Parts, Plan, Staged, unmoved};
use crate::preflight::{Accepted, preflight};
use crate::prove::{Proof, rehearse};
use crate::scene::{Scene, UNRENDERED, still_shown};
use crate::session::Session;
use crate::way_back::{rehearsing, say_way_back};

pub(crate) const AT_TARGET: &str = "it is already at the target";
const CURE_OF_IMAGES: &str = "name the target's images in the values, or remove the images from them: \
                              the chart sets its own";
const LATER: &str = "the control plane is rendered only when the CRDs are written";

/// Renders what can be rendered before the first write, compares it with the cluster, and sends it
/// as a dry run.
pub(crate) async fn prepare(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
    scene: &Scene,
    proof: &mut Proof,
) -> Outcome<Staged<Plan>> {
    session.begin(StepName::Render, "rendering both charts")?;
    let Scene {
        live, installer, ..
    } = scene;
    let rendering = installer.render(session, args, goal, live).await;
    let parts = match session.note(rendering)? {
        Some(Staged::Whole(parts)) => parts,
        Some(Staged::Definitions(mut first)) => {
            standing(session, args, live).await?;
            rendered_alone(session, args, &first)?;
            let parts = [&first.part];
            first.by_hand = try_out(session, args, goal, scene, &parts, proof).await?;
            first.by_hand.extend(ahead(session, args, goal).await?);
            let way_back = Some(&first.rest.way_back);
            let asking = rehearsing(session, args, way_back);
            say_way_back(session, way_back, asking).await?;
            session.conclude()?;
            return Ok(Staged::Definitions(first));
        }
        None => return Err(session.unchecked(&UNRENDERED[1..])),
    };
    let planned = whole(session, goal, live, parts);
    let Some(mut plan) = session.note(planned)? else {
        return Err(session.unchecked(&UNRENDERED[1..]));
    };
    if args.diff {
        diff(session, goal, &plan)?;
    }
    if plan.is_done() {
        for step in [StepName::Identity, StepName::Preflight, StepName::Backup] {
            session.skip(step, "nothing will be changed", AT_TARGET)?;
        }
        session.conclude()?;
        return Ok(Staged::Whole(plan));
    }
    let way_back = plan.control_plane.way_back.as_ref();
    let asking = rehearsing(session, args, way_back);
    plan.changes = identity(session, args, scene, &plan).await?;
    let parts = [&plan.crds, &plan.control_plane];
    plan.by_hand = try_out(session, args, goal, scene, &parts, proof).await?;
    plan.no_way_back = say_way_back(session, way_back, asking).await?;
    if let (true, Some(why)) = (args.rollback_on_failure, &plan.no_way_back) {
        let hint = "see to it, or leave out --rollback-on-failure";
        session.find(Explained::new(format!("there is no way back: {why}"), hint))?;
    }
    session.conclude()?;
    Ok(Staged::Whole(plan))
}

/// Renders and checks the control plane after the definitions were written. What it is rendered from
/// is compared with what was shown before and, right before the write, after that.
pub(crate) async fn rest(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
    shown: &Scene,
    agreed: &Definitions,
    proof: &mut Proof,
) -> Outcome<Plan> {
    let scene = still_shown(session, args, goal, shown).await?;
    match prepare(session, args, goal, &scene, proof).await? {
        Staged::Whole(plan) if !plan.crds.is_needed => match untold(&agreed.by_hand, &plan.by_hand)
        {
            None => {
                for value in &plan.control_plane.values {
                    session.says_object(&format!("{} {value}", value.verb()))?;
                }
                Ok(plan)
            }
            Some((object, field)) => Err(refused(
                format!(
                    "the upgrade would overwrite a field that was set by hand and that the question \
                     did not name: {object}: {field}"
                ),
                "run the pipeline again: now that the CRDs are written, its question names each such \
                 field",
            )),
        },
        Staged::Whole(_) | Staged::Definitions(_) => Err(refused(
            "the CRDs in the cluster are not those that were just written",
            "see what else writes them, such as Argo CD or Flux, then run the pipeline again",
        )),
    }
}

fn whole(session: &mut Session<'_>, goal: &Goal, live: &Live, parts: Parts) -> Outcome<Plan> {
    let target = &goal.target;
    let config = parts.control_plane.rendered.config();
    let config = config.map_err(|error| refused(format!("{error:#}"), parts.hint))?;
    let of_target = of_target::check(&parts, &config, &session.inputs.overrides, target);
    session.note(of_target)?;
    let Parts {
        crds,
        control_plane,
        ..
    } = parts;
    let count = crds.rendered.manifests.len() + control_plane.rendered.manifests.len();
    let mut by = vec![&crds.rendered.chart, &control_plane.rendered.chart];
    by.dedup();
    let by: Vec<&str> = by.into_iter().map(String::as_str).collect();
    session.done(&format!(
        "{} renders {count} objects of {target}",
        by.join(" and ")
    ))?;
    let components = control_plane.rendered.components()?;
    // Where the control plane is of another release today, an image that stays is not of the target.
    let moves = live.configuration().version != Some(target);
    let unmoved = moves.then(|| unmoved(&components, &live.components));
    Ok(Plan {
        components,
        injects: config.injects().unwrap_or(target).to_owned(),
        changes: unmoved.flatten().into_iter().collect(),
        by_hand: Vec::new(),
        no_way_back: None,
        crds,
        control_plane,
    })
}

fn diff(session: &mut Session<'_>, goal: &Goal, plan: &Plan) -> Outcome<()> {
    for part in [&plan.crds, &plan.control_plane] {
        let Some(installed) = &part.installed else {
            without_diff(session, part)?;
            continue;
        };
        let rendered = &part.rendered.manifests;
        for line in lines(installed, rendered, &goal.namespace) {
            session.says_object(&line)?;
        }
    }
    Ok(())
}

fn without_diff(session: &mut Session<'_>, part: &Part) -> Outcome<()> {
    let kubectl = session.run.paste().kubectl(&["diff", "-f", "-"]);
    let message = format!(
        "the linkerd CLI keeps no objects to compare with: `{} | {kubectl}` shows them",
        command(&part.command)
    );
    session.says_object(&message)
}

// Reads what somebody set by hand on the control plane, which is not rendered yet.
async fn ahead(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
) -> Outcome<Vec<(String, ByHand)>> {
    match args.actor.consent.dry_run {
        DryRun::Client => Ok(Vec::new()),
        DryRun::None | DryRun::Server => {
            let cluster = Arc::clone(&session.cluster);
            let reading = foreseen(&cluster, &goal.namespace);
            Ok(session.unless_stopped(reading).await??)
        }
    }
}

fn rendered_alone(session: &mut Session<'_>, args: &Args, first: &Definitions) -> Outcome<()> {
    let Definitions { part, missing, .. } = first;
    let count = part.rendered.manifests.len();
    session.done(&format!(
        "{} renders {count} CRDs; it renders the control plane only when the cluster has them all: \
         missing {}",
        part.rendered.chart,
        missing.join(", ")
    ))?;
    if args.diff {
        without_diff(session, part)?;
        let later = "the differences of the control plane come after the CRDs are written: the linkerd \
                     CLI does not render it before";
        session.says_object(later)?;
    }
    let message = "the identity settings are not compared yet";
    session.skip(StepName::Identity, message, LATER)
}

/// Sends the parts as a dry run, and asks which proxy new pods get today.
pub(crate) async fn try_out(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
    scene: &Scene,
    parts: &[&Part],
    proof: &mut Proof,
) -> Outcome<Vec<(String, ByHand)>> {
    if args.actor.consent.dry_run == DryRun::Client {
        session.skip(
            StepName::Preflight,
            "no server-side dry run",
            "--dry-run=client",
        )?;
        return Ok(Vec::new());
    }
    let Accepted { said, by_hand } = preflight(session, goal, parts).await?;
    let shown = rehearse(session, proof, scene.live.injects().as_deref()).await;
    let Some(shown) = session.note(shown)? else {
        return Ok(by_hand);
    };
    let by = match by_hand.len() {
        0 => String::new(),
        1 => "; 1 field of them was set by hand".to_owned(),
        count => format!("; {count} fields of them were set by hand"),
    };
    session.done(&format!("{said}{by}; {shown}"))?;
    Ok(by_hand)
}

/// Compares the identity settings, and fails if one changes that `--allow-change` does not name.
pub(crate) async fn identity(
    session: &mut Session<'_>,
    args: &Args,
    scene: &Scene,
    plan: &Plan,
) -> Outcome<Vec<Change>> {
    session.begin(StepName::Identity, "comparing the identity settings")?;
    let rendered = Some(&plan.control_plane.rendered);
    certificates(session, args, &scene.live, rendered).await?;
    let cluster = Arc::clone(&session.cluster);
    let comparing = async {
        let live = match &scene.identity {
            Some(identity) => identity.clone(),
            // Reading it again says why it cannot be read.
            None => scene.live.identity(&cluster).await?,
        };
        let mut all = changes(&live, &Identity::rendered(&plan.control_plane.rendered)?);
        all.extend(plan.losses());
        all.extend(plan.changes.iter().cloned());
        Ok::<_, anyhow::Error>(all)
    };
    let compared = session.unless_stopped(comparing).await?;
    let all = session
        .note(compared.map_err(Ending::from))?
        .unwrap_or_default();
    let unasked: Vec<&Change> = all
        .iter()
        .filter(|change| !args.allow_change.contains(&change.key))
        .collect();
    if !unasked.is_empty() {
        let finding = refused_changes(session, scene, &unasked);
        session.find(finding)?;
    }
    let message = match all.len() {
        0 => "the identity settings are unchanged".to_owned(),
        1 => "1 difference is allowed with --allow-change".to_owned(),
        count => format!("{count} differences are allowed with --allow-change"),
    };
    session.done(&message)?;
    Ok(all)
}

fn refused_changes(session: &Session<'_>, scene: &Scene, unasked: &[&Change]) -> Explained {
    let all: Vec<String> = unasked.iter().map(ToString::to_string).collect();
    let keys: Vec<String> = unasked.iter().map(|it| it.key.to_string()).collect();
    let allow = format!(
        "to allow this change, pass --allow-change {}",
        keys.join(",")
    );
    let has = |of: fn(Key) -> bool| unasked.iter().any(|change| of(change.key));
    let mut hints = Vec::new();
    if has(|key| key == Key::Images) {
        hints.push(CURE_OF_IMAGES.to_owned());
    }
    // No value keeps definitions that the chart no longer has.
    if has(|key| !matches!(key, Key::Crds | Key::Images)) {
        hints.push(scene.installer.check_values(&session.inputs.overrides));
    }
    hints.push(allow);
    Explained::new(all.join("; "), hints.join("; "))
}
