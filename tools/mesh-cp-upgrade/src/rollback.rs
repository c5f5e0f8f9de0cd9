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
use crate::installer::history::Revision;
use crate::installer::releases::HelmReleases;
use crate::mesh;
use crate::monitor::settle;
use crate::plan::{Doing, Helming, Part, Plan, Staged, Write};
use crate::preflight::preflight;
use crate::prepare::{identity, try_out};
use crate::present::{missing, removed};
use crate::prove::{places, prove};
use crate::readiness;
use crate::render::Rendered;
use crate::scene::{Scene, look_around, under_lock};
use crate::session::Session;
use crate::way_back::offered;

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
    let (back, is_there) = wanted(releases, to.as_deref())?;
    let (mut plan, target) = planned(session, args, releases, back, is_there).await?;
    goal.target = target;
    let there = match is_there {
        true => format!("{} is rolled back already: {back}", releases.name()),
        false => format!("{} has {}", plan.control_plane.name, goal.target),
    };
    let there = match is_there && plan.control_plane.is_needed {
        true => format!("{there}; but objects of it are gone from the cluster"),
        false => there,
    };
    let is_there = !plan.control_plane.is_needed;
    session.done(&there)?;
    let cluster = Arc::clone(&session.cluster);
    let pods = session.unless_stopped(mesh::pods(&cluster, &goal.namespace));
    let mut proof = places(args, &mesh::places(&pods.await??));
    if !is_there {
        plan.changes = identity(session, args, &scene, &plan).await?;
        let parts = [&plan.control_plane];
        plan.by_hand = try_out(session, args, &goal, &scene, &parts, &mut proof).await?;
    }
    session.conclude()?;
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
    let ready = readiness::before(session, &goal.namespace).await?;
    act::control_plane(session, args, &goal, &scene, &plan).await?;
    settle(session, args, &goal, &plan).await?;
    let unproven = prove(session, &goal.target, &plan.injects, proof).await?;
    let unready = readiness::after(session, &goal.namespace, ready).await?;
    ahead(session, &goal).await?;
    let there = is_there.then_some(there).into_iter();
    Ok(session.proven(there.chain(unproven).chain(unready)))
}

// The revision to go back to, and whether it is there already.
fn wanted<'a>(releases: &'a HelmReleases, to: Option<&str>) -> Outcome<(&'a Revision, bool)> {
    let owned = &releases.control_plane;
    let history = &owned.history;
    if let Some(back) = history.rolled_back(to) {
        return Ok((back, true));
    }
    let Some(back) = history.before(to) else {
        let wanted = to.map_or("an older version".to_owned(), str::to_owned);
        let what = format!(
            "helm keeps no revision of {} with {wanted} that was deployed completely; the newest is {}",
            owned.name(),
            history.latest()
        );
        let hint = format!("see them all: {}", releases.listed());
        return Err(refused(what, hint));
    };
    Ok((back, back.revision == history.latest().revision))
}

/// Goes back after an upgrade that failed, if this run has touched the control plane.
pub(crate) async fn after(session: &mut Session<'_>, args: &Args, ending: Ending) -> Ending {
    let error = match ending {
        // Whoever stops a run wants no more writes, and a write may still be going on. Where the run
        // could not look, the upgrade may be well.
        Ending::Done { .. }
        | Ending::Stopped(_)
        | Ending::Skipped(_)
        | Ending::Left { .. }
        | Ending::Failed(_) => return offered(session, ending).await,
        Ending::No(_) if session.way_back.is_none() => return ending,
        Ending::No(error) => error,
    };
    let failed = Ending::No(Explained::new(error.to_string(), ""));
    let noted = session.fail_step(&failed);
    session.goes_back = true;
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
            let said = |what: &str| format!("{error}; and the rollback {what}: {why}");
            // The answer is known all the same. To run the pipeline again would go on with the upgrade.
            if let Ending::Stopped(_) = ending {
                let driver = args.helm_driver.to_string();
                let mut words = vec!["--rollback", "--helm-driver", &driver];
                let namespace = args.linkerd_namespace.as_deref();
                words.extend(namespace.iter().flat_map(|name| ["-L", name]));
                let back = session.run.paste().mesh("mesh-cp-upgrade", &words);
                let hint =
                    format!("finish the rollback: `{back}` first waits for a helm that still runs");
                return Ending::No(Explained::new(said("was stopped"), hint).with_next(back));
            }
            let ending = Ending::No(Explained::new(said("has failed"), error.hint()));
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
    let scene = look_around(session, args, &goal, None).await?;
    let releases = releases(&scene)?;
    let Some(back) = releases.control_plane.history.of(revisit.revision) else {
        let what = format!("helm keeps revision {} no longer", revisit.revision);
        return Err(refused(
            what,
            format!("see them all: {}", releases.listed()),
        ));
    };
    let (plan, target) = planned(session, args, releases, back, false).await?;
    goal.target = target;
    identity(session, args, &scene, &plan).await?;
    preflight(session, &goal, &[&plan.control_plane]).await?;
    session.done("server-side dry run: the way back is accepted")?;
    session.conclude()?;
    act::roll_back(session, args, &goal, &scene, &plan).await?;
    settle(session, args, &goal, &plan).await?;
    let cluster = Arc::clone(&session.cluster);
    let pods = session.unless_stopped(mesh::pods(&cluster, &goal.namespace));
    let proof = places(args, &mesh::places(&pods.await??));
    let unproven = prove(session, &goal.target, &plan.injects, proof).await?;
    let ahead = ahead(session, &goal).await?;
    let unproven = unproven.map_or(String::new(), |why| format!("; {why}"));
    Ok(format!("rolled back to {}; {ahead}{unproven}", goal.target))
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
    back: &Revision,
    is_there: bool,
) -> Outcome<(Plan, String)> {
    let owned = &releases.control_plane;
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
            // What is gone from the cluster is written anew.
            is_needed: !is_there || !restored.is_empty(),
            only_restores: is_there,
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
        ..Part::unneeded(&owned.release, kept, write)
    }
}

// Says which proxies are newer than the control plane, which no version supports.
async fn ahead(session: &mut Session<'_>, goal: &Goal) -> Outcome<String> {
    session.begin(StepName::Afterwards, "looking for proxies that are newer")?;
    let cluster = Arc::clone(&session.cluster);
    let pods = session.unless_stopped(mesh::pods(&cluster, &goal.namespace));
    let said = mesh::compared(&pods.await??, &goal.target).to_string();
    session.done(&said)?;
    Ok(said)
}
