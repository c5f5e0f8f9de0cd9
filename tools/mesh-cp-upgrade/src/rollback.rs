//! Goes back to the version before: `--rollback`, and `--rollback-on-failure`. helm writes its own
//! older revision again; the definitions stay, because the API server may refuse older ones.

use std::sync::Arc;

use mesh_actor::{Ending, Outcome, hinted, refused};
use mesh_records::{Explained, StepName};

use crate::act;
use crate::agree::agree;
use crate::args::Args;
use crate::gate::Goal;
use crate::installer::Installer;
use crate::installer::back::{Revisit, WayBack};
use crate::installer::releases::HelmReleases;
use crate::mesh;
use crate::monitor::settle;
use crate::plan::{Doing, Helming, Part, Plan, Staged, Write};
use crate::preflight::{Accepted, preflight};
use crate::prepare::identity;
use crate::present::{missing, removed};
use crate::prove::{places, prove, rehearse};
use crate::render::Rendered;
use crate::scene::{Scene, look_around, under_lock};
use crate::session::Session;
use crate::way_back::offered;

/// How many workloads with newer proxies are named.
const MOST: usize = 10;

/// Runs `--rollback`.
pub(crate) async fn run(session: &mut Session<'_>, args: &Args) -> Outcome<Ending> {
    let namespace = args.linkerd_namespace.clone();
    let to = args.to.as_ref().map(ToString::to_string);
    let mut goal = goal(
        namespace.unwrap_or_else(|| "linkerd".to_owned()),
        to.clone()
            .unwrap_or_else(|| "the version before".to_owned()),
    );
    let message = format!("going back to {}", goal.target);
    session.skip(StepName::Gate, &message, "--rollback")?;
    let scene = under_lock(session, args, &goal).await?;
    goal.from = Some(scene.seen());
    session.begin(StepName::Render, "looking for a revision to go back to")?;
    let releases = releases(&scene)?;
    let history = &releases.control_plane.history;
    if history.is_rolled_back(to.as_deref()) {
        let there = format!(
            "{} is rolled back already: {}",
            releases.name(),
            history.latest()
        );
        session.done(&there)?;
        return Ok(done(session, Some(there)));
    }
    let (mut plan, target) = planned(session, args, releases, to.as_deref()).await?;
    goal.target = target;
    session.done(&format!("{} has {}", plan.control_plane.name, goal.target))?;
    plan.changes = identity(session, args, &scene, &plan).await?;
    let parts = [&plan.control_plane];
    let Accepted { said, by_hand } = preflight(session, &goal, &parts).await?;
    plan.by_hand = by_hand;
    let cluster = Arc::clone(&session.cluster);
    let pods = session.unless_stopped(mesh::pods(&cluster, &goal.namespace));
    let mut proof = places(args, &mesh::places(&pods.await??));
    let shown = rehearse(session, &mut proof, scene.live.injects().as_deref()).await?;
    session.done(&format!("{said}; {shown}"))?;
    let prepared = Staged::Whole(plan);
    let agreed = agree(session, args, &goal, &prepared).await?;
    let Staged::Whole(plan) = prepared else {
        return Err(anyhow::anyhow!("a rollback has no definitions").into());
    };
    if !agreed {
        return Ok(Ending::Done {
            next: Some(session.run.for_real()),
            reason: Some("dry run: nothing was written".to_owned()),
        });
    }
    act::control_plane(session, args, &goal, &scene, &plan).await?;
    settle(session, args, &goal, &plan).await?;
    let reason = prove(session, &goal.target, &plan.injects, proof).await?;
    ahead(session, &goal).await?;
    Ok(done(session, reason))
}

/// Goes back after an upgrade that failed, if this run has touched the control plane.
pub(crate) async fn after(session: &mut Session<'_>, args: &Args, ending: Ending) -> Ending {
    let error = match ending {
        Ending::No(error) if session.way_back.is_some() => error,
        Ending::No(_)
        | Ending::Done { .. }
        | Ending::Failed(_)
        | Ending::Stopped(_)
        | Ending::Skipped(_)
        | Ending::Left { .. } => return ending,
    };
    let failed = Ending::No(Explained::new(error.to_string(), ""));
    let noted = session.fail_step(&failed);
    let back = match noted {
        Ok(()) => go_back(session, args).await,
        Err(ending) => Err(ending),
    };
    match back {
        Ok(said) => Ending::No(Explained::new(
            format!("{error}; {said}"),
            "find the cause, then run the pipeline again",
        )),
        Err(left @ Ending::Left { .. }) => left,
        Err(ending) => {
            let why = ending.reason().unwrap_or_default();
            let what = format!("{error}; and the rollback has failed: {why}");
            let ending = Ending::No(Explained::new(what, error.hint()));
            offered(session, ending).await
        }
    }
}

// Returns a sentence on what was done.
async fn go_back(session: &mut Session<'_>, args: &Args) -> Outcome<String> {
    let Some(WayBack::Helm(revisit)) = session.way_back.clone() else {
        return Err(anyhow::anyhow!("nobody knows a revision to go back to").into());
    };
    let mut goal = goal(revisit.release.namespace.clone(), String::new());
    let scene = look_around(session, args, &goal).await?;
    let releases = releases(&scene)?;
    let history = &releases.control_plane.history;
    let old = history
        .of(revisit.revision)
        .map(|it| it.app_version.clone());
    let (plan, target) = planned(session, args, releases, old.as_deref()).await?;
    goal.target = target;
    preflight(session, &goal, &[&plan.control_plane]).await?;
    session.done("server-side dry run: the way back is accepted")?;
    act::roll_back(session, args, &goal, &scene, &plan).await?;
    settle(session, args, &goal, &plan).await?;
    let cluster = Arc::clone(&session.cluster);
    let pods = session.unless_stopped(mesh::pods(&cluster, &goal.namespace));
    let proof = places(args, &mesh::places(&pods.await??));
    prove(session, &goal.target, &plan.injects, proof).await?;
    let ahead = ahead(session, &goal).await?;
    Ok(format!("rolled back to {}; {ahead}", goal.target))
}

fn goal(namespace: String, target: String) -> Goal {
    Goal {
        namespace,
        target,
        from: None,
        verdict: None,
        warnings: Vec::new(),
        places: Vec::new(),
    }
}

fn done(session: &Session<'_>, reason: Option<String>) -> Ending {
    let next = session.run.paste();
    let next = next.pipeline(&["--ask", "roll"], "mesh-roll");
    Ending::Done {
        next: Some(next),
        reason,
    }
}

fn releases(scene: &Scene) -> Outcome<&HelmReleases> {
    match &scene.installer {
        Installer::Helm(releases) => Ok(releases),
        Installer::Cli(_) => Err(refused(
            "the linkerd CLI installed this control plane",
            "go back with the linkerd CLI of the old version",
        )),
    }
}

// Plans the rollback of the control plane. Returns also the version that it goes back to.
async fn planned(
    session: &mut Session<'_>,
    args: &Args,
    releases: &HelmReleases,
    to: Option<&str>,
) -> Outcome<(Plan, String)> {
    let owned = &releases.control_plane;
    let Some(back) = owned.history.before(to) else {
        let wanted = to.map_or("an older version".to_owned(), str::to_owned);
        let what = format!(
            "helm keeps no revision of {} with {wanted} that was deployed completely; the newest is {}",
            owned.name(),
            owned.history.latest()
        );
        return Err(refused(
            what,
            format!("see them all: {}", releases.listed()),
        ));
    };
    let revisit = releases.revisit(owned, back, args.conflicts());
    let target = back.app_version.clone();
    let cluster = Arc::clone(&session.cluster);
    let (helm, crds) = (&releases.helm, &releases.crds.release);
    let reading = futures::future::try_join3(
        helm.kept(&revisit),
        helm.installed(&owned.release, None),
        helm.installed(crds, None),
    );
    let read = session.unless_stopped(reading).await?;
    let read = read.map_err(|error| hinted(error, format!("see them all: {}", releases.listed())));
    let (kept, installed, crds_installed) = read?;
    let namespace = &owned.release.namespace;
    let comparing = async {
        let removed = removed(&cluster, &installed, &kept.manifests, namespace).await?;
        let restored = missing(&cluster, &kept.manifests, namespace).await?;
        Ok::<_, mesh_cluster::Error>((removed, restored))
    };
    let (removed, restored) = session.unless_stopped(comparing).await??;
    let crds_rendered = Rendered::kept(String::new(), crds_installed, kept.merge);
    let plan = Plan {
        components: kept.components()?,
        injects: kept.config()?.injects().unwrap_or(&target).to_owned(),
        crds: Part::unneeded(crds, crds_rendered, Write::Apply),
        control_plane: Part {
            installed: Some(installed),
            removed,
            restored,
            ..back_to(releases, revisit, kept)
        },
        changes: Vec::new(),
        by_hand: Vec::new(),
        no_way_back: None,
    };
    Ok((plan, target))
}

fn back_to(releases: &HelmReleases, revisit: Revisit, kept: Rendered) -> Part {
    let owned = &releases.control_plane;
    let command = ["helm".to_owned()].into_iter().chain(revisit.words());
    let (command, essence) = (command.collect(), revisit.words().join("\0"));
    let write = Write::Helm(Box::new(Helming {
        helm: releases.helm.clone(),
        deed: Doing::Rollback(Box::new(revisit)),
        over: owned.history.latest().revision,
    }));
    Part {
        command,
        essence,
        is_needed: true,
        ..Part::unneeded(&owned.release, kept, write)
    }
}

// Says which proxies are newer than the control plane, which no version supports.
async fn ahead(session: &mut Session<'_>, goal: &Goal) -> Outcome<String> {
    session.begin(StepName::Afterwards, "looking for proxies that are newer")?;
    let cluster = Arc::clone(&session.cluster);
    let pods = session.unless_stopped(mesh::pods(&cluster, &goal.namespace));
    let all = mesh::ahead(&pods.await??, &goal.target);
    let said = match all.len() {
        0 => format!("no proxy is newer than {}", goal.target),
        count => {
            let named: Vec<&str> = all.iter().take(MOST).map(String::as_str).collect();
            let rest = match count.saturating_sub(MOST) {
                0 => String::new(),
                rest => format!(" and {rest} more"),
            };
            let named = named.join(", ");
            let some = match count {
                1 => "1 workload runs".to_owned(),
                count => format!("{count} workloads run"),
            };
            format!(
                "{some} newer proxies than the control plane and must be restarted: {named}{rest}"
            )
        }
    };
    session.done(&said)?;
    Ok(said)
}
