//! Before the first write: the charts are rendered, and compared with what is there.

use std::path::PathBuf;
use std::sync::Arc;

use mesh_cli::DryRun;
use mesh_cluster::Cluster;
use mesh_cluster::control_plane::Config;
use mesh_records::StepName;

use crate::args::Args;
use crate::charts::charts;
use crate::drive::{Goal, Scene};
use crate::ending::{Outcome, refused};
use crate::helm::{Helm, Upgrade, Values};
use crate::identity::{Change, Identity, Key, changes};
use crate::live::is_kept;
use crate::preflight::preflight;
use crate::render::{Expected, Manifest, Rendered, crds};
use crate::session::Session;
use crate::values;

/// What will be done.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) crds: Part,
    pub(crate) control_plane: Part,
    pub(crate) components: Vec<Expected>,
    /// The proxy version that the injector will give.
    pub(crate) injects: String,
    pub(crate) changes: Vec<Change>,
}

/// One release's part of it.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) upgrade: Upgrade,
    pub(crate) rendered: Rendered,
    pub(crate) is_needed: bool,
    /// The revision to go back to.
    pub(crate) way_back: Option<u32>,
}

const AT_TARGET: &str = "it is at the target already";

/// Renders, compares and rehearses.
pub(crate) async fn prepare(
    session: &mut Session,
    args: &Args,
    goal: &Goal,
    helm: &Helm,
    scene: &Scene,
) -> Outcome<Plan> {
    let mut plan = render(session, args, goal, helm, scene).await?;
    if plan.is_done() {
        for step in [StepName::Identity, StepName::Preflight, StepName::Backup] {
            session.skip(step, "nothing will be changed", AT_TARGET)?;
        }
        return Ok(plan);
    }
    plan.changes = identity(session, args, helm, scene, &plan).await?;
    if args.consent.dry_run == DryRun::Client {
        session.skip(
            StepName::Preflight,
            "the API server is not asked",
            "--dry-run=client",
        )?;
    } else {
        preflight(session, goal, &plan).await?;
    }
    backup(session, &plan)?;
    Ok(plan)
}

async fn render(
    session: &mut Session,
    args: &Args,
    goal: &Goal,
    helm: &Helm,
    scene: &Scene,
) -> Outcome<Plan> {
    session.begin(StepName::Render, "rendering both charts")?;
    let target = &goal.target;
    let named = session.unless_stopped(charts(args, target, helm)).await??;
    let control_plane = Upgrade {
        release: scene.live.release.clone(),
        chart: named.control_plane,
        values: Values::Reset(args.values.clone()),
    };
    let crds = Upgrade {
        release: scene.live.crds.clone(),
        chart: named.crds,
        values: Values::Keep,
    };
    let wanted = values::read(&args.values)?;
    let release = &scene.live.release;
    let all = futures::future::try_join3(
        helm.render(&crds),
        helm.render(&control_plane),
        helm.values(release),
    );
    let rendered = session.unless_stopped(all).await?;
    let rendered = rendered.map_err(|error| refused(format!("{error:#}"), named.hint));
    let (crds_rendered, rendered, given) = rendered?;
    let config = rendered.config()?;
    is_of_target(&rendered, &config, target)?;
    if crds_rendered.crds().is_empty() {
        let what = format!("the chart {} renders no definition", crds_rendered.chart);
        return Err(refused(
            what,
            "name the chart of the definitions: --crds-chart",
        ));
    }
    let components = rendered.components()?;
    let is_there = scene.live.state().version == Some(target.as_str());
    let plan = Plan {
        components,
        injects: config.injects().unwrap_or(target).to_owned(),
        changes: Vec::new(),
        crds: Part {
            is_needed: !scene.crds.is_at(&crds_rendered.chart),
            way_back: scene.crds.way_back(&crds_rendered.chart),
            upgrade: crds,
            rendered: crds_rendered,
        },
        control_plane: Part {
            // What was mended in the values after a failed upgrade is to be applied.
            is_needed: !(is_there
                && scene.control_plane.is_at(&rendered.chart)
                && values::same(&given, &wanted)),
            way_back: scene.control_plane.way_back(&rendered.chart),
            upgrade: control_plane,
            rendered,
        },
    };
    let count = plan.crds.rendered.manifests.len() + plan.control_plane.rendered.manifests.len();
    session.done(&format!(
        "{} and {} render {count} objects of {target}",
        plan.crds.rendered.chart, plan.control_plane.rendered.chart
    ))?;
    Ok(plan)
}

fn is_of_target(rendered: &Rendered, config: &Config, target: &str) -> Outcome<()> {
    let renders = config.version().unwrap_or("no version");
    if renders != target {
        return Err(refused(
            format!(
                "the chart {} renders {renders}, not {target}",
                rendered.chart
            ),
            "name the chart whose appVersion is the target: --chart, --chart-version",
        ));
    }
    for component in rendered.components()? {
        if let Some(image) = component.strangers(target).first() {
            return Err(refused(
                format!(
                    "{} would run {image}, which is not {target}",
                    component.name
                ),
                "take the pinned version out of the values file",
            ));
        }
    }
    Ok(())
}

async fn identity(
    session: &mut Session,
    args: &Args,
    helm: &Helm,
    scene: &Scene,
    plan: &Plan,
) -> Outcome<Vec<Change>> {
    session.begin(
        StepName::Identity,
        "comparing what the mesh knows itself by",
    )?;
    let cluster = Arc::clone(&session.cluster);
    let comparing = async {
        let live = scene.live.identity(&cluster).await?;
        let mut all = changes(&live, &Identity::rendered(&plan.control_plane.rendered)?);
        let installed = helm.installed(&scene.live.crds).await?;
        let lost = lost_definitions(&cluster, &installed, &plan.crds.rendered).await?;
        if !lost.is_empty() {
            let (from, to) = ("there".to_owned(), format!("deleted ({})", lost.join(", ")));
            all.push(Change {
                key: Key::Crds,
                from,
                to,
            });
        }
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
                "{} belong to another cluster? otherwise: ",
                files(&args.values)
            )
        } else {
            String::new()
        };
        let hint = format!(
            "{hint}to change it on purpose, say --allow-change {}",
            keys.join(",")
        );
        return Err(refused(rest.join("; "), hint));
    }
    let message = match all.len() {
        0 => "nothing of it changes".to_owned(),
        count => format!("{count} of its values change, as allowed"),
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
        true => "do the chart's own values".to_owned(),
        false => format!("does {}", names.join(", ")),
    }
}

// Definitions that helm would delete, and with them every object of their kinds.
async fn lost_definitions(
    cluster: &Cluster,
    installed: &[Manifest],
    rendered: &Rendered,
) -> anyhow::Result<Vec<String>> {
    let new = rendered.crds();
    let mut lost = Vec::new();
    for name in crds(installed).difference(&new) {
        if !is_kept(cluster, name).await? {
            lost.push((*name).to_owned());
        }
    }
    Ok(lost)
}

fn backup(session: &mut Session, plan: &Plan) -> Outcome<()> {
    session.begin(StepName::Backup, "looking for the way back")?;
    let Part {
        upgrade, way_back, ..
    } = &plan.control_plane;
    let message = match way_back {
        Some(revision) => format!("helm keeps revision {revision} of {}", upgrade.release.name),
        None => format!("helm keeps no earlier revision of {}", upgrade.release.name),
    };
    session.done(&message)
}

// === impl Plan ===

impl Plan {
    /// Whether there is nothing to write.
    pub(crate) fn is_done(&self) -> bool {
        !self.crds.is_needed && !self.control_plane.is_needed
    }
}
