//! Everything before the first write: charts, identity, a rehearsal on the server, consent.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _};
use mesh_cli::{DryRun, Leave};
use mesh_cluster::control_plane::Config;
use mesh_cluster::{Cluster, Kinds, Opinion};
use mesh_records::{Deed, Intent, Record, StepName};
use mesh_versions::{Releases, Version};
use sha2::{Digest as _, Sha256};

use crate::args::Args;
use crate::drive::{Goal, Scene};
use crate::helm::{Chart, Helm, Upgrade, Values};
use crate::identity::{Change, Identity, Key, changes};
use crate::live::is_kept;
use crate::render::{Expected, Manifest, Rendered};
use crate::session::{Ending, Outcome, Session, refused};

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
/// As many questions as the API server is asked at once.
const AT_ONCE: usize = 8;

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
    let (chart, crds_chart) = session.unless_stopped(charts(args, target, helm)).await??;
    let control_plane = Upgrade {
        release: scene.live.release.clone(),
        chart,
        values: Values::Reset(args.values.clone()),
    };
    let crds = Upgrade {
        release: scene.live.crds.clone(),
        chart: crds_chart,
        values: Values::Keep,
    };
    let both = futures::future::try_join(helm.render(&crds), helm.render(&control_plane));
    let rendered = session.unless_stopped(both).await?;
    let (crds_rendered, rendered) = rendered.map_err(|error| {
        let hint = "give this cluster's values with -f, and charts that helm finds";
        refused(format!("{error:#}"), hint)
    })?;
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
            is_needed: !(is_there && scene.control_plane.is_at(&rendered.chart)),
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

// The charts that were named, or those of the target's own repository.
async fn charts(args: &Args, target: &str, helm: &Helm) -> Outcome<(Chart, Chart)> {
    if let (Some(chart), Some(crds)) = (&args.chart, &args.crds_chart) {
        let chart = Chart {
            chart: chart.clone(),
            version: args.chart_version.clone(),
        };
        let crds = Chart {
            chart: crds.clone(),
            version: args.crds_chart_version.clone(),
        };
        return Ok((chart, crds));
    }
    let hint = "name both charts: --chart, --crds-chart";
    let releases = Releases::embedded();
    let version = Version::of_tag(target);
    let repository = version
        .channel()
        .and_then(|channel| releases.repository(channel));
    let Some(repository) = repository else {
        return Err(refused(
            format!("no repository is known for {target}"),
            hint,
        ));
    };
    let known = releases.charts(&version);
    let named = |chart: &str| format!("{}/{chart}", repository.name);
    let (chart, crds) = (named(&repository.control_plane), named(&repository.crds));
    let add = format!(
        "helm repo add {} {}; or {hint}",
        repository.name, repository.url
    );
    let of_chart = args.chart_version.clone();
    let of_chart = of_chart.or_else(|| known.and_then(|known| known.control_plane.clone()));
    let of_chart = match of_chart {
        Some(version) => Some(version),
        None => helm
            .search(&chart, target)
            .await
            .map_err(|error| refused(format!("{error:#}"), add.clone()))?,
    };
    let of_crds = args.crds_chart_version.clone();
    let of_crds = of_crds.or_else(|| known.and_then(|known| known.crds.clone()));
    match (of_chart, of_crds) {
        (Some(version), Some(of_crds)) => Ok((
            Chart {
                chart,
                version: Some(version),
            },
            Chart {
                chart: crds,
                version: Some(of_crds),
            },
        )),
        (None, _) => Err(refused(format!("{chart} has no chart of {target}"), add)),
        (Some(_), None) => Err(refused(
            format!("it is not known which version of {crds} belongs to {target}"),
            "say --crds-chart-version",
        )),
    }
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
    for name in crate::render::crds(installed).difference(&new) {
        if !is_kept(cluster, name).await? {
            lost.push((*name).to_owned());
        }
    }
    Ok(lost)
}

// Every object is asked about; the first refusal is the answer.
async fn preflight(session: &mut Session, goal: &Goal, plan: &Plan) -> Outcome<()> {
    session.begin(
        StepName::Preflight,
        "asking the API server about every object (dryRun=All)",
    )?;
    let cluster = Arc::clone(&session.cluster);
    let parts = [&plan.crds, &plan.control_plane]
        .into_iter()
        .filter(|part| part.is_needed);
    let manifests: Vec<&Manifest> = parts.flat_map(|part| &part.rendered.manifests).collect();
    let to_come = plan.crds.rendered.new_kinds();
    let rehearsing = async {
        let mut kinds = Kinds::default();
        let mut questions = Vec::new();
        let mut unasked = 0;
        for manifest in &manifests {
            match cluster
                .kind(&mut kinds, &manifest.api_version, &manifest.kind)
                .await?
            {
                Some(kind) => questions.push((kind, *manifest)),
                None if to_come.contains(&manifest.kind) => unasked += 1,
                None => return Err(unknown_kind(manifest)),
            }
        }
        let asked = questions.len();
        let answers = futures::stream::iter(questions).map(|(kind, manifest)| {
            let cluster = &cluster;
            async move {
                match cluster
                    .rehearse(&kind, &manifest.body, &goal.namespace)
                    .await?
                {
                    Opinion::Accepted => Ok(()),
                    Opinion::Refused(reason) => Err(refused(
                        format!("the API server would refuse {manifest}: {reason}"),
                        "nothing was written; mend what it says",
                    )),
                }
            }
        });
        answers
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        Ok((asked, unasked))
    };
    let (asked, unasked) = session.unless_stopped(rehearsing).await??;
    let rest = match unasked {
        0 => String::new(),
        count => format!("; {count} are of kinds that come with the new definitions"),
    };
    session.done(&format!(
        "the API server would take all {asked} objects{rest}"
    ))
}

fn unknown_kind(manifest: &Manifest) -> Ending {
    refused(
        format!(
            "the API server does not know the kind of {manifest} ({})",
            manifest.api_version
        ),
        "is the cluster's Kubernetes too old or too new for the target?",
    )
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

/// Says what will be done and gets leave to do it; false if it is only shown.
pub(crate) async fn agree(
    session: &mut Session,
    args: &Args,
    goal: &Goal,
    helm: &Helm,
    plan: &Plan,
) -> Outcome<bool> {
    if plan.is_done() {
        return Ok(true);
    }
    let deeds = deeds(args, helm, plan)?;
    let intent = Intent {
        cluster: session.cluster.label().to_owned(),
        time: session.now(),
        message: format!(
            "upgrade the control plane in {} from {} to {}",
            goal.namespace,
            goal.from
                .as_ref()
                .map_or("what it is", |from| from.version.as_str()),
            goal.target
        ),
        digest: Intent::digest(&deeds),
        deeds,
    };
    session.emit(&Record::Intent(intent.clone()))?;
    let summary = summary(session, args, goal, plan, &intent);
    let consent = args.consent.clone();
    // Asked beside the runtime, which renews the lock meanwhile.
    let asking =
        tokio::task::spawn_blocking(move || mesh_cli::consent(&consent, &intent, &summary));
    match session
        .unless_stopped(asking)
        .await?
        .context("asking for consent")??
    {
        Leave::Act => Ok(true),
        Leave::DryRun(_) => Ok(false),
    }
}

fn deeds(args: &Args, helm: &Helm, plan: &Plan) -> anyhow::Result<Vec<Deed>> {
    let mut hash = Sha256::new();
    for path in &args.values {
        let bytes = std::fs::read(path);
        hash.update(bytes.with_context(|| format!("reading `{}`", path.display()))?);
    }
    let hash: String = hash
        .finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let parts = [&plan.crds, &plan.control_plane]
        .into_iter()
        .filter(|part| part.is_needed);
    let deed = |part: &Part| {
        let release = &part.upgrade.release;
        let values = match part.upgrade.values {
            Values::Keep => String::new(),
            Values::Reset(_) => format!(" with values {hash}"),
        };
        Deed {
            verb: helm
                .command(&part.upgrade)
                .into_iter()
                .take(2)
                .collect::<Vec<_>>()
                .join(" "),
            object: format!(
                "{}/{} to {}{values}",
                release.namespace, release.name, part.rendered.chart
            ),
        }
    };
    Ok(parts.map(deed).collect())
}

fn summary(session: &Session, args: &Args, goal: &Goal, plan: &Plan, intent: &Intent) -> String {
    let cluster = &session.cluster;
    let mut lines = vec![
        format!("{} ({})", cluster.label(), cluster.server()),
        intent.message.clone(),
    ];
    lines.extend(
        intent
            .deeds
            .iter()
            .map(|deed| format!("  {} {}", deed.verb, deed.object)),
    );
    lines.push(format!(
        "{} components will roll; while the injector does, new pods may come without a proxy",
        plan.components.len()
    ));
    lines.extend(
        plan.changes
            .iter()
            .map(|change| format!("allowed: {change}")),
    );
    match &goal.verdict {
        None => lines.push(format!(
            "without a verdict: {}",
            args.reason.as_deref().unwrap_or("")
        )),
        Some(verdict) if verdict.waived.is_empty() => {}
        Some(verdict) => lines.push(format!("waived: {}", verdict.waived.join(", "))),
    }
    lines.join("\n")
}

// === impl Plan ===

impl Plan {
    /// Whether there is nothing to write.
    pub(crate) fn is_done(&self) -> bool {
        !self.crds.is_needed && !self.control_plane.is_needed
    }
}
