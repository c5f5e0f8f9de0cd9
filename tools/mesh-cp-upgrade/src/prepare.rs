//! The steps before the first write: renders the charts and compares them with the cluster.

use std::path::PathBuf;
use std::sync::Arc;

use mesh_actor::{Outcome, refused};
use mesh_cli::DryRun;
use mesh_records::StepName;

use crate::args::Args;
use crate::gate::Goal;
use crate::identity::{Change, Identity, Key, changes};
use crate::of_target;
use crate::plan::{Parts, Plan};
use crate::preflight::preflight;
use crate::prove::{Proof, rehearse};
use crate::scene::Scene;
use crate::session::Session;

const AT_TARGET: &str = "it is already at the target";

/// Renders both parts, compares them with the cluster, and sends them as a dry run.
pub(crate) async fn prepare(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
    scene: &Scene,
    proof: &mut Proof,
) -> Outcome<Plan> {
    let mut plan = render(session, args, goal, scene).await?;
    if plan.is_done() {
        for step in [StepName::Identity, StepName::Preflight, StepName::Backup] {
            session.skip(step, "nothing will be changed", AT_TARGET)?;
        }
        return Ok(plan);
    }
    plan.changes = identity(session, args, scene, &plan).await?;
    if args.actor.consent.dry_run == DryRun::Client {
        session.skip(
            StepName::Preflight,
            "no server-side dry run",
            "--dry-run=client",
        )?;
    } else {
        let accepted = preflight(session, goal, &plan).await?;
        let shown = rehearse(session, proof, scene.live.injects().as_deref()).await?;
        session.done(&format!("{accepted}; {shown}"))?;
    }
    backup(session, &plan)?;
    Ok(plan)
}

async fn render(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
    scene: &Scene,
) -> Outcome<Plan> {
    session.begin(StepName::Render, "rendering both charts")?;
    let target = &goal.target;
    let Scene { live, installer } = scene;
    let parts = installer.parts(session, args, goal, live).await?;
    let config = parts.control_plane.rendered.config();
    let config = config.map_err(|error| refused(format!("{error:#}"), parts.hint))?;
    of_target::check(&parts, &config, target)?;
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
    Ok(Plan {
        components: control_plane.rendered.components()?,
        injects: config.injects().unwrap_or(target).to_owned(),
        changes: Vec::new(),
        crds,
        control_plane,
    })
}

async fn identity(
    session: &mut Session<'_>,
    args: &Args,
    scene: &Scene,
    plan: &Plan,
) -> Outcome<Vec<Change>> {
    session.begin(StepName::Identity, "comparing the identity settings")?;
    let cluster = Arc::clone(&session.cluster);
    let comparing = async {
        let live = scene.live.identity(&cluster).await?;
        let mut all = changes(&live, &Identity::rendered(&plan.control_plane.rendered)?);
        let losses = scene.installer.losses(&cluster, &plan.crds.rendered);
        all.extend(losses.await?);
        Ok::<_, anyhow::Error>(all)
    };
    let all = session.unless_stopped(comparing).await??;
    let unasked: Vec<&Change> = all
        .iter()
        .filter(|change| !args.allow_change.contains(&change.key))
        .collect();
    if let Some(first) = unasked.first() {
        let rest: Vec<String> = unasked.iter().map(ToString::to_string).collect();
        let keys: Vec<String> = unasked
            .iter()
            .map(|change| change.key.to_string())
            .collect();
        let hint = if first.key == Key::Anchors {
            format!(
                "check that these values are for this cluster: {}; or, ",
                files(&args.values)
            )
        } else {
            String::new()
        };
        let hint = format!(
            "{hint}to allow this change, pass --allow-change {}",
            keys.join(",")
        );
        return Err(refused(rest.join("; "), hint));
    }
    let message = match all.len() {
        0 => "the identity settings are unchanged".to_owned(),
        count => format!("{count} identity settings change, as --allow-change says"),
    };
    session.done(&message)?;
    Ok(all)
}

fn files(values: &[PathBuf]) -> String {
    let names: Vec<String> = values
        .iter()
        .map(|path| format!("`{}`", path.display()))
        .collect();
    match names.is_empty() {
        true => "the default values (no -f was passed)".to_owned(),
        false => names.join(", "),
    }
}

fn backup(session: &mut Session<'_>, plan: &Plan) -> Outcome<()> {
    session.begin(StepName::Backup, "looking for a revision to go back to")?;
    session.done(&plan.control_plane.backup)
}
